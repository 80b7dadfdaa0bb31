// Test only: the CUDA kernels, run on the host. Tensors come as addresses and strides, so
// that the module needs torch's header-only types and nothing of its library.
#include <pybind11/pybind11.h>

#include <algorithm>
#include <string>

#include "../cuda/count_rows.cu"
#include "../cuda/images.cu"
#include "../cuda/loss_bfloat16.cu"
#include "../cuda/loss_float16.cu"
#include "../cuda/loss_float32.cu"
#include "../cuda/loss_float64.cu"
#include "emulator.h"

namespace py = pybind11;

namespace {

using namespace ffdwv::cuda;

template <typename T>
T* pointer(const py::dict& d, const char* name) {
  return reinterpret_cast<T*>(d[name].cast<uintptr_t>());
}

int64_t integer(const py::dict& d, const char* name) {
  return d[name].cast<int64_t>();
}

KernelArguments arguments(const py::dict& d) {
  KernelArguments k;
  k.logits = pointer<const void>(d, "logits");
  k.logits_row = integer(d, "logits_row");
  k.logits_column = integer(d, "logits_column");
  k.soft = pointer<const void>(d, "soft");
  k.soft_row = integer(d, "soft_row");
  k.soft_column = integer(d, "soft_column");
  k.soft_by_row = d["soft_by_row"].cast<bool>();
  k.neg_entropy = pointer<const double>(d, "neg_entropy");
  k.neg_entropy_stride = 1;
  k.labels = pointer<const void>(d, "labels");
  k.labels_stride = integer(d, "labels_stride");
  k.wide_labels = d["wide_labels"].cast<bool>();
  k.grad_out = pointer<const void>(d, "grad_out");
  k.grad_out_stride = integer(d, "grad_out_stride");
  k.grad = pointer<void>(d, "grad");
  k.loss = pointer<void>(d, "loss");
  k.parts = pointer<double>(d, "parts");
  k.rows = integer(d, "rows");
  k.classes = integer(d, "classes");
  k.ignore_index = integer(d, "ignore_index");
  k.ce_weight = d["ce_weight"].cast<double>();
  k.soft_weight = d["soft_weight"].cast<double>();
  k.temperature = d["temperature"].cast<double>();
  k.grad_scale = d["grad_scale"].cast<double>();
  k.per_row = d["per_row"].cast<bool>();
  k.mean = d["mean"].cast<bool>();
  k.block_sums = pointer<double>(d, "block_sums");
  k.ticket = pointer<unsigned>(d, "ticket");
  return k;
}

Kernel pick_kernel(const std::string& logits, const SoftFormat& soft, int64_t classes) {
  if (logits == "float32") {
    return float32_kernel(soft, classes);
  }
  if (logits == "float64") {
    return float64_kernel(soft, classes);
  }
  return logits == "bfloat16" ? bfloat16_kernel(soft, classes) : float16_kernel(soft, classes);
}

ffdwv::emulation::Schedule schedule(const std::string& order, unsigned seed) {
  using ffdwv::emulation::Order;
  if (order == "ascending") {
    return {Order::kAscending, seed};
  }
  return {order == "descending" ? Order::kDescending : Order::kRandom, seed};
}

void loss(
    const std::string& logits, const std::string& soft, bool teacher, const py::dict& d,
    const std::string& order, unsigned seed, int64_t most_blocks, bool count) {
  using ffdwv::emulation::launch;
  const auto s = schedule(order, seed);
  KernelArguments k = arguments(d);
  int64_t counted = 0;
  if (count) {
    const CountKernel kernel = count_kernel();
    launch(dim3(1), dim3(kernel.threads_per_block), s, [&] { kernel.function(k, &counted); });
    k.counted = &counted;
  }
  const SoftFormat kind{soft != "none", soft == "float32", teacher};
  const Kernel kernel = pick_kernel(logits, kind, k.classes);
  const int64_t tiles = (k.rows + kernel.rows_per_block - 1) / kernel.rows_per_block;
  const auto blocks = static_cast<unsigned>(std::clamp<int64_t>(tiles, 1, most_blocks));
  launch(dim3(blocks), dim3(kernel.threads_per_block), s, [&] { kernel.function(k); });
}

ffdwv::ImageJob image_job(const py::dict& d) {
  ffdwv::ImageJob job;
  job.images = pointer<const uint8_t>(d, "images");
  job.count = integer(d, "count");
  job.height = d["height"].cast<int>();
  job.width = d["width"].cast<int>();
  job.channels = d["channels"].cast<int>();
  job.padding = d["padding"].cast<int>();
  const auto mean = d["mean"].cast<py::sequence>(), std = d["std"].cast<py::sequence>();
  for (int c = 0; c < job.channels; ++c) {
    const auto divisor = std[c].cast<float>();
    job.normalisation[c] = {mean[c].cast<float>(), divisor, 1 / divisor};
  }
  job.index = pointer<const void>(d, "index");
  job.wide_index = d["wide_index"].cast<bool>();
  job.offset_y = pointer<const uint8_t>(d, "offset_y");
  job.offset_x = pointer<const uint8_t>(d, "offset_x");
  job.flip = pointer<const uint8_t>(d, "flip");
  job.out = pointer<void>(d, "out");
  job.batch = integer(d, "batch");
  return job;
}

ffdwv::PixelType pixel_type(const std::string& dtype) {
  using ffdwv::PixelType;
  if (dtype == "float32") {
    return PixelType::kFloat32;
  }
  return dtype == "bfloat16" ? PixelType::kBFloat16 : PixelType::kFloat16;
}

void images(
    const std::string& dtype, const py::dict& d, const std::string& order, unsigned seed,
    int most_blocks) {
  const ffdwv::ImageJob job = image_job(d);
  const ImageKernel kernel = image_kernel(pixel_type(dtype));
  const ImageGrid grid = image_grid(job, kernel.vector, most_blocks);
  const dim3 blocks(static_cast<unsigned>(grid.groups), static_cast<unsigned>(grid.parts));
  ffdwv::emulation::launch(blocks, dim3(grid.threads), schedule(order, seed), [&] {
    kernel.function(job, grid.images_per_group);
  });
}

}  // namespace

PYBIND11_MODULE(_emulation, m) {
  m.doc() = "Host emulation of the CUDA kernels: indices, reductions, tails; never a GPU test.";
  m.def("loss", &loss, py::arg("logits"), py::arg("soft"), py::arg("teacher"), py::arg("arguments"), py::arg("order"),
        py::arg("seed"), py::arg("most_blocks"), py::arg("count"));
  m.def("images", &images, py::arg("dtype"), py::arg("arguments"), py::arg("order"),
        py::arg("seed"), py::arg("most_blocks"));
  m.attr("image_threads") = kImageThreads;
  m.attr("rows_counted_by_every_block") = kRowsCountedByEveryBlock;
}
