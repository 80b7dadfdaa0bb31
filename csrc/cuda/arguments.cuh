// What a kernel is given, in plain pointers and strides (counted in elements).
#pragma once

#include <cstdint>
#include <type_traits>

#include "../row.h"

namespace ffdwv::cuda {

// The soft-target type of a loss that has none.
struct NoSoft {};

// Rows are computed in float32, those of float64 logits in float64; sums over rows in float64.
template <typename Logit>
using ValueOf = std::conditional_t<std::is_same_v<Logit, double>, double, float>;

template <typename Logit, typename Soft>
struct KernelArguments {
  using Value = ValueOf<Logit>;
  static constexpr bool kHasSoft = !std::is_same_v<Soft, NoSoft>;

  const Logit* logits;  // [N, C]
  int64_t logits_row, logits_column;
  const Soft* soft;  // [C, C], NoSoft: unused
  int64_t soft_row, soft_column;
  const double* neg_entropy;  // [C], nullptr: summed in the kernel
  int64_t neg_entropy_stride;
  const void* labels;  // [N] int64 or int32
  int64_t labels_stride;
  bool wide_labels;
  const Value* grad_out;  // nullptr: 1
  int64_t grad_out_stride;  // 0: one for all rows

  Logit* grad;  // [N, C] contiguous, nullptr: not wanted
  Value* loss;  // [] or, per row, [N]
  double* parts;  // [3] or, per row, [3, N]

  int64_t rows;
  int64_t classes;
  int64_t ignore_index;
  Weights<Value> weights;
  bool per_row;  // reduction "none"
  bool mean;     // divide by the rows that count

  const int64_t* counted;  // how many rows count, nullptr: each block counts for itself
  double* block_sums;      // [gridDim.x, 4], this launch's own
  unsigned* ticket;        // 0 before the launch and after it, this launch's own

  FFDWV_HOST_DEVICE int64_t label(int64_t row) const {
    return wide_labels ? static_cast<const int64_t*>(labels)[row * labels_stride]
                       : static_cast<const int32_t*>(labels)[row * labels_stride];
  }
};

}  // namespace ffdwv::cuda
