// CUDA C++ for a host compiler, as far as this project's kernels speak it.
//
// An unmodified .cuh, compiled by g++ or clang, runs on the host to test its indices, masks,
// reductions, barriers and tails. This is an emulation and never a test on a GPU: it proves nothing
// about timing, memory ordering (the fences do nothing), registers, or the device's own arithmetic.
//
// Reported, with block, warp and lane, as a std::runtime_error from launch():
//   - a warp function that some lane of its mask does not reach, reaches with another mask or meets
//     from another place in the source; a lane outside its own mask; a read from outside the mask;
//   - a barrier that some thread of the block does not reach. Here that includes a thread that has
//     returned: the hardware lets it pass, but it is rarely meant;
//   - a vector access through the functions below that is not aligned.
// Shown as a wrong value, in one Order or another: a missing barrier, and shared memory that is
// read before it is written (it is NaN when a block begins).
// Left to the sanitizers, so run the tests under both: accesses out of bounds, of shared arrays too
// (address), and misaligned dereferences (undefined).
// Not emulated: blocks that wait for each other, __activemask(), dynamic shared memory.
#pragma once

#if defined(__CUDACC__)
#error "nvcc needs no emulation: include device.h"
#endif

#include <algorithm>
#include <cmath>
#include <concepts>
#include <cstddef>
#include <cstdint>
#include <cstring>
#include <source_location>
#include <string>
#include <type_traits>
#include <utility>

#include "emulator.h"

#define __global__
#define __device__
#define __host__
#define __forceinline__ inline
#define __launch_bounds__(...)
// There is no __shared__: FFDWV_SHARED knows the size too, so that the array can be cleared.

namespace ffdwv::emulation {

template <typename T, typename... Types>
concept OneOf = (std::same_as<T, Types> || ...);

template <typename T>
concept Shuffled = OneOf<T, int, unsigned, long, unsigned long, long long, unsigned long long,
                         float, double>;

// Every use of FFDWV_SHARED has a Site of its own, and every instantiation of the code around it.
template <typename Array, typename Site>
Array& shared_array(Site) {
  static_assert(std::is_trivially_default_constructible_v<Array>, "nvcc allows no initialiser");
  static_assert(alignof(Array) <= 16);
  static char key;
  return *static_cast<Array*>(
      Emulator::instance().shared_memory().get(&key, sizeof(Array), alignof(Array)));
}

inline Lanes vote(Call call, bool predicate) {
  return static_cast<Lanes>(
      Emulator::instance().meet_warp(call, predicate, Emulator::kNoSource));
}

// `source` gives the lane to read from the caller's lane and the first and last of its segment; a
// result outside the segment means the caller's own value.
template <Shuffled T, typename Source>
T shuffle(Call call, T value, int width, Source source) {
  Emulator& emulator = Emulator::instance();
  if (width < 1 || width > warpSize || (width & (width - 1)) != 0) {
    emulator.fail(call.text() + ": width " + std::to_string(width) + " is no power of 2 up to 32");
  }
  const int lane = emulator.lane();
  const int first = lane & ~(width - 1);
  const int from = source(lane, first, first + width - 1);
  std::uint64_t bits = 0;
  std::memcpy(&bits, &value, sizeof value);
  bits = emulator.meet_warp(call, bits, from);
  std::memcpy(&value, &bits, sizeof value);
  return value;
}

inline void check_aligned(const void* address, std::size_t alignment) {
  if (reinterpret_cast<std::uintptr_t>(address) % alignment != 0) {
    Emulator::instance().fail("an access is not aligned to " + std::to_string(alignment) +
                              " bytes");
  }
}

}  // namespace ffdwv::emulation

// The counterparts of what device.h has for nvcc.

#define FFDWV_SHARED(type, name, size) \
  type(&name)[size] = ::ffdwv::emulation::shared_array<type[size]>([] {})

namespace ffdwv {

// memcpy, because the memory holds elements of another type.
template <typename Vector>
Vector load_vector(const void* address) {
  static_assert(std::is_trivially_copyable_v<Vector>);
  emulation::check_aligned(address, alignof(Vector));
  Vector value;
  std::memcpy(&value, address, sizeof value);
  return value;
}

template <typename Vector>
void store_vector(void* address, const Vector& value) {
  static_assert(std::is_trivially_copyable_v<Vector>);
  emulation::check_aligned(address, alignof(Vector));
  std::memcpy(address, &value, sizeof value);
}

}  // namespace ffdwv

// Warp functions. The widths and out-of-segment rules are those of PTX's shfl.sync.

#define FFDWV_HERE std::source_location where = std::source_location::current()

template <typename T>
T __shfl_sync(unsigned mask, T value, int source, int width = warpSize, FFDWV_HERE) {
  return ffdwv::emulation::shuffle({"__shfl_sync", mask, where}, value, width,
      [=](int, int first, int) { return first + (source & (width - 1)); });
}

template <typename T>
T __shfl_up_sync(unsigned mask, T value, unsigned delta, int width = warpSize, FFDWV_HERE) {
  return ffdwv::emulation::shuffle({"__shfl_up_sync", mask, where}, value, width,
      [=](int lane, int first, int) {
        const int from = lane - static_cast<int>(delta % warpSize);
        return from < first ? lane : from;
      });
}

template <typename T>
T __shfl_down_sync(unsigned mask, T value, unsigned delta, int width = warpSize, FFDWV_HERE) {
  return ffdwv::emulation::shuffle({"__shfl_down_sync", mask, where}, value, width,
      [=](int lane, int, int last) {
        const int from = lane + static_cast<int>(delta % warpSize);
        return from > last ? lane : from;
      });
}

template <typename T>
T __shfl_xor_sync(unsigned mask, T value, int bits, int width = warpSize, FFDWV_HERE) {
  return ffdwv::emulation::shuffle({"__shfl_xor_sync", mask, where}, value, width,
      [=](int lane, int, int last) {
        const int from = lane ^ (bits & (warpSize - 1));
        return from > last ? lane : from;
      });
}

inline void __syncwarp(unsigned mask = 0xffffffff, FFDWV_HERE) {
  ffdwv::emulation::vote({"__syncwarp", mask, where}, false);
}

inline unsigned __ballot_sync(unsigned mask, int predicate, FFDWV_HERE) {
  return ffdwv::emulation::vote({"__ballot_sync", mask, where}, predicate != 0);
}

inline int __any_sync(unsigned mask, int predicate, FFDWV_HERE) {
  return ffdwv::emulation::vote({"__any_sync", mask, where}, predicate != 0) != 0;
}

inline int __all_sync(unsigned mask, int predicate, FFDWV_HERE) {
  return ffdwv::emulation::vote({"__all_sync", mask, where}, predicate != 0) == mask;
}

inline void __syncthreads(FFDWV_HERE) {
  ffdwv::emulation::Emulator::instance().meet_block({"__syncthreads", 0, where});
}

#undef FFDWV_HERE

inline void __threadfence() {}
inline void __threadfence_block() {}

// Atomics: nothing runs in between. As in CUDA, the value takes the type of what it changes.

template <ffdwv::emulation::OneOf<int, unsigned, unsigned long long, float, double> T>
T atomicAdd(T* address, std::type_identity_t<T> value) {
  return std::exchange(*address, *address + value);
}

template <ffdwv::emulation::OneOf<int, unsigned, long long, unsigned long long> T>
T atomicMax(T* address, std::type_identity_t<T> value) {
  return std::exchange(*address, std::max(*address, value));
}

template <ffdwv::emulation::OneOf<int, unsigned, long long, unsigned long long> T>
T atomicMin(T* address, std::type_identity_t<T> value) {
  return std::exchange(*address, std::min(*address, value));
}

template <ffdwv::emulation::OneOf<int, unsigned, unsigned long long> T>
T atomicCAS(T* address, std::type_identity_t<T> expected, std::type_identity_t<T> value) {
  return std::exchange(*address, *address == expected ? value : *address);
}

inline unsigned atomicInc(unsigned* address, unsigned limit) {
  return std::exchange(*address, *address >= limit ? 0 : *address + 1);
}

// Vectors and the accesses that hint at the cache.

#define FFDWV_VECTORS(type, name)                                                                 \
  struct alignas(2 * sizeof(type)) name##2 { type x, y; };                                        \
  struct alignas(16) name##4 { type x, y, z, w; };                                                \
  inline name##2 make_##name##2(type x, type y) { return {x, y}; }                                \
  inline name##4 make_##name##4(type x, type y, type z, type w) { return {x, y, z, w}; }
FFDWV_VECTORS(float, float)
FFDWV_VECTORS(int, int)
FFDWV_VECTORS(unsigned, uint)
#undef FFDWV_VECTORS

template <typename T>
T __ldg(const T* address) {
  return ffdwv::load_vector<T>(address);
}

template <typename T>
T __ldcs(const T* address) {
  return ffdwv::load_vector<T>(address);
}

template <typename T>
void __stcs(T* address, std::type_identity_t<T> value) {
  ffdwv::store_vector(address, value);
}

// Arithmetic. The fast functions are as exact as the host's.

inline float __expf(float x) noexcept { return std::exp(x); }
inline float __logf(float x) noexcept { return std::log(x); }
inline float __fmaf_rn(float x, float y, float z) { return std::fma(x, y, z); }

template <typename A, typename B>
  requires std::is_arithmetic_v<A> && std::is_arithmetic_v<B>
constexpr std::common_type_t<A, B> min(A a, B b) {
  using T = std::common_type_t<A, B>;
  if constexpr (std::is_floating_point_v<T>) {
    return std::fmin(a, b);  // the other one where one is NaN
  } else {
    return T(b) < T(a) ? b : a;
  }
}

template <typename A, typename B>
  requires std::is_arithmetic_v<A> && std::is_arithmetic_v<B>
constexpr std::common_type_t<A, B> max(A a, B b) {
  using T = std::common_type_t<A, B>;
  if constexpr (std::is_floating_point_v<T>) {
    return std::fmax(a, b);
  } else {
    return T(a) < T(b) ? b : a;
  }
}
