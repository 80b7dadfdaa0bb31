// What the row kernels are given: plain data, shared by the files of all instruction sets.
#pragma once

#include <cstdint>

namespace ffdwv {

enum class Element { kFloat32, kFloat64, kBFloat16, kFloat16 };

enum class RowSoft { kNone, kPickedByLabel, kPerRow, kTeacher };

struct MatrixView {
  const void* data = nullptr;
  int64_t row_stride = 0;  // in elements; 0 where a dimension is expanded
  int64_t column_stride = 0;
};

struct RowJob {
  Element logit_type;
  Element soft_type;  // float32 or logit_type
  RowSoft soft_kind;

  MatrixView logits;  // [rows, classes]
  MatrixView soft;    // [classes, classes], picked by the label, or [rows, classes]
  const void* labels;  // [rows] int64 or int32
  int64_t labels_stride;
  bool wide_labels;
  const double* neg_entropy;  // [classes], nullptr: summed by the kernel
  int64_t neg_entropy_stride;
  const void* grad_out;  // of the type of the computation; nullptr: 1
  int64_t grad_out_stride;

  void* grad;      // [rows, classes] contiguous; nullptr: not wanted
  void* loss;      // [rows], nullptr where the rows are reduced
  double* parts;   // [3, rows], likewise
  int64_t rows;
  int64_t classes;
  int64_t ignore_index;
  double ce_weight;
  double soft_weight;
  double temperature;
  double grad_scale;  // of every row's gradient, the reduction's divisor included
};

// Always inlined, as everything here that has code: no copy compiled for one instruction set may take
// the place of another's.
[[gnu::always_inline]] inline int64_t label_at(const RowJob& job, int64_t i) {
  return job.wide_labels ? static_cast<const int64_t*>(job.labels)[i * job.labels_stride]
                         : static_cast<const int32_t*>(job.labels)[i * job.labels_stride];
}

struct BlockSums {
  double loss = 0;
  double ce = 0;
  double kl = 0;
  int64_t correct = 0;
};

// Visits the rows [begin, end) in order and adds what they contribute. `scratch`, aligned to a cache
// line, holds scratch_bytes(classes) and belongs to this call.
using RowsFunction = void (*)(
    const RowJob& job, int64_t begin, int64_t end, void* scratch, BlockSums& sums);

// At most this many classes: rows side by side in the lanes of a vector.
constexpr int64_t kTileClasses = 16;
constexpr int64_t kTileRows = 16;

// How many rows are visited together: as many as stay in the first cache, with their soft targets and
// exponentials.
constexpr int64_t rows_together(int64_t classes) {
  constexpr int64_t kElements = 1600;
  const int64_t fit = kElements / classes;
  return fit < 1 ? 1 : fit < kTileRows ? fit : kTileRows;
}

// For each of these rows four vectors of sums, three arrays of values for exponentials, and a copy of
// logits and of soft targets where they are not contiguous.
constexpr int64_t scratch_bytes(int64_t classes) {
  constexpr int64_t kVectors = 4, kArrays = 5;
  const int64_t doubles = kVectors * kTileRows * kTileRows +
                          kArrays * rows_together(classes) * ((classes + 15) / 16 * 16);
  return doubles * static_cast<int64_t>(sizeof(double));
}

// The kernel for a job's types and kind.
RowsFunction rows_baseline(const RowJob& job);
#if defined(FFDWV_X86)
RowsFunction rows_avx2(const RowJob& job);
RowsFunction rows_avx512(const RowJob& job);
#endif

}  // namespace ffdwv
