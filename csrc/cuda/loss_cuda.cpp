// The host side of the CUDA loss: scratch memory, and which dtypes there are.
#include "loss_cuda.h"

#include <algorithm>
#include <stdexcept>

#include "../allocation.h"
#include "host.h"
#include "kernel.h"

namespace ffdwv {
namespace cuda {
namespace {

constexpr int64_t kMostClasses = int64_t{1} << 30;  // columns are ints, with room for a step beyond

SoftFormat soft_format(const LossArguments& a) {
  SoftFormat format;
  format.present = a.soft_kind != SoftKind::kNone;
  format.is_float32 = format.present && a.soft->scalar_type() == ScalarType::Float;
  format.is_teacher = a.soft_kind == SoftKind::kTeacher;
  return format;
}

Kernel kernel_for(const LossArguments& a) {
  switch (a.logits.scalar_type()) {
    case ScalarType::Float:
      return float32_kernel(soft_format(a), a.classes());
    case ScalarType::Double:
      return float64_kernel(soft_format(a), a.classes());
    case ScalarType::BFloat16:
      return bfloat16_kernel(soft_format(a), a.classes());
    case ScalarType::Half:
      return float16_kernel(soft_format(a), a.classes());
    default:
      throw std::invalid_argument("ffdwv_loss: unsupported dtype");  // check() has refused it
  }
}

KernelArguments kernel_arguments(const LossArguments& a, const LossOutputs& outputs) {
  KernelArguments k;
  k.logits = a.logits.const_data_ptr();
  k.logits_row = a.logits.stride(0);
  k.logits_column = a.logits.stride(1);
  if (a.soft_kind != SoftKind::kNone) {
    k.soft = a.soft->const_data_ptr();
    k.soft_row = a.soft->stride(0);
    k.soft_column = a.soft->stride(1);
    k.soft_by_row = a.soft_kind != SoftKind::kClassRows;
    k.temperature = a.temperature;
  }
  if (a.neg_entropy) {
    k.neg_entropy = static_cast<const double*>(a.neg_entropy->const_data_ptr());
    k.neg_entropy_stride = a.neg_entropy->stride(0);
  }
  k.labels = a.labels.const_data_ptr();
  k.labels_stride = a.labels.stride(0);
  k.wide_labels = a.labels.scalar_type() == ScalarType::Long;
  k.per_row = a.reduction == Reduction::kNone;
  k.mean = a.reduction == Reduction::kMean;
  if (a.grad_out) {
    k.grad_out = a.grad_out->const_data_ptr();
    k.grad_out_stride = k.per_row ? a.grad_out->stride(0) : 0;
  }
  k.grad = a.compute_grad ? outputs.grad.mutable_data_ptr() : nullptr;
  k.loss = outputs.loss.mutable_data_ptr();
  k.parts = static_cast<double*>(outputs.parts.mutable_data_ptr());
  k.rows = a.rows();
  k.classes = a.classes();
  k.ignore_index = a.ignore_index;
  k.ce_weight = a.ce_weight;
  k.soft_weight = a.soft_weight;
  k.grad_scale = a.grad_scale;
  return k;
}

// What a launch needs beside its arguments: four sums a block, the ticket and the count. It comes from
// the allocator of the current stream, so it belongs to this call alone until the stream has passed
// it; in a graph, to the graph.
class Scratch {
 public:
  Scratch(int64_t blocks, const Place& place)
      : blocks_(blocks), memory_(empty({4 * blocks + 2}, aoti_torch_dtype_float64(), place)) {}

  double* block_sums() { return static_cast<double*>(memory_.mutable_data_ptr()); }
  unsigned* ticket() { return reinterpret_cast<unsigned*>(block_sums() + 4 * blocks_); }
  int64_t* counted() { return reinterpret_cast<int64_t*>(block_sums() + 4 * blocks_ + 1); }

 private:
  int64_t blocks_;
  Tensor memory_;
};

}  // namespace
}  // namespace cuda

void loss_cuda(const LossArguments& a, const LossOutputs& outputs) {
  using namespace cuda;
  if (a.rows() == 0 && a.reduction == Reduction::kNone) {
    return;
  }
  if (a.classes() > kMostClasses) {
    throw std::invalid_argument("ffdwv_loss: at most 2^30 classes on a GPU");
  }
  const Place place = place_of(a.logits);
  const int device = place.device_index;
  const CurrentDevice current(device);
  const cudaStream_t stream = current_stream(device);
  const Kernel kernel = kernel_for(a);
  KernelArguments k = kernel_arguments(a, outputs);
  const int64_t tiles = (k.rows + kernel.rows_per_block - 1) / kernel.rows_per_block;
  const int64_t blocks = std::clamp<int64_t>(tiles, 1, most_blocks(device));
  Scratch scratch(blocks, place);
  k.block_sums = scratch.block_sums();
  k.ticket = scratch.ticket();
  if (k.mean && k.rows > kRowsCountedByEveryBlock) {
    const CountKernel count = count_kernel();
    launch(count.function, 1, count.threads_per_block, stream, k, scratch.counted());
    k.counted = scratch.counted();
  }
  if (blocks > 1 && !k.per_row) {
    check_launch(cudaMemsetAsync(k.ticket, 0, sizeof(*k.ticket), stream));
  }
  launch(kernel.function, static_cast<unsigned>(blocks), kernel.threads_per_block, stream, k);
}

}  // namespace ffdwv
