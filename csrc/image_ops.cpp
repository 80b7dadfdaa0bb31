// The image op: its schema, the checks that keep the kernels' memory accesses safe whoever calls it, and
// its dispatch. ffdwv_fast/data/image_op.py holds the fake half.
#include <torch/csrc/inductor/aoti_torch/c/shim.h>
#include <torch/csrc/stable/library.h>
#include <torch/csrc/stable/tensor.h>

#include <cmath>
#include <initializer_list>
#include <stdexcept>
#include <string>
#include <vector>

#include "cpu/images_cpu.h"
#include "cuda/images_cuda.h"

namespace ffdwv {
namespace {

using torch::headeronly::ScalarType;
using torch::stable::Tensor;

// Beyond these sizes the normalisation might leave the range of normal float32 numbers.
constexpr double kSmallest = 1e-18, kLargest = 1e18;
constexpr int64_t kMostValuesPerImage = int64_t{1} << 27;  // offsets in an image are ints
constexpr int64_t kMostBatch = (int64_t{1} << 31) - 1;     // a grid's blocks

void require(bool condition, const char* what) {
  if (!condition) {
    throw std::invalid_argument(std::string("augment_images: ") + what);
  }
}

void check_images(const Tensor& images) {
  require(images.dim() == 4 && images.scalar_type() == ScalarType::Byte && images.is_contiguous(),
          "images must be uint8 [N, H, W, C], contiguous");
  require(images.size(3) >= 1 && images.size(3) <= kMostChannels,
          "images must have 1 to 16 channels");
  int64_t values = 1;
  for (int dimension = 1; dimension < 4; ++dimension) {
    const int64_t size = images.size(dimension);
    require(size >= 1 && size <= kMostValuesPerImage / values,
            "an image must have 1 to 2^27 values");
    values *= size;
  }
}

void check_plan(
    const Tensor& images, const Tensor& index, std::initializer_list<const Tensor*> offsets,
    const Tensor& flip) {
  require(index.dim() == 1 && index.size(0) <= kMostBatch && index.is_contiguous() &&
              (index.scalar_type() == ScalarType::Long || index.scalar_type() == ScalarType::Int),
          "index must be int64 or int32 [B], contiguous");
  const auto fits = [&](const Tensor& t) {
    return t.dim() == 1 && t.size(0) == index.size(0) && t.is_contiguous();
  };
  for (const Tensor* offset : offsets) {
    require(fits(*offset) && offset->scalar_type() == ScalarType::Byte,
            "offset_y and offset_x must be uint8 [B], contiguous");
  }
  require(fits(flip) && (flip.scalar_type() == ScalarType::Byte ||
                         flip.scalar_type() == ScalarType::Bool),
          "flip must be uint8 or bool [B], contiguous");
  for (const Tensor* t : {&index, &flip, *offsets.begin(), *(offsets.end() - 1)}) {
    require(t->device() == images.device(), "the plan must be on the device of the images");
  }
}

void set_normalisation(
    ImageJob& job, const std::vector<double>& mean, const std::vector<double>& std) {
  require(mean.size() == static_cast<size_t>(job.channels) && std.size() == mean.size(),
          "mean and std must have a number for each channel");
  const auto fits = [](double x) { return std::abs(x) >= kSmallest && std::abs(x) <= kLargest; };
  for (int c = 0; c < job.channels; ++c) {
    require(mean[c] == 0 || fits(mean[c]), "a mean must be 0 or of a size from 1e-18 to 1e18");
    require(std[c] > 0 && fits(std[c]), "std must be from 1e-18 to 1e18");
    const auto divisor = static_cast<float>(std[c]);
    job.normalisation[c] = {static_cast<float>(mean[c]), divisor, 1 / divisor};
  }
}

struct Format {
  PixelType type;
  int32_t dtype;  // torch's code
};

Format format_of(ScalarType dtype) {
  switch (dtype) {
    case ScalarType::Float:
      return {PixelType::kFloat32, aoti_torch_dtype_float32()};
    case ScalarType::Half:
      return {PixelType::kFloat16, aoti_torch_dtype_float16()};
    case ScalarType::BFloat16:
      return {PixelType::kBFloat16, aoti_torch_dtype_bfloat16()};
    default:
      throw std::invalid_argument("augment_images: dtype must be float32, float16 or bfloat16");
  }
}

// [B, C, H, W] in channels_last memory, on the device of the images.
Tensor empty_batch(const ImageJob& job, const Tensor& images, int32_t dtype) {
  int32_t device_type = 0, device_index = 0;
  STABLE_TORCH_ERROR_CODE_CHECK(aoti_torch_get_device_type(images.get(), &device_type));
  STABLE_TORCH_ERROR_CODE_CHECK(aoti_torch_get_device_index(images.get(), &device_index));
  const int64_t c = job.channels, h = job.height, w = job.width;
  const int64_t shape[] = {job.batch, c, h, w}, strides[] = {h * w * c, 1, w * c, c};
  AtenTensorHandle handle = nullptr;
  STABLE_TORCH_ERROR_CODE_CHECK(aoti_torch_empty_strided(
      4, shape, strides, dtype, device_type, device_index, &handle));
  return Tensor(handle);
}

using Kernel = void (*)(const ImageJob&, PixelType, const torch::stable::Device&);

template <Kernel kernel>
Tensor run(
    const Tensor& images,
    const Tensor& index,
    const Tensor& offset_y,
    const Tensor& offset_x,
    const Tensor& flip,
    std::vector<double> mean,
    std::vector<double> std,
    int64_t padding,
    ScalarType dtype) {
  check_images(images);
  check_plan(images, index, {&offset_y, &offset_x}, flip);
  require(padding >= 0 && padding <= kMostPadding, "padding must be 0 to 127");
  const Format format = format_of(dtype);
  ImageJob job;
  job.images = static_cast<const uint8_t*>(images.const_data_ptr());
  job.count = images.size(0);
  job.height = static_cast<int>(images.size(1));
  job.width = static_cast<int>(images.size(2));
  job.channels = static_cast<int>(images.size(3));
  job.padding = static_cast<int>(padding);
  set_normalisation(job, mean, std);
  job.index = index.const_data_ptr();
  job.wide_index = index.scalar_type() == ScalarType::Long;
  job.offset_y = static_cast<const uint8_t*>(offset_y.const_data_ptr());
  job.offset_x = static_cast<const uint8_t*>(offset_x.const_data_ptr());
  job.flip = static_cast<const uint8_t*>(flip.const_data_ptr());
  job.batch = index.size(0);
  Tensor out = empty_batch(job, images, format.dtype);
  job.out = out.mutable_data_ptr();
  if (job.batch > 0) {
    kernel(job, format.type, images.device());
  }
  return out;
}

}  // namespace
}  // namespace ffdwv

STABLE_TORCH_LIBRARY_FRAGMENT(ffdwv_fast, m) {
  m.def(
      "augment_images(Tensor images, Tensor index, Tensor offset_y, Tensor offset_x, Tensor flip, "
      "float[] mean, float[] std, int padding, ScalarType dtype) -> Tensor");
}

STABLE_TORCH_LIBRARY_IMPL(ffdwv_fast, CPU, m) {
  m.impl("augment_images", TORCH_BOX(&ffdwv::run<ffdwv::images_cpu>));
}

#if defined(FFDWV_WITH_CUDA)
STABLE_TORCH_LIBRARY_IMPL(ffdwv_fast, CUDA, m) {
  m.impl("augment_images", TORCH_BOX(&ffdwv::run<ffdwv::images_cuda>));
}
#endif
