// A batch made from a resident uint8 set by an epoch's plan: where each of its pixels comes from and
// what becomes of it. Once, for host and device.
#pragma once

#include <cmath>
#include <cstdint>

#include "row.h"  // FFDWV_HOST_DEVICE

namespace ffdwv {

constexpr int kMostChannels = 16;
constexpr int kMostPadding = 127;  // offsets up to twice that are bytes

enum class PixelType { kFloat32, kFloat16, kBFloat16 };

// Of one channel, in units of pixel / 255.
struct Channel {
  float mean, std;
  float reciprocal;  // of std
};

struct ImageJob {
  const uint8_t* images = nullptr;  // [N, H, W, C], without padding
  int64_t count = 0;                // N
  int height = 0, width = 0, channels = 0;
  int padding = 0;  // black pixels on every side before the crop
  Channel normalisation[kMostChannels] = {};

  const void* index = nullptr;  // [B] int64 or int32: which image
  bool wide_index = true;
  const uint8_t* offset_y = nullptr;  // [B] first row of the crop in the padded image
  const uint8_t* offset_x = nullptr;  // [B] first column
  const uint8_t* flip = nullptr;      // [B] mirrored left to right unless 0

  void* out = nullptr;  // [B, H, W, C]
  int64_t batch = 0;    // B

  FFDWV_HOST_DEVICE int values_per_image() const { return height * width * channels; }

  FFDWV_HOST_DEVICE int64_t image_index(int64_t b) const {
    return wide_index ? static_cast<const int64_t*>(index)[b]
                      : static_cast<const int32_t*>(index)[b];
  }

  // Whether entry b of the plan names an image of the set and a crop of the padded image.
  FFDWV_HOST_DEVICE bool is_sound(int64_t b) const {
    return static_cast<uint64_t>(image_index(b)) < static_cast<uint64_t>(count) &&
           offset_y[b] <= 2 * padding && offset_x[b] <= 2 * padding;
  }
};

// What an entry of the plan makes of its image; of no image, padding.
struct Crop {
  const uint8_t* image = nullptr;
  int top = 0, left = 0;  // in the image without padding, so negative within it
  int height = 0, width = 0, channels = 0;
  bool is_mirrored = false;

  Crop() = default;

  // Entry b must be sound.
  FFDWV_HOST_DEVICE Crop(const ImageJob& job, int64_t b)
      : image(job.images + job.image_index(b) * job.values_per_image()),
        top(job.offset_y[b] - job.padding),
        left(job.offset_x[b] - job.padding),
        height(job.height),
        width(job.width),
        channels(job.channels),
        is_mirrored(job.flip[b] != 0) {}

  // Where the first channel of the crop's pixel is in `image`; -1 for the padding, which is black.
  FFDWV_HOST_DEVICE int source(int row, int column) const {
    const int y = top + row;
    const int x = left + (is_mirrored ? width - 1 - column : column);
    const bool is_inside = static_cast<unsigned>(y) < static_cast<unsigned>(height) &&
                           static_cast<unsigned>(x) < static_cast<unsigned>(width);
    return is_inside ? (y * width + x) * channels : -1;
  }
};

// numerator / divisor as IEEE 754 rounds it, from the rounded reciprocal (Markstein, "Computation of
// elementary functions on the IBM RISC System/6000 processor", 1990): a GPU's own division is three
// times as long. Nothing on the way may leave the range of normal numbers.
FFDWV_HOST_DEVICE float rounded_quotient(float numerator, float divisor, float reciprocal) {
  const float quotient = numerator * reciprocal;
  return fmaf(fmaf(-divisor, quotient, numerator), reciprocal, quotient);
}

// (pixel / 255 - mean) / std in float32, each step rounded: bit for bit what the torch loader computes.
// One multiply-add, pixel * scale + shift, would be shorter and differ in the last places.
FFDWV_HOST_DEVICE float normalised(int pixel, const Channel& channel) {
  const float value = rounded_quotient(static_cast<float>(pixel), 255.0f, 1 / 255.0f);
  return rounded_quotient(value - channel.mean, channel.std, channel.reciprocal);
}

}  // namespace ffdwv
