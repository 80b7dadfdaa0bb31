// The kernels for float16 logits.
#include <torch/headeronly/util/Half.h>

#include "tiers.cuh"

namespace ffdwv::cuda {

Kernel float16_kernel(SoftFormat soft, int64_t classes) {
  return kernel_for<c10::Half>(soft, classes);
}

}  // namespace ffdwv::cuda
