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
// the row are four sums and d_y. Everything is a difference from m: a common offset of the logits,
// however large, costs no accuracy. How the elements are visited (serially, by SIMD lanes, by the
// threads of a warp) is the kernels' business; they call add(), merge() and the functions below.
#pragma once

#include <cmath>

#if defined(__CUDACC__)
#define FFDWV_HOST_DEVICE __host__ __device__ __forceinline__
#else
#define FFDWV_HOST_DEVICE inline
#endif

namespace ffdwv {

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
    soft_dot += soft == Sum(0) ? Sum(0) : soft * shifted;
  }

  FFDWV_HOST_DEVICE void add_neg_entropy(Sum soft) {
    neg_entropy += soft == Sum(0) ? Sum(0) : soft * std::log(soft);
  }

  // From differences to one maximum to differences to a larger one: delta = old - new <= 0.
  FFDWV_HOST_DEVICE void shift(Sum delta) {
    exp_sum = exp_sum == Sum(0) ? Sum(0) : exp_sum * std::exp(delta);
    soft_dot += soft_mass == Sum(0) ? Sum(0) : soft_mass * delta;
  }

  FFDWV_HOST_DEVICE void merge(const RowSums& other) {
    exp_sum += other.exp_sum;
    soft_mass += other.soft_mass;
    soft_dot += other.soft_dot;
    neg_entropy += other.neg_entropy;
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
  return weight == Sum(0) ? Sum(0) : weight * value;
}

template <typename Sum>
FFDWV_HOST_DEVICE RowLoss<Sum> row_loss(
    const RowSums<Sum>& sums, Sum label_shifted, const Weights<Sum>& weights) {
  const Sum log_sum = std::log(sums.exp_sum);
  const Sum ce = log_sum - label_shifted;
  const Sum kl = sums.neg_entropy - sums.soft_dot + weighted(sums.soft_mass, log_sum);
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
    return Value(exp_scale) * exp_shifted - Value(soft_scale) * soft;
  }

  // At the label p_y - 1 is formed as (exp(d_y) - s) / s: with p_y near 1 the subtraction then loses
  // only what the sum s itself has lost.
  FFDWV_HOST_DEVICE Sum label(Sum exp_shifted, Sum soft) const {
    return ce_scale * (exp_shifted - exp_sum) * inv_sum +
           soft_scale * (soft_mass * exp_shifted * inv_sum - soft);
  }
};

}  // namespace ffdwv
