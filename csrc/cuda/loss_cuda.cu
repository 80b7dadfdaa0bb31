// The host side of the CUDA loss: device, stream, scratch memory, and which dtypes there are.
#include "loss_cuda.h"

#include <dlfcn.h>
#include <torch/csrc/stable/ops.h>
#include <torch/headeronly/util/BFloat16.h>
#include <torch/headeronly/util/Half.h>

#include <stdexcept>
#include <string>

#include "launch.cuh"

namespace ffdwv {
namespace cuda {

// Each pair is instantiated in the .cu file of its logits.
extern template void launch_loss<float, NoSoft>(const LaunchContext&);
extern template void launch_loss<float, float>(const LaunchContext&);
extern template void launch_loss<double, NoSoft>(const LaunchContext&);
extern template void launch_loss<double, float>(const LaunchContext&);
extern template void launch_loss<double, double>(const LaunchContext&);
extern template void launch_loss<c10::BFloat16, NoSoft>(const LaunchContext&);
extern template void launch_loss<c10::BFloat16, float>(const LaunchContext&);
extern template void launch_loss<c10::BFloat16, c10::BFloat16>(const LaunchContext&);
extern template void launch_loss<c10::Half, NoSoft>(const LaunchContext&);
extern template void launch_loss<c10::Half, float>(const LaunchContext&);
extern template void launch_loss<c10::Half, c10::Half>(const LaunchContext&);

void check_launch(cudaError_t error) {
  if (error == cudaErrorNoKernelImageForDevice) {
    throw std::runtime_error(
        "ffdwv_loss: this GPU is not among the architectures that the library was built for, " +
        std::string(FFDWV_CUDA_ARCHITECTURES) +
        "; build it again on this machine, with FFDWV_CMAKE_ARGS=-DFFDWV_CUDA_ARCHITECTURES=native");
  }
  if (error != cudaSuccess) {
    throw std::runtime_error(std::string("ffdwv_loss: CUDA: ") + cudaGetErrorString(error));
  }
}

namespace {

// The tensors' device, current for as long as this lives.
class DeviceGuard {
 public:
  explicit DeviceGuard(int device) {
    check_launch(cudaGetDevice(&before_));
    if (device != before_) {
      check_launch(cudaSetDevice(device));
    }
    changed_ = device != before_;
  }
  ~DeviceGuard() {
    if (changed_) {
      cudaSetDevice(before_);
    }
  }
  DeviceGuard(const DeviceGuard&) = delete;
  DeviceGuard& operator=(const DeviceGuard&) = delete;

 private:
  int before_ = 0;
  bool changed_ = false;
};

// torch's current stream. The symbol is looked up in the libtorch_cuda that is loaded, so that one
// library serves torch with CUDA and without: linked, it would not load where there is none.
cudaStream_t current_stream(int device) {
  using Function = int32_t (*)(int32_t, void**);
  static const auto function = [] {
    void* library = dlopen("libtorch_cuda.so", RTLD_NOLOAD | RTLD_LAZY);
    void* symbol =
        library == nullptr ? nullptr : dlsym(library, "aoti_torch_get_current_cuda_stream");
    return reinterpret_cast<Function>(symbol);
  }();
  void* stream = nullptr;
  if (function == nullptr || function(device, &stream) != 0) {
    throw std::runtime_error("ffdwv_loss: torch gives no current CUDA stream");
  }
  return static_cast<cudaStream_t>(stream);
}

int most_blocks(int device) {
  int processors = 0;
  check_launch(cudaDeviceGetAttribute(&processors, cudaDevAttrMultiProcessorCount, device));
  constexpr int kBlocksPerProcessor = 8;
  return processors * kBlocksPerProcessor;
}

template <typename Logit>
void launch_for_logits(const LaunchContext& context) {
  const auto& similarity = context.arguments.similarity;
  if (!similarity) {
    launch_loss<Logit, NoSoft>(context);
  } else if (similarity->scalar_type() == ScalarType::Float) {
    launch_loss<Logit, float>(context);
  } else {
    if constexpr (!std::is_same_v<Logit, float>) {
      launch_loss<Logit, Logit>(context);
    }
  }
}

void launch(const LaunchContext& context) {
  switch (context.arguments.logits.scalar_type()) {
    case ScalarType::Float:
      return launch_for_logits<float>(context);
    case ScalarType::Double:
      return launch_for_logits<double>(context);
    case ScalarType::BFloat16:
      return launch_for_logits<c10::BFloat16>(context);
    case ScalarType::Half:
      return launch_for_logits<c10::Half>(context);
    default:
      throw std::invalid_argument("ffdwv_loss: unsupported dtype");  // check() has refused it
  }
}

}  // namespace
}  // namespace cuda

void loss_cuda(const LossArguments& a, const LossOutputs& outputs) {
  if (a.rows() == 0 && a.reduction == Reduction::kNone) {
    return;
  }
  const auto device = a.logits.device();
  const cuda::DeviceGuard guard(device.index());
  const int blocks = cuda::most_blocks(device.index());
  // Sums of 4 doubles a block, the count and the ticket. It comes from the allocator of the current
  // stream, so it belongs to this call alone until the stream has passed it; in a graph, to the graph.
  Tensor scratch = torch::stable::empty(
      {4 * static_cast<int64_t>(blocks) + 2}, ScalarType::Double, std::nullopt, device);
  auto* sums = static_cast<double*>(scratch.mutable_data_ptr());
  double* rest = sums + 4 * static_cast<int64_t>(blocks);
  cuda::launch({a, outputs, cuda::current_stream(device.index()), blocks,
                {sums, reinterpret_cast<unsigned*>(rest), reinterpret_cast<int64_t*>(rest + 1)}});
}

}  // namespace ffdwv
