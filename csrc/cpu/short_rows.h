// Rows of at most kTileClasses classes: kTileRows rows at a time, one in each lane.
//
// The rows are transposed on their way in and out; between, everything that happens to a row, the
// formula in double included, happens to all of them at once.
#pragma once

#include "row_tile.h"

namespace ffdwv::inline FFDWV_ISA {

template <typename Logit, typename Kind>
class ShortRows {
  using Value = ValueOf<Logit>;
  using Values = Vector<Value>;
  using Doubles = Vector<double>;
  using Soft = typename Kind::Element;
  using Label = typename RowTile<Logit, Kind>::Label;

 public:
  FFDWV_SIMD ShortRows(const RowJob& job, void* memory)
      : tile_(job), classes_(job.classes), inv_temperature_(tile_.context.inv_temperature) {
    Scratch scratch(memory);
    for (auto*& exps : exps_) {
      exps = scratch.take<Value>(classes_ * kLanes);
    }
    x_ = scratch.take<Logit>(classes_ * kLanes);
    soft_ = scratch.take<Soft>(classes_ * kLanes);
  }

  FFDWV_SIMD void run(int64_t begin, int64_t end, BlockSums& block) {
    for (int64_t i = begin; i < end;) {
      i = tile_.take(i, end, kTileRows);
      if (tile_.count > 0) {
        add_tile(block);
      }
    }
  }

 private:
  FFDWV_SIMD void add_tile(BlockSums& block) {
    gather();
    Values max, largest;
    maximum(max, largest);
    const Values soft_max = Kind::kHasTeacher ? soft_maximum() : Values(0);
    Value label_columns[kLanes] = {}, largest_columns[kLanes];
    largest.store(largest_columns);
    bool is_largest[kLanes];
    for (int r = 0; r < tile_.count; ++r) {
      label_columns[r] = static_cast<Value>(tile_.labels[r]);
      is_largest[r] = largest_columns[r] == label_columns[r];
    }
    const Values column = Values::load(label_columns);
    Label label;
    const auto sums = sweep(max, soft_max, column, label);
    tile_.report(sums, Doubles(label.logit) - Doubles(max), is_largest, block);
    if (tile_.context.job.grad != nullptr) {
      write_gradient(tile_.gradient(sums), column, label);
    }
  }

  FFDWV_SIMD void gather() {
    const RowJob& job = tile_.context.job;
    for (int r = 0; r < kLanes; ++r) {
      const int from = r < tile_.count ? r : 0;
      const Logit* x = tile_.context.logits(tile_.rows[from]);
      for (int64_t j = 0; j < classes_; ++j) {
        x_[j * kLanes + r] = x[j * job.logits.column_stride];
      }
      if constexpr (Kind::kHasSoft) {
        const Soft* soft = tile_.context.soft(tile_.rows[from], tile_.labels[from]);
        for (int64_t j = 0; j < classes_; ++j) {
          soft_[j * kLanes + r] = soft[j * job.soft.column_stride];
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
    if (tile_.context.knows_neg_entropy()) {
      return tile_.known_neg_entropy();
    }
    RowSums<Values> sums;
    for (int64_t j = 0; j < classes_; ++j) {
      sums.add_neg_entropy(soft_at(j));
    }
    return Doubles(sums.neg_entropy);
  }

  FFDWV_SIMD void write_gradient(
      const typename RowTile<Logit, Kind>::Gradient& gradient, const Values& column,
      const Label& label) const {
    const Values at_label = tile_.gradient_at_label(gradient, label);
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
    for (int r = 0; r < tile_.count; ++r) {
      Logit* out = tile_.context.grad(tile_.rows[r]);
      for (int64_t j = 0; j < classes_; ++j) {
        out[j] = x_[j * kLanes + r];
      }
    }
  }

  RowTile<Logit, Kind> tile_;
  int64_t classes_;
  Values inv_temperature_;
  Value* exps_[Kind::kExps];
  Logit* x_;
  Soft* soft_;
};

}  // namespace ffdwv::inline FFDWV_ISA
