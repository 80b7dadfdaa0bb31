// What the host side of every CUDA kernel shares: errors, current device and stream, launches.
#pragma once

#include <cuda_runtime.h>
#include <dlfcn.h>
#include <torch/csrc/stable/accelerator.h>

#include <cstdint>
#include <stdexcept>
#include <type_traits>

#include "launch_error.h"

namespace ffdwv::cuda {

inline void check_launch(cudaError_t error) {
  if (error != cudaSuccess) {
    throw std::runtime_error(launch_error(
        error == cudaErrorNoKernelImageForDevice, cudaGetErrorString(error),
        FFDWV_CUDA_ARCHITECTURES));
  }
}

// The tensors' device, current for as long as this lives: for torch, which puts back the one before,
// and for the CUDA runtime that is linked in here, which keeps a current device of its own.
class CurrentDevice {
 public:
  explicit CurrentDevice(int device) : guard_(device) { check_launch(cudaSetDevice(device)); }

 private:
  torch::stable::accelerator::DeviceGuard guard_;
};

// torch's current stream. The symbol is looked up in the libtorch_cuda that is loaded, so that one
// library serves torch with CUDA and without: linked, it would not load where there is none.
inline cudaStream_t current_stream(int device) {
  using Function = int32_t (*)(int32_t, void**);
  static const auto function = [] {
    void* library = dlopen("libtorch_cuda.so", RTLD_NOLOAD | RTLD_LAZY);
    void* symbol =
        library == nullptr ? nullptr : dlsym(library, "aoti_torch_get_current_cuda_stream");
    return reinterpret_cast<Function>(symbol);
  }();
  void* stream = nullptr;
  if (function == nullptr || function(device, &stream) != 0) {
    throw std::runtime_error("ffdwv_fast: torch gives no current CUDA stream");
  }
  return static_cast<cudaStream_t>(stream);
}

inline int most_blocks(int device) {
  int processors = 0;
  check_launch(cudaDeviceGetAttribute(&processors, cudaDevAttrMultiProcessorCount, device));
  constexpr int kBlocksPerProcessor = 8;
  return processors * kBlocksPerProcessor;
}

template <typename... Arguments>
void launch(
    void (*kernel)(Arguments...), dim3 blocks, int threads, cudaStream_t stream,
    std::type_identity_t<Arguments>... arguments) {
  void* pointers[] = {&arguments...};
  check_launch(cudaLaunchKernel(
      reinterpret_cast<const void*>(kernel), blocks, dim3(threads), pointers, 0, stream));
}

}  // namespace ffdwv::cuda
