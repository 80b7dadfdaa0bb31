// The op's schema and its dispatch. ffdwv_fast/loss/op.py holds the fake and autograd halves.
#include <torch/csrc/stable/library.h>

#include <tuple>

#include "arguments.h"
#include "cpu/loss_cpu.h"
#include "cuda/loss_cuda.h"

namespace ffdwv {
namespace {

using Kernel = void (*)(const LossArguments&, const LossOutputs&);

template <Kernel kernel>
std::tuple<Tensor, Tensor, Tensor> run(
    const Tensor& logits,
    const Tensor& labels,
    const std::optional<Tensor>& soft,
    const std::optional<Tensor>& neg_entropy,
    const std::optional<Tensor>& grad_out,
    int64_t soft_kind,
    double temperature,
    double ce_weight,
    double soft_weight,
    double grad_scale,
    int64_t reduction,
    int64_t ignore_index,
    bool compute_grad) {
  const LossArguments arguments{
      logits,
      labels,
      soft,
      neg_entropy,
      grad_out,
      static_cast<SoftKind>(soft_kind),
      temperature,
      ce_weight,
      soft_weight,
      grad_scale,
      static_cast<Reduction>(reduction),
      ignore_index,
      compute_grad};
  check(arguments);
  LossOutputs outputs = allocate_outputs(arguments);
  kernel(arguments, outputs);
  return {outputs.loss, outputs.parts, outputs.grad};
}

}  // namespace
}  // namespace ffdwv

STABLE_TORCH_LIBRARY(ffdwv_fast, m) {
  m.def(
      "ffdwv_loss(Tensor logits, Tensor labels, Tensor? soft, Tensor? neg_entropy, "
      "Tensor? grad_out, int soft_kind, float temperature, float ce_weight, float soft_weight, "
      "float grad_scale, int reduction, int ignore_index, bool compute_grad) "
      "-> (Tensor loss, Tensor parts, Tensor grad)");
}

STABLE_TORCH_LIBRARY_IMPL(ffdwv_fast, CPU, m) {
  m.impl("ffdwv_loss", TORCH_BOX(&ffdwv::run<ffdwv::loss_cpu>));
}

#if defined(FFDWV_WITH_CUDA)
STABLE_TORCH_LIBRARY_IMPL(ffdwv_fast, CUDA, m) {
  m.impl("ffdwv_loss", TORCH_BOX(&ffdwv::run<ffdwv::loss_cuda>));
}
#endif
