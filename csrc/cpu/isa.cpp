#include "isa.h"

#include <cstdlib>
#include <stdexcept>
#include <string>

namespace ffdwv {
namespace {

using Choose = RowsFunction (*)(const RowJob&);

// 512-bit instructions slow a core of some years for a while, which a short call does not win back.
constexpr int64_t kElementsForAvx512 = 16384;

#if defined(FFDWV_X86)
RowsFunction rows_by_size(const RowJob& job) {
  return job.rows * job.classes < kElementsForAvx512 ? rows_avx2(job) : rows_avx512(job);
}
#endif

struct Isa {
  const char* name;
  bool available;
  Choose choose;  // where it is the widest
  Choose choose_always;
};

Choose choose_isa() {
#if defined(FFDWV_X86)
  __builtin_cpu_init();
  const bool avx2 = __builtin_cpu_supports("avx2") && __builtin_cpu_supports("fma") &&
                    __builtin_cpu_supports("f16c");
  const bool avx512 = avx2 && __builtin_cpu_supports("avx512f") &&
                      __builtin_cpu_supports("avx512bw") && __builtin_cpu_supports("avx512dq") &&
                      __builtin_cpu_supports("avx512vl");
  const Isa widest_first[] = {
      {"avx512", avx512, rows_by_size, rows_avx512},
      {"avx2", avx2, rows_avx2, rows_avx2},
      {"baseline", true, rows_baseline, rows_baseline}};
#else
  const Isa widest_first[] = {{"baseline", true, rows_baseline, rows_baseline}};
#endif
  const char* wanted = std::getenv("FFDWV_CPU_ISA");
  const bool any = wanted == nullptr || *wanted == '\0';
  std::string available;
  for (const Isa& isa : widest_first) {
    if (isa.available) {
      if (any || std::string(wanted) == isa.name) {
        return any ? isa.choose : isa.choose_always;
      }
      available += available.empty() ? isa.name : std::string(", ") + isa.name;
    }
  }
  throw std::invalid_argument(
      "ffdwv_loss: FFDWV_CPU_ISA is '" + std::string(wanted) + "'; on this processor it can be " +
      available + ", or not set, which takes the first of them where it pays");
}

}  // namespace

RowsFunction rows_function(const RowJob& job) {
  static const Choose choose = choose_isa();
  return choose(job);
}

}  // namespace ffdwv
