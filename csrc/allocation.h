// Tensors without values, allocated by the C interface: a call through the dispatcher, which is what
// torch::stable::empty makes, costs more than a small kernel.
#pragma once

#include <torch/csrc/inductor/aoti_torch/c/shim.h>
#include <torch/csrc/stable/tensor.h>

#include <algorithm>
#include <cstdint>
#include <initializer_list>

namespace ffdwv {

// Where a tensor is, in torch's codes.
struct Place {
  int32_t device_type = 0, device_index = 0;
};

inline Place place_of(const torch::stable::Tensor& t) {
  Place place;
  STABLE_TORCH_ERROR_CODE_CHECK(aoti_torch_get_device_type(t.get(), &place.device_type));
  STABLE_TORCH_ERROR_CODE_CHECK(aoti_torch_get_device_index(t.get(), &place.device_index));
  return place;
}

// Contiguous, of at most two dimensions; `dtype` is torch's code.
inline torch::stable::Tensor empty(
    std::initializer_list<int64_t> shape, int32_t dtype, const Place& place) {
  int64_t strides[2] = {1, 1};
  if (shape.size() == 2) {
    strides[0] = std::max<int64_t>(1, shape.begin()[1]);
  }
  AtenTensorHandle handle = nullptr;
  STABLE_TORCH_ERROR_CODE_CHECK(aoti_torch_empty_strided(
      static_cast<int64_t>(shape.size()), shape.begin(), strides, dtype, place.device_type,
      place.device_index, &handle));
  return torch::stable::Tensor(handle);
}

}  // namespace ffdwv
