// The threads that share a row: some lanes of a warp, or a whole block.
//
// Every member of a group calls the group's functions together and gets the same result: sums are
// formed in an order that depends on the group's shape alone.
#pragma once

#include "../emulation/device.h"

namespace ffdwv::cuda {

constexpr int kWarp = 32;

// kLanes consecutive lanes of a warp.
template <int kLanes, int kThreads>
struct LaneGroup {
  static constexpr int kSize = kLanes;
  static constexpr int kBlockThreads = kThreads;
  static constexpr int kGroups = kThreads / kLanes;

  __device__ static int rank() { return threadIdx.x % kLanes; }
  __device__ static int index() { return threadIdx.x / kLanes; }

  __device__ static unsigned mask() {
    if constexpr (kLanes == kWarp) {
      return 0xffffffffu;
    } else {
      const unsigned first = threadIdx.x % kWarp / kLanes * kLanes;
      return ((1u << kLanes) - 1u) << first;
    }
  }

  template <typename T>
  __device__ static T sum(T value) {
#pragma unroll
    for (int offset = kLanes / 2; offset > 0; offset /= 2) {
      value += __shfl_xor_sync(mask(), value, offset, kLanes);
    }
    return value;
  }

  template <typename T, int kCount>
  __device__ static void sum_each(T (&values)[kCount]) {
#pragma unroll
    for (T& value : values) {
      value = sum(value);
    }
  }

  template <typename T>
  __device__ static T max(T value) {
#pragma unroll
    for (int offset = kLanes / 2; offset > 0; offset /= 2) {
      const T other = __shfl_xor_sync(mask(), value, offset, kLanes);
      value = other > value ? other : value;
    }
    return value;
  }
};

// All threads of the block. Results pass through shared memory: a barrier before the values are read,
// and one after, so that the next call may write.
template <int kThreads>
struct BlockGroup {
  static constexpr int kSize = kThreads;
  static constexpr int kBlockThreads = kThreads;
  static constexpr int kGroups = 1;
  static constexpr int kWarps = kThreads / kWarp;
  using Lanes = LaneGroup<kWarp, kThreads>;

  __device__ static int rank() { return threadIdx.x; }
  __device__ static int index() { return 0; }

  template <typename T>
  __device__ static T sum(T value) {
    T values[] = {value};
    sum_each(values);
    return values[0];
  }

  // Several sums for two barriers.
  template <typename T, int kCount>
  __device__ static void sum_each(T (&values)[kCount]) {
    FFDWV_SHARED(T, of_warp, kWarps * kCount);
#pragma unroll
    for (int i = 0; i < kCount; ++i) {
      put(of_warp + i * kWarps, Lanes::sum(values[i]));
    }
    __syncthreads();
#pragma unroll
    for (int i = 0; i < kCount; ++i) {
      values[i] = of_warp[i * kWarps];
#pragma unroll
      for (int w = 1; w < kWarps; ++w) {
        values[i] += of_warp[i * kWarps + w];
      }
    }
    __syncthreads();
  }

  template <typename T>
  __device__ static T max(T value) {
    FFDWV_SHARED(T, of_warp, kWarps);
    put(of_warp, Lanes::max(value));
    __syncthreads();
    T largest = of_warp[0];
#pragma unroll
    for (int w = 1; w < kWarps; ++w) {
      largest = of_warp[w] > largest ? of_warp[w] : largest;
    }
    __syncthreads();
    return largest;
  }

 private:
  template <typename T>
  __device__ static void put(T* of_warp, T of_mine) {
    if (Lanes::rank() == 0) {
      of_warp[Lanes::index()] = of_mine;
    }
  }
};

}  // namespace ffdwv::cuda
