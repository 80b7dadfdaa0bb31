// exp and log of vectors, for the arguments that the loss has.
#pragma once

#include "simd.h"

namespace ffdwv::inline FFDWV_ISA {

template <typename T>
struct ExpConstants;

// ln 2 in two parts: the product of a whole exponent and the first is exact. Terms of the series for
// |r| <= ln 2 / 2 until the next is below a quarter of the last place.
template <>
struct ExpConstants<float> {
  static constexpr float kLn2High = 0x1.62e4p-1f;
  static constexpr float kLn2Low = 0x1.7f7d1cp-20f;
  static constexpr float kRound = 0x1.8p23f;  // adding it leaves a whole number in the low bits
  static constexpr float kSmallest = -87.0f;  // results below 1e-38 are 0
  static constexpr int kTerms = 7;
  static constexpr int kLogTerms = 5;
};
template <>
struct ExpConstants<double> {
  static constexpr double kLn2High = 0x1.62e42feep-1;
  static constexpr double kLn2Low = 0x1.a39ef35793c76p-33;
  static constexpr double kRound = 0x1.8p52;
  static constexpr double kSmallest = -708.0;
  static constexpr int kTerms = 13;
  static constexpr int kLogTerms = 11;
};

template <typename T>
constexpr T reciprocal_factorial(int n) {
  double product = 1;
  for (int k = 2; k <= n; ++k) {
    product *= k;
  }
  return static_cast<T>(1 / product);
}

// e^x for x <= 88 (708 in double): 0 where it would be below the smallest normal number, -inf included;
// NaN stays NaN. With x = n ln 2 + r it is 2^n times the series of e^r; within 1 unit in the last place
// where multiply-add is fused, 2 where it is not.
template <typename T>
FFDWV_SIMD Vector<T> exp(const Vector<T>& x) {
  using C = ExpConstants<T>;
  using Integer = typename Register<T>::Integer;
  using Part = typename Register<T>::Type;
  const Vector<T> shifted =
      multiply_add(x, Vector<T>(static_cast<T>(1.4426950408889634)), Vector<T>(C::kRound));
  const Vector<T> n = shifted - Vector<T>(C::kRound);
  const Vector<T> r = multiply_add(
      n, Vector<T>(-C::kLn2Low), multiply_add(n, Vector<T>(-C::kLn2High), x));
  Vector<T> series(reciprocal_factorial<T>(C::kTerms));
#pragma GCC unroll 16
  for (int k = C::kTerms - 1; k >= 0; --k) {
    series = multiply_add(series, r, Vector<T>(reciprocal_factorial<T>(k)));
  }
  Vector<T> power;
  FFDWV_FOR_PARTS(
      Vector<T>::kParts,
      power.part[k] = bit_cast<Part>(
          (bit_cast<Integer>(shifted.part[k]) << Bits<T>::kMantissa) + Bits<T>::kOne))
  return select(Vector<T>(C::kSmallest) > x, Vector<T>(0), series * power);
}

// ln x for x >= 0, with x below the smallest normal number taken for that; NaN for NaN and negative x.
// With x = 2^e m, m near 1, and s = (m - 1) / (m + 1) it is e ln 2 + 2 (s + s^3 / 3 + s^5 / 5 + ...).
template <typename T>
FFDWV_SIMD Vector<T> log(const Vector<T>& x) {
  using C = ExpConstants<T>;
  using B = Bits<T>;
  using Integer = typename B::Type;
  using IntegerPart = typename Register<T>::Integer;
  using Part = typename Register<T>::Type;
  constexpr Integer kToSqrt = sizeof(T) == 4 ? Integer(0x4afb0d) : Integer(0x95f619980c433);
  constexpr Integer kBias = B::kOne >> B::kMantissa;
  const Part round = C::kRound - Part{};
  const Vector<T> normal =
      larger(x, Vector<T>(sizeof(T) == 4 ? static_cast<T>(0x1p-126) : static_cast<T>(0x1p-1022)));
  Vector<T> e, m;
  FFDWV_FOR_PARTS(Vector<T>::kParts, {
    const IntegerPart bits = bit_cast<IntegerPart>(normal.part[k]);
    const IntegerPart exponent = ((bits + kToSqrt) >> B::kMantissa) - kBias;
    m.part[k] = bit_cast<Part>(bits - (exponent << B::kMantissa));
    e.part[k] = bit_cast<Part>(exponent + bit_cast<IntegerPart>(round)) - round;
  })
  const Vector<T> f = m - Vector<T>(1);
  const Vector<T> s = f / (f + Vector<T>(2));
  const Vector<T> s2 = s * s;
  Vector<T> series(static_cast<T>(1.0 / (2 * C::kLogTerms + 1)));
#pragma GCC unroll 16
  for (int k = C::kLogTerms - 1; k >= 1; --k) {
    series = multiply_add(series, s2, Vector<T>(static_cast<T>(1.0 / (2 * k + 1))));
  }
  const Vector<T> twice = s + s;
  const Vector<T> of_m = multiply_add(twice * s2, series, twice);
  const Vector<T> result = multiply_add(
      e, Vector<T>(C::kLn2High), multiply_add(e, Vector<T>(C::kLn2Low), of_m));
  return select(x >= Vector<T>(0), result, Vector<T>(static_cast<T>(__builtin_nan(""))));
}

}  // namespace ffdwv::inline FFDWV_ISA
