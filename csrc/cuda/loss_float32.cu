// The kernels for float32 logits.
#include <torch/headeronly/util/BFloat16.h>
#include <torch/headeronly/util/Half.h>

#include "launch.cuh"

namespace ffdwv::cuda {

template void launch_loss<float, NoSoft>(const LaunchContext&);
template void launch_loss<float, float>(const LaunchContext&);

}  // namespace ffdwv::cuda
