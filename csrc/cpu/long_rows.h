// Rows of more than kTileClasses classes: a row's columns in the lanes.
//
// Several rows go through each step together: their maxima, their sums (exponentials are kept, in
// cache), the formula in double with a row in each lane, their gradients. What is left over at the end
// of a row is the vector that ends with it, lanes that were counted before masked out of the sums.
#pragma once

#include "row_tile.h"

namespace ffdwv::inline FFDWV_ISA {

// Lanes are summed in the type of the values over this many elements, beyond that in double: the error
// of a lane's sum is a few units in the last place for any number of classes.
constexpr int64_t kElementsPerSum = 8 * kLanes;

template <typename Logit, typename Kind>
class LongRows {
  using Value = ValueOf<Logit>;
  using Values = Vector<Value>;
  using Doubles = Vector<double>;
  using Soft = typename Kind::Element;
  using Lanes = typename Kind::template Sums<Values>;
  using WideLanes = typename Kind::template Sums<Doubles>;
  using Gradient = typename Kind::template Gradient<double>;
  using Label = typename RowTile<Logit, Kind>::Label;

  struct Row {
    int64_t y;
    RowView<Logit> x;
    RowView<Soft> soft;
    // Of a row visited later: fetched while this one is summed. Rows of a matrix picked by labels come
    // in no order that the processor could foresee.
    const Logit* next_x;
    const Soft* next_soft;
    Value max;
    Value soft_max;
    Value* exps[Kind::kExps];
    Logit* x_copy;
    Soft* soft_copy;
  };

 public:
  FFDWV_SIMD LongRows(const RowJob& job, void* memory)
      : tile_(job),
        classes_(job.classes),
        whole_(job.classes / kLanes * kLanes),
        together_(rows_together(job.classes)),
        inv_temperature_(tile_.context.inv_temperature) {
    Scratch scratch(memory);
    lanes_ = scratch.take<WideLanes>(kLanes);
    for (int64_t r = 0; r < together_; ++r) {
      for (auto*& exps : rows_[r].exps) {
        exps = scratch.take<Value>(classes_);
      }
      rows_[r].x_copy = scratch.take<Logit>(classes_);
      rows_[r].soft_copy = scratch.take<Soft>(classes_);
    }
  }

  FFDWV_SIMD void run(int64_t begin, int64_t end, BlockSums& block) {
    for (int64_t i = begin; i < end;) {
      i = tile_.take(i, end, together_);
      if (tile_.count > 0) {
        add_tile(block);
      }
    }
  }

 private:
  FFDWV_SIMD void add_tile(BlockSums& block) {
    place_rows();
    const Values max = maxima();
    for (int r = 0; r < tile_.count; ++r) {
      lanes_[r] = sweep(rows_[r]);
    }
    WideLanes sums = across(lanes_, tile_.count);
    const Label label = at_labels();
    sums.exp_sum += Doubles(label.e[0]);
    if constexpr (Kind::kHasSoft && !Kind::kHasTeacher) {
      sums.neg_entropy = neg_entropies();
    }
    bool is_largest[kLanes];
    find_largest(label.logit, is_largest);
    tile_.report(sums, Doubles(label.logit) - Doubles(max), is_largest, block);
    if (tile_.context.job.grad != nullptr) {
      write_gradients(tile_.gradient(sums), label);
    }
  }

  FFDWV_SIMD void place_rows() {
    const auto& context = tile_.context;
    for (int r = 0; r < tile_.count; ++r) {
      Row& row = rows_[r];
      const int64_t i = tile_.rows[r];
      row.y = tile_.labels[r];
      row.x = view(context.logits(i), context.job.logits.column_stride, row.x_copy);
      if constexpr (Kind::kHasSoft) {
        row.soft = view(context.soft(i, row.y), context.job.soft.column_stride, row.soft_copy);
      }
      const int64_t next = i + together_ < context.job.rows ? i + together_ : i;
      row.next_x = context.logits(next);
      if constexpr (Kind::kHasSoft) {
        const int64_t y = label_at(context.job, next);
        row.next_soft = context.soft(next, y == context.job.ignore_index ? 0 : y);
      }
    }
  }

  // The row where it lies, or copied together.
  template <typename Element>
  FFDWV_SIMD RowView<Element> view(const Element* row, int64_t stride, Element* copy) const {
    if (stride == 1) {
      return {row, 1};
    }
    const int64_t size = stride == 0 ? kLanes : classes_;
    for (int64_t j = 0; j < size; ++j) {
      copy[j] = row[j * stride];
    }
    return {copy, stride == 0 ? 0 : 1};
  }

  // Also sets the rows' own.
  FFDWV_SIMD Values maxima() {
    Values lanes[kLanes];
    [[maybe_unused]] Values soft_lanes[kLanes];
    for (int r = 0; r < tile_.count; ++r) {
      lanes[r] = lane_maxima(rows_[r].x);
      if constexpr (Kind::kHasTeacher) {
        soft_lanes[r] = lane_maxima(rows_[r].soft);
      }
    }
    const Values max = fold_each<Value>(
        [&](int r) { return lanes[r]; }, tile_.count, kMaximum);
    Values soft_max(0);
    if constexpr (Kind::kHasTeacher) {
      soft_max = fold_each<Value>(
          [&](int r) { return soft_lanes[r]; }, tile_.count, kMaximum);
    }
    Value each[kLanes], soft_each[kLanes];
    max.store(each);
    soft_max.store(soft_each);
    for (int r = 0; r < tile_.count; ++r) {
      rows_[r].max = each[r];
      rows_[r].soft_max = soft_each[r];
    }
    return max;
  }

  template <typename Element>
  FFDWV_SIMD Values lane_maxima(const RowView<Element>& row) const {
    Values largest[4] = {Values(-__builtin_inff()), Values(-__builtin_inff()),
                         Values(-__builtin_inff()), Values(-__builtin_inff())};
    int64_t j = 0;
    for (; j + 4 * kLanes <= classes_; j += 4 * kLanes) {
      FFDWV_FOR_PARTS(4, {
        largest[k] = larger(load_as<Value>(row.at(j + k * kLanes)), largest[k]);
      })
    }
    for (; j + kLanes <= classes_; j += kLanes) {
      largest[0] = larger(load_as<Value>(row.at(j)), largest[0]);
    }
    largest[1] = larger(load_as<Value>(row.at(classes_ - kLanes)), largest[1]);
    return larger(larger(largest[0], largest[1]), larger(largest[2], largest[3]));
  }

  // The label's exponential is left out of the lanes and added in double: where it is nearly all of
  // the sum, what remains keeps its digits.
  FFDWV_SIMD WideLanes sweep(const Row& row) const {
    WideLanes total;
    int64_t j = 0;
    do {
      const int64_t end = j + kElementsPerSum < whole_ ? j + kElementsPerSum : whole_;
      Lanes lanes;
      if (end == whole_ || (j <= row.y && row.y < end)) {
        for (; j < end; j += kLanes) {
          visit<true, false>(row, j, lanes);
        }
      } else {
        for (; j < end; j += kLanes) {
          visit<false, false>(row, j, lanes);
        }
      }
      if (end == whole_ && whole_ < classes_) {
        visit<true, true>(row, classes_ - kLanes, lanes);
      }
      total.merge(widen<Doubles>(lanes));
    } while (j < whole_);
    return total;
  }

  // `may_hold_label`: the label's lane, if it is one of these, is left out of the sum of exponentials;
  // `ends_row`: only the lanes that no other vector has are summed.
  template <bool may_hold_label, bool ends_row>
  FFDWV_SIMD void visit(const Row& row, int64_t j, Lanes& lanes) const {
    const Values shifted = load_as<Value>(row.x.at(j)) - Values(row.max);
    Values soft_value(0);
    if constexpr (Kind::kHasTeacher) {
      soft_value = (load_as<Value>(row.soft.at(j)) - Values(row.soft_max)) * inv_temperature_;
    } else if constexpr (Kind::kHasSoft) {
      soft_value = load_as<Value>(row.soft.at(j));
    }
    __builtin_prefetch(row.next_x + j, 0, 2);
    if constexpr (Kind::kHasSoft) {
      __builtin_prefetch(row.next_soft + j, 0, 2);
    }
    Values e[Kind::kExps];
    Kind::exps(e, shifted, soft_value, inv_temperature_);
    for (int k = 0; k < Kind::kExps; ++k) {
      e[k].store(row.exps[k] + j);
    }
    if constexpr (ends_row) {
      const Mask<Value> fresh = lanes_from<Value>(kLanes - classes_ % kLanes);
      for (auto& value : e) {
        value = select(fresh, value, Values(0));
      }
      soft_value = select(fresh, soft_value, Values(0));
    }
    if constexpr (may_hold_label) {
      e[0] = select(lane_is<Value>(row.y - j), Values(0), e[0]);
    }
    Kind::add(lanes, e, shifted, soft_value, inv_temperature_);
  }

  FFDWV_SIMD Label at_labels() const {
    Logit x[kLanes] = {};
    Soft soft[kLanes] = {};
    Value e[Kind::kExps][kLanes] = {};
    for (int r = 0; r < tile_.count; ++r) {
      const Row& row = rows_[r];
      x[r] = *row.x.at(row.y);
      if constexpr (Kind::kHasSoft) {
        soft[r] = *row.soft.at(row.y);
      }
      for (int k = 0; k < Kind::kExps; ++k) {
        e[k][r] = row.exps[k][row.y];
      }
    }
    Label label;
    label.logit = load_as<Value>(x);
    if constexpr (Kind::kHasSoft) {
      label.soft = load_as<Value>(soft);
    }
    for (int k = 0; k < Kind::kExps; ++k) {
      label.e[k] = Values::load(e[k]);
    }
    return label;
  }

  FFDWV_SIMD Doubles neg_entropies() const {
    if (tile_.context.knows_neg_entropy()) {
      return tile_.known_neg_entropy();
    }
    double found[kLanes] = {};
    for (int r = 0; r < tile_.count; ++r) {
      found[r] = neg_entropy(rows_[r].soft);
    }
    return Doubles::load(found);
  }

  FFDWV_SIMD double neg_entropy(const RowView<Soft>& soft) const {
    RowSums<Doubles> total;
    for (int64_t j = 0; j < classes_; j += kLanes) {
      const int64_t start = j + kLanes <= classes_ ? j : classes_ - kLanes;
      const Mask<Value> fresh = lanes_from<Value>(j - start);
      RowSums<Values> lanes;
      lanes.add_neg_entropy(select(fresh, load_as<Value>(soft.at(start)), Values(0)));
      total.merge(widen<Doubles>(lanes));
    }
    return fold(total.neg_entropy, kSum);
  }

  FFDWV_SIMD void find_largest(const Values& label_logits, bool (&is_largest)[kLanes]) const {
    Value logits[kLanes];
    label_logits.store(logits);
    for (int r = 0; r < tile_.count; ++r) {
      const Row& row = rows_[r];
      is_largest[r] = logits[r] == row.max && !occurs_before(row.x, row.max, row.y);
    }
  }

  FFDWV_SIMD bool occurs_before(const RowView<Logit>& x, Value value, int64_t y) const {
    Mask<Value> found = Values(0) > Values(0);
    for (int64_t j = 0; j < y; j += kLanes) {
      const int64_t start = j + kLanes <= classes_ ? j : classes_ - kLanes;
      const Mask<Value> equal = load_as<Value>(x.at(start)) == Values(value);
      const int64_t before = y - start < kLanes ? y - start : kLanes;
      found = found | (equal & lanes_before<Value>(before));
    }
    return any(found);
  }

  FFDWV_SIMD void write_gradients(
      const typename RowTile<Logit, Kind>::Gradient& gradients, const Label& label) const {
    Logit at_label[kLanes];
    store_as(at_label, tile_.gradient_at_label(gradients, label));
    for (int r = 0; r < tile_.count; ++r) {
      Logit* out = tile_.context.grad(tile_.rows[r]);
      write_gradient(out, rows_[r], lane_of<Gradient>(gradients, r));
      out[rows_[r].y] = at_label[r];
    }
  }

  FFDWV_SIMD void write_gradient(Logit* out, const Row& row, const Gradient& gradient) const {
    int64_t j = 0;
    for (; j < whole_; j += kLanes) {
      store_as(out + j, gradient_at(row, gradient, j));
    }
    if (j < classes_) {
      store_as(out + classes_ - kLanes, gradient_at(row, gradient, classes_ - kLanes));
    }
  }

  FFDWV_SIMD Values gradient_at(const Row& row, const Gradient& gradient, int64_t j) const {
    Values e[Kind::kExps];
    for (int k = 0; k < Kind::kExps; ++k) {
      e[k] = Values::load(row.exps[k] + j);
    }
    Values soft(0);
    if constexpr (Kind::kHasSoft && !Kind::kHasTeacher) {
      soft = load_as<Value>(row.soft.at(j));
    }
    return Kind::other(gradient, e, soft);
  }

  RowTile<Logit, Kind> tile_;
  int64_t classes_;
  int64_t whole_;  // classes in whole vectors
  int64_t together_;
  Values inv_temperature_;
  WideLanes* lanes_;  // of each row
  Row rows_[kTileRows];
};

}  // namespace ffdwv::inline FFDWV_ISA
