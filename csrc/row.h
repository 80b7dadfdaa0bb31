// One row of the loss, for host and device: the formula is written here and nowhere else.
//
// A row has logits x [C], a label y and, unless the loss is cross-entropy alone, soft targets
// t = S[y] [C]. With p = softmax(x), a = ce_weight and b = soft_weight:
//
//   loss = a CE + b KL,   CE = -log p_y,   KL = sum_j t_j log(t_j / p_j)        (paper, eq. 2, 8, 9)
//
// Let m = max_j x_j, d_j = x_j - m and s = sum_j exp(d_j), so that log p_j = d_j - log s. Then
//
//   CE = log s - d_y
//   KL = sum_j t_j log t_j - sum_j t_j d_j + (sum_j t_j) log s
//
// and, because d loss / d x_j = (a + b sum_i t_i) p_j - a [j = y] - b t_j,
//
//   gradient_j = (a + b mass) exp(d_j) / s - b t_j - a [j = y],     mass = sum_j t_j.
//
// So one exponential per element serves the loss and the gradient, and what has to be gathered from
// the row are four sums and d_y.
//
// A teacher's logits z [C] with a temperature T may take the place of t. With q = softmax(z / T) and
// p' = softmax(x / T) the loss is
//
//   loss = a CE + b KL,   KL = T^2 sum_j q_j log(q_j / p'_j)        (Hinton, Vinyals, Dean 2015, 2)
//
// Let d'_j = d_j / T, s' = sum_j exp(d'_j), g_j = (z_j - max z) / T and u = sum_j exp(g_j), so that
// log p'_j = d'_j - log s' and log q_j = g_j - log u. Then
//
//   KL = T^2 (sum_j exp(g_j) (g_j - d'_j) / u - log u + log s')
//   gradient_j = a (exp(d_j) / s - [j = y]) + b T (exp(d'_j) / s' - exp(g_j) / u):
//
// three exponentials and four sums. In both forms everything is a difference from a maximum: a common
// offset of the logits, however large, costs no accuracy.
//
// How the elements are visited (serially, by SIMD lanes, by the threads of a warp) is the kernels'
// business; they call add(), merge(), shift() and the functions below. Sum is float, double or a
// vector of them that has the arithmetic operators, select(), multiply_add(), exp() and log().
#pragma once

#include <cmath>

#if defined(__CUDACC__)
#define FFDWV_HOST_DEVICE __host__ __device__ __forceinline__
#else
#define FFDWV_HOST_DEVICE inline
#endif

// A file compiled for one instruction set names it here: its copies of these functions then have names
// of their own, and the linker cannot put them in the place of another file's.
#if !defined(FFDWV_ISA)
#define FFDWV_ISA portable
#endif

namespace ffdwv::inline FFDWV_ISA {

template <typename Value>
FFDWV_HOST_DEVICE Value select(bool condition, Value yes, Value no) {
  return condition ? yes : no;
}

template <typename Value>
FFDWV_HOST_DEVICE Value multiply_add(Value a, Value b, Value c) {
  return a * b + c;
}

template <typename Sum>
struct Weights {
  Sum ce;
  Sum soft;
};

template <typename Sum>
struct RowSums {
  Sum exp_sum = 0;      // s = sum_j exp(d_j)
  Sum soft_mass = 0;    // sum_j t_j
  Sum soft_dot = 0;     // sum_j t_j d_j
  Sum neg_entropy = 0;  // sum_j t_j log t_j

  FFDWV_HOST_DEVICE void add_exp(Sum exp_shifted) { exp_sum += exp_shifted; }

  // t = 0 contributes nothing even where the logit is -inf (0 * -inf would be NaN).
  FFDWV_HOST_DEVICE void add_soft(Sum shifted, Sum soft) {
    soft_mass += soft;
    soft_dot += select(soft == Sum(0), Sum(0), soft * shifted);
  }

  FFDWV_HOST_DEVICE void add_neg_entropy(Sum soft) {
    using std::log;
    neg_entropy += select(soft == Sum(0), Sum(0), soft * log(soft));
  }

  // From differences to one maximum to differences to a larger one: delta = old - new <= 0.
  FFDWV_HOST_DEVICE void shift(Sum delta) {
    using std::exp;
    exp_sum = select(exp_sum == Sum(0), Sum(0), exp_sum * exp(delta));
    soft_dot += select(soft_mass == Sum(0), Sum(0), soft_mass * delta);
  }

  FFDWV_HOST_DEVICE void merge(const RowSums& other) {
    exp_sum += other.exp_sum;
    soft_mass += other.soft_mass;
    soft_dot += other.soft_dot;
    neg_entropy += other.neg_entropy;
  }
};

// The sums of a row with a teacher.
template <typename Sum>
struct TeacherSums {
  Sum exp_sum = 0;      // s = sum_j exp(d_j)
  Sum student_sum = 0;  // s' = sum_j exp(d'_j)
  Sum teacher_sum = 0;  // u = sum_j exp(g_j)
  Sum gap = 0;          // sum_j exp(g_j) (g_j - d'_j)

  // exp(d_j), exp(d'_j), exp(g_j) and g_j - d'_j. A class that the teacher rules out contributes
  // nothing, even where the student does too and the difference is not a number.
  FFDWV_HOST_DEVICE void add(Sum exp_shifted, Sum student, Sum teacher, Sum difference) {
    exp_sum += exp_shifted;
    student_sum += student;
    teacher_sum += teacher;
    gap += select(teacher == Sum(0), Sum(0), teacher * difference);
  }

  // From differences to one maximum to differences to a larger one: delta = old - new <= 0, of the
  // student's logits and of the teacher's, and delta / T.
  FFDWV_HOST_DEVICE void shift_student(Sum delta, Sum delta_over_t) {
    using std::exp;
    exp_sum = select(exp_sum == Sum(0), Sum(0), exp_sum * exp(delta));
    student_sum = select(student_sum == Sum(0), Sum(0), student_sum * exp(delta_over_t));
    gap -= select(teacher_sum == Sum(0), Sum(0), teacher_sum * delta_over_t);
  }

  FFDWV_HOST_DEVICE void shift_teacher(Sum delta_over_t) {
    using std::exp;
    const Sum factor = exp(delta_over_t);
    gap = select(teacher_sum == Sum(0), Sum(0),
                 factor * multiply_add(teacher_sum, delta_over_t, gap));
    teacher_sum = select(teacher_sum == Sum(0), Sum(0), teacher_sum * factor);
  }

  FFDWV_HOST_DEVICE void merge(const TeacherSums& other) {
    exp_sum += other.exp_sum;
    student_sum += other.student_sum;
    teacher_sum += other.teacher_sum;
    gap += other.gap;
  }
};

template <typename Sum>
struct RowLoss {
  Sum loss;
  Sum ce;
  Sum kl;
};

// A part with weight 0 is reported but takes no part, even where it is infinite.
template <typename Sum>
FFDWV_HOST_DEVICE Sum weighted(Sum weight, Sum value) {
  return select(weight == Sum(0), Sum(0), weight * value);
}

template <typename Sum>
FFDWV_HOST_DEVICE RowLoss<Sum> row_loss(
    const RowSums<Sum>& sums, Sum label_shifted, const Weights<Sum>& weights) {
  using std::log;
  const Sum log_sum = log(sums.exp_sum);
  const Sum ce = log_sum - label_shifted;
  const Sum kl = sums.neg_entropy - sums.soft_dot + weighted(sums.soft_mass, log_sum);
  return {weighted(weights.ce, ce) + weighted(weights.soft, kl), ce, kl};
}

// kl has the factor T^2, so that the loss is its weighted sum with ce here too.
template <typename Sum>
FFDWV_HOST_DEVICE RowLoss<Sum> row_loss(
    const TeacherSums<Sum>& sums, Sum label_shifted, const Weights<Sum>& weights, Sum temperature) {
  using std::log;
  const Sum ce = log(sums.exp_sum) - label_shifted;
  const Sum kl = temperature * temperature *
                 (sums.gap / sums.teacher_sum + log(sums.student_sum) - log(sums.teacher_sum));
  return {weighted(weights.ce, ce) + weighted(weights.soft, kl), ce, kl};
}

// The gradient of `upstream * loss` with respect to the logits, element by element.
template <typename Sum>
struct RowGradient {
  Sum exp_scale;   // upstream (a + b mass) / s
  Sum soft_scale;  // upstream b
  Sum ce_scale;    // upstream a
  Sum inv_sum;     // 1 / s
  Sum soft_mass;
  Sum exp_sum;

  FFDWV_HOST_DEVICE RowGradient(
      const RowSums<Sum>& sums, const Weights<Sum>& weights, Sum upstream)
      : exp_scale(upstream * (weights.ce + weights.soft * sums.soft_mass) / sums.exp_sum),
        soft_scale(upstream * weights.soft),
        ce_scale(upstream * weights.ce),
        inv_sum(Sum(1) / sums.exp_sum),
        soft_mass(sums.soft_mass),
        exp_sum(sums.exp_sum) {}

  template <typename Value>
  FFDWV_HOST_DEVICE Value other(Value exp_shifted, Value soft) const {
    return multiply_add(Value(exp_scale), exp_shifted, -(Value(soft_scale) * soft));
  }

  // At the label p_y - 1 is formed as (exp(d_y) - s) / s: with p_y near 1 the subtraction then loses
  // only what the sum s itself has lost.
  FFDWV_HOST_DEVICE Sum label(Sum exp_shifted, Sum soft) const {
    return ce_scale * (exp_shifted - exp_sum) * inv_sum +
           soft_scale * (soft_mass * exp_shifted * inv_sum - soft);
  }
};

// The same of a row with a teacher, from exp(d_j), exp(d'_j) and exp(g_j).
template <typename Sum>
struct TeacherGradient {
  Sum exp_scale;      // upstream a / s
  Sum student_scale;  // upstream b T / s'
  Sum teacher_scale;  // upstream b T / u
  Sum exp_sum;

  FFDWV_HOST_DEVICE TeacherGradient(
      const TeacherSums<Sum>& sums, const Weights<Sum>& weights, Sum temperature, Sum upstream)
      : exp_scale(upstream * weights.ce / sums.exp_sum),
        student_scale(upstream * weights.soft * temperature / sums.student_sum),
        teacher_scale(upstream * weights.soft * temperature / sums.teacher_sum),
        exp_sum(sums.exp_sum) {}

  template <typename Value>
  FFDWV_HOST_DEVICE Value other(Value exp_shifted, Value student, Value teacher) const {
    const Value gap =
        multiply_add(Value(student_scale), student, -(Value(teacher_scale) * teacher));
    return multiply_add(Value(exp_scale), exp_shifted, gap);
  }

  FFDWV_HOST_DEVICE Sum label(Sum exp_shifted, Sum student, Sum teacher) const {
    return exp_scale * (exp_shifted - exp_sum) +
           (student_scale * student - teacher_scale * teacher);
  }
};

}  // namespace ffdwv::inline FFDWV_ISA
