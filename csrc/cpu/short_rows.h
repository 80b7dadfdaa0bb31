// Rows of at most kTileClasses classes: kTileRows rows at a time, one in each lane.
//
// The rows are transposed on their way in and out; between, everything that happens to a row, the
// formula in double included, happens to all of them at once.
#pragma once

#include "row_context.h"
#include "simd_math.h"

namespace ffdwv::inline FFDWV_ISA {

static_assert(kTileRows == kLanes);

template <typename Logit, typename Kind>
class ShortRows {
  using Value = ValueOf<Logit>;
  using Values = Vector<Value>;
  using Doubles = Vector<double>;
  using Soft = typename Kind::Element;

 public:
  FFDWV_SIMD ShortRows(const RowJob& job, void* memory)
      : context_(job), classes_(job.classes), inv_temperature_(context_.inv_temperature) {
    Scratch scratch(memory);
    for (auto*& exps : exps_) {
      exps = scratch.take<Value>(classes_ * kLanes);
    }
    x_ = scratch.take<Logit>(classes_ * kLanes);
    soft_ = scratch.take<Soft>(classes_ * kLanes);
  }

  FFDWV_SIMD void run(int64_t begin, int64_t end, BlockSums& block) {
    for (int64_t i = begin; i < end;) {
      count_ = 0;
      for (; i < end && count_ < kTileRows; ++i) {
        const int64_t y = label_at(context_.job, i);
        if (y == context_.job.ignore_index) {
          context_.ignore(i);
        } else {
          rows_[count_] = i;
          labels_[count_++] = y;
        }
      }
      if (count_ > 0) {
        add_tile(block);
      }
    }
  }

 private:
  struct Label {
    Values logit{Value(0)};
    Values soft{Value(0)};
    Values e[Kind::kExps];
  };

  FFDWV_SIMD void add_tile(BlockSums& block) {
    gather();
    Values max, largest;
    maximum(max, largest);
    const Values soft_max = Kind::kHasTeacher ? soft_maximum() : Values(0);
    Value label_columns[kLanes];
    for (int r = 0; r < kLanes; ++r) {
      label_columns[r] = static_cast<Value>(labels_[r]);
    }
    const Values column = Values::load(label_columns);
    Label label;
    const auto sums = sweep(max, soft_max, column, label);

    const RowOptions<Doubles> options{
        {context_.options.weights.ce, context_.options.weights.soft},
        context_.options.temperature};
    const auto loss =
        Kind::loss(sums, Doubles(label.logit) - Doubles(max), options);
    report(loss, select(sums.exp_sum == sums.exp_sum, Doubles(1), Doubles(0)), largest, block);
    if (context_.job.grad != nullptr) {
      write_gradient(sums, options, column, label);
    }
  }

  // The lanes beyond the rows there are repeat the first of them.
  FFDWV_SIMD void gather() {
    for (int r = count_; r < kLanes; ++r) {
      rows_[r] = rows_[0];
      labels_[r] = labels_[0];
    }
    for (int r = 0; r < kLanes; ++r) {
      const Logit* x = context_.logits(rows_[r]);
      for (int64_t j = 0; j < classes_; ++j) {
        x_[j * kLanes + r] = x[j * context_.job.logits.column_stride];
      }
      if constexpr (Kind::kHasSoft) {
        const Soft* soft = context_.soft(rows_[r], labels_[r]);
        for (int64_t j = 0; j < classes_; ++j) {
          soft_[j * kLanes + r] = soft[j * context_.job.soft.column_stride];
        }
      }
    }
  }

  FFDWV_SIMD Values x_at(int64_t j) const { return load_as<Value>(x_ + j * kLanes); }
  FFDWV_SIMD Values soft_at(int64_t j) const { return load_as<Value>(soft_ + j * kLanes); }

  // Also the first column that holds it.
  FFDWV_SIMD void maximum(Values& max, Values& largest) const {
    max = Values(-__builtin_inff());
    largest = Values(0);
    for (int64_t j = 0; j < classes_; ++j) {
      const Values x = x_at(j);
      largest = select(x > max, Values(static_cast<Value>(j)), largest);
      max = larger(x, max);
    }
  }

  FFDWV_SIMD Values soft_maximum() const {
    Values max(-__builtin_inff());
    for (int64_t j = 0; j < classes_; ++j) {
      max = larger(soft_at(j), max);
    }
    return max;
  }

  FFDWV_SIMD auto sweep(
      const Values& max, const Values& soft_max, const Values& column, Label& label) const {
    using Lanes = typename Kind::template Sums<Values>;
    Lanes sums;
    for (auto& e : label.e) {
      e = Values(0);
    }
    for (int64_t j = 0; j < classes_; ++j) {
      const Values x = x_at(j);
      const Values shifted = x - max;
      Values soft(0);
      if constexpr (Kind::kHasTeacher) {
        soft = (soft_at(j) - soft_max) * inv_temperature_;
      } else if constexpr (Kind::kHasSoft) {
        soft = soft_at(j);
      }
      Values e[Kind::kExps];
      Kind::exps(e, shifted, soft, inv_temperature_);
      const Mask<Value> here = column == Values(static_cast<Value>(j));
      label.logit = select(here, x, label.logit);
      label.soft = select(here, soft, label.soft);
      for (int k = 0; k < Kind::kExps; ++k) {
        e[k].store(exps_[k] + j * kLanes);
        label.e[k] = select(here, e[k], label.e[k]);
      }
      // As in long rows, what the label leaves of the sum keeps its digits.
      e[0] = select(here, Values(0), e[0]);
      Kind::add(sums, e, shifted, soft, inv_temperature_);
    }
    auto wide = widen<Doubles>(sums);
    wide.exp_sum += Doubles(label.e[0]);
    if constexpr (Kind::kHasSoft && !Kind::kHasTeacher) {
      wide.neg_entropy = neg_entropy();
    }
    return wide;
  }

  FFDWV_SIMD Doubles neg_entropy() const {
    if (context_.knows_neg_entropy()) {
      double known[kLanes];
      for (int r = 0; r < kLanes; ++r) {
        known[r] = context_.neg_entropy(labels_[r]);
      }
      return Doubles::load(known);
    }
    RowSums<Values> sums;
    for (int64_t j = 0; j < classes_; ++j) {
      sums.add_neg_entropy(soft_at(j));
    }
    return Doubles(sums.neg_entropy);
  }

  FFDWV_SIMD void report(
      const RowLoss<Doubles>& loss, const Doubles& is_number, const Values& largest,
      BlockSums& block) const {
    double losses[kLanes], ces[kLanes], kls[kLanes], numbers[kLanes];
    Value columns[kLanes];
    loss.loss.store(losses);
    loss.ce.store(ces);
    loss.kl.store(kls);
    is_number.store(numbers);
    largest.store(columns);
    for (int r = 0; r < count_; ++r) {
      const bool correct = numbers[r] != 0 && columns[r] == static_cast<Value>(labels_[r]);
      context_.report(rows_[r], {losses[r], ces[r], kls[r]}, correct, block);
    }
  }

  FFDWV_SIMD void write_gradient(
      const typename Kind::template Sums<Doubles>& sums, const RowOptions<Doubles>& options,
      const Values& column, const Label& label) const {
    double upstream[kLanes];
    for (int r = 0; r < kLanes; ++r) {
      upstream[r] = context_.upstream(rows_[r]);
    }
    const auto gradient = Kind::gradient(sums, options, Doubles::load(upstream));
    Doubles label_e[Kind::kExps];
    for (int k = 0; k < Kind::kExps; ++k) {
      label_e[k] = Doubles(label.e[k]);
    }
    const Values at_label(Kind::label(gradient, label_e, Doubles(label.soft)));
    for (int64_t j = 0; j < classes_; ++j) {
      Values e[Kind::kExps];
      for (int k = 0; k < Kind::kExps; ++k) {
        e[k] = Values::load(exps_[k] + j * kLanes);
      }
      Values soft(0);
      if constexpr (Kind::kHasSoft && !Kind::kHasTeacher) {
        soft = soft_at(j);
      }
      const Mask<Value> here = column == Values(static_cast<Value>(j));
      store_as(x_ + j * kLanes, select(here, at_label, Kind::other(gradient, e, soft)));
    }
    for (int r = 0; r < count_; ++r) {
      Logit* out = context_.grad(rows_[r]);
      for (int64_t j = 0; j < classes_; ++j) {
        out[j] = x_[j * kLanes + r];
      }
    }
  }

  RowContext<Logit, Kind> context_;
  int64_t classes_;
  Values inv_temperature_;
  Value* exps_[Kind::kExps];
  Logit* x_;
  Soft* soft_;
  int64_t rows_[kLanes];
  int64_t labels_[kLanes];
  int count_ = 0;
};

}  // namespace ffdwv::inline FFDWV_ISA
