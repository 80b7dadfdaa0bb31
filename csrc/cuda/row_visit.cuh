// One row and the group of threads that works on it: where its data is, what is written for it.
#pragma once

#include "arguments.cuh"
#include "group.cuh"
#include "reduction.cuh"
#include "row_access.cuh"

namespace ffdwv::cuda {

// Soft targets come as NoSoft, as values of a type, or as a teacher's logits of that type.
template <typename Element>
struct Teacher {};

template <typename Soft>
struct SoftTraits {
  using Element = Soft;
  static constexpr bool kIsTeacher = false;
};

template <typename T>
struct SoftTraits<Teacher<T>> {
  using Element = T;
  static constexpr bool kIsTeacher = true;
};

template <typename Group_, typename Logit, typename Soft>
struct RowVisit {
  using Group = Group_;
  using Value = ValueOf<Logit>;
  using SoftElement = typename SoftTraits<Soft>::Element;
  static constexpr bool kHasSoft = !std::is_same_v<Soft, NoSoft>;
  static constexpr bool kHasTeacher = SoftTraits<Soft>::kIsTeacher;

  const KernelArguments& a;
  int64_t row, label;

  __device__ RowVisit(const KernelArguments& arguments, int64_t row)
      : a(arguments), row(row), label(arguments.label(row)) {}

  // Rows have less than 2^31 elements: offsets inside one are ints, all others 64-bit.
  __device__ int classes() const { return static_cast<int>(a.classes); }
  __device__ int label_column() const { return static_cast<int>(label); }

  __device__ Row<const Logit> logits() const {
    return {static_cast<const Logit*>(a.logits) + row * a.logits_row, a.logits_column, classes()};
  }

  __device__ Row<const SoftElement> soft() const {
    const int64_t i = a.soft_by_row ? row : label;
    return {static_cast<const SoftElement*>(a.soft) + i * a.soft_row, a.soft_column, classes()};
  }

  __device__ Row<Logit> grad() const {
    return {static_cast<Logit*>(a.grad) + row * a.classes, 1, classes()};
  }

  __device__ Value label_logit() const { return logits().template at<Value>(label_column()); }

  __device__ Value label_soft() const {
    if constexpr (kHasSoft) {
      return soft().template at<Value>(label_column());
    } else {
      return 0;
    }
  }

  __device__ Weights<Value> weights() const {
    return {static_cast<Value>(a.ce_weight), static_cast<Value>(a.soft_weight)};
  }

  // What the row's gradient is multiplied by; `factor` is the reduction's.
  __device__ Value upstream(double factor) const {
    const double scale = factor * a.grad_scale;
    return static_cast<Value>(
        a.grad_out == nullptr
            ? scale
            : scale * static_cast<const Value*>(a.grad_out)[row * a.grad_out_stride]);
  }

  // Ignored rows have a loss and a gradient of 0, rows with a bad label of NaN. True if the row is
  // one of those: nothing is left to do.
  __device__ bool is_settled(Totals& totals) const {
    const bool is_ignored = label == a.ignore_index;
    if (!is_ignored && label >= 0 && label < a.classes) {
      return false;
    }
    const Value value = is_ignored ? Value(0) : static_cast<Value>(NAN);
    if (a.grad != nullptr) {
      const auto out = grad();
      for (int j = Group::rank(); j < classes(); j += Group::kSize) {
        out.start[j] = static_cast<Logit>(value);
      }
    }
    report({value, value, value}, false, totals);
    return true;
  }

  __device__ void report(const RowLoss<Value>& loss, bool correct, Totals& totals) const {
    if (Group::rank() != 0) {
      return;
    }
    if (a.per_row) {
      static_cast<Value*>(a.loss)[row] = loss.loss;
      a.parts[row] = loss.ce;
      a.parts[a.rows + row] = loss.kl;
      a.parts[2 * a.rows + row] = correct;
    }
    totals.add({loss.loss, loss.ce, loss.kl, correct ? 1.0 : 0.0});
  }

  // The label is the prediction if it is the first of the largest logits, as in torch.argmax. The
  // row is looked at again only where more than one is largest.
  __device__ bool is_correct(Value max, Value largest, Value exp_sum) const {
    if (label_logit() != max || exp_sum != exp_sum) {
      return false;
    }
    return largest == 1 || Group::sum(largest_before_label(max)) == 0;
  }

 private:
  __device__ int largest_before_label(Value max) const {
    int count = 0;
#pragma unroll 1
    for (int j = Group::rank(); j < label_column(); j += Group::kSize) {
      count += logits().template at<Value>(j) == max;
    }
    return count;
  }
};

}  // namespace ffdwv::cuda
