// csrc/cpu's vectors, one instruction set a program: exp, log, conversions and folds of lanes against
// their definitions. No Python, no torch. Exits with 77 where the processor lacks the instructions.
#include <algorithm>
#include <cmath>
#include <cstdint>
#include <cstdio>
#include <cstring>
#include <limits>
#include <random>

#include "cpu/elements.h"
#include "cpu/simd_math.h"

namespace {

using namespace ffdwv;

int failures = 0;

#define EXPECT(condition, ...)       \
  if (!(condition)) {                \
    std::printf("FAILED " __VA_ARGS__); \
    std::printf("\n");               \
    ++failures;                      \
  }

bool supported() {
#if defined(__AVX2__)
  __builtin_cpu_init();
#endif
#if defined(__AVX512F__)
  return __builtin_cpu_supports("avx512f") && __builtin_cpu_supports("avx512bw") &&
         __builtin_cpu_supports("avx512dq") && __builtin_cpu_supports("avx512vl");
#elif defined(__AVX2__)
  return __builtin_cpu_supports("avx2") && __builtin_cpu_supports("fma") &&
         __builtin_cpu_supports("f16c");
#else
  return true;
#endif
}

#if defined(__FMA__) || defined(__aarch64__)
constexpr double kExpUlps = 1;
#else
constexpr double kExpUlps = 2;
#endif

template <typename T>
double ulps(T actual, long double wanted) {
  const T rounded = static_cast<T>(wanted);
  const T next = std::nextafter(rounded, std::numeric_limits<T>::infinity());
  return static_cast<double>(std::fabs((actual - wanted) / (static_cast<long double>(next) - rounded)));
}

template <typename T, typename Function>
T first_lane(Function function, T x) {
  T lanes[kLanes];
  function(Vector<T>(x)).store(lanes);
  return lanes[0];
}

template <typename T>
T exp_of(T x) {
  return first_lane<T>([](const Vector<T>& v) { return exp(v); }, x);
}
template <typename T>
T log_of(T x) {
  return first_lane<T>([](const Vector<T>& v) { return log(v); }, x);
}

template <typename T>
void check_exp(T smallest, std::mt19937_64& random) {
  double worst = 0;
  T at = 0;
  std::uniform_real_distribution<T> between(smallest, 0);
  for (int i = 0; i < 200'000; ++i) {
    // Evenly over the range, and over the magnitudes near 0.
    const T x = i % 2 ? between(random) : -std::exp2(std::uniform_real_distribution<T>(-60, 6)(random));
    if (x >= smallest) {
      const double off = ulps(exp_of(x), std::exp(static_cast<long double>(x)));
      worst = off > worst ? (at = x, off) : worst;
    }
  }
  EXPECT(worst <= kExpUlps, "exp: %.3g units in the last place at %.17g", worst, double(at));
  constexpr T kInf = std::numeric_limits<T>::infinity();
  EXPECT(exp_of(T(0)) == 1, "exp(0) is not 1");
  EXPECT(exp_of(-T(0)) == 1, "exp(-0) is not 1");
  EXPECT(exp_of(-kInf) == 0, "exp(-inf) is not 0");
  EXPECT(exp_of(std::nextafter(smallest, -kInf)) == 0, "exp below the range is not 0");
  EXPECT(exp_of(std::numeric_limits<T>::lowest()) == 0, "exp(lowest) is not 0");
  EXPECT(std::isnan(exp_of(std::numeric_limits<T>::quiet_NaN())), "exp(NaN) is a number");
}

template <typename T>
void check_log(std::mt19937_64& random) {
  double worst = 0;
  T at = 0;
  for (int i = 0; i < 200'000; ++i) {
    const T exponent = std::uniform_real_distribution<T>(sizeof(T) == 4 ? -120 : -1000, 20)(random);
    const T x = i % 2 ? std::exp2(exponent) : 1 + std::exp2(-std::fabs(exponent));
    const long double wanted = std::log(static_cast<long double>(x));
    const double off = x == 1 ? std::fabs(log_of(x)) : ulps(log_of(x), wanted);
    worst = off > worst ? (at = x, off) : worst;
  }
  EXPECT(worst <= 2, "log: %.3g units in the last place at %.17g", worst, double(at));
  EXPECT(std::isnan(log_of(std::numeric_limits<T>::quiet_NaN())), "log(NaN) is a number");
  EXPECT(std::isnan(log_of(T(-1))), "log(-1) is a number");
  EXPECT(log_of(T(0)) < -80 && std::isfinite(log_of(T(0))), "log(0) is not that of the smallest");
}

// The value of a 16-bit float by its definition.
double value_of(uint16_t bits, int mantissa_bits, int bias) {
  const int exponent = (bits & 0x7fff) >> mantissa_bits, most = 0x7fff >> mantissa_bits;
  const int mantissa = bits & ((1 << mantissa_bits) - 1);
  const double sign = bits & 0x8000 ? -1 : 1;
  if (exponent == most) {
    return mantissa ? std::nan("") : sign * INFINITY;
  }
  const double significand = mantissa / std::exp2(mantissa_bits) + (exponent > 0);
  return sign * std::ldexp(significand, (exponent > 0 ? exponent : 1) - bias);
}

template <typename Element>
void check_narrow(const char* name, int mantissa_bits, int bias) {
  const auto widened = [](uint16_t bits) {
    Element elements[kLanes] = {{bits}};
    float lanes[kLanes];
    load_as<float>(elements).store(lanes);
    return lanes[0];
  };
  const auto narrowed = [](float value) {
    Element elements[kLanes];
    store_as(elements, Vector<float>(value));
    return elements[0].bits;
  };
  const int infinity = 0x7fff >> mantissa_bits << mantissa_bits;
  for (int bits = 0; bits < 0x10000; ++bits) {
    const double wanted = value_of(bits, mantissa_bits, bias);
    const float actual = widened(bits);
    if (std::isnan(wanted)) {
      EXPECT(std::isnan(actual), "%s %04x is a number", name, bits);
      EXPECT(std::isnan(value_of(narrowed(actual), mantissa_bits, bias)), "%s NaN is lost", name);
      continue;
    }
    EXPECT(actual == wanted && std::signbit(actual) == std::signbit(wanted), "%s %04x", name, bits);
    EXPECT(narrowed(actual) == bits, "%s %04x does not come back", name, bits);
    if ((bits & 0x7fff) + 1 < infinity) {
      // Half way to the next, which goes to the even one, and just beside it.
      const double next = value_of(bits + 1, mantissa_bits, bias);
      const float middle = static_cast<float>((wanted + next) / 2);
      const float away = std::nextafter(middle, actual < 0 || bits >= 0x8000 ? -INFINITY : INFINITY);
      EXPECT(narrowed(middle) == bits + (bits & 1), "%s: tie above %04x", name, bits);
      EXPECT(narrowed(away) == bits + 1, "%s: above the tie of %04x", name, bits);
      EXPECT(narrowed(std::nextafter(middle, actual)) == bits, "%s: below that of %04x", name, bits);
    }
  }
  EXPECT(narrowed(3.4e38f) == infinity, "%s: overflow", name);
}

// A mask's lanes as bits.
template <typename T>
int marked(const Mask<T>& mask) {
  T lanes[kLanes];
  select(mask, Vector<T>(1), Vector<T>(0)).store(lanes);
  int bits = 0;
  for (int k = 0; k < kLanes; ++k) {
    bits |= (lanes[k] == 1) << k;
  }
  return bits;
}

template <typename T>
bool same_bits(T a, T b) {
  return std::memcmp(&a, &b, sizeof a) == 0;
}

// Lane i with lane i + 8, those with i + 4, and so on: one at a time, by the definition.
template <typename T, typename Operation>
T folded_by_definition(const T* from, Operation operation) {
  T lanes[kLanes];
  std::copy(from, from + kLanes, lanes);
  for (int half = kLanes / 2; half > 0; half /= 2) {
    for (int i = 0; i < half; ++i) {
      lanes[i] = operation(lanes[i], lanes[i + half]);
    }
  }
  return lanes[0];
}

// Rows of random values of many magnitudes: another order of sums has other bits.
template <typename T>
struct Rows {
  T values[kLanes][kLanes];

  explicit Rows(std::mt19937_64& random) {
    std::uniform_real_distribution<T> significand(-2, 2), exponent(-9, 9);
    for (auto& row : values) {
      for (T& value : row) {
        value = significand(random) * std::exp2(exponent(random));
      }
    }
  }
  Vector<T> operator()(int r) const { return Vector<T>::load(values[r]); }
};

template <typename T, typename Operation>
void check_folds(const char* name, Operation operation, std::mt19937_64& random) {
  for (int turn = 0; turn < 100; ++turn) {
    const Rows<T> rows(random);
    for (const int count : {1, 2, 3, 7, 15, 16}) {
      T each[kLanes];
      fold_each<T>(rows, count, operation).store(each);
      for (int r = 0; r < count; ++r) {
        const T wanted = folded_by_definition(rows.values[r], operation);
        EXPECT(same_bits(fold(rows(r), operation), wanted), "%s: fold of row %d", name, r);
        EXPECT(same_bits(each[r], wanted), "%s: row %d of %d folded together", name, r, count);
      }
    }
  }
}

// fold_registers as it ends a fold: lane r of the result is register r, folded.
template <typename T>
void check_folded_registers(const char* name, std::mt19937_64& random) {
  using Part = typename Register<T>::Type;
  constexpr int kSize = Register<T>::kSize;
  const Rows<T> rows(random);
  Part from[kSize];
  for (int r = 0; r < kSize; ++r) {
    std::memcpy(&from[r], rows.values[r], sizeof(Part));
  }
  T folded[kSize];
  const Part result = fold_registers<T, 1>(from, kSum);
  std::memcpy(folded, &result, sizeof result);
  for (int r = 0; r < kSize; ++r) {
    T lanes[kSize];
    std::copy(rows.values[r], rows.values[r] + kSize, lanes);
    for (int half = kSize / 2; half > 0; half /= 2) {
      for (int i = 0; i < half; ++i) {
        lanes[i] += lanes[i + half];
      }
    }
    EXPECT(same_bits(folded[r], lanes[0]), "%s: register %d of %d folded", name, r, kSize);
  }
}

template <typename T>
void check_single_lanes(const char* name) {
  for (int64_t which = -2; which < kLanes + 2; ++which) {
    const int wanted = which >= 0 && which < kLanes ? 1 << which : 0;
    EXPECT(marked(lane_is<T>(which)) == wanted, "%s: lane %d", name, int(which));
  }
  for (const int64_t outside : {-100, 1 << 20, -(1 << 20), (1 << 30) - 1}) {
    EXPECT(marked(lane_is<T>(outside)) == 0, "%s: lane %d", name, int(outside));
  }
}

// Three members, so that a member's offset is not its lane's.
struct ThreeScalars {
  double a, b, c;
};
struct ThreeVectors {
  Vector<double> a, b, c;
};

void check_lane_of(std::mt19937_64& random) {
  const Rows<double> rows(random);
  const ThreeVectors vectors{rows(0), rows(1), rows(2)};
  for (int i = 0; i < kLanes; ++i) {
    const auto lane = lane_of<ThreeScalars>(vectors, i);
    EXPECT(
        same_bits(lane.a, rows.values[0][i]) && same_bits(lane.b, rows.values[1][i]) &&
            same_bits(lane.c, rows.values[2][i]),
        "lane %d of a struct", i);
  }
}

template <typename T>
void check_folds_of(const char* name, std::mt19937_64& random) {
  check_folds<T>(name, kSum, random);
  check_folds<T>(name, kMaximum, random);
  check_folded_registers<T>(name, random);
  check_single_lanes<T>(name);
}

void check_lanes() {
  double doubles[kLanes];
  float floats[kLanes];
  for (int i = 0; i < kLanes; ++i) {
    doubles[i] = std::ldexp(1, 3 * i);
    floats[i] = static_cast<float>((i * 7) % kLanes);
  }
  double wanted = 0;
  for (const double d : doubles) {
    wanted += d;
  }
  EXPECT(fold(Vector<double>::load(doubles), kSum) == wanted, "sum of the lanes");
  EXPECT(fold(Vector<float>::load(floats), kMaximum) == kLanes - 1, "maximum of the lanes");
  double widened[kLanes];
  Vector<double>(Vector<float>::load(floats)).store(widened);
  float back[kLanes];
  Vector<float>(Vector<double>::load(widened)).store(back);
  for (int i = 0; i < kLanes; ++i) {
    EXPECT(widened[i] == floats[i] && back[i] == floats[i], "lane %d widened and back", i);
    EXPECT(marked(lanes_from<float>(i)) == (0xffff << i & 0xffff), "lanes from %d", i);
    EXPECT(marked(lanes_before<float>(i)) == (1 << i) - 1, "lanes before %d", i);
  }
}

// Not part of main(), where even the entry of a function with such locals, as a sanitizer makes it, would
// use instructions that the processor lacks.
[[gnu::noinline]] void check_all() {
  std::mt19937_64 random(0);
  check_exp<float>(-87.0f, random);
  check_exp<double>(-708.0, random);
  check_log<float>(random);
  check_log<double>(random);
  check_narrow<Half>("float16", 10, 15);
  check_narrow<BFloat16>("bfloat16", 7, 127);
  check_lanes();
  check_folds_of<float>("float", random);
  check_folds_of<double>("double", random);
  check_lane_of(random);
}

}  // namespace

int main() {
  if (!supported()) {
    std::printf("this processor lacks the instructions\n");
    return 77;
  }
  check_all();
  std::printf("%d failures\n", failures);
  return failures == 0 ? 0 : 1;
}
