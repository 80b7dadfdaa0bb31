// From rows to the result: how many rows count, and the sums over rows, with the same bits every time.
#pragma once

#include "arguments.cuh"
#include "group.cuh"

namespace ffdwv::cuda {

struct Totals {
  double loss = 0, ce = 0, kl = 0, correct = 0;

  __device__ __forceinline__ void add(const Totals& other) {
    loss += other.loss;
    ce += other.ce;
    kl += other.kl;
    correct += other.correct;
  }
};

// Rows that are not ignored, counted by one block. Labels out of range count: their rows are NaN.
template <int kThreads>
__device__ int64_t count_rows(const KernelArguments& a) {
  int64_t mine = 0;
  for (int64_t i = threadIdx.x; i < a.rows; i += kThreads) {
    mine += a.label(i) != a.ignore_index;
  }
  return BlockGroup<kThreads>::template sum<long long>(mine);
}

// The factor of every row in the result. The gradient is written once, scaled, so the number of rows
// that count has to be known first: from an earlier launch, or counted here by every block.
template <int kThreads>
__device__ double row_factor(const KernelArguments& a) {
  if (!a.mean) {
    return 1;
  }
  const int64_t counted = a.counted != nullptr ? *a.counted : count_rows<kThreads>(a);
  return 1 / static_cast<double>(counted);
}

template <int kThreads>
__device__ Totals sum_over_block(const Totals& mine) {
  double sums[] = {mine.loss, mine.ce, mine.kl, mine.correct};
  BlockGroup<kThreads>::sum_each(sums);
  return {sums[0], sums[1], sums[2], sums[3]};
}

template <int kThreads>
__device__ Totals sum_over_grid(const KernelArguments& a) {
  Totals mine;
  for (unsigned b = threadIdx.x; b < gridDim.x; b += kThreads) {
    // volatile: written by other blocks of this launch, so a cached value will not do.
    const volatile double* sums = a.block_sums + 4 * static_cast<int64_t>(b);
    mine.add({sums[0], sums[1], sums[2], sums[3]});
  }
  return sum_over_block<kThreads>(mine);
}

// Whether this is the last block of the grid to get here; its threads then see all others' sums. The
// ticket wraps to 0, ready for the next launch.
__device__ __forceinline__ bool is_last_block(unsigned* ticket) {
  FFDWV_SHARED(bool, last, 1);
  if (threadIdx.x == 0) {
    __threadfence();
    last[0] = atomicInc(ticket, gridDim.x - 1) == gridDim.x - 1;
    __threadfence();
  }
  __syncthreads();
  return last[0];
}

// Adds up the threads' totals and writes the result, in whichever block comes last.
template <int kThreads, typename Value>
__device__ void finish(const KernelArguments& a, const Totals& mine, double factor) {
  if (a.per_row) {
    return;
  }
  Totals total = sum_over_block<kThreads>(mine);
  if (gridDim.x > 1) {
    if (threadIdx.x == 0) {
      double* sums = a.block_sums + 4 * static_cast<int64_t>(blockIdx.x);
      sums[0] = total.loss;
      sums[1] = total.ce;
      sums[2] = total.kl;
      sums[3] = total.correct;
    }
    if (!is_last_block(a.ticket)) {
      return;
    }
    total = sum_over_grid<kThreads>(a);
  }
  if (threadIdx.x == 0) {
    *static_cast<Value*>(a.loss) = static_cast<Value>(total.loss * factor);
    a.parts[0] = total.ce * factor;
    a.parts[1] = total.kl * factor;
    a.parts[2] = total.correct;
  }
}

}  // namespace ffdwv::cuda
