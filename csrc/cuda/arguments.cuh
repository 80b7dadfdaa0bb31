// What a kernel is given: plain pointers and strides (counted in elements), the same for every dtype.
// Neither torch nor a CUDA header is needed to fill it in.
#pragma once

#include <cstdint>
#include <type_traits>

#include "../row.h"

namespace ffdwv::cuda {

struct KernelArguments {
  const void* logits = nullptr;  // [N, C]
  int64_t logits_row = 0, logits_column = 0;
  const void* soft = nullptr;  // [C, C], the row picked by the label, or [N, C]; nullptr: none
  int64_t soft_row = 0, soft_column = 0;
  bool soft_by_row = false;  // [N, C]: soft targets, or a teacher's logits
  double temperature = 1;    // of the teacher's and the student's logits
  const double* neg_entropy = nullptr;  // [C], nullptr: summed in the kernel
  int64_t neg_entropy_stride = 0;
  const void* labels = nullptr;  // [N] int64 or int32
  int64_t labels_stride = 0;
  bool wide_labels = true;
  const void* grad_out = nullptr;  // of the loss's dtype, nullptr: 1
  int64_t grad_out_stride = 0;     // 0: one for all rows

  void* grad = nullptr;     // [N, C] of the logits' dtype, contiguous; nullptr: not wanted
  void* loss = nullptr;     // [] or, per row, [N]; double for double logits, else float
  double* parts = nullptr;  // [3] or, per row, [3, N]

  int64_t rows = 0;
  int64_t classes = 0;
  int64_t ignore_index = 0;
  double ce_weight = 1, soft_weight = 1;
  double grad_scale = 1;  // of the gradient alone, on top of grad_out
  bool per_row = false;   // reduction "none"
  bool mean = false;      // divide by the rows that count

  const int64_t* counted = nullptr;  // how many rows count, nullptr: each block counts for itself
  double* block_sums = nullptr;      // [gridDim.x, 4], this launch's own
  unsigned* ticket = nullptr;        // 0 before the launch and after it, this launch's own

  FFDWV_HOST_DEVICE int64_t label(int64_t row) const {
    return wide_labels ? static_cast<const int64_t*>(labels)[row * labels_stride]
                       : static_cast<const int32_t*>(labels)[row * labels_stride];
  }
};

// The soft-target type of a loss that has none.
struct NoSoft {};

// Rows are computed in float32, those of float64 logits in float64; sums over rows in float64.
template <typename Logit>
using ValueOf = std::conditional_t<std::is_same_v<Logit, double>, double, float>;

}  // namespace ffdwv::cuda
