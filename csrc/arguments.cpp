#include "arguments.h"

#include <torch/csrc/stable/ops.h>

#include <cmath>
#include <stdexcept>
#include <string>
#include <vector>

namespace ffdwv {
namespace {

void require(bool condition, const char* what) {
  if (!condition) {
    throw std::invalid_argument(std::string("ffdwv_loss: ") + what);
  }
}

bool is_supported(ScalarType dtype) {
  return dtype == ScalarType::Float || dtype == ScalarType::Double ||
         dtype == ScalarType::BFloat16 || dtype == ScalarType::Half;
}

ScalarType loss_dtype(const LossArguments& a) {
  return a.logits.scalar_type() == ScalarType::Double ? ScalarType::Double : ScalarType::Float;
}

bool same_device(const Tensor& a, const Tensor& b) {
  return a.device() == b.device();
}

}  // namespace

void check(const LossArguments& a) {
  require(a.logits.dim() == 2, "logits must be [N, C]");
  require(is_supported(a.logits.scalar_type()),
          "logits must be float32, float64, bfloat16 or float16");
  require(a.classes() >= 1, "logits must have at least one class");
  require(a.labels.dim() == 1 && a.labels.size(0) == a.rows(), "labels must be [N]");
  require(a.labels.scalar_type() == ScalarType::Long || a.labels.scalar_type() == ScalarType::Int,
          "labels must be int64 or int32");
  require(same_device(a.labels, a.logits), "labels must be on the device of the logits");
  if (a.similarity) {
    const Tensor& s = *a.similarity;
    require(s.dim() == 2 && s.size(0) == a.classes() && s.size(1) == a.classes(),
            "similarity must be [C, C]");
    require(s.scalar_type() == ScalarType::Float || s.scalar_type() == a.logits.scalar_type(),
            "similarity must be float32 or of the dtype of the logits");
    require(same_device(s, a.logits), "similarity must be on the device of the logits");
  }
  if (a.neg_entropy) {
    const Tensor& h = *a.neg_entropy;
    require(a.similarity.has_value(), "neg_entropy needs similarity");
    require(h.dim() == 1 && h.size(0) == a.classes() && h.scalar_type() == ScalarType::Double,
            "neg_entropy must be [C] float64");
    require(same_device(h, a.logits), "neg_entropy must be on the device of the logits");
  }
  for (const double weight : {a.ce_weight, a.soft_weight}) {
    require(std::isfinite(weight) && weight >= 0, "weights must be finite and 0 or more");
  }
  require(a.reduction == Reduction::kNone || a.reduction == Reduction::kMean ||
              a.reduction == Reduction::kSum,
          "reduction must be 0 (none), 1 (mean) or 2 (sum)");
  if (a.grad_out) {
    const Tensor& g = *a.grad_out;
    const bool shape_fits = a.reduction == Reduction::kNone
                                ? g.dim() == 1 && g.size(0) == a.rows()
                                : g.dim() == 0;
    require(shape_fits, "grad_out must have the shape of the loss");
    require(g.scalar_type() == loss_dtype(a), "grad_out must have the dtype of the loss");
    require(same_device(g, a.logits), "grad_out must be on the device of the logits");
  }
}

LossOutputs allocate_outputs(const LossArguments& a) {
  const auto device = a.logits.device();
  const auto empty = [&](std::vector<int64_t> shape, ScalarType dtype) {
    return torch::stable::empty(shape, dtype, std::nullopt, device);
  };
  const bool per_row = a.reduction == Reduction::kNone;
  const std::vector<int64_t> no_shape;
  const std::vector<int64_t> row_shape{a.rows()};
  return {
      empty(per_row ? row_shape : no_shape, loss_dtype(a)),
      empty(per_row ? std::vector<int64_t>{3, a.rows()} : std::vector<int64_t>{3},
            ScalarType::Double),
      empty(a.compute_grad ? std::vector<int64_t>{a.rows(), a.classes()}
                           : std::vector<int64_t>{0},
            a.logits.scalar_type()),
  };
}

}  // namespace ffdwv
