// Gather, crop, flip, normalise, cast and lay out, in one pass.
//
// The output is one run of values, H W C to an image, written 16 bytes at a time wherever an image
// begins; a thread follows the run through columns, rows and images by counting.
#pragma once

#include <limits>

#include "images_kernel.h"
#include "row_access.cuh"

namespace ffdwv::cuda {

constexpr int kUnsound = -1;

// A place in the output: one channel of one pixel of one image of the batch.
class ImageCursor {
 public:
  // At value `position` from the beginning of image b on.
  __device__ ImageCursor(const ImageJob& job, int64_t b, unsigned position) : job_(job) {
    const unsigned values = job.values_per_image(), row_values = job.width * job.channels;
    const unsigned in_image = position % values, in_row = in_image % row_values;
    b_ = b + position / values;
    row_ = in_image / row_values;
    column_ = in_row / job.channels;
    channel_ = in_row % job.channels;
    begin_image();
  }

  // What is seen here, kUnsound in an image whose entry of the plan is not sound.
  __device__ int pixel() const {
    if (source_ < 0) {
      return crop_.image == nullptr ? kUnsound : 0;
    }
    return __ldg(crop_.image + source_ + channel_);
  }

  __device__ void advance() {
    if (++channel_ < job_.channels) {
      return;
    }
    channel_ = 0;
    if (++column_ == job_.width) {
      column_ = 0;
      ++row_;
    }
    if (row_ == job_.height) {
      row_ = 0;
      ++b_;
      begin_image();
    } else {
      source_ = crop_.source(row_, column_);
    }
  }

 private:
  __device__ void begin_image() {
    crop_ = b_ < job_.batch && job_.is_sound(b_) ? Crop(job_, b_) : Crop();
    source_ = crop_.source(row_, column_);
  }

  const ImageJob& job_;
  Crop crop_;
  int64_t b_;
  int row_, column_, channel_;
  int source_;  // of the pixel, see Crop
};

template <typename T>
__global__ void __launch_bounds__(kImageThreads)
    augment_images(const ImageJob job, const int images_per_group) {
  constexpr int kVector = kVectorBytes / static_cast<int>(sizeof(T));
  const int64_t first = static_cast<int64_t>(blockIdx.x) * images_per_group;
  const int64_t images = job.batch - first < images_per_group ? job.batch - first : images_per_group;
  const unsigned values = static_cast<unsigned>(images) * job.values_per_image();
  const Row<T> out{static_cast<T*>(job.out) + first * job.values_per_image(), 1,
                   static_cast<int>(values)};
  const bool packed = out.template is_packed<kVector>();
  const unsigned step = gridDim.y * blockDim.x * kVector;
  unsigned position = (blockIdx.y * blockDim.x + threadIdx.x) * kVector;
  Channel channels[kVector];
#pragma unroll
  for (int v = 0; v < kVector; ++v) {
    channels[v] = job.normalisation[(position + v) % job.channels];
  }
  for (; position < values; position += step) {
    ImageCursor cursor(job, first, position);
    int pixels[kVector];
    // All are asked for before the first has to be there.
#pragma unroll
    for (int v = 0; v < kVector; ++v) {
      pixels[v] = cursor.pixel();
      cursor.advance();
    }
    float results[kVector];
#pragma unroll
    for (int v = 0; v < kVector; ++v) {
      results[v] = pixels[v] == kUnsound ? std::numeric_limits<float>::quiet_NaN()
                                         : normalised(pixels[v], channels[v]);
    }
    out.store(static_cast<int>(position), packed, results);
  }
}

template <typename T>
ImageKernel image_kernel_for() {
  return {&augment_images<T>, kVectorBytes / static_cast<int>(sizeof(T))};
}

}  // namespace ffdwv::cuda
