// The arguments of the loss op, checked once for every device.
//
// The checks here keep the kernels' memory accesses safe whoever calls the op; the Python wrapper
// turns a failure into an explanation. Values of the soft targets are not looked at here.
#pragma once

#include <torch/csrc/stable/tensor.h>

#include <cstdint>
#include <optional>

namespace ffdwv {

using torch::headeronly::ScalarType;
using torch::stable::Tensor;

// The codes of ATen's at::Reduction.
enum class Reduction : int64_t { kNone = 0, kMean = 1, kSum = 2 };

// What `soft` holds, by the op's code.
enum class SoftKind : int64_t {
  kNone = 0,
  kClassRows = 1,   // S [C, C], a row picked by the label
  kSampleRows = 2,  // [N, C], a row of targets for each row of logits
  kTeacher = 3,     // [N, C], a teacher's logits
};

struct LossArguments {
  const Tensor& logits;                      // [N, C] any strides
  const Tensor& labels;                      // [N] int32 or int64, any stride
  const std::optional<Tensor>& soft;         // see SoftKind; any strides, 0 included
  const std::optional<Tensor>& neg_entropy;  // kClassRows, [C] float64: sum_j S_ij log S_ij, if known
  const std::optional<Tensor>& grad_out;     // [] or, for Reduction::kNone, [N]; dtype of the loss
  SoftKind soft_kind;
  double temperature;  // of kTeacher
  double ce_weight;
  double soft_weight;
  double grad_scale;  // multiplies the gradient, as grad_out does
  Reduction reduction;
  int64_t ignore_index;
  bool compute_grad;

  int64_t rows() const { return logits.size(0); }
  int64_t classes() const { return logits.size(1); }
};

struct LossOutputs {
  Tensor loss;   // [] or [N]; float64 for float64 logits, else float32
  Tensor parts;  // [3] or [3, N] float64: ce, kl (reduced as the loss is), correct (0/1, or a count)
  Tensor grad;   // [N, C] of the logits' dtype, contiguous; [0] unless compute_grad
};

// Throws std::invalid_argument where a kernel could not run safely.
void check(const LossArguments& arguments);

LossOutputs allocate_outputs(const LossArguments& arguments);

}  // namespace ffdwv
