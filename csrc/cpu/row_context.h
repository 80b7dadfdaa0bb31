// The parts of a job that every loop over rows needs, with their types.
#pragma once

#include "row_kinds.h"

namespace ffdwv::inline FFDWV_ISA {

// Pieces of a buffer, each aligned to a cache line.
class Scratch {
 public:
  FFDWV_SIMD explicit Scratch(void* start) : next_(static_cast<char*>(start)) {}

  template <typename T>
  FFDWV_SIMD T* take(int64_t count) {
    T* piece = reinterpret_cast<T*>(next_);
    constexpr int64_t kLine = 64;
    next_ += (count * static_cast<int64_t>(sizeof(T)) + kLine - 1) / kLine * kLine;
    return piece;
  }

 private:
  char* next_;
};

// A row of which `vector(j)` is elements j to j + kLanes - 1. An expanded row is one element: a vector
// of it is kept and read for every j.
template <typename Element>
struct RowView {
  using Value = ValueOf<Element>;
  const Element* data = nullptr;
  int64_t step = 1;

  FFDWV_SIMD const Element* at(int64_t j) const { return data + j * step; }
};

template <typename Logit, typename Kind>
struct RowContext {
  using Value = ValueOf<Logit>;
  using Soft = typename Kind::Element;

  const RowJob& job;
  RowOptions<double> options;
  Value inv_temperature;

  FFDWV_SIMD explicit RowContext(const RowJob& j)
      : job(j),
        options{{j.ce_weight, j.soft_weight}, j.temperature},
        inv_temperature(static_cast<Value>(1 / j.temperature)) {}

  FFDWV_SIMD const Logit* logits(int64_t i) const {
    return static_cast<const Logit*>(job.logits.data) + i * job.logits.row_stride;
  }

  FFDWV_SIMD const Soft* soft(int64_t i, int64_t y) const {
    const int64_t row = job.soft_kind == RowSoft::kPickedByLabel ? y : i;
    return static_cast<const Soft*>(job.soft.data) + row * job.soft.row_stride;
  }

  FFDWV_SIMD Logit* grad(int64_t i) const {
    return static_cast<Logit*>(job.grad) + i * job.classes;
  }

  FFDWV_SIMD double upstream(int64_t i) const {
    const auto* grad_out = static_cast<const Value*>(job.grad_out);
    const double given = grad_out == nullptr ? 1 : grad_out[i * job.grad_out_stride];
    return given * job.grad_scale;
  }

  FFDWV_SIMD bool knows_neg_entropy() const { return job.neg_entropy != nullptr; }
  FFDWV_SIMD double neg_entropy(int64_t y) const {
    return job.neg_entropy[y * job.neg_entropy_stride];
  }

  FFDWV_SIMD void report(
      int64_t i, const RowLoss<double>& row, bool correct, BlockSums& block) const {
    block.loss += row.loss;
    block.ce += row.ce;
    block.kl += row.kl;
    block.correct += correct;
    write(i, row, correct);
  }

  FFDWV_SIMD void write(int64_t i, const RowLoss<double>& row, bool correct) const {
    if (job.loss != nullptr) {
      static_cast<Value*>(job.loss)[i] = static_cast<Value>(row.loss);
      job.parts[i] = row.ce;
      job.parts[job.rows + i] = row.kl;
      job.parts[2 * job.rows + i] = correct;
    }
  }

  FFDWV_SIMD void ignore(int64_t i) const {
    write(i, {0, 0, 0}, false);
    if (job.grad != nullptr) {
      __builtin_memset(grad(i), 0, static_cast<unsigned long>(job.classes) * sizeof(Logit));
    }
  }
};

}  // namespace ffdwv::inline FFDWV_ISA
