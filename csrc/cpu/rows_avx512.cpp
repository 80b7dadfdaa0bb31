// The row kernels for AVX-512 F, BW, DQ and VL; CMakeLists.txt has the flags.
#define FFDWV_ISA avx512
#include "row_kernels.h"

namespace ffdwv {

RowsFunction rows_avx512(const RowJob& job) {
  return avx512::rows_for(job);
}

}  // namespace ffdwv
