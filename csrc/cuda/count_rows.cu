// How many rows count, for batches too long to be counted by every block.
#include "kernel.h"
#include "reduction.cuh"

namespace ffdwv::cuda {
namespace {

constexpr int kThreads = 1024;

__global__ void __launch_bounds__(kThreads)
    count_valid_rows(const KernelArguments a, int64_t* counted) {
  const int64_t count = count_rows<kThreads>(a);
  if (threadIdx.x == 0) {
    *counted = count;
  }
}

}  // namespace

CountKernel count_kernel() { return {&count_valid_rows, kThreads}; }

}  // namespace ffdwv::cuda
