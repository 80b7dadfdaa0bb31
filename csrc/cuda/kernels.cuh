// The kernels: a row held in registers by a group of threads, or read twice by one.
//
// Both visit rows by tiles of kGroups rows, block b taking tiles b, b + gridDim.x, ...; which rows a
// block sums depends on the grid alone.
#pragma once

#include "row_math.cuh"

namespace ffdwv::cuda {

// A thread's share of a row, pack by pack: pack p is kVector columns from column(p) on.
template <typename Visit, typename Logit, int kVector_>
struct Packs {
  using Value = typename Visit::Value;
  using Group = typename Visit::Group;
  static constexpr int kVector = kVector_;

  const Visit& visit;
  bool logits_packed, soft_packed, grad_packed;

  __device__ explicit Packs(const Visit& v)
      : visit(v),
        logits_packed(v.logits().template is_packed<kVector>()),
        soft_packed(is_soft_packed(v)),
        grad_packed(v.grad().template is_packed<kVector>()) {}

  __device__ static int column(int pack) {
    return (pack * Group::kSize + Group::rank()) * kVector;
  }

  __device__ void load_logits(int j, Value (&out)[kVector]) const {
    visit.logits().load(j, logits_packed, minus_infinity<Value>(), out);
  }

  // Beyond the row: the soft target 0, the teacher's logit -infinity.
  __device__ void load_soft(int j, Value (&out)[kVector]) const {
    if constexpr (Visit::kHasSoft) {
      const Value fill = Visit::kHasTeacher ? minus_infinity<Value>() : Value(0);
      visit.soft().load(j, soft_packed, fill, out);
    } else {
#pragma unroll
      for (int v = 0; v < kVector; ++v) {
        out[v] = 0;
      }
    }
  }

  template <typename Math>
  __device__ void store_gradient(
      int j, const Math& math, const typename Math::Gradient& gradient,
      const Value (&prepared)[kVector], const Value (&soft)[kVector]) const {
    Value out[kVector];
#pragma unroll
    for (int v = 0; v < kVector; ++v) {
      out[v] = math.other(gradient, prepared[v], soft[v]);
    }
    visit.grad().store(j, grad_packed, out);
  }

  // The label's entry, over what store_gradient() put there: by the same thread, so it comes second.
  template <typename Math>
  __device__ void store_label_gradient(
      const Math& math, const typename Math::Gradient& gradient) const {
    if (Group::rank() == visit.label_column() / kVector % Group::kSize) {
      visit.grad().start[visit.label] = static_cast<Logit>(math.label(gradient));
    }
  }

 private:
  __device__ static bool is_soft_packed(const Visit& v) {
    if constexpr (Visit::kHasSoft) {
      return v.soft().template is_packed<kVector>();
    } else {
      return false;
    }
  }
};

template <typename Group, int kPerLane, typename Logit, typename Soft>
struct InRegisters {
  using Visit = RowVisit<Group, Logit, Soft>;
  using Value = typename Visit::Value;
  using Math = MathOf<Visit, Value>;
  static constexpr int kVector = vector_length<Logit, kPerLane>();
  static constexpr int kPacks = kPerLane / kVector;
  // A teacher's logits are kept too; soft targets are read again, from the cache.
  static constexpr int kSoftPacks = Math::kKeepsSoft ? kPacks : 1;

  __device__ static void row(const Visit& visit, double factor, Totals& totals) {
    const Packs<Visit, Logit, kVector> packs(visit);
    Math math(visit);
    Value values[kPacks][kVector];  // the logits, then what the gradient needs of them
    Value soft[kSoftPacks][kVector];
#pragma unroll
    for (int p = 0; p < kPacks; ++p) {
      packs.load_logits(packs.column(p), values[p]);
      if constexpr (Math::kKeepsSoft) {
        packs.load_soft(packs.column(p), soft[p]);
      }
#pragma unroll
      for (int v = 0; v < kVector; ++v) {
        math.see(values[p][v], soft[p % kSoftPacks][v]);
      }
    }
    math.settle_maxima();
#pragma unroll
    for (int p = 0; p < kPacks; ++p) {
      auto& soft_of_pack = soft[p % kSoftPacks];
      reload(packs, p, soft_of_pack);
#pragma unroll
      for (int v = 0; v < kVector; ++v) {
        values[p][v] = math.add(values[p][v], soft_of_pack[v]);
      }
    }
    math.complete();
    math.report(totals);
    if (visit.a.grad == nullptr) {
      return;
    }
    const auto gradient = math.gradient(visit.upstream(factor));
#pragma unroll
    for (int p = 0; p < kPacks; ++p) {
      auto& soft_of_pack = soft[p % kSoftPacks];
      reload(packs, p, soft_of_pack);
      packs.store_gradient(packs.column(p), math, gradient, values[p], soft_of_pack);
    }
    packs.store_label_gradient(math, gradient);
  }

 private:
  template <typename PacksOfRow>
  __device__ static void reload(const PacksOfRow& packs, int p, Value (&soft)[kVector]) {
    if constexpr (!Math::kKeepsSoft) {
      packs.load_soft(packs.column(p), soft);
    }
  }
};

// Rows of any width: sums relative to running maxima in the first read, the gradient in the second.
template <typename Group, typename Logit, typename Soft>
struct ReadTwice {
  using Visit = RowVisit<Group, Logit, Soft>;
  using Value = typename Visit::Value;
  using Sum = std::conditional_t<(Group::kSize > kWarp), double, Value>;
  using Math = MathOf<Visit, Sum>;
  static constexpr int kVector = kVectorBytes / static_cast<int>(sizeof(Logit));
  static constexpr int kStep = Group::kSize * kVector;

  __device__ static void row(const Visit& visit, double factor, Totals& totals) {
    const Packs<Visit, Logit, kVector> packs(visit);
    Math math(visit);
    for (int j = packs.column(0); j < visit.classes(); j += kStep) {
      Value x[kVector], soft[kVector];
      packs.load_logits(j, x);
      packs.load_soft(j, soft);
      math.add_running(x, soft);
    }
    math.settle_running();
    math.complete();
    math.report(totals);
    if (visit.a.grad == nullptr) {
      return;
    }
    const auto gradient = math.gradient(visit.upstream(factor));
    for (int j = packs.column(0); j < visit.classes(); j += kStep) {
      Value x[kVector], soft[kVector];
      packs.load_logits(j, x);
      packs.load_soft(j, soft);
#pragma unroll
      for (int v = 0; v < kVector; ++v) {
        x[v] = math.prepare(x[v]);
      }
      packs.store_gradient(j, math, gradient, x, soft);
    }
    packs.store_label_gradient(math, gradient);
  }
};

template <typename RowKernel>
__device__ void visit_rows(const KernelArguments& a) {
  using Group = typename RowKernel::Visit::Group;
  constexpr int kThreads = Group::kBlockThreads;
  const double factor = row_factor<kThreads>(a);
  Totals totals;
  const int64_t tiles = (a.rows + Group::kGroups - 1) / Group::kGroups;
  for (int64_t tile = blockIdx.x; tile < tiles; tile += gridDim.x) {
    const int64_t row = tile * Group::kGroups + Group::index();
    if (row < a.rows) {  // the same for all of a group
      const typename RowKernel::Visit visit(a, row);
      if (!visit.is_settled(totals)) {
        RowKernel::row(visit, factor, totals);
      }
    }
  }
  finish<kThreads, typename RowKernel::Value>(a, totals, factor);
}

template <typename RowKernel>
__global__ void __launch_bounds__(RowKernel::Visit::Group::kBlockThreads, 1)
    loss_of_rows(const KernelArguments a) {
  visit_rows<RowKernel>(a);
}

}  // namespace ffdwv::cuda
