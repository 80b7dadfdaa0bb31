// The row kernels in several threads over one job, as csrc/cpu/loss_cpu.cpp shares it out: the same
// bits as in one thread. No Python, no torch: built with -fsanitize=thread it shows that the threads
// share nothing that they write.
#include <algorithm>
#include <cstdint>
#include <cstdio>
#include <cstring>
#include <new>
#include <random>
#include <thread>
#include <vector>

#include "cpu/isa.h"
#include "cpu/row_job.h"

namespace {

using namespace ffdwv;

constexpr int64_t kRows = 203, kBlock = 16, kThreads = 4;

struct Outputs {
  std::vector<double> grad, loss, parts;
  std::vector<BlockSums> blocks;
};

struct Inputs {
  std::vector<double> logits, soft, neg_entropy;
  std::vector<int64_t> labels;
};

Inputs random_inputs(int64_t classes, RowSoft kind) {
  std::mt19937_64 random(classes);
  std::normal_distribution<double> normal;
  Inputs made{{}, {}, std::vector<double>(classes, -0.5), {}};
  for (int64_t i = 0; i < kRows * classes; ++i) {
    made.logits.push_back(normal(random));
  }
  const int64_t soft_rows = kind == RowSoft::kPickedByLabel ? classes : kRows;
  made.soft.assign(soft_rows * classes, 1.0 / static_cast<double>(classes));
  for (int64_t i = 0; i < kRows; ++i) {
    made.labels.push_back(i % 7 == 3 ? -100 : static_cast<int64_t>(random() % classes));
  }
  return made;
}

RowJob make_job(const Inputs& in, int64_t classes, RowSoft kind, bool per_row, Outputs& out) {
  out = {std::vector<double>(kRows * classes), std::vector<double>(kRows),
         std::vector<double>(3 * kRows), std::vector<BlockSums>((kRows + kBlock - 1) / kBlock)};
  RowJob job{};
  job.logit_type = job.soft_type = Element::kFloat64;
  job.soft_kind = kind;
  job.logits = {in.logits.data(), classes, 1};
  job.soft = {in.soft.data(), classes, 1};
  job.labels = in.labels.data();
  job.labels_stride = 1;
  job.wide_labels = true;
  if (kind == RowSoft::kPickedByLabel) {
    job.neg_entropy = in.neg_entropy.data();
    job.neg_entropy_stride = 1;
  }
  job.grad = out.grad.data();
  if (per_row) {
    job.loss = out.loss.data();
    job.parts = out.parts.data();
  }
  job.rows = kRows;
  job.classes = classes;
  job.ignore_index = -100;
  job.ce_weight = job.soft_weight = job.grad_scale = 1;
  job.temperature = kind == RowSoft::kTeacher ? 4 : 1;
  return job;
}

void run_blocks(const RowJob& job, int64_t begin, int64_t end, BlockSums* sums) {
  const RowsFunction rows = rows_function(job);
  constexpr std::align_val_t kLine{64};
  void* scratch = ::operator new(scratch_bytes(job.classes), kLine);
  for (int64_t b = begin; b < end; ++b) {
    rows(job, b * kBlock, std::min((b + 1) * kBlock, job.rows), scratch, sums[b]);
  }
  ::operator delete(scratch, kLine);
}

void run(const RowJob& job, int64_t threads, Outputs& out) {
  const int64_t blocks = static_cast<int64_t>(out.blocks.size());
  std::vector<std::thread> running;
  for (int64_t t = 0; t < threads; ++t) {
    running.emplace_back([&, t] {
      run_blocks(job, t * blocks / threads, (t + 1) * blocks / threads, out.blocks.data());
    });
  }
  for (std::thread& thread : running) {
    thread.join();
  }
}

template <typename Value>
bool same_bits(const std::vector<Value>& a, const std::vector<Value>& b) {
  return a.size() == b.size() && std::memcmp(a.data(), b.data(), a.size() * sizeof(Value)) == 0;
}

bool is_same_in_threads(int64_t classes, RowSoft kind, bool per_row) {
  const Inputs in = random_inputs(classes, kind);
  Outputs in_one, in_many;
  // First in many: the choice of an instruction set, made once, is raced for too.
  run(make_job(in, classes, kind, per_row, in_many), kThreads, in_many);
  run(make_job(in, classes, kind, per_row, in_one), 1, in_one);
  const bool has_result = std::any_of(
      in_many.grad.begin(), in_many.grad.end(), [](double value) { return value != 0; });
  return has_result && same_bits(in_one.grad, in_many.grad) &&
         same_bits(in_one.loss, in_many.loss) && same_bits(in_one.parts, in_many.parts) &&
         same_bits(in_one.blocks, in_many.blocks);
}

}  // namespace

int main() {
  int checks = 0, failures = 0;
  for (const int64_t classes : {2, 10, 16, 17, 100}) {
    for (const RowSoft kind : {RowSoft::kNone, RowSoft::kPickedByLabel, RowSoft::kPerRow,
                               RowSoft::kTeacher}) {
      for (const bool per_row : {false, true}) {
        ++checks;
        if (!is_same_in_threads(classes, kind, per_row)) {
          std::printf("FAILED %d classes, kind %d\n", static_cast<int>(classes),
                      static_cast<int>(kind));
          ++failures;
        }
      }
    }
  }
  std::printf("%d jobs, %d failures\n", checks, failures);
  return failures == 0 ? 0 : 1;
}
