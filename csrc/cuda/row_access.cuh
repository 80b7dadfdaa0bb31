// Reading and writing a row, 16 bytes at a time where its address allows it.
//
// Element k of lane l is column (k / V * kLanes + l) * V + k % V: V neighbours to a lane, so that a
// vector load and V single loads put the same elements into the same registers.
#pragma once

#include <cstdint>
#include <type_traits>

#include "../emulation/device.h"

namespace ffdwv::cuda {

constexpr int kVectorBytes = 16;

template <typename T, int kVector>
struct alignas(sizeof(T) * kVector) Pack {
  T elements[kVector];
};

template <typename T, int kPerLane>
constexpr int vector_length() {
  constexpr int widest = kVectorBytes / static_cast<int>(sizeof(T));
  return kPerLane < widest ? kPerLane : widest;
}

template <typename T>
struct Row {
  T* start;
  int64_t stride;
  int size;

  template <typename Value>
  __device__ __forceinline__ Value at(int j) const {
    return static_cast<Value>(start[static_cast<int64_t>(j) * stride]);
  }

  template <int kVector>
  __device__ __forceinline__ bool is_packed() const {
    return stride == 1 && reinterpret_cast<uintptr_t>(start) % sizeof(Pack<T, kVector>) == 0;
  }

  // `kVector` values from column j on; `fill` beyond the end.
  template <int kVector, typename Value>
  __device__ __forceinline__ void load(
      int j, bool packed, Value fill, Value (&out)[kVector]) const {
    if (packed && j + kVector <= size) {
      const auto pack = load_vector<Pack<std::remove_const_t<T>, kVector>>(start + j);
#pragma unroll
      for (int v = 0; v < kVector; ++v) {
        out[v] = static_cast<Value>(pack.elements[v]);
      }
      return;
    }
#pragma unroll
    for (int v = 0; v < kVector; ++v) {
      out[v] = j + v < size ? at<Value>(j + v) : fill;
    }
  }

  template <int kVector, typename Value>
  __device__ __forceinline__ void store(int j, bool packed, const Value (&in)[kVector]) const {
    if (packed && j + kVector <= size) {
      Pack<T, kVector> pack;
#pragma unroll
      for (int v = 0; v < kVector; ++v) {
        pack.elements[v] = static_cast<T>(in[v]);
      }
      store_vector(start + j, pack);
      return;
    }
#pragma unroll
    for (int v = 0; v < kVector; ++v) {
      if (j + v < size) {
        start[static_cast<int64_t>(j + v) * stride] = static_cast<T>(in[v]);
      }
    }
  }
};

}  // namespace ffdwv::cuda
