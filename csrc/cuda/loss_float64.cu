// The kernels for float64 logits.
#include "tiers.cuh"

namespace ffdwv::cuda {

Kernel float64_kernel(SoftFormat soft, int64_t classes) { return kernel_for<double>(soft, classes); }

}  // namespace ffdwv::cuda
