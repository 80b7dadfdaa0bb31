// The kernels for float64 logits.
#include <torch/headeronly/util/BFloat16.h>
#include <torch/headeronly/util/Half.h>

#include "launch.cuh"

namespace ffdwv::cuda {

template void launch_loss<double, NoSoft>(const LaunchContext&);
template void launch_loss<double, float>(const LaunchContext&);
template void launch_loss<double, double>(const LaunchContext&);

}  // namespace ffdwv::cuda
