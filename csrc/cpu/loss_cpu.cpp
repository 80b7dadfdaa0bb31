// The loss on the CPU: a row at a time, loss and gradient from one visit while the row is in cache.
//
// Rows are grouped into blocks whose size depends on C alone, each block is summed serially, and the
// blocks' sums are added in order: the result has the same bits for any number of threads.
#include "loss_cpu.h"

#include <torch/csrc/stable/ops.h>
#include <torch/headeronly/util/BFloat16.h>
#include <torch/headeronly/util/Half.h>

#include <algorithm>
#include <limits>
#include <stdexcept>
#include <string>
#include <type_traits>
#include <vector>

#include "../row.h"

namespace ffdwv {
namespace {

using Sum = double;  // row sums are kept wider than the values: C may be in the hundred thousands

// About 30 us of work: small enough to share out, large enough to pay for a thread.
constexpr int64_t kElementsPerBlock = 8192;

struct BlockSums {
  Sum loss = 0;
  Sum ce = 0;
  Sum kl = 0;
  int64_t correct = 0;
};

class Labels {
 public:
  explicit Labels(const Tensor& labels)
      : data_(labels.const_data_ptr()),
        stride_(labels.stride(0)),
        wide_(labels.scalar_type() == ScalarType::Long) {}

  int64_t operator[](int64_t i) const {
    return wide_ ? static_cast<const int64_t*>(data_)[i * stride_]
                 : static_cast<const int32_t*>(data_)[i * stride_];
  }

 private:
  const void* data_;
  int64_t stride_;
  bool wide_;
};

// How many rows count; refuses a label that no row of S could be picked by.
int64_t count_valid(const LossArguments& a, const Labels& labels) {
  int64_t valid = 0;
  for (int64_t i = 0; i < a.rows(); ++i) {
    const int64_t y = labels[i];
    if (y == a.ignore_index) {
      continue;
    }
    if (y < 0 || y >= a.classes()) {
      throw std::out_of_range("ffdwv_loss: labels[" + std::to_string(i) + "] = " +
                              std::to_string(y) + " is outside [0, " +
                              std::to_string(a.classes()) + ")");
    }
    ++valid;
  }
  return valid;
}

template <typename T>
struct Matrix {
  const T* data = nullptr;
  int64_t row_stride = 0;
  int64_t column_stride = 0;

  Matrix() = default;
  explicit Matrix(const Tensor& t)
      : data(static_cast<const T*>(t.const_data_ptr())),
        row_stride(t.stride(0)),
        column_stride(t.stride(1)) {}

  // Row i as contiguous values: where it lies, or converted into scratch.
  template <typename Value>
  const Value* row(int64_t i, int64_t size, std::vector<Value>& scratch) const {
    const T* start = data + i * row_stride;
    if constexpr (std::is_same_v<T, Value>) {
      if (column_stride == 1) {
        return start;
      }
    }
    scratch.resize(size);
    for (int64_t j = 0; j < size; ++j) {
      scratch[j] = static_cast<Value>(start[j * column_stride]);
    }
    return scratch.data();
  }
};

// The soft-target argument of a loss that has none: the compiler drops what it would feed.
struct NoSoft {};

template <typename Logit, typename Soft>
class RowLoop {
  static constexpr bool kHasSoft = !std::is_same_v<Soft, NoSoft>;
  using Value = std::conditional_t<std::is_same_v<Logit, double>, double, float>;
  using SoftElement = std::conditional_t<kHasSoft, Soft, float>;

 public:
  RowLoop(const LossArguments& a, const LossOutputs& outputs, const Labels& labels, Sum scale)
      : a_(a), labels_(labels), logits_(a.logits), weights_{a.ce_weight, a.soft_weight},
        scale_(scale), per_row_(a.reduction == Reduction::kNone) {
    if constexpr (kHasSoft) {
      soft_ = Matrix<SoftElement>(*a.similarity);
      if (a.neg_entropy) {
        neg_entropy_ = static_cast<const double*>(a.neg_entropy->const_data_ptr());
        neg_entropy_stride_ = a.neg_entropy->stride(0);
      }
    }
    if (a.grad_out) {
      grad_out_ = static_cast<const Value*>(a.grad_out->const_data_ptr());
      grad_out_stride_ = per_row_ ? a.grad_out->stride(0) : 0;
    }
    if (a.compute_grad) {
      grad_ = static_cast<Logit*>(outputs.grad.mutable_data_ptr());
    }
    if (per_row_) {
      row_losses_ = static_cast<Value*>(outputs.loss.mutable_data_ptr());
      row_parts_ = static_cast<double*>(outputs.parts.mutable_data_ptr());
    }
  }

  BlockSums run(int64_t begin, int64_t end) {
    BlockSums block;
    for (int64_t i = begin; i < end; ++i) {
      const int64_t y = labels_[i];
      if (y == a_.ignore_index) {
        write_row(i, {0, 0, 0}, false);
        if (grad_ != nullptr) {
          std::fill_n(grad_ + i * a_.classes(), a_.classes(), static_cast<Logit>(0.0f));
        }
      } else {
        add_row(i, y, block);
      }
    }
    return block;
  }

 private:
  void add_row(int64_t i, int64_t y, BlockSums& block) {
    const int64_t classes = a_.classes();
    const Value* x = logits_.row(i, classes, x_scratch_);
    const Value* t = nullptr;
    if constexpr (kHasSoft) {
      t = soft_.row(y, classes, t_scratch_);
    }
    exp_.resize(classes);

    const Value max = maximum(x, classes);
    const RowSums<Sum> sums = sweep(x, t, y, max);
    const RowLoss<Sum> row = row_loss(sums, static_cast<Sum>(x[y] - max), weights_);
    const bool correct = is_correct(x, y, max) && sums.exp_sum == sums.exp_sum;
    block.loss += row.loss;
    block.ce += row.ce;
    block.kl += row.kl;
    block.correct += correct;
    write_row(i, row, correct);
    if (grad_ != nullptr) {
      const Sum upstream = grad_out_ == nullptr ? 1 : grad_out_[i * grad_out_stride_];
      write_gradient(i, y, t, RowGradient<Sum>(sums, weights_, upstream * scale_));
    }
  }

  static Value maximum(const Value* x, int64_t classes) {
    Value max = x[0];
    for (int64_t j = 1; j < classes; ++j) {
      max = x[j] > max ? x[j] : max;
    }
    return max;
  }

  RowSums<Sum> sweep(const Value* x, const Value* t, int64_t y, Value max) {
    RowSums<Sum> sums;
    for (int64_t j = 0; j < a_.classes(); ++j) {
      const Value shifted = x[j] - max;
      exp_[j] = std::exp(shifted);
      sums.add_exp(exp_[j]);
      if constexpr (kHasSoft) {
        sums.add_soft(shifted, t[j]);
        if (neg_entropy_ == nullptr) {
          sums.add_neg_entropy(t[j]);
        }
      }
    }
    if (kHasSoft && neg_entropy_ != nullptr) {
      sums.neg_entropy = neg_entropy_[y * neg_entropy_stride_];
    }
    return sums;
  }

  // The label is the prediction if it is the first of the largest logits, as in torch.argmax.
  static bool is_correct(const Value* x, int64_t y, Value max) {
    return x[y] == max && std::find(x, x + y, max) == x + y;
  }

  void write_row(int64_t i, const RowLoss<Sum>& row, bool correct) {
    if (per_row_) {
      row_losses_[i] = static_cast<Value>(row.loss);
      row_parts_[i] = row.ce;
      row_parts_[a_.rows() + i] = row.kl;
      row_parts_[2 * a_.rows() + i] = correct;
    }
  }

  void write_gradient(int64_t i, int64_t y, const Value* t, const RowGradient<Sum>& gradient) {
    Logit* out = grad_ + i * a_.classes();
    for (int64_t j = 0; j < a_.classes(); ++j) {
      out[j] = static_cast<Logit>(gradient.other(exp_[j], kHasSoft ? t[j] : Value(0)));
    }
    const Sum label = gradient.label(exp_[y], kHasSoft ? t[y] : Value(0));
    out[y] = static_cast<Logit>(static_cast<Value>(label));
  }

  const LossArguments& a_;
  const Labels& labels_;
  Matrix<Logit> logits_;
  Matrix<SoftElement> soft_;
  Weights<Sum> weights_;
  Sum scale_;
  bool per_row_;
  const double* neg_entropy_ = nullptr;
  int64_t neg_entropy_stride_ = 0;
  const Value* grad_out_ = nullptr;
  int64_t grad_out_stride_ = 0;
  Logit* grad_ = nullptr;
  Value* row_losses_ = nullptr;
  double* row_parts_ = nullptr;
  std::vector<Value> x_scratch_, t_scratch_, exp_;
};

// The mean over no rows is 0 / 0, as in torch.nn.functional.cross_entropy; its gradient is zero.
template <typename Value>
void write_reduced(const std::vector<BlockSums>& blocks, const LossOutputs& outputs, Sum divisor) {
  BlockSums total;
  for (const BlockSums& block : blocks) {
    total.loss += block.loss;
    total.ce += block.ce;
    total.kl += block.kl;
    total.correct += block.correct;
  }
  *static_cast<Value*>(outputs.loss.mutable_data_ptr()) = static_cast<Value>(total.loss / divisor);
  auto* parts = static_cast<double*>(outputs.parts.mutable_data_ptr());
  parts[0] = total.ce / divisor;
  parts[1] = total.kl / divisor;
  parts[2] = static_cast<double>(total.correct);
}

template <typename Logit, typename Soft>
void run(const LossArguments& a, const LossOutputs& outputs) {
  const Labels labels(a.labels);
  const int64_t valid = count_valid(a, labels);
  const Sum divisor = a.reduction == Reduction::kMean ? static_cast<Sum>(valid) : 1;
  const int64_t block_rows = std::max<int64_t>(1, kElementsPerBlock / a.classes());
  const int64_t block_count = (a.rows() + block_rows - 1) / block_rows;
  std::vector<BlockSums> blocks(block_count);

  torch::stable::parallel_for(0, block_count, 1, [&](int64_t begin, int64_t end) {
    RowLoop<Logit, Soft> loop(a, outputs, labels, 1 / divisor);
    for (int64_t b = begin; b < end; ++b) {
      blocks[b] = loop.run(b * block_rows, std::min((b + 1) * block_rows, a.rows()));
    }
  });
  if (a.reduction != Reduction::kNone) {
    using Value = std::conditional_t<std::is_same_v<Logit, double>, double, float>;
    write_reduced<Value>(blocks, outputs, divisor);
  }
}

template <typename Logit>
void run_for_logits(const LossArguments& a, const LossOutputs& outputs) {
  if (!a.similarity) {
    run<Logit, NoSoft>(a, outputs);
  } else if (a.similarity->scalar_type() == ScalarType::Float) {
    run<Logit, float>(a, outputs);
  } else {
    run<Logit, Logit>(a, outputs);
  }
}

}  // namespace

void loss_cpu(const LossArguments& a, const LossOutputs& outputs) {
  switch (a.logits.scalar_type()) {
    case ScalarType::Float:
      return run_for_logits<float>(a, outputs);
    case ScalarType::Double:
      return run_for_logits<double>(a, outputs);
    case ScalarType::BFloat16:
      return run_for_logits<c10::BFloat16>(a, outputs);
    case ScalarType::Half:
      return run_for_logits<c10::Half>(a, outputs);
    default:
      throw std::invalid_argument("ffdwv_loss: unsupported dtype");  // check() has refused it
  }
}

}  // namespace ffdwv
