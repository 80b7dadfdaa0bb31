// Rows whose formula is computed together, one in each lane.
#pragma once

#include "row_context.h"
#include "simd_math.h"

namespace ffdwv::inline FFDWV_ISA {

static_assert(kTileRows == kLanes);

template <typename Logit, typename Kind>
struct RowTile {
  using Value = ValueOf<Logit>;
  using Values = Vector<Value>;
  using Doubles = Vector<double>;
  using Sums = typename Kind::template Sums<Doubles>;
  using Gradient = typename Kind::template Gradient<Doubles>;

  // What a row has at its label.
  struct Label {
    Values logit{Value(0)};
    Values soft{Value(0)};
    Values e[Kind::kExps];
  };

  RowContext<Logit, Kind> context;
  int64_t rows[kLanes];
  int64_t labels[kLanes];
  int count = 0;

  FFDWV_SIMD explicit RowTile(const RowJob& job) : context(job) {}

  // Takes rows that count from [begin, end), at most `most` of them; returns where to go on. What the
  // lanes beyond them hold is not looked at.
  FFDWV_SIMD int64_t take(int64_t begin, int64_t end, int64_t most) {
    count = 0;
    int64_t i = begin;
    for (; i < end && count < most; ++i) {
      const int64_t y = label_at(context.job, i);
      if (y == context.job.ignore_index) {
        context.ignore(i);
      } else {
        rows[count] = i;
        labels[count++] = y;
      }
    }
    return i;
  }

  FFDWV_SIMD Doubles known_neg_entropy() const {
    double known[kLanes] = {};
    for (int r = 0; r < count; ++r) {
      known[r] = context.neg_entropy(labels[r]);
    }
    return Doubles::load(known);
  }

  // `is_largest`: no logit is larger than the label's, none before it as large.
  FFDWV_SIMD void report(
      const Sums& sums, const Doubles& label_shifted, const bool (&is_largest)[kLanes],
      BlockSums& block) const {
    const auto loss = Kind::loss(sums, label_shifted, options());
    double losses[kLanes], ces[kLanes], kls[kLanes], exp_sums[kLanes];
    loss.loss.store(losses);
    loss.ce.store(ces);
    loss.kl.store(kls);
    sums.exp_sum.store(exp_sums);
    for (int r = 0; r < count; ++r) {
      const bool correct = is_largest[r] && exp_sums[r] == exp_sums[r];
      context.report(rows[r], {losses[r], ces[r], kls[r]}, correct, block);
    }
  }

  FFDWV_SIMD Gradient gradient(const Sums& sums) const {
    double upstream[kLanes] = {};
    for (int r = 0; r < count; ++r) {
      upstream[r] = context.upstream(rows[r]);
    }
    return Kind::gradient(sums, options(), Doubles::load(upstream));
  }

  FFDWV_SIMD Values gradient_at_label(const Gradient& gradient, const Label& label) const {
    Doubles e[Kind::kExps];
    for (int k = 0; k < Kind::kExps; ++k) {
      e[k] = Doubles(label.e[k]);
    }
    return Values(Kind::label(gradient, e, Doubles(label.soft)));
  }

 private:
  FFDWV_SIMD RowOptions<Doubles> options() const {
    const auto& given = context.options;
    return {{given.weights.ce, given.weights.soft}, given.temperature};
  }
};

}  // namespace ffdwv::inline FFDWV_ISA
