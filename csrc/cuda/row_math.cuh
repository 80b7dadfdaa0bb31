// What a group gathers from a row's elements, and the gradient that follows: row.h's formulas, for
// elements that come in any order, spread over threads.
//
// A row is gathered in one of two ways. Either see() every element, settle_maxima(), then add() every
// element; or add_running() every element once, some at a time, which rescales the sums when a larger
// one comes; those few are summed by themselves first. `Sum` is what such sums are kept in: float32 for
// hundreds of thousands of elements would lose digits that KL multiplies by the logarithm of C. Then
// complete() makes the sums the row's, and gradient() takes what prepare() made of an element.
#pragma once

#include "row_visit.cuh"

namespace ffdwv::cuda {

template <typename Value>
__device__ __forceinline__ Value minus_infinity() {
  return -static_cast<Value>(INFINITY);
}

// x - max, where max may be -infinity because nothing larger has come yet.
template <typename Value>
__device__ __forceinline__ Value shifted_by(Value x, Value max) {
  return x == minus_infinity<Value>() ? x : x - max;
}

// A running maximum; `rescale(old - new)` is called before it grows.
template <typename Value, int kVector, typename Rescale>
__device__ __forceinline__ void raise(
    Value& max, const Value (&values)[kVector], const Rescale& rescale) {
  Value largest = max;
#pragma unroll
  for (int v = 0; v < kVector; ++v) {
    largest = values[v] > largest ? values[v] : largest;
  }
  if (largest > max) {
    rescale(max - largest);
    max = largest;
  }
}

// Soft targets by value, or none.
template <typename Visit, typename Sum>
class SoftMath {
  using Value = typename Visit::Value;
  using Group = typename Visit::Group;

 public:
  static constexpr bool kKeepsSoft = false;
  using Gradient = RowGradient<Value>;

  __device__ explicit SoftMath(const Visit& visit) : visit_(visit) {}

  __device__ void see(Value x, Value) { max_ = x > max_ ? x : max_; }

  __device__ void settle_maxima() { max_ = Group::max(max_); }

  // Returns what prepare() would.
  __device__ Value add(Value x, Value soft) {
    const Value shifted = x - max_;
    const Value exp_shifted = std::exp(shifted);
    gather(sums_, x, shifted, exp_shifted, soft);
    return exp_shifted;
  }

  template <int kVector>
  __device__ void add_running(const Value (&x)[kVector], const Value (&soft)[kVector]) {
    raise(max_, x, [&](Value delta) {
      sums_.shift(delta);
      largest_ = 0;
    });
    RowSums<Value> few;
#pragma unroll
    for (int v = 0; v < kVector; ++v) {
      const Value shifted = shifted_by(x[v], max_);
      gather(few, x[v], shifted, std::exp(shifted), soft[v]);
    }
    sums_.merge({few.exp_sum, few.soft_mass, few.soft_dot, few.neg_entropy});
  }

  __device__ void settle_running() {
    const Value max = Group::max(max_);
    sums_.shift(max_ - max);
    largest_ = max_ == max ? largest_ : 0;
    max_ = max;
  }

  __device__ void complete() {
    if constexpr (Visit::kHasSoft) {
      Sum sums[] = {sums_.exp_sum, largest_, sums_.soft_mass, sums_.soft_dot};
      of_row(sums);
      row_.soft_mass = static_cast<Value>(sums[2]);
      row_.soft_dot = static_cast<Value>(sums[3]);
      row_.neg_entropy = neg_entropy();
    } else {
      Sum sums[] = {sums_.exp_sum, largest_};
      of_row(sums);
    }
  }

  __device__ void report(Totals& totals) const {
    const RowLoss<Value> loss = row_loss(row_, visit_.label_logit() - max_, visit_.weights());
    visit_.report(loss, visit_.is_correct(max_, largest_, row_.exp_sum), totals);
  }

  __device__ Gradient gradient(Value upstream) const {
    return {row_, visit_.weights(), upstream};
  }

  __device__ Value prepare(Value x) const { return std::exp(x - max_); }

  __device__ Value other(const Gradient& gradient, Value prepared, Value soft) const {
    return gradient.other(prepared, soft);
  }

  __device__ Value label(const Gradient& gradient) const {
    return gradient.label(prepare(visit_.label_logit()), visit_.label_soft());
  }

 private:
  template <int kCount>
  __device__ void of_row(Sum (&sums)[kCount]) {
    Group::sum_each(sums);
    row_.exp_sum = static_cast<Value>(sums[0]);
    largest_ = static_cast<Value>(sums[1]);
  }

  template <typename Accumulator>
  __device__ void gather(
      RowSums<Accumulator>& sums, Value x, Value shifted, Value exp_shifted, Value soft) {
    largest_ += x == max_;
    sums.add_exp(exp_shifted);
    if constexpr (Visit::kHasSoft) {
      sums.add_soft(shifted, soft);
    }
  }

  // Known once per matrix; summed here only for callers without it.
  __device__ Value neg_entropy() const {
    if (visit_.a.neg_entropy != nullptr) {
      return static_cast<Value>(visit_.a.neg_entropy[visit_.label * visit_.a.neg_entropy_stride]);
    }
    Sum sum = 0;
#pragma unroll 1
    for (int j = Group::rank(); j < visit_.classes(); j += Group::kSize) {
      RowSums<Value> one;
      one.add_neg_entropy(visit_.soft().template at<Value>(j));
      sum += one.neg_entropy;
    }
    return static_cast<Value>(Group::sum(sum));
  }

  const Visit& visit_;
  Value max_ = minus_infinity<Value>();
  Value largest_ = 0;  // how many elements equal the maximum
  RowSums<Sum> sums_;
  RowSums<Value> row_;
};

// A teacher's logits with a temperature. Where soft targets are called soft, these are its logits.
template <typename Visit, typename Sum>
class TeacherMath {
  using Value = typename Visit::Value;
  using Group = typename Visit::Group;

 public:
  static constexpr bool kKeepsSoft = true;
  using Gradient = TeacherGradient<Value>;

  __device__ explicit TeacherMath(const Visit& visit)
      : visit_(visit), cold_(static_cast<Value>(1 / visit.a.temperature)) {}

  __device__ void see(Value x, Value z) {
    max_ = x > max_ ? x : max_;
    teacher_max_ = z > teacher_max_ ? z : teacher_max_;
  }

  __device__ void settle_maxima() {
    max_ = Group::max(max_);
    teacher_max_ = Group::max(teacher_max_);
  }

  __device__ Value add(Value x, Value z) {
    gather(sums_, x, x - max_, (z - teacher_max_) * cold_);
    return x - max_;
  }

  template <int kVector>
  __device__ void add_running(const Value (&x)[kVector], const Value (&z)[kVector]) {
    raise(max_, x, [&](Value delta) {
      sums_.shift_student(delta, delta * cold_);
      largest_ = 0;
    });
    raise(teacher_max_, z, [&](Value delta) { sums_.shift_teacher(delta * cold_); });
    TeacherSums<Value> few;
#pragma unroll
    for (int v = 0; v < kVector; ++v) {
      gather(few, x[v], shifted_by(x[v], max_), shifted_by(z[v], teacher_max_) * cold_);
    }
    sums_.merge({few.exp_sum, few.student_sum, few.teacher_sum, few.gap});
  }

  __device__ void settle_running() {
    const Value max = Group::max(max_), teacher_max = Group::max(teacher_max_);
    sums_.shift_student(max_ - max, (max_ - max) * cold_);
    sums_.shift_teacher((teacher_max_ - teacher_max) * cold_);
    largest_ = max_ == max ? largest_ : 0;
    max_ = max;
    teacher_max_ = teacher_max;
  }

  __device__ void complete() {
    Sum sums[] = {sums_.exp_sum, sums_.student_sum, sums_.teacher_sum, sums_.gap, largest_};
    Group::sum_each(sums);
    row_ = {static_cast<Value>(sums[0]), static_cast<Value>(sums[1]), static_cast<Value>(sums[2]),
            static_cast<Value>(sums[3])};
    largest_ = static_cast<Value>(sums[4]);
  }

  __device__ void report(Totals& totals) const {
    const RowLoss<Value> loss = row_loss(
        row_, visit_.label_logit() - max_, visit_.weights(), temperature());
    visit_.report(loss, visit_.is_correct(max_, largest_, row_.exp_sum), totals);
  }

  __device__ Gradient gradient(Value upstream) const {
    return {row_, visit_.weights(), temperature(), upstream};
  }

  __device__ Value prepare(Value x) const { return x - max_; }

  __device__ Value other(const Gradient& gradient, Value shifted, Value z) const {
    return gradient.other(std::exp(shifted), student_exp(shifted), teacher_exp(z));
  }

  __device__ Value label(const Gradient& gradient) const {
    const Value shifted = prepare(visit_.label_logit());
    return gradient.label(
        std::exp(shifted), student_exp(shifted), teacher_exp(visit_.label_soft()));
  }

 private:
  __device__ Value temperature() const { return static_cast<Value>(visit_.a.temperature); }
  __device__ Value student_exp(Value shifted) const { return std::exp(shifted * cold_); }
  __device__ Value teacher_exp(Value z) const { return std::exp((z - teacher_max_) * cold_); }

  template <typename Accumulator>
  __device__ void gather(
      TeacherSums<Accumulator>& sums, Value x, Value shifted, Value teacher_shifted) {
    const Value student_shifted = shifted * cold_;
    largest_ += x == max_;
    sums.add(
        std::exp(shifted), std::exp(student_shifted), std::exp(teacher_shifted),
        teacher_shifted - student_shifted);
  }

  const Visit& visit_;
  Value cold_;  // 1 / temperature
  Value max_ = minus_infinity<Value>();
  Value teacher_max_ = minus_infinity<Value>();
  Value largest_ = 0;
  TeacherSums<Sum> sums_;
  TeacherSums<Value> row_;
};

template <typename Visit, typename Sum>
using MathOf =
    std::conditional_t<Visit::kHasTeacher, TeacherMath<Visit, Sum>, SoftMath<Visit, Sum>>;

}  // namespace ffdwv::cuda
