// The loss on the CPU: rows shared out among torch's threads, each visited by the kernels of
// row_kernels.h.
//
// Rows are grouped into blocks whose size depends on C alone, each block is summed serially, and the
// blocks' sums are added in order: the result has the same bits for any number of threads.
#include "loss_cpu.h"

#include <torch/csrc/stable/ops.h>

#include <algorithm>
#include <cstddef>
#include <memory>
#include <stdexcept>
#include <string>
#include <vector>

#include "huge_pages.h"
#include "isa.h"

namespace ffdwv {
namespace {

constexpr int64_t kElementsPerBlock = 4096;
// A second thread costs about as long to wake as this many elements take.
constexpr int64_t kElementsPerThread = 16384;

struct Blocks {
  int64_t rows;  // of a block: as many as are visited together, or a multiple
  int64_t count;
  int64_t per_thread;  // at least
};

Blocks blocks_of(const RowJob& job) {
  const int64_t together = rows_together(job.classes);
  const int64_t rows =
      std::max<int64_t>(1, kElementsPerBlock / job.classes / together) * together;
  return {rows, (job.rows + rows - 1) / rows,
          std::max<int64_t>(1, kElementsPerThread / (rows * job.classes))};
}

// How many rows count; refuses a label that no row of S could be picked by.
int64_t count_valid(const RowJob& job) {
  int64_t ignored = 0, bad = 0;
  for (int64_t i = 0; i < job.rows; ++i) {
    const int64_t y = label_at(job, i);
    const bool is_ignored = y == job.ignore_index;
    ignored += is_ignored;
    bad += !is_ignored & (static_cast<uint64_t>(y) >= static_cast<uint64_t>(job.classes));
  }
  if (bad == 0) {
    return job.rows - ignored;
  }
  for (int64_t i = 0;; ++i) {
    const int64_t y = label_at(job, i);
    if (y != job.ignore_index && (y < 0 || y >= job.classes)) {
      throw std::out_of_range(
          "ffdwv_loss: labels[" + std::to_string(i) + "] = " + std::to_string(y) +
          " is outside [0, " + std::to_string(job.classes) + ")");
    }
  }
}

Element element(ScalarType dtype) {
  switch (dtype) {
    case ScalarType::Float:
      return Element::kFloat32;
    case ScalarType::Double:
      return Element::kFloat64;
    case ScalarType::BFloat16:
      return Element::kBFloat16;
    case ScalarType::Half:
      return Element::kFloat16;
    default:
      throw std::invalid_argument("ffdwv_loss: unsupported dtype");  // check() has refused it
  }
}

RowSoft row_soft(SoftKind kind) {
  switch (kind) {
    case SoftKind::kClassRows:
      return RowSoft::kPickedByLabel;
    case SoftKind::kSampleRows:
      return RowSoft::kPerRow;
    case SoftKind::kTeacher:
      return RowSoft::kTeacher;
    default:
      return RowSoft::kNone;
  }
}

MatrixView view(const Tensor& t) {
  return {t.const_data_ptr(), t.stride(0), t.stride(1)};
}

// grad_scale is still to be divided by what the reduction divides by.
RowJob make_job(const LossArguments& a, const LossOutputs& outputs) {
  RowJob job{};
  job.logit_type = element(a.logits.scalar_type());
  job.soft_kind = row_soft(a.soft_kind);
  job.logits = view(a.logits);
  if (a.soft) {
    job.soft_type = element(a.soft->scalar_type());
    job.soft = view(*a.soft);
  }
  job.labels = a.labels.const_data_ptr();
  job.labels_stride = a.labels.stride(0);
  job.wide_labels = a.labels.scalar_type() == ScalarType::Long;
  if (a.neg_entropy) {
    job.neg_entropy = static_cast<const double*>(a.neg_entropy->const_data_ptr());
    job.neg_entropy_stride = a.neg_entropy->stride(0);
  }
  const bool per_row = a.reduction == Reduction::kNone;
  if (a.grad_out) {
    job.grad_out = a.grad_out->const_data_ptr();
    job.grad_out_stride = per_row ? a.grad_out->stride(0) : 0;
  }
  if (a.compute_grad) {
    job.grad = outputs.grad.mutable_data_ptr();
  }
  if (per_row) {
    job.loss = outputs.loss.mutable_data_ptr();
    job.parts = static_cast<double*>(outputs.parts.mutable_data_ptr());
  }
  job.rows = a.rows();
  job.classes = a.classes();
  job.ignore_index = a.ignore_index;
  job.ce_weight = a.ce_weight;
  job.soft_weight = a.soft_weight;
  job.temperature = a.soft_kind == SoftKind::kTeacher ? a.temperature : 1;
  job.grad_scale = a.grad_scale;
  return job;
}

// Runs blocks of rows in one thread, with memory of its own for the kernels, aligned to a cache line.
void run_range(
    const RowJob& job, RowsFunction rows, const Blocks& blocks, int64_t begin, int64_t end,
    BlockSums* sums) {
  constexpr std::size_t kLine = 64, kOnStack = 16384;
  const std::size_t bytes = scratch_bytes(job.classes);
  alignas(kLine) std::byte on_stack[kOnStack];
  std::unique_ptr<std::byte[]> memory;
  void* scratch = on_stack;
  if (bytes > kOnStack) {
    std::size_t room = bytes + kLine;
    memory = std::make_unique_for_overwrite<std::byte[]>(room);
    scratch = memory.get();
    std::align(kLine, bytes, scratch, room);
  }
  for (int64_t b = begin; b < end; ++b) {
    const int64_t last = std::min((b + 1) * blocks.rows, job.rows);
    rows(job, b * blocks.rows, last, scratch, sums[b]);
  }
}

std::vector<BlockSums> run_blocks(const RowJob& job) {
  const Blocks blocks = blocks_of(job);
  const RowsFunction rows = rows_function(job);
  std::vector<BlockSums> sums(blocks.count);
  if (blocks.count <= blocks.per_thread) {
    run_range(job, rows, blocks, 0, blocks.count, sums.data());
  } else {
    torch::stable::parallel_for(
        0, blocks.count, blocks.per_thread, [&](int64_t begin, int64_t end) {
          run_range(job, rows, blocks, begin, end, sums.data());
        });
  }
  return sums;
}

// The mean over no rows is 0 / 0, as in torch.nn.functional.cross_entropy; its gradient is zero.
void write_reduced(
    const std::vector<BlockSums>& blocks, const LossOutputs& outputs, bool wide, double divisor) {
  BlockSums total;
  for (const BlockSums& block : blocks) {
    total.loss += block.loss;
    total.ce += block.ce;
    total.kl += block.kl;
    total.correct += block.correct;
  }
  void* loss = outputs.loss.mutable_data_ptr();
  if (wide) {
    *static_cast<double*>(loss) = total.loss / divisor;
  } else {
    *static_cast<float*>(loss) = static_cast<float>(total.loss / divisor);
  }
  auto* parts = static_cast<double*>(outputs.parts.mutable_data_ptr());
  parts[0] = total.ce / divisor;
  parts[1] = total.kl / divisor;
  parts[2] = static_cast<double>(total.correct);
}

}  // namespace

void loss_cpu(const LossArguments& a, const LossOutputs& outputs) {
  RowJob job = make_job(a, outputs);
  const int64_t valid = count_valid(job);
  const double divisor = a.reduction == Reduction::kMean ? static_cast<double>(valid) : 1;
  job.grad_scale /= divisor;
  if (a.compute_grad) {
    advise_huge_pages(job.grad, a.rows() * a.classes() * outputs.grad.element_size());
  }
  const std::vector<BlockSums> blocks = run_blocks(job);
  if (a.reduction != Reduction::kNone) {
    write_reduced(blocks, outputs, job.logit_type == Element::kFloat64, divisor);
  }
}

}  // namespace ffdwv
