// The launch of the loss for one pair of dtypes; each .cu file of this folder instantiates one pair of
// logits and soft targets, so that they compile side by side.
#pragma once

#include <cuda_runtime.h>

#include "../arguments.h"
#include "tiers.cuh"

namespace ffdwv::cuda {

// Scratch memory of one call: its own, from the allocator of the stream it is used on.
struct Scratch {
  double* block_sums;  // [blocks, 4]
  unsigned* ticket;
  int64_t* counted;
};

struct LaunchContext {
  const LossArguments& arguments;
  const LossOutputs& outputs;
  cudaStream_t stream;
  int most_blocks;
  Scratch scratch;
};

// Throws std::runtime_error for a launch that fails.
void check_launch(cudaError_t error);

template <typename Logit, typename Soft>
KernelArguments<Logit, Soft> kernel_arguments(const LossArguments& a, const LossOutputs& outputs) {
  using Value = ValueOf<Logit>;
  const bool per_row = a.reduction == Reduction::kNone;
  KernelArguments<Logit, Soft> k{};
  k.logits = static_cast<const Logit*>(a.logits.const_data_ptr());
  k.logits_row = a.logits.stride(0);
  k.logits_column = a.logits.stride(1);
  if (a.similarity) {
    k.soft = static_cast<const Soft*>(a.similarity->const_data_ptr());
    k.soft_row = a.similarity->stride(0);
    k.soft_column = a.similarity->stride(1);
  }
  if (a.neg_entropy) {
    k.neg_entropy = static_cast<const double*>(a.neg_entropy->const_data_ptr());
    k.neg_entropy_stride = a.neg_entropy->stride(0);
  }
  k.labels = a.labels.const_data_ptr();
  k.labels_stride = a.labels.stride(0);
  k.wide_labels = a.labels.scalar_type() == ScalarType::Long;
  if (a.grad_out) {
    k.grad_out = static_cast<const Value*>(a.grad_out->const_data_ptr());
    k.grad_out_stride = per_row ? a.grad_out->stride(0) : 0;
  }
  k.grad = a.compute_grad ? static_cast<Logit*>(outputs.grad.mutable_data_ptr()) : nullptr;
  k.loss = static_cast<Value*>(outputs.loss.mutable_data_ptr());
  k.parts = static_cast<double*>(outputs.parts.mutable_data_ptr());
  k.rows = a.rows();
  k.classes = a.classes();
  k.ignore_index = a.ignore_index;
  k.weights = {static_cast<Value>(a.ce_weight), static_cast<Value>(a.soft_weight)};
  k.per_row = per_row;
  k.mean = a.reduction == Reduction::kMean;
  return k;
}

template <typename Logit, typename Soft>
void launch_loss(const LaunchContext& context) {
  auto k = kernel_arguments<Logit, Soft>(context.arguments, context.outputs);
  k.block_sums = context.scratch.block_sums;
  k.ticket = context.scratch.ticket;
  if (k.mean && k.rows > kRowsCountedByEveryBlock) {
    k.counted = context.scratch.counted;
    count_valid_rows<<<1, kCountThreads, 0, context.stream>>>(k, context.scratch.counted);
    check_launch(cudaGetLastError());
  }
  with_kernel_for<Logit, Soft>(k.classes, [&](auto kernel, int groups, int threads) {
    const int64_t tiles = (k.rows + groups - 1) / groups;
    const int64_t blocks = tiles < context.most_blocks ? tiles : context.most_blocks;
    if (blocks > 1 && !k.per_row) {
      check_launch(cudaMemsetAsync(k.ticket, 0, sizeof(*k.ticket), context.stream));
    }
    kernel<<<blocks > 0 ? blocks : 1, threads, 0, context.stream>>>(k);
    check_launch(cudaGetLastError());
  });
}

}  // namespace ffdwv::cuda
