// Test only: the CUDA kernels of the loss, run on the host. Tensors come as addresses and strides, so
// that the module needs torch's header-only types and nothing of its library.
#include <pybind11/pybind11.h>
#include <torch/headeronly/util/BFloat16.h>
#include <torch/headeronly/util/Half.h>

#include <algorithm>
#include <string>

#include "../cuda/tiers.cuh"
#include "emulator.h"

namespace py = pybind11;

namespace {

using ffdwv::cuda::KernelArguments;
using ffdwv::cuda::NoSoft;

template <typename T>
T* pointer(const py::dict& d, const char* name) {
  return reinterpret_cast<T*>(d[name].cast<uintptr_t>());
}

int64_t integer(const py::dict& d, const char* name) {
  return d[name].cast<int64_t>();
}

template <typename Logit, typename Soft>
KernelArguments<Logit, Soft> arguments(const py::dict& d) {
  using Value = ffdwv::cuda::ValueOf<Logit>;
  KernelArguments<Logit, Soft> k{};
  k.logits = pointer<const Logit>(d, "logits");
  k.logits_row = integer(d, "logits_row");
  k.logits_column = integer(d, "logits_column");
  k.soft = pointer<const Soft>(d, "soft");
  k.soft_row = integer(d, "soft_row");
  k.soft_column = integer(d, "soft_column");
  k.neg_entropy = pointer<const double>(d, "neg_entropy");
  k.neg_entropy_stride = 1;
  k.labels = pointer<const void>(d, "labels");
  k.labels_stride = integer(d, "labels_stride");
  k.wide_labels = d["wide_labels"].cast<bool>();
  k.grad_out = pointer<const Value>(d, "grad_out");
  k.grad_out_stride = integer(d, "grad_out_stride");
  k.grad = pointer<Logit>(d, "grad");
  k.loss = pointer<Value>(d, "loss");
  k.parts = pointer<double>(d, "parts");
  k.rows = integer(d, "rows");
  k.classes = integer(d, "classes");
  k.ignore_index = integer(d, "ignore_index");
  k.weights = {d["ce_weight"].cast<Value>(), d["soft_weight"].cast<Value>()};
  k.per_row = d["per_row"].cast<bool>();
  k.mean = d["mean"].cast<bool>();
  k.block_sums = pointer<double>(d, "block_sums");
  k.ticket = pointer<unsigned>(d, "ticket");
  return k;
}

template <typename Logit, typename Soft>
void run(const py::dict& d, ffdwv::emulation::Schedule schedule, int64_t most_blocks, bool count) {
  using ffdwv::emulation::launch;
  auto k = arguments<Logit, Soft>(d);
  int64_t counted = 0;
  if (count) {
    launch(dim3(1), dim3(ffdwv::cuda::kCountThreads), schedule,
           [&] { ffdwv::cuda::count_valid_rows(k, &counted); });
    k.counted = &counted;
  }
  ffdwv::cuda::with_kernel_for<Logit, Soft>(k.classes, [&](auto kernel, int groups, int threads) {
    const int64_t tiles = (k.rows + groups - 1) / groups;
    const auto blocks = static_cast<unsigned>(std::clamp<int64_t>(tiles, 1, most_blocks));
    launch(dim3(blocks), dim3(threads), schedule, [&] { kernel(k); });
  });
}

template <typename Logit>
void run_for_logits(
    const std::string& soft, const py::dict& d, ffdwv::emulation::Schedule schedule,
    int64_t most_blocks, bool count) {
  if (soft == "none") {
    return run<Logit, NoSoft>(d, schedule, most_blocks, count);
  }
  if (soft == "float32") {
    return run<Logit, float>(d, schedule, most_blocks, count);
  }
  if constexpr (!std::is_same_v<Logit, float>) {
    return run<Logit, Logit>(d, schedule, most_blocks, count);
  }
}

ffdwv::emulation::Schedule schedule(const std::string& order, unsigned seed) {
  using ffdwv::emulation::Order;
  if (order == "ascending") {
    return {Order::kAscending, seed};
  }
  return {order == "descending" ? Order::kDescending : Order::kRandom, seed};
}

void loss(
    const std::string& logits, const std::string& soft, const py::dict& d, const std::string& order,
    unsigned seed, int64_t most_blocks, bool count) {
  const auto s = schedule(order, seed);
  if (logits == "float32") {
    run_for_logits<float>(soft, d, s, most_blocks, count);
  } else if (logits == "float64") {
    run_for_logits<double>(soft, d, s, most_blocks, count);
  } else if (logits == "bfloat16") {
    run_for_logits<c10::BFloat16>(soft, d, s, most_blocks, count);
  } else {
    run_for_logits<c10::Half>(soft, d, s, most_blocks, count);
  }
}

}  // namespace

PYBIND11_MODULE(_emulation, m) {
  m.doc() = "Host emulation of the CUDA kernels: indices, reductions, tails; never a GPU test.";
  m.def("loss", &loss, py::arg("logits"), py::arg("soft"), py::arg("arguments"), py::arg("order"),
        py::arg("seed"), py::arg("most_blocks"), py::arg("count"));
  m.attr("rows_counted_by_every_block") = ffdwv::cuda::kRowsCountedByEveryBlock;
}
