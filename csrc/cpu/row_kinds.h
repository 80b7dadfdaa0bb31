// What the kinds of soft targets do with an element and with a row: csrc/row.h's formula, with the
// same names for all of them so that the loops over rows and lanes are written once.
#pragma once

#include "elements.h"
#include "row_job.h"

namespace ffdwv::inline FFDWV_ISA {

template <typename Sum>
struct RowOptions {
  Weights<Sum> weights;
  Sum temperature;
};

// No soft targets, or rows of them in a matrix.
template <typename SoftElement, bool has_soft>
struct SoftRows {
  using Element = SoftElement;
  static constexpr bool kHasSoft = has_soft;
  static constexpr bool kHasTeacher = false;
  static constexpr int kExps = 1;
  template <typename Sum>
  using Sums = RowSums<Sum>;
  template <typename Sum>
  using Gradient = RowGradient<Sum>;

  template <typename T>
  FFDWV_SIMD static void exps(
      Vector<T> (&e)[kExps], const Vector<T>& shifted, const Vector<T>&, const Vector<T>&) {
    e[0] = exp(shifted);
  }

  template <typename T>
  FFDWV_SIMD static void add(
      Sums<Vector<T>>& sums, const Vector<T> (&e)[kExps], const Vector<T>& shifted,
      const Vector<T>& soft, const Vector<T>&) {
    sums.add_exp(e[0]);
    if constexpr (kHasSoft) {
      sums.add_soft(shifted, soft);
    }
  }

  template <typename Sum>
  FFDWV_SIMD static RowLoss<Sum> loss(
      const Sums<Sum>& sums, const Sum& label_shifted, const RowOptions<Sum>& options) {
    return row_loss(sums, label_shifted, options.weights);
  }

  template <typename Sum>
  FFDWV_SIMD static Gradient<Sum> gradient(
      const Sums<Sum>& sums, const RowOptions<Sum>& options, const Sum& upstream) {
    return {sums, options.weights, upstream};
  }

  template <typename Value, typename Sum>
  FFDWV_SIMD static Value other(
      const Gradient<Sum>& gradient, const Value (&e)[kExps], const Value& soft) {
    return gradient.other(e[0], soft);
  }

  template <typename Sum>
  FFDWV_SIMD static Sum label(
      const Gradient<Sum>& gradient, const Sum (&e)[kExps], const Sum& soft) {
    return gradient.label(e[0], soft);
  }
};

// A teacher's logits.
template <typename SoftElement>
struct TeacherRows {
  using Element = SoftElement;
  static constexpr bool kHasSoft = true;
  static constexpr bool kHasTeacher = true;
  static constexpr int kExps = 3;
  template <typename Sum>
  using Sums = TeacherSums<Sum>;
  template <typename Sum>
  using Gradient = TeacherGradient<Sum>;

  // `soft` is the teacher's logit less its row's maximum, over T.
  template <typename T>
  FFDWV_SIMD static void exps(
      Vector<T> (&e)[kExps], const Vector<T>& shifted, const Vector<T>& soft,
      const Vector<T>& inv_temperature) {
    e[0] = exp(shifted);
    e[1] = exp(shifted * inv_temperature);
    e[2] = exp(soft);
  }

  template <typename T>
  FFDWV_SIMD static void add(
      Sums<Vector<T>>& sums, const Vector<T> (&e)[kExps], const Vector<T>& shifted,
      const Vector<T>& soft, const Vector<T>& inv_temperature) {
    sums.add(e[0], e[1], e[2], soft - shifted * inv_temperature);
  }

  template <typename Sum>
  FFDWV_SIMD static RowLoss<Sum> loss(
      const Sums<Sum>& sums, const Sum& label_shifted, const RowOptions<Sum>& options) {
    return row_loss(sums, label_shifted, options.weights, options.temperature);
  }

  template <typename Sum>
  FFDWV_SIMD static Gradient<Sum> gradient(
      const Sums<Sum>& sums, const RowOptions<Sum>& options, const Sum& upstream) {
    return {sums, options.weights, options.temperature, upstream};
  }

  template <typename Value, typename Sum>
  FFDWV_SIMD static Value other(
      const Gradient<Sum>& gradient, const Value (&e)[kExps], const Value&) {
    return gradient.other(e[0], e[1], e[2]);
  }

  template <typename Sum>
  FFDWV_SIMD static Sum label(const Gradient<Sum>& gradient, const Sum (&e)[kExps], const Sum&) {
    return gradient.label(e[0], e[1], e[2]);
  }
};

// Lanes of another type, lane by lane.
template <typename To, typename From>
FFDWV_SIMD RowSums<To> widen(const RowSums<From>& sums) {
  RowSums<To> wide;
  wide.exp_sum = To(sums.exp_sum);
  wide.soft_mass = To(sums.soft_mass);
  wide.soft_dot = To(sums.soft_dot);
  wide.neg_entropy = To(sums.neg_entropy);
  return wide;
}
template <typename To, typename From>
FFDWV_SIMD TeacherSums<To> widen(const TeacherSums<From>& sums) {
  TeacherSums<To> wide;
  wide.exp_sum = To(sums.exp_sum);
  wide.student_sum = To(sums.student_sum);
  wide.teacher_sum = To(sums.teacher_sum);
  wide.gap = To(sums.gap);
  return wide;
}

// Lane r: the sum over the lanes of rows[r]; r < count.
FFDWV_SIMD RowSums<Vector<double>> across(const RowSums<Vector<double>>* rows, int count) {
  RowSums<Vector<double>> sums;
  sums.exp_sum = fold_each<double>([&](int r) { return rows[r].exp_sum; }, count, kSum);
  sums.soft_mass = fold_each<double>([&](int r) { return rows[r].soft_mass; }, count, kSum);
  sums.soft_dot = fold_each<double>([&](int r) { return rows[r].soft_dot; }, count, kSum);
  return sums;
}
FFDWV_SIMD TeacherSums<Vector<double>> across(const TeacherSums<Vector<double>>* rows, int count) {
  TeacherSums<Vector<double>> sums;
  sums.exp_sum = fold_each<double>([&](int r) { return rows[r].exp_sum; }, count, kSum);
  sums.student_sum = fold_each<double>([&](int r) { return rows[r].student_sum; }, count, kSum);
  sums.teacher_sum = fold_each<double>([&](int r) { return rows[r].teacher_sum; }, count, kSum);
  sums.gap = fold_each<double>([&](int r) { return rows[r].gap; }, count, kSum);
  return sums;
}

}  // namespace ffdwv::inline FFDWV_ISA
