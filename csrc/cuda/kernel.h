// The kernels as the host sees them: picked by dtype and width, launched by loss_cuda.cpp. One .cu file
// per dtype of the logits, so that they compile side by side.
#pragma once

#include "arguments.cuh"

namespace ffdwv::cuda {

struct Kernel {
  void (*function)(KernelArguments) = nullptr;
  int rows_per_block = 0;
  int threads_per_block = 0;
};

// What the soft argument is. A dtype other than float32 is that of the logits.
struct SoftFormat {
  bool present = false;
  bool is_float32 = true;
  bool is_teacher = false;
};

Kernel float32_kernel(SoftFormat soft, int64_t classes);
Kernel float64_kernel(SoftFormat soft, int64_t classes);
Kernel bfloat16_kernel(SoftFormat soft, int64_t classes);
Kernel float16_kernel(SoftFormat soft, int64_t classes);

// Writes how many rows count to `counted`, with one block.
struct CountKernel {
  void (*function)(KernelArguments, int64_t* counted) = nullptr;
  int threads_per_block = 0;
};

CountKernel count_kernel();

// Up to this many rows every block counts the labels for itself; beyond, a launch before does.
constexpr int64_t kRowsCountedByEveryBlock = 2048;

}  // namespace ffdwv::cuda
