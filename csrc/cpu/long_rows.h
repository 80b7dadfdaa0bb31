// Rows of more than kTileClasses classes: a row at a time, its columns in the lanes.
//
// A row is read for its maximum, for its sums (exponentials are kept, in cache) and for its gradient.
// What is left over at its end is the vector that ends with the row, lanes that were counted before
// masked out of the sums.
#pragma once

#include "row_context.h"
#include "simd_math.h"

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
  using Sums = typename Kind::template Sums<double>;
  using Lanes = typename Kind::template Sums<Values>;
  using Gradient = typename Kind::template Gradient<double>;

 public:
  FFDWV_SIMD LongRows(const RowJob& job, void* memory)
      : context_(job), classes_(job.classes), inv_temperature_(context_.inv_temperature) {
    Scratch scratch(memory);
    for (auto*& exps : exps_) {
      exps = scratch.take<Value>(classes_);
    }
    x_copy_ = scratch.take<Logit>(classes_);
    soft_copy_ = scratch.take<Soft>(classes_);
  }

  FFDWV_SIMD void run(int64_t begin, int64_t end, BlockSums& block) {
    for (int64_t i = begin; i < end; ++i) {
      const int64_t y = label_at(context_.job, i);
      if (y == context_.job.ignore_index) {
        context_.ignore(i);
      } else {
        expect_row(i + 1 < end ? i + 1 : i);
        add_row(i, y, block);
      }
    }
  }

 private:
  // Where the next row lies: it is fetched while this one is computed. Rows of a matrix picked by
  // labels come in no order that the processor could foresee.
  FFDWV_SIMD void expect_row(int64_t i) {
    next_x_ = context_.logits(i);
    if constexpr (Kind::kHasSoft) {
      const int64_t y = label_at(context_.job, i);
      next_soft_ = context_.soft(i, y == context_.job.ignore_index ? 0 : y);
    }
  }

  FFDWV_SIMD void add_row(int64_t i, int64_t y, BlockSums& block) {
    const RowView<Logit> x = view(context_.logits(i), context_.job.logits.column_stride, x_copy_);
    RowView<Soft> soft;
    if constexpr (Kind::kHasSoft) {
      soft = view(context_.soft(i, y), context_.job.soft.column_stride, soft_copy_);
    }
    const Value max = maximum(x);
    const Value soft_max = Kind::kHasTeacher ? static_cast<Value>(maximum(soft)) : Value(0);
    Sums sums = sweep(x, max, soft, soft_max, y);
    if constexpr (Kind::kHasSoft && !Kind::kHasTeacher) {
      sums.neg_entropy =
          context_.knows_neg_entropy() ? context_.neg_entropy(y) : neg_entropy(soft);
    }
    const Value label_logit = lane<Value>(x, y);
    const double shifted = static_cast<double>(label_logit) - static_cast<double>(max);
    const bool correct =
        label_logit == max && sums.exp_sum == sums.exp_sum && !occurs_before(x, max, y);
    context_.report(i, Kind::loss(sums, shifted, context_.options), correct, block);
    if (context_.job.grad != nullptr) {
      write_gradient(i, y, soft, Kind::gradient(sums, context_.options, context_.upstream(i)));
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

  template <typename As, typename Element>
  FFDWV_SIMD static As lane(const RowView<Element>& row, int64_t j) {
    if constexpr (sizeof(Element) == sizeof(As)) {
      return *row.at(j);
    } else {
      Element repeated[kLanes] = {*row.at(j)};
      As values[kLanes];
      load_as<As>(repeated).store(values);
      return values[0];
    }
  }

  template <typename Element>
  FFDWV_SIMD Value maximum(const RowView<Element>& row) const {
    Values largest[4] = {Values(-__builtin_inff()), Values(-__builtin_inff()),
                         Values(-__builtin_inff()), Values(-__builtin_inff())};
    int64_t j = 0;
    for (; j + 4 * kLanes <= classes_; j += 4 * kLanes) {
      for (int k = 0; k < 4; ++k) {
        largest[k] = larger(load_as<Value>(row.at(j + k * kLanes)), largest[k]);
      }
    }
    for (; j + kLanes <= classes_; j += kLanes) {
      largest[0] = larger(load_as<Value>(row.at(j)), largest[0]);
    }
    largest[1] = larger(load_as<Value>(row.at(classes_ - kLanes)), largest[1]);
    return max_lane(larger(larger(largest[0], largest[1]), larger(largest[2], largest[3])));
  }

  // The label's exponential is left out of the lanes and added in double: where it is nearly all of
  // the sum, what remains keeps its digits.
  FFDWV_SIMD Sums sweep(
      const RowView<Logit>& x, Value max, const RowView<Soft>& soft, Value soft_max,
      int64_t y) const {
    typename Kind::template Sums<Doubles> total;
    Lanes lanes;
    const int64_t whole = classes_ / kLanes * kLanes;
    const int64_t at_label = y / kLanes * kLanes;
    const int64_t last = classes_ - kLanes;
    for (int64_t j = at_label < whole ? at_label : last;; j = last) {
      visit<true>(x, max, soft, soft_max, j, y, lanes);
      if (j == last || whole == classes_) {
        break;
      }
    }
    for (int64_t j = 0; j < whole;) {
      const int64_t end = j + kElementsPerSum < whole ? j + kElementsPerSum : whole;
      for (; j < end; j += kLanes) {
        if (j != at_label) {
          visit<false>(x, max, soft, soft_max, j, y, lanes);
        }
      }
      total.merge(widen<Doubles>(lanes));
      lanes = Lanes();
    }
    Sums sums = across(total);
    sums.exp_sum += exps_[0][y];
    return sums;
  }

  // `is_special`: the label's vector, or that at the end of the row, of which only the lanes that no
  // other vector has are summed.
  template <bool is_special>
  FFDWV_SIMD void visit(
      const RowView<Logit>& x, Value max, const RowView<Soft>& soft, Value soft_max, int64_t j,
      int64_t y, Lanes& lanes) const {
    const Values shifted = load_as<Value>(x.at(j)) - Values(max);
    Values soft_value(0);
    if constexpr (Kind::kHasTeacher) {
      soft_value = (load_as<Value>(soft.at(j)) - Values(soft_max)) * inv_temperature_;
    } else if constexpr (Kind::kHasSoft) {
      soft_value = load_as<Value>(soft.at(j));
    }
    if constexpr (!is_special) {
      __builtin_prefetch(next_x_ + j, 0, 2);
      if constexpr (Kind::kHasSoft) {
        __builtin_prefetch(next_soft_ + j, 0, 2);
      }
    }
    Values e[Kind::kExps];
    Kind::exps(e, shifted, soft_value, inv_temperature_);
    for (int k = 0; k < Kind::kExps; ++k) {
      e[k].store(exps_[k] + j);
    }
    if constexpr (is_special) {
      const Mask<Value> fresh = lanes_from<Value>((kLanes - j % kLanes) % kLanes);
      for (auto& value : e) {
        value = select(fresh, value, Values(0));
      }
      soft_value = select(fresh, soft_value, Values(0));
      const int64_t lane = y - j;
      if (lane >= 0 && lane < kLanes) {
        const Mask<Value> label = lanes_from<Value>(lane) & lanes_before<Value>(lane + 1);
        e[0] = select(label, Values(0), e[0]);
      }
    }
    Kind::add(lanes, e, shifted, soft_value, inv_temperature_);
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
    return sum_lanes(total.neg_entropy);
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

  FFDWV_SIMD void write_gradient(
      int64_t i, int64_t y, const RowView<Soft>& soft, const Gradient& gradient) const {
    Logit* out = context_.grad(i);
    int64_t j = 0;
    for (; j + kLanes <= classes_; j += kLanes) {
      store_as(out + j, gradient_at(gradient, soft, j));
    }
    if (j < classes_) {
      store_as(out + classes_ - kLanes, gradient_at(gradient, soft, classes_ - kLanes));
    }
    double e[Kind::kExps];
    for (int k = 0; k < Kind::kExps; ++k) {
      e[k] = exps_[k][y];
    }
    double t = 0;
    if constexpr (Kind::kHasSoft && !Kind::kHasTeacher) {
      t = static_cast<double>(lane<Value>(soft, y));
    }
    Logit label[kLanes];
    store_as(label, Values(static_cast<Value>(Kind::label(gradient, e, t))));
    out[y] = label[0];
  }

  FFDWV_SIMD Values gradient_at(
      const Gradient& gradient, const RowView<Soft>& soft, int64_t j) const {
    Values e[Kind::kExps];
    for (int k = 0; k < Kind::kExps; ++k) {
      e[k] = Values::load(exps_[k] + j);
    }
    Values t(0);
    if constexpr (Kind::kHasSoft && !Kind::kHasTeacher) {
      t = load_as<Value>(soft.at(j));
    }
    return Kind::other(gradient, e, t);
  }

  RowContext<Logit, Kind> context_;
  int64_t classes_;
  Values inv_temperature_;
  Value* exps_[Kind::kExps];
  const Logit* next_x_ = nullptr;
  const Soft* next_soft_ = nullptr;
  Logit* x_copy_;
  Soft* soft_copy_;
};

}  // namespace ffdwv::inline FFDWV_ISA
