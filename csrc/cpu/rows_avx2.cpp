// The row kernels for AVX2, FMA and F16C; CMakeLists.txt has the flags.
#define FFDWV_ISA avx2
#include "row_kernels.h"

namespace ffdwv {

RowsFunction rows_avx2(const RowJob& job) {
  return avx2::rows_for(job);
}

}  // namespace ffdwv
