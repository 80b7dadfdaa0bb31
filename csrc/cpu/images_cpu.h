#pragma once

#include <torch/csrc/stable/device.h>

#include "../images.h"

namespace ffdwv {

// Fills the job's output, the images shared out among torch's threads. An unsound entry of the plan is
// a std::out_of_range that names it.
void images_cpu(const ImageJob& job, PixelType type, const torch::stable::Device& device);

}  // namespace ffdwv
