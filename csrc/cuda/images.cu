// The image kernel, for each dtype of its output.
#include <torch/headeronly/util/BFloat16.h>
#include <torch/headeronly/util/Half.h>

#include "images.cuh"

namespace ffdwv::cuda {

ImageKernel image_kernel(PixelType type) {
  switch (type) {
    case PixelType::kFloat32:
      return image_kernel_for<float>();
    case PixelType::kFloat16:
      return image_kernel_for<c10::Half>();
    case PixelType::kBFloat16:
      return image_kernel_for<c10::BFloat16>();
  }
  return {};
}

}  // namespace ffdwv::cuda
