// The kernels for bfloat16 logits.
#include <torch/headeronly/util/BFloat16.h>
#include <torch/headeronly/util/Half.h>

#include "launch.cuh"

namespace ffdwv::cuda {

template void launch_loss<c10::BFloat16, NoSoft>(const LaunchContext&);
template void launch_loss<c10::BFloat16, float>(const LaunchContext&);
template void launch_loss<c10::BFloat16, c10::BFloat16>(const LaunchContext&);

}  // namespace ffdwv::cuda
