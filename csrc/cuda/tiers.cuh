// Which kernel serves which width: every threshold is here.
//
// | C up to | a row is                             | rows per block |
// |---------|--------------------------------------|----------------|
// |      32 | 8 lanes, 4 registers each            | 32             |
// |     128 | a warp, 4 registers each             | 8              |
// |    1024 | a warp, 32                           | 8              |
// |    8192 | a block of 256 threads, 32           | 1              |
// |  beyond | a block of 512 threads, read twice   | 1              |
//
// Beyond 8192 the second read of a row comes from the L2 cache. float64 is for checking gradients, not
// for speed: a warp per row, read twice, at every width.
#pragma once

#include "kernels.cuh"

namespace ffdwv::cuda {

// Up to this many rows every block counts the labels for itself; beyond, a launch before does.
constexpr int64_t kRowsCountedByEveryBlock = 2048;

// Calls `launch(kernel, groups per block, threads per block)` with the kernel for this width.
template <typename Logit, typename Soft, typename Launch>
void with_kernel_for(int64_t classes, const Launch& launch) {
  const auto in_registers = [&]<typename Group, int kPerLane>() {
    launch(&loss_in_registers<Group, kPerLane, Logit, Soft>, Group::kGroups, Group::kBlockThreads);
  };
  const auto read_twice = [&]<typename Group>() {
    launch(&loss_read_twice<Group, Logit, Soft>, Group::kGroups, Group::kBlockThreads);
  };
  if constexpr (std::is_same_v<Logit, double>) {
    read_twice.template operator()<LaneGroup<32, 256>>();
  } else if (classes <= 32) {
    in_registers.template operator()<LaneGroup<8, 256>, 4>();
  } else if (classes <= 128) {
    in_registers.template operator()<LaneGroup<32, 256>, 4>();
  } else if (classes <= 1024) {
    in_registers.template operator()<LaneGroup<32, 256>, 32>();
  } else if (classes <= 8192) {
    in_registers.template operator()<BlockGroup<256>, 32>();
  } else {
    read_twice.template operator()<BlockGroup<512>>();
  }
}

}  // namespace ffdwv::cuda
