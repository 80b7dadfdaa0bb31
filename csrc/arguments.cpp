#include "arguments.h"

#include <torch/csrc/inductor/aoti_torch/c/shim.h>

#include <cmath>
#include <initializer_list>
#include <stdexcept>
#include <string>

#include "allocation.h"

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

void check_soft(const LossArguments& a) {
  require(a.soft_kind >= SoftKind::kNone && a.soft_kind <= SoftKind::kTeacher,
          "soft_kind must be 0 (none), 1 (class matrix), 2 (sample rows) or 3 (teacher logits)");
  require(a.soft.has_value() == (a.soft_kind != SoftKind::kNone), "soft and soft_kind disagree");
  if (a.soft) {
    const Tensor& s = *a.soft;
    const int64_t rows = a.soft_kind == SoftKind::kClassRows ? a.classes() : a.rows();
    require(s.dim() == 2 && s.size(0) == rows && s.size(1) == a.classes(),
            a.soft_kind == SoftKind::kClassRows ? "soft must be [C, C]" : "soft must be [N, C]");
    require(s.scalar_type() == ScalarType::Float || s.scalar_type() == a.logits.scalar_type(),
            "soft must be float32 or of the dtype of the logits");
    require(same_device(s, a.logits), "soft must be on the device of the logits");
  }
  if (a.neg_entropy) {
    const Tensor& h = *a.neg_entropy;
    require(a.soft_kind == SoftKind::kClassRows, "neg_entropy needs a class matrix");
    require(h.dim() == 1 && h.size(0) == a.classes() && h.scalar_type() == ScalarType::Double,
            "neg_entropy must be [C] float64");
    require(same_device(h, a.logits), "neg_entropy must be on the device of the logits");
  }
  require(a.soft_kind != SoftKind::kTeacher ||
              (std::isfinite(a.temperature) && a.temperature > 0),
          "temperature must be finite and above 0");
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
  check_soft(a);
  for (const double weight : {a.ce_weight, a.soft_weight}) {
    require(std::isfinite(weight) && weight >= 0, "weights must be finite and 0 or more");
  }
  require(std::isfinite(a.grad_scale), "grad_scale must be finite");
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
  int32_t dtype = 0;
  STABLE_TORCH_ERROR_CODE_CHECK(aoti_torch_get_dtype(a.logits.get(), &dtype));
  const Place place = place_of(a.logits);
  const auto tensor = [&](std::initializer_list<int64_t> shape, int32_t of_dtype) {
    return empty(shape, of_dtype, place);
  };
  const int32_t wide = aoti_torch_dtype_float64();
  const int32_t loss = dtype == wide ? wide : aoti_torch_dtype_float32();
  const bool per_row = a.reduction == Reduction::kNone;
  return {
      per_row ? tensor({a.rows()}, loss) : tensor({}, loss),
      per_row ? tensor({3, a.rows()}, wide) : tensor({3}, wide),
      a.compute_grad ? tensor({a.rows(), a.classes()}, dtype) : tensor({0}, dtype),
  };
}

}  // namespace ffdwv
