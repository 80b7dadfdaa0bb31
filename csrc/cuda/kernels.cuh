// The kernels: a row held in registers by a group of threads, or read twice by one.
//
// Both visit rows by tiles of kGroups rows, block b taking tiles b, b + gridDim.x, ...; which rows a
// block sums depends on the grid alone.
#pragma once

#include "arguments.cuh"
#include "group.cuh"
#include "reduction.cuh"
#include "row_access.cuh"

namespace ffdwv::cuda {

template <typename Value>
__device__ __forceinline__ Value infinity() {
  return static_cast<Value>(INFINITY);
}

// What every row needs before its elements are looked at.
template <typename Group, typename Arguments>
struct RowVisit {
  using Value = typename Arguments::Value;
  const Arguments& a;
  int64_t row, label;

  __device__ RowVisit(const Arguments& arguments, int64_t row)
      : a(arguments), row(row), label(arguments.label(row)) {}

  __device__ bool is_ignored() const { return label == a.ignore_index; }
  __device__ bool is_bad() const { return label < 0 || label >= a.classes; }

  __device__ auto logits() const {
    return Row<const std::remove_const_t<std::remove_pointer_t<decltype(a.logits)>>>{
        a.logits + row * a.logits_row, a.logits_column, a.classes};
  }

  __device__ auto soft() const {
    using Soft = std::remove_const_t<std::remove_pointer_t<decltype(a.soft)>>;
    return Row<const Soft>{a.soft + label * a.soft_row, a.soft_column, a.classes};
  }

  __device__ auto grad() const {
    return Row<std::remove_pointer_t<decltype(a.grad)>>{a.grad + row * a.classes, 1, a.classes};
  }

  __device__ Value label_logit() const { return static_cast<Value>(logits().start[label * a.logits_column]); }

  __device__ Value upstream(double factor) const {
    const Value grad_out = a.grad_out == nullptr ? Value(1) : a.grad_out[row * a.grad_out_stride];
    return static_cast<Value>(grad_out * factor);
  }

  // Ignored rows have a gradient of 0, rows with a bad label one of NaN.
  __device__ void fill_grad(Value value) const {
    if (a.grad == nullptr) {
      return;
    }
    const auto out = grad();
    for (int64_t j = Group::rank(); j < a.classes; j += Group::kSize) {
      out.start[j] = static_cast<std::remove_pointer_t<decltype(a.grad)>>(value);
    }
  }

  // The row's loss, from the group's sums and each member's count of the largest logits.
  __device__ void report_loss(
      const RowSums<Value>& sums, Value max, int largest, Totals& totals) const {
    const bool correct = is_correct(max, largest, sums.exp_sum);
    report(row_loss(sums, label_logit() - max, a.weights), correct, totals);
  }

  __device__ void report(const RowLoss<Value>& loss, bool correct, Totals& totals) const {
    if (Group::rank() != 0) {
      return;
    }
    if (a.per_row) {
      a.loss[row] = loss.loss;
      a.parts[row] = loss.ce;
      a.parts[a.rows + row] = loss.kl;
      a.parts[2 * a.rows + row] = correct;
    }
    totals.add({loss.loss, loss.ce, loss.kl, correct ? 1.0 : 0.0});
  }

  // True if nothing is left to do for this row.
  __device__ bool is_settled(Totals& totals) const {
    if (is_ignored()) {
      fill_grad(0);
      report({0, 0, 0}, false, totals);
      return true;
    }
    if (is_bad()) {
      const Value nan = static_cast<Value>(NAN);
      fill_grad(nan);
      report({nan, nan, nan}, false, totals);
      return true;
    }
    return false;
  }

  // The group's sums, from each member's.
  __device__ RowSums<Value> complete(RowSums<Value> sums) const {
    sums.exp_sum = Group::sum(sums.exp_sum);
    if constexpr (Arguments::kHasSoft) {
      sums.soft_mass = Group::sum(sums.soft_mass);
      sums.soft_dot = Group::sum(sums.soft_dot);
      sums.neg_entropy = neg_entropy();
    }
    return sums;
  }

  // Known once per matrix; summed here only for callers without it.
  __device__ Value neg_entropy() const {
    if (a.neg_entropy != nullptr) {
      return static_cast<Value>(a.neg_entropy[label * a.neg_entropy_stride]);
    }
    RowSums<Value> sums;
#pragma unroll 1
    for (int64_t j = Group::rank(); j < a.classes; j += Group::kSize) {
      sums.add_neg_entropy(static_cast<Value>(soft().start[j * a.soft_column]));
    }
    return Group::sum(sums.neg_entropy);
  }

  // The label is the prediction if it is the first of the largest logits, as in torch.argmax. The
  // row is looked at again only where more than one is largest.
  __device__ bool is_correct(Value max, int largest, Value exp_sum) const {
    const int largest_in_row = Group::sum(largest);
    if (label_logit() != max || exp_sum != exp_sum) {
      return false;
    }
    return largest_in_row == 1 || Group::sum(largest_before_label(max)) == 0;
  }

  __device__ int largest_before_label(Value max) const {
    const auto x = logits();
    int count = 0;
#pragma unroll 1
    for (int64_t j = Group::rank(); j < label; j += Group::kSize) {
      count += static_cast<Value>(x.start[j * x.stride]) == max;
    }
    return count;
  }

  template <int kVector>
  __device__ void write_gradient(
      int64_t j, bool packed, const RowGradient<Value>& gradient, const Value (&exps)[kVector],
      const Value (&soft)[kVector]) const {
    Value out[kVector];
#pragma unroll
    for (int v = 0; v < kVector; ++v) {
      out[v] = gradient.other(exps[v], soft[v]);
    }
    grad().store(j, packed, out);
  }

  // The label's entry, over what write_gradient() put there: by the same thread, so it comes second.
  template <int kVector>
  __device__ void write_label_gradient(const RowGradient<Value>& gradient, Value max) const {
    if (Group::rank() != label / kVector % Group::kSize) {
      return;
    }
    Value target = 0;
    if constexpr (Arguments::kHasSoft) {
      target = static_cast<Value>(soft().start[label * a.soft_column]);
    }
    const auto out = grad();
    out.start[label] = static_cast<std::remove_pointer_t<decltype(a.grad)>>(
        gradient.label(std::exp(label_logit() - max), target));
  }
};

template <typename Group, int kPerLane, typename Logit, typename Soft>
struct InRegisters {
  using Arguments = KernelArguments<Logit, Soft>;
  using Value = typename Arguments::Value;
  using Visit = RowVisit<Group, Arguments>;
  static constexpr int kVector = vector_length<Logit, kPerLane>();
  static constexpr int kPacks = kPerLane / kVector;

  __device__ static int64_t column(int pack) {
    return static_cast<int64_t>(pack * Group::kSize + Group::rank()) * kVector;
  }

  __device__ static void load_soft(
      const Visit& visit, int64_t j, bool packed, Value (&out)[kVector]) {
    if constexpr (Arguments::kHasSoft) {
      visit.soft().load(j, packed, Value(0), out);
    } else {
#pragma unroll
      for (int v = 0; v < kVector; ++v) {
        out[v] = 0;
      }
    }
  }

  __device__ static bool soft_is_packed(const Visit& visit) {
    if constexpr (Arguments::kHasSoft) {
      return visit.soft().template is_packed<kVector>();
    } else {
      return false;
    }
  }

  __device__ static void row(const Visit& visit, double factor, Totals& totals) {
    if (visit.is_settled(totals)) {
      return;
    }
    Value values[kPacks][kVector];  // the logits, then their exponentials
    const auto logits = visit.logits();
    const bool packed = logits.template is_packed<kVector>();
    Value max = -infinity<Value>();
#pragma unroll
    for (int p = 0; p < kPacks; ++p) {
      logits.load(column(p), packed, -infinity<Value>(), values[p]);
#pragma unroll
      for (int v = 0; v < kVector; ++v) {
        max = values[p][v] > max ? values[p][v] : max;
      }
    }
    max = Group::max(max);

    const bool soft_packed = soft_is_packed(visit);
    RowSums<Value> sums;
    int largest = 0;
#pragma unroll
    for (int p = 0; p < kPacks; ++p) {
      add(visit, column(p), soft_packed, max, values[p], sums, largest);
    }
    sums = visit.complete(sums);
    visit.report_loss(sums, max, largest, totals);
    if (visit.a.grad == nullptr) {
      return;
    }
    const RowGradient<Value> gradient(sums, visit.a.weights, visit.upstream(factor));
    const bool grad_packed = visit.grad().template is_packed<kVector>();
#pragma unroll
    for (int p = 0; p < kPacks; ++p) {
      Value soft[kVector];
      load_soft(visit, column(p), soft_packed, soft);
      visit.write_gradient(column(p), grad_packed, gradient, values[p], soft);
    }
    visit.template write_label_gradient<kVector>(gradient, max);
  }

 private:
  __device__ static void add(
      const Visit& visit, int64_t j, bool soft_packed, Value max, Value (&values)[kVector],
      RowSums<Value>& sums, int& largest) {
    Value soft[kVector];
    load_soft(visit, j, soft_packed, soft);
#pragma unroll
    for (int v = 0; v < kVector; ++v) {
      const Value shifted = values[v] - max;
      largest += values[v] == max;
      values[v] = std::exp(shifted);
      sums.add_exp(values[v]);
      if constexpr (Arguments::kHasSoft) {
        sums.add_soft(shifted, soft[v]);
      }
    }
  }
};

// Rows of any width: sums relative to a running maximum in the first read, the gradient in the second.
template <typename Group, typename Logit, typename Soft>
struct ReadTwice {
  using Arguments = KernelArguments<Logit, Soft>;
  using Value = typename Arguments::Value;
  using Visit = RowVisit<Group, Arguments>;
  using InPacks = InRegisters<Group, kVectorBytes / static_cast<int>(sizeof(Logit)), Logit, Soft>;
  static constexpr int kVector = InPacks::kVector;

  struct Running {
    Value max = -infinity<Value>();
    RowSums<Value> sums;
    int largest = 0;

    __device__ void add(Value x, Value soft) {
      if (x > max) {
        sums.shift(max - x);
        max = x;
        largest = 0;
      }
      largest += x == max;
      const bool is_minus_infinity = x == -infinity<Value>();
      sums.add_exp(is_minus_infinity ? Value(0) : std::exp(x - max));
      if constexpr (Arguments::kHasSoft) {
        sums.add_soft(is_minus_infinity ? x : x - max, soft);
      }
    }
  };

  __device__ static void row(const Visit& visit, double factor, Totals& totals) {
    if (visit.is_settled(totals)) {
      return;
    }
    const auto logits = visit.logits();
    const bool packed = logits.template is_packed<kVector>();
    const bool soft_packed = InPacks::soft_is_packed(visit);
    Running running;
    constexpr int64_t kStep = static_cast<int64_t>(Group::kSize) * kVector;
    for (int64_t j = InPacks::column(0); j < visit.a.classes; j += kStep) {
      Value x[kVector], soft[kVector];
      logits.load(j, packed, -infinity<Value>(), x);
      InPacks::load_soft(visit, j, soft_packed, soft);
#pragma unroll
      for (int v = 0; v < kVector; ++v) {
        running.add(x[v], soft[v]);
      }
    }
    const Value max = Group::max(running.max);
    running.sums.shift(running.max - max);
    const RowSums<Value> sums = visit.complete(running.sums);
    visit.report_loss(sums, max, running.max == max ? running.largest : 0, totals);
    if (visit.a.grad == nullptr) {
      return;
    }
    const RowGradient<Value> gradient(sums, visit.a.weights, visit.upstream(factor));
    const bool grad_packed = visit.grad().template is_packed<kVector>();
    for (int64_t j = InPacks::column(0); j < visit.a.classes; j += kStep) {
      Value x[kVector], soft[kVector];
      logits.load(j, packed, -infinity<Value>(), x);
      InPacks::load_soft(visit, j, soft_packed, soft);
#pragma unroll
      for (int v = 0; v < kVector; ++v) {
        x[v] = std::exp(x[v] - max);
      }
      visit.write_gradient(j, grad_packed, gradient, x, soft);
    }
    visit.template write_label_gradient<kVector>(gradient, max);
  }
};

template <typename Group, typename RowKernel, typename Logit, typename Soft>
__device__ void visit_rows(const KernelArguments<Logit, Soft>& a) {
  constexpr int kThreads = Group::kBlockThreads;
  const double factor = row_factor<kThreads>(a);
  Totals totals;
  const int64_t tiles = (a.rows + Group::kGroups - 1) / Group::kGroups;
  for (int64_t tile = blockIdx.x; tile < tiles; tile += gridDim.x) {
    const int64_t row = tile * Group::kGroups + Group::index();
    if (row < a.rows) {  // the same for all of a group
      RowKernel::row(RowVisit<Group, KernelArguments<Logit, Soft>>(a, row), factor, totals);
    }
  }
  finish<kThreads>(a, totals, factor);
}

template <typename Group, int kPerLane, typename Logit, typename Soft>
__global__ void __launch_bounds__(Group::kBlockThreads)
    loss_in_registers(const KernelArguments<Logit, Soft> a) {
  visit_rows<Group, InRegisters<Group, kPerLane, Logit, Soft>>(a);
}

template <typename Group, typename Logit, typename Soft>
__global__ void __launch_bounds__(Group::kBlockThreads)
    loss_read_twice(const KernelArguments<Logit, Soft> a) {
  visit_rows<Group, ReadTwice<Group, Logit, Soft>>(a);
}

constexpr int kCountThreads = 1024;

// How many rows count, for batches too long to be counted by every block.
template <typename Logit, typename Soft>
__global__ void __launch_bounds__(kCountThreads)
    count_valid_rows(const KernelArguments<Logit, Soft> a, int64_t* counted) {
  const int64_t count = count_rows<kCountThreads>(a);
  if (threadIdx.x == 0) {
    *counted = count;
  }
}

}  // namespace ffdwv::cuda
