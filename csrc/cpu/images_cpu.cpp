// Batches of images on the CPU: a pixel has 256 values, so what becomes of them is looked up.
#include "images_cpu.h"

#include <torch/csrc/stable/ops.h>
#include <torch/headeronly/util/BFloat16.h>
#include <torch/headeronly/util/Half.h>

#include <algorithm>
#include <stdexcept>
#include <string>
#include <vector>

namespace ffdwv {
namespace {

constexpr int kPixelValues = 256;
// A second thread costs about as long to wake as this many values take.
constexpr int64_t kValuesPerThread = 16384;

void check_plan(const ImageJob& job) {
  const auto refuse = [](const char* name, int64_t b, int64_t value, int64_t end) {
    throw std::out_of_range(
        "augment_images: " + std::string(name) + "[" + std::to_string(b) + "] = " +
        std::to_string(value) + " is outside [0, " + std::to_string(end) + ")");
  };
  for (int64_t b = 0; b < job.batch; ++b) {
    if (job.is_sound(b)) {
      continue;
    }
    const int offsets = 2 * job.padding + 1;
    if (job.offset_y[b] >= offsets) {
      refuse("offset_y", b, job.offset_y[b], offsets);
    }
    if (job.offset_x[b] >= offsets) {
      refuse("offset_x", b, job.offset_x[b], offsets);
    }
    refuse("index", b, job.image_index(b), job.count);
  }
}

// [C, 256]
template <typename T>
std::vector<T> normalised_values(const ImageJob& job) {
  std::vector<T> table;
  table.reserve(job.channels * kPixelValues);
  for (int c = 0; c < job.channels; ++c) {
    for (int pixel = 0; pixel < kPixelValues; ++pixel) {
      table.push_back(static_cast<T>(normalised(pixel, job.normalisation[c])));
    }
  }
  return table;
}

// kChannels: those of the job, so that the loop over them is laid out; 0 for any number.
template <typename T, int kChannels>
void write_image(const ImageJob& job, const T* table, int64_t b) {
  const int channels = kChannels == 0 ? job.channels : kChannels;
  const Crop crop(job, b);
  T* out = static_cast<T*>(job.out) + b * job.values_per_image();
  const uint8_t black[kMostChannels] = {};
  for (int row = 0; row < job.height; ++row) {
    for (int column = 0; column < job.width; ++column, out += channels) {
      const int source = crop.source(row, column);
      const uint8_t* pixel = source < 0 ? black : crop.image + source;
      for (int c = 0; c < channels; ++c) {
        out[c] = table[c * kPixelValues + pixel[c]];
      }
    }
  }
}

template <typename T>
void write_images(const ImageJob& job) {
  const std::vector<T> table = normalised_values<T>(job);
  const auto write = job.channels == 3   ? write_image<T, 3>
                     : job.channels == 1 ? write_image<T, 1>
                                         : write_image<T, 0>;
  const int64_t images_per_thread =
      std::max<int64_t>(1, kValuesPerThread / job.values_per_image());
  torch::stable::parallel_for(0, job.batch, images_per_thread, [&](int64_t begin, int64_t end) {
    for (int64_t b = begin; b < end; ++b) {
      write(job, table.data(), b);
    }
  });
}

}  // namespace

void images_cpu(const ImageJob& job, PixelType type, const torch::stable::Device&) {
  check_plan(job);
  switch (type) {
    case PixelType::kFloat32:
      return write_images<float>(job);
    case PixelType::kFloat16:
      return write_images<c10::Half>(job);
    case PixelType::kBFloat16:
      return write_images<c10::BFloat16>(job);
  }
}

}  // namespace ffdwv
