// The kernels for float16 logits.
#include <torch/headeronly/util/BFloat16.h>
#include <torch/headeronly/util/Half.h>

#include "launch.cuh"

namespace ffdwv::cuda {

template void launch_loss<c10::Half, NoSoft>(const LaunchContext&);
template void launch_loss<c10::Half, float>(const LaunchContext&);
template void launch_loss<c10::Half, c10::Half>(const LaunchContext&);

}  // namespace ffdwv::cuda
