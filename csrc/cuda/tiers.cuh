// Which kernel serves which width: every threshold is here.
//
// | C up to | a row is                             | rows per block | with a teacher           |
// |---------|--------------------------------------|----------------|--------------------------|
// |      32 | 8 lanes, 4 registers each            | 32             | the same                 |
// |     128 | a warp, 4 registers each             | 8              | the same                 |
// |     512 | a warp, 16                           | 8              | a warp, read twice       |
// |    2048 | a block of 128 threads, 16           | 1              | a warp, read twice       |
// |    4096 | a block of 256 threads, 16           | 1              | a block of 512, read twice |
// |  beyond | a block of 512 threads, read twice   | 1              | the same                 |
//
// The second read of a row comes from the cache. float64 is for checking gradients, not for speed: a
// warp per row, read twice, at every width.
#pragma once

#include "kernel.h"
#include "kernels.cuh"

namespace ffdwv::cuda {

template <typename RowKernel>
Kernel kernel() {
  using Group = typename RowKernel::Visit::Group;
  return {&loss_of_rows<RowKernel>, Group::kGroups, Group::kBlockThreads};
}

template <typename Logit, typename Soft>
Kernel kernel_for_width(int64_t classes) {
  using EightLanes = LaneGroup<8, 256>;
  using Warp = LaneGroup<32, 256>;
  constexpr bool kHasTeacher = SoftTraits<Soft>::kIsTeacher;
  if constexpr (std::is_same_v<Logit, double>) {
    return kernel<ReadTwice<Warp, Logit, Soft>>();
  } else {
    if (classes <= 32) {
      return kernel<InRegisters<EightLanes, 4, Logit, Soft>>();
    }
    if (classes <= 128) {
      return kernel<InRegisters<Warp, 4, Logit, Soft>>();
    }
    if constexpr (kHasTeacher) {
      if (classes <= 2048) {
        return kernel<ReadTwice<Warp, Logit, Soft>>();
      }
    } else {
      if (classes <= 512) {
        return kernel<InRegisters<Warp, 16, Logit, Soft>>();
      }
      if (classes <= 2048) {
        return kernel<InRegisters<BlockGroup<128>, 16, Logit, Soft>>();
      }
      if (classes <= 4096) {
        return kernel<InRegisters<BlockGroup<256>, 16, Logit, Soft>>();
      }
    }
    return kernel<ReadTwice<BlockGroup<512>, Logit, Soft>>();
  }
}

template <typename Logit>
Kernel kernel_for(SoftFormat soft, int64_t classes) {
  if (!soft.present) {
    return kernel_for_width<Logit, NoSoft>(classes);
  }
  if (soft.is_teacher) {
    return soft.is_float32 ? kernel_for_width<Logit, Teacher<float>>(classes)
                           : kernel_for_width<Logit, Teacher<Logit>>(classes);
  }
  return soft.is_float32 ? kernel_for_width<Logit, float>(classes)
                         : kernel_for_width<Logit, Logit>(classes);
}

}  // namespace ffdwv::cuda
