// All kernels of one instruction set, and the choice among them by types and kind.
#pragma once

#include "long_rows.h"
#include "short_rows.h"

namespace ffdwv::inline FFDWV_ISA {

template <typename Logit, typename Kind>
void run_rows(const RowJob& job, int64_t begin, int64_t end, void* scratch, BlockSums& sums) {
  if (job.classes <= kTileClasses) {
    ShortRows<Logit, Kind>(job, scratch).run(begin, end, sums);
  } else {
    LongRows<Logit, Kind>(job, scratch).run(begin, end, sums);
  }
}

template <typename Logit, typename Soft>
RowsFunction rows_with_soft(const RowJob& job) {
  return job.soft_kind == RowSoft::kTeacher ? run_rows<Logit, TeacherRows<Soft>>
                                             : run_rows<Logit, SoftRows<Soft, true>>;
}

template <typename Logit>
RowsFunction rows_of(const RowJob& job) {
  if (job.soft_kind == RowSoft::kNone) {
    return run_rows<Logit, SoftRows<float, false>>;
  }
  return job.soft_type == Element::kFloat32 ? rows_with_soft<Logit, float>(job)
                                            : rows_with_soft<Logit, Logit>(job);
}

inline RowsFunction rows_for(const RowJob& job) {
  switch (job.logit_type) {
    case Element::kFloat64:
      return rows_of<double>(job);
    case Element::kBFloat16:
      return rows_of<BFloat16>(job);
    case Element::kFloat16:
      return rows_of<Half>(job);
    default:
      return rows_of<float>(job);
  }
}

}  // namespace ffdwv::inline FFDWV_ISA
