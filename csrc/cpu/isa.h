#pragma once

#include "row_job.h"

namespace ffdwv {

// The row kernel for a job, of the widest instruction set that this processor has; or of the one that
// the environment variable FFDWV_CPU_ISA names: baseline, avx2 or avx512, read at the first call.
// Throws std::invalid_argument where that names no other, or one that this processor lacks.
RowsFunction rows_function(const RowJob& job);

}  // namespace ffdwv
