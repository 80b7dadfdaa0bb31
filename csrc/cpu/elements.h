// Elements of tensors as vectors of the type they are computed in: float, or double for double.
#pragma once

#include "simd.h"

namespace ffdwv::inline FFDWV_ISA {

struct BFloat16 {
  uint16_t bits;
};
struct Half {
  uint16_t bits;
};

template <typename Element>
struct ValueType {
  using Type = float;
};
template <>
struct ValueType<double> {
  using Type = double;
};
template <typename Element>
using ValueOf = typename ValueType<Element>::Type;

using FloatPart = Register<float>::Type;
using IntPart = Register<float>::Integer;
constexpr int kFloatPart = Register<float>::kSize;
#if defined(__AVX512F__)
constexpr __mmask16 kAllLanes = 0xffff;  // GCC warns of the unmasked forms' undefined registers
#endif

// 16-bit elements, widened to the integers of a register.
FFDWV_SIMD IntPart load_bits(const uint16_t* from) {
  return __builtin_convertvector(load_packed<uint16_t, kFloatPart>(from), IntPart);
}
FFDWV_SIMD void store_bits(uint16_t* to, IntPart bits) {
  using Narrow = Packed<uint16_t, kFloatPart>::Type;
  const Narrow narrow = __builtin_convertvector(bits, Narrow);
  __builtin_memcpy(to, &narrow, sizeof narrow);
}

FFDWV_SIMD FloatPart widen_half(const uint16_t* from) {
#if defined(__AVX512F__)
  return _mm512_maskz_cvtph_ps(kAllLanes, bit_cast<__m256i>(load_packed<uint16_t, kFloatPart>(from)));
#elif defined(__F16C__) && defined(__AVX2__)
  return _mm256_cvtph_ps(bit_cast<__m128i>(load_packed<uint16_t, kFloatPart>(from)));
#else
  constexpr int kRebias = 112 << 23;  // the exponents' biases are 15 and 127
  const IntPart bits = load_bits(from);
  const IntPart magnitude = bits & 0x7fff;
  const IntPart wide = magnitude << 13;
  const IntPart normal = magnitude >= 0x7c00 ? wide | 0x7f800000 : wide + kRebias;
  const FloatPart subnormal = __builtin_convertvector(magnitude, FloatPart) * 0x1p-24f;
  const IntPart result = magnitude < 0x0400 ? bit_cast<IntPart>(subnormal) : normal;
  return bit_cast<FloatPart>(result | ((bits & 0x8000) << 16));
#endif
}

// To the nearest, ties to even.
FFDWV_SIMD void narrow_to_half(uint16_t* to, FloatPart value) {
#if defined(__AVX512F__)
  const __m256i narrow = _mm512_maskz_cvtps_ph(kAllLanes, value, _MM_FROUND_TO_NEAREST_INT);
  __builtin_memcpy(to, &narrow, sizeof narrow);
#elif defined(__F16C__) && defined(__AVX2__)
  const __m128i narrow = _mm256_cvtps_ph(value, _MM_FROUND_TO_NEAREST_INT);
  __builtin_memcpy(to, &narrow, sizeof narrow);
#else
  constexpr int kRebias = 112 << 23;
  const IntPart bits = bit_cast<IntPart>(value);
  const IntPart magnitude = bits & 0x7fffffff;
  const IntPart normal = (magnitude + 0x0fff + ((magnitude >> 13) & 1) - kRebias) >> 13;
  // Adding 0.5, whose last place is 2^-24, rounds to the spacing of the subnormals.
  const FloatPart aligned = bit_cast<FloatPart>(magnitude) + 0.5f;
  const IntPart subnormal = bit_cast<IntPart>(aligned) - 0x3f000000;
  const IntPart finite = magnitude < 0x38800000 ? subnormal : normal;
  const IntPart overflow = magnitude > 0x7f800000 ? 0x7e00 - IntPart{} : 0x7c00 - IntPart{};
  const IntPart result = magnitude >= 0x477ff000 ? overflow : finite;
  store_bits(to, result | ((bits >> 16) & 0x8000));
#endif
}

FFDWV_SIMD FloatPart widen_bfloat16(const uint16_t* from) {
  return bit_cast<FloatPart>(load_bits(from) << 16);
}

// To the nearest, ties to even; any NaN becomes the quiet one.
FFDWV_SIMD void narrow_to_bfloat16(uint16_t* to, FloatPart value) {
  using Unsigned = Packed<uint32_t, kFloatPart>::Type;
  const Unsigned bits = bit_cast<Unsigned>(value);
  const Unsigned rounded = (bits + 0x7fff + ((bits >> 16) & 1)) >> 16;
  const IntPart result = value == value ? bit_cast<IntPart>(rounded) : 0x7fc0 - IntPart{};
  store_bits(to, result);
}

// kLanes consecutive elements, at any address.
template <typename Value>
FFDWV_SIMD Vector<Value> load_as(const Value* from) {
  return Vector<Value>::load(from);
}
template <typename Value>
  requires(sizeof(Value) == sizeof(double))
FFDWV_SIMD Vector<Value> load_as(const float* from) {
  return Vector<double>(Vector<float>::load(from));
}
template <typename Value>
FFDWV_SIMD Vector<float> load_as(const BFloat16* from) {
  Vector<float> v;
  FFDWV_FOR_PARTS(Vector<float>::kParts, v.part[k] = widen_bfloat16(&from[k * kFloatPart].bits))
  return v;
}
template <typename Value>
FFDWV_SIMD Vector<float> load_as(const Half* from) {
  Vector<float> v;
  FFDWV_FOR_PARTS(Vector<float>::kParts, v.part[k] = widen_half(&from[k * kFloatPart].bits))
  return v;
}

template <typename Value>
FFDWV_SIMD void store_as(Value* to, const Vector<Value>& v) {
  v.store(to);
}
FFDWV_SIMD void store_as(BFloat16* to, const Vector<float>& v) {
  FFDWV_FOR_PARTS(Vector<float>::kParts, narrow_to_bfloat16(&to[k * kFloatPart].bits, v.part[k]))
}
FFDWV_SIMD void store_as(Half* to, const Vector<float>& v) {
  FFDWV_FOR_PARTS(Vector<float>::kParts, narrow_to_half(&to[k * kFloatPart].bits, v.part[k]))
}

}  // namespace ffdwv::inline FFDWV_ISA
