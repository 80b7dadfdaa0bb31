// The image kernel as the host sees it: picked by the dtype of its output, launched by images_cuda.cpp.
#pragma once

#include <algorithm>
#include <cstdint>
#include <numeric>

#include "../images.h"

namespace ffdwv::cuda {

constexpr int kImageThreads = 192;  // of a block, at most: a multiple of 1, 2, 3 and 4 channels

struct ImageKernel {
  void (*function)(ImageJob, int images_per_group) = nullptr;
  int vector = 0;  // values that a thread writes at once
};

ImageKernel image_kernel(PixelType type);

// Each group of images is written by `parts` blocks: block (g, p) takes every parts-th stretch of
// group g.
struct ImageGrid {
  int64_t groups;
  int64_t parts;
  int threads;           // a multiple of the channels: a thread's values are of the same ones each time
  int images_per_group;  // so many that every group begins at a whole vector
};

inline ImageGrid image_grid(const ImageJob& job, int vector, int most_blocks) {
  const int64_t values = job.values_per_image();
  const int threads = kImageThreads / job.channels * job.channels;
  const int64_t stretch = int64_t{threads} * vector;
  const int64_t aligned = vector / std::gcd<int64_t>(values, vector);
  const int64_t images = aligned * std::max<int64_t>(1, stretch / (aligned * values));
  const int64_t groups = (job.batch + images - 1) / images;
  const int64_t stretches = (images * values + stretch - 1) / stretch;
  const int64_t parts = std::clamp<int64_t>(most_blocks / groups, 1, stretches);
  return {groups, parts, threads, static_cast<int>(images)};
}

}  // namespace ffdwv::cuda
