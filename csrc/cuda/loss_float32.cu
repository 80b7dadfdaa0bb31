// The kernels for float32 logits.
#include "tiers.cuh"

namespace ffdwv::cuda {

Kernel float32_kernel(SoftFormat soft, int64_t classes) { return kernel_for<float>(soft, classes); }

}  // namespace ffdwv::cuda
