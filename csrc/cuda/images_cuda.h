#pragma once

#include <torch/csrc/stable/device.h>

#include "../images.h"

namespace ffdwv {

// Fills the job's output on the current stream of the device; waits for nothing. An unsound entry of
// the plan makes its image NaN.
void images_cuda(const ImageJob& job, PixelType type, const torch::stable::Device& device);

}  // namespace ffdwv
