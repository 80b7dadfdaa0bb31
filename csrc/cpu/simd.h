// Vectors of kLanes values for every instruction set: sums have the same lanes, and so the same order,
// whatever the registers' width. Registers are the compiler's vector extension; instructions it has no
// notation for (fused multiply-add, float16 conversion) are named where they exist.
//
// Files compiled with -mavx... include this: it must hold nothing that the linker could merge with
// another file's copy, hence the namespace and no part of the standard library beyond <cstdint>.
#pragma once

#include <cstdint>

#if defined(__x86_64__) || defined(__i386__)
#include <immintrin.h>
#endif

#include "../row.h"

#if !defined(FFDWV_SIMD)
#define FFDWV_SIMD [[gnu::always_inline]] inline
#endif

namespace ffdwv::inline FFDWV_ISA {

constexpr int kLanes = 16;
#if defined(__AVX512F__)
constexpr int kRegisterBytes = 64;
#elif defined(__AVX2__)
constexpr int kRegisterBytes = 32;
#else
constexpr int kRegisterBytes = 16;
#endif

// The integers of a floating type's width.
template <typename T>
struct Bits;
template <>
struct Bits<float> {
  using Type = int32_t;
  static constexpr int kMantissa = 23;
  static constexpr int32_t kOne = 0x3f800000;
};
template <>
struct Bits<double> {
  using Type = int64_t;
  static constexpr int kMantissa = 52;
  static constexpr int64_t kOne = 0x3ff0000000000000;
};

template <typename T>
struct Register {
  typedef T Type __attribute__((vector_size(kRegisterBytes)));
  typedef typename Bits<T>::Type Integer __attribute__((vector_size(kRegisterBytes)));
  static constexpr int kSize = kRegisterBytes / static_cast<int>(sizeof(T));
};

template <typename To, typename From>
FFDWV_SIMD To bit_cast(const From& from) {
  static_assert(sizeof(To) == sizeof(From));
  To to;
  __builtin_memcpy(&to, &from, sizeof to);
  return to;
}

// n values of type E as one compiler vector, at any address.
template <typename E, int n>
struct Packed {
  typedef E Type __attribute__((vector_size(n * sizeof(E))));
};
template <typename E, int n>
FFDWV_SIMD typename Packed<E, n>::Type load_packed(const void* from) {
  typename Packed<E, n>::Type packed;
  __builtin_memcpy(&packed, from, sizeof packed);
  return packed;
}

FFDWV_SIMD typename Register<float>::Type fused(
    typename Register<float>::Type a,
    typename Register<float>::Type b,
    typename Register<float>::Type c) {
#if defined(__AVX512F__)
  return _mm512_fmadd_ps(a, b, c);
#elif defined(__FMA__) && defined(__AVX2__)
  return _mm256_fmadd_ps(a, b, c);
#else
  return a * b + c;  // a fused one on Arm, whose file is compiled with contraction
#endif
}

FFDWV_SIMD typename Register<double>::Type fused(
    typename Register<double>::Type a,
    typename Register<double>::Type b,
    typename Register<double>::Type c) {
#if defined(__AVX512F__)
  return _mm512_fmadd_pd(a, b, c);
#elif defined(__FMA__) && defined(__AVX2__)
  return _mm256_fmadd_pd(a, b, c);
#else
  return a * b + c;
#endif
}

// `statement` for each k in [0, count), written out: GCC keeps an array in registers only where every
// index is a constant before it unrolls loops.
#define FFDWV_PART(index, statement) \
  {                                  \
    constexpr int k = index;         \
    statement;                       \
  }
#define FFDWV_FOR_PARTS(count, statement)                   \
  FFDWV_PART(0, statement)                                  \
  if constexpr ((count) > 1) FFDWV_PART(1, statement)       \
  if constexpr ((count) > 2) {                              \
    FFDWV_PART(2, statement) FFDWV_PART(3, statement)       \
  }                                                         \
  if constexpr ((count) > 4) {                              \
    FFDWV_PART(4, statement) FFDWV_PART(5, statement)       \
    FFDWV_PART(6, statement) FFDWV_PART(7, statement)       \
  }

template <typename T>
struct Mask {
  using Part = typename Register<T>::Integer;
  static constexpr int kParts = kLanes / Register<T>::kSize;
  Part part[kParts];
};

// Half of a register of floats, and two halves as one. Through memory a sum would live there.
using FloatHalf = Packed<float, Register<double>::kSize>::Type;

template <int half>
FFDWV_SIMD FloatHalf half_of(typename Register<float>::Type from) {
#if __has_builtin(__builtin_shufflevector)
  constexpr int s = half * Register<double>::kSize;
#if defined(__AVX512F__)
  return __builtin_shufflevector(from, from, s, s + 1, s + 2, s + 3, s + 4, s + 5, s + 6, s + 7);
#elif defined(__AVX2__)
  return __builtin_shufflevector(from, from, s, s + 1, s + 2, s + 3);
#else
  return __builtin_shufflevector(from, from, s, s + 1);
#endif
#else
  return load_packed<float, Register<double>::kSize>(
      reinterpret_cast<const char*>(&from) + half * sizeof(FloatHalf));
#endif
}

FFDWV_SIMD typename Register<double>::Type widen(FloatHalf half) {
#if defined(__AVX512F__)
  return _mm512_maskz_cvtps_pd(0xff, half);  // GCC makes two instructions of the conversion
#else
  return __builtin_convertvector(half, typename Register<double>::Type);
#endif
}

FFDWV_SIMD typename Register<float>::Type join(FloatHalf low, FloatHalf high) {
#if __has_builtin(__builtin_shufflevector)
#if defined(__AVX512F__)
  return __builtin_shufflevector(low, high, 0, 1, 2, 3, 4, 5, 6, 7, 8, 9, 10, 11, 12, 13, 14, 15);
#elif defined(__AVX2__)
  return __builtin_shufflevector(low, high, 0, 1, 2, 3, 4, 5, 6, 7);
#else
  return __builtin_shufflevector(low, high, 0, 1, 2, 3);
#endif
#else
  const FloatHalf halves[2] = {low, high};
  return bit_cast<typename Register<float>::Type>(halves);
#endif
}

template <typename T>
struct Vector {
  using Part = typename Register<T>::Type;
  static constexpr int kPartSize = Register<T>::kSize;
  static constexpr int kParts = kLanes / kPartSize;
  Part part[kParts];

  Vector() = default;

  FFDWV_SIMD Vector(T value) {
    const Part splat = value - Part{};
    FFDWV_FOR_PARTS(kParts, part[k] = splat)
  }

  template <typename From>
  FFDWV_SIMD explicit Vector(const Vector<From>& from) {
    if constexpr (sizeof(From) == sizeof(T)) {
      *this = from;
    } else if constexpr (sizeof(From) < sizeof(T)) {
      FFDWV_FOR_PARTS(kParts, part[k] = widen(half_of<k % 2>(from.part[k / 2])))
    } else {
      FFDWV_FOR_PARTS(
          kParts, part[k] = join(
                      __builtin_convertvector(from.part[2 * k], FloatHalf),
                      __builtin_convertvector(from.part[2 * k + 1], FloatHalf)))
    }
  }

  FFDWV_SIMD static Vector load(const T* from) {
    Vector v;
    FFDWV_FOR_PARTS(kParts, __builtin_memcpy(&v.part[k], from + k * kPartSize, sizeof(Part)))
    return v;
  }

  FFDWV_SIMD void store(T* to) const {
    FFDWV_FOR_PARTS(kParts, __builtin_memcpy(to + k * kPartSize, &part[k], sizeof(Part)))
  }

  FFDWV_SIMD Vector& operator+=(const Vector& other) { return *this = *this + other; }
  FFDWV_SIMD Vector& operator-=(const Vector& other) { return *this = *this - other; }
};

// Each lane by itself: result part k from part k of the arguments.
#define FFDWV_LANEWISE(Result, expression)                            \
  Result result;                                                      \
  FFDWV_FOR_PARTS(Vector<T>::kParts, result.part[k] = expression)     \
  return result

template <typename T>
FFDWV_SIMD Vector<T> operator+(const Vector<T>& a, const Vector<T>& b) {
  FFDWV_LANEWISE(Vector<T>, a.part[k] + b.part[k]);
}
template <typename T>
FFDWV_SIMD Vector<T> operator-(const Vector<T>& a, const Vector<T>& b) {
  FFDWV_LANEWISE(Vector<T>, a.part[k] - b.part[k]);
}
template <typename T>
FFDWV_SIMD Vector<T> operator*(const Vector<T>& a, const Vector<T>& b) {
  FFDWV_LANEWISE(Vector<T>, a.part[k] * b.part[k]);
}
template <typename T>
FFDWV_SIMD Vector<T> operator/(const Vector<T>& a, const Vector<T>& b) {
  FFDWV_LANEWISE(Vector<T>, a.part[k] / b.part[k]);
}
template <typename T>
FFDWV_SIMD Vector<T> operator-(const Vector<T>& a) {
  FFDWV_LANEWISE(Vector<T>, -a.part[k]);
}
template <typename T>
FFDWV_SIMD Mask<T> operator==(const Vector<T>& a, const Vector<T>& b) {
  FFDWV_LANEWISE(Mask<T>, a.part[k] == b.part[k]);
}
template <typename T>
FFDWV_SIMD Mask<T> operator>(const Vector<T>& a, const Vector<T>& b) {
  FFDWV_LANEWISE(Mask<T>, a.part[k] > b.part[k]);
}
template <typename T>
FFDWV_SIMD Mask<T> operator>=(const Vector<T>& a, const Vector<T>& b) {
  FFDWV_LANEWISE(Mask<T>, a.part[k] >= b.part[k]);
}
template <typename T>
FFDWV_SIMD Mask<T> operator&(const Mask<T>& a, const Mask<T>& b) {
  FFDWV_LANEWISE(Mask<T>, a.part[k] & b.part[k]);
}
template <typename T>
FFDWV_SIMD Mask<T> operator|(const Mask<T>& a, const Mask<T>& b) {
  FFDWV_LANEWISE(Mask<T>, a.part[k] | b.part[k]);
}
template <typename T>
FFDWV_SIMD Vector<T> select(const Mask<T>& mask, const Vector<T>& yes, const Vector<T>& no) {
  FFDWV_LANEWISE(Vector<T>, mask.part[k] ? yes.part[k] : no.part[k]);
}
template <typename T>
FFDWV_SIMD Vector<T> multiply_add(const Vector<T>& a, const Vector<T>& b, const Vector<T>& c) {
  FFDWV_LANEWISE(Vector<T>, fused(a.part[k], b.part[k], c.part[k]));
}
// b where the two cannot be compared.
template <typename T>
FFDWV_SIMD Vector<T> larger(const Vector<T>& a, const Vector<T>& b) {
  FFDWV_LANEWISE(Vector<T>, a.part[k] > b.part[k] ? a.part[k] : b.part[k]);
}

template <typename T>
FFDWV_SIMD bool any(const Mask<T>& mask) {
  typename Bits<T>::Type lanes[kLanes];
  __builtin_memcpy(lanes, mask.part, sizeof lanes);
  typename Bits<T>::Type all = 0;
  for (int k = 0; k < kLanes; ++k) {
    all |= lanes[k];
  }
  return all != 0;
}

template <typename Integer>
struct LaneTable {
  Integer lanes[3 * kLanes] = {};
  constexpr LaneTable() {
    for (int i = 0; i < kLanes; ++i) {
      lanes[kLanes + i] = -1;
    }
  }
};
template <typename Integer>
constexpr LaneTable<Integer> kLaneTable{};

template <typename Integer>
struct CountedLanes {
  Integer lanes[kLanes] = {};
  constexpr CountedLanes() {
    for (int i = 0; i < kLanes; ++i) {
      lanes[i] = i;
    }
  }
};
template <typename Integer>
constexpr CountedLanes<Integer> kCountedLanes{};

template <typename T>
FFDWV_SIMD Mask<T> lanes_from(int64_t first) {
  Mask<T> mask;
  __builtin_memcpy(
      mask.part, kLaneTable<typename Bits<T>::Type>.lanes + kLanes - first, sizeof mask.part);
  return mask;
}

template <typename T>
FFDWV_SIMD Mask<T> lanes_before(int64_t end) {
  Mask<T> mask;
  __builtin_memcpy(
      mask.part, kLaneTable<typename Bits<T>::Type>.lanes + 2 * kLanes - end, sizeof mask.part);
  return mask;
}

// The lane `which`, or none where that is not one of [0, kLanes).
template <typename T>
FFDWV_SIMD Mask<T> lane_is(int64_t which) {
  using Integer = typename Bits<T>::Type;
  using Part = typename Register<T>::Integer;
  Part counted;
  Mask<T> mask;
  __builtin_memcpy(&counted, kCountedLanes<Integer>.lanes, sizeof counted);
  const Part wanted = static_cast<Integer>(which) - Part{};
  FFDWV_FOR_PARTS(Mask<T>::kParts, mask.part[k] = counted + k * Register<T>::kSize == wanted)
  return mask;
}

// Lane i with lane i + 8, those with i + 4, and so on, as far as that is whole registers.
#define FFDWV_FOLD(lanes, a, b, expression)                          \
  if constexpr (Vector<T>::kParts > 4) {                             \
    FFDWV_FOLD_PARTS(lanes, 4, a, b, expression)                     \
  }                                                                  \
  if constexpr (Vector<T>::kParts > 2) {                             \
    FFDWV_FOLD_PARTS(lanes, 2, a, b, expression)                     \
  }                                                                  \
  if constexpr (Vector<T>::kParts > 1) {                             \
    FFDWV_FOLD_PARTS(lanes, 1, a, b, expression)                     \
  }
#define FFDWV_FOLD_PARTS(lanes, half, a, b, expression)              \
  FFDWV_FOR_PARTS(half, {                                            \
    const auto a = lanes.part[k];                                    \
    const auto b = lanes.part[k + half];                             \
    lanes.part[k] = expression;                                      \
  })

// All lanes in one, in an order that does not depend on the registers' width.
template <typename T, typename Operation>
FFDWV_SIMD T fold(Vector<T> v, Operation operation) {
  FFDWV_FOLD(v, a, b, operation(a, b))
  T lanes[Vector<T>::kPartSize];
  __builtin_memcpy(lanes, &v.part[0], sizeof lanes);
#pragma GCC unroll 4
  for (int half = Vector<T>::kPartSize / 2; half > 0; half /= 2) {
#pragma GCC unroll 8
    for (int i = 0; i < half; ++i) {
      lanes[i] = operation(lanes[i], lanes[i + half]);
    }
  }
  return lanes[0];
}

constexpr auto kSum = [](auto a, auto b) { return a + b; };
constexpr auto kMaximum = [](auto a, auto b) { return a > b ? a : b; };

template <int... i>
struct Indices {};
template <int n, int... i>
struct CountTo : CountTo<n - 1, n - 1, i...> {};
template <int... i>
struct CountTo<0, i...> {
  using Type = Indices<i...>;
};

// Of two registers, each cut into pieces of 2 * half lanes: the first (`upper`: the second) halves of
// the pieces, those of a before those of b.
template <typename T, int half, bool upper, int... i>
FFDWV_SIMD typename Register<T>::Type halves(
    typename Register<T>::Type a, typename Register<T>::Type b, Indices<i...>) {
#if __has_builtin(__builtin_shufflevector)
  return __builtin_shufflevector(a, b, (i / half * 2 * half + i % half + upper * half)...);
#else
  const typename Register<T>::Type both[2] = {a, b};
  T from[2 * sizeof...(i)];
  __builtin_memcpy(from, both, sizeof from);
  const T to[] = {from[i / half * 2 * half + i % half + upper * half]...};
  return bit_cast<typename Register<T>::Type>(to);
#endif
}

template <typename T, int half, typename Operation>
FFDWV_SIMD typename Register<T>::Type fold_registers(
    const typename Register<T>::Type* from, Operation operation) {
  using All = typename CountTo<Register<T>::kSize>::Type;
  if constexpr (half == Register<T>::kSize) {
    return from[0];
  } else {
    constexpr int kSpan = Register<T>::kSize / half / 2;  // registers that end in one of a and b
    const auto a = fold_registers<T, 2 * half>(from, operation);
    const auto b = fold_registers<T, 2 * half>(from + kSpan, operation);
    return operation(halves<T, half, false>(a, b, All()), halves<T, half, true>(a, b, All()));
  }
}

// Lane r is fold(rows(r)); r < count.
template <typename T, typename Rows, typename Operation>
FFDWV_SIMD Vector<T> fold_each(Rows rows, int count, Operation operation) {
  constexpr int kFew = 2;  // up to here one after the other is faster
  if (count <= kFew) {
    T each[kLanes] = {};
    for (int r = 0; r < count; ++r) {
      each[r] = fold<T>(rows(r), operation);
    }
    return Vector<T>::load(each);
  }
  constexpr int kSize = Register<T>::kSize;
  typename Register<T>::Type folded[kLanes];
#pragma GCC unroll 16
  for (int r = 0; r < kLanes; ++r) {
    Vector<T> v = rows(r < count ? r : 0);
    FFDWV_FOLD(v, a, b, operation(a, b))
    folded[r] = v.part[0];
  }
  Vector<T> result;
  FFDWV_FOR_PARTS(
      Vector<T>::kParts, (result.part[k] = fold_registers<T, 1>(folded + k * kSize, operation)))
  return result;
}

// Lane `lane` of a struct of nothing but vectors of doubles, as the struct of the doubles.
template <typename Scalars, typename Vectors>
FFDWV_SIMD Scalars lane_of(const Vectors& from, int lane) {
  constexpr int kMembers = sizeof(Scalars) / sizeof(double);
  static_assert(sizeof(Vectors) == kMembers * sizeof(Vector<double>));
  struct {
    double value[kMembers];
  } members;
#pragma GCC unroll 8
  for (int m = 0; m < kMembers; ++m) {
    __builtin_memcpy(
        &members.value[m],
        reinterpret_cast<const char*>(&from) + (m * kLanes + lane) * sizeof(double), sizeof(double));
  }
  return __builtin_bit_cast(Scalars, members);
}

}  // namespace ffdwv::inline FFDWV_ISA
