// The kernels for bfloat16 logits.
#include <torch/headeronly/util/BFloat16.h>

#include "tiers.cuh"

namespace ffdwv::cuda {

Kernel bfloat16_kernel(SoftFormat soft, int64_t classes) {
  return kernel_for<c10::BFloat16>(soft, classes);
}

}  // namespace ffdwv::cuda
