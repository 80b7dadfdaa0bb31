// The row kernels for any processor of the architecture; CMakeLists.txt has the flags.
#define FFDWV_ISA baseline
#include "row_kernels.h"

namespace ffdwv {

RowsFunction rows_baseline(const RowJob& job) {
  return baseline::rows_for(job);
}

}  // namespace ffdwv
