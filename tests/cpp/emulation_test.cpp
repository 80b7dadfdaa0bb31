// csrc/emulation: small kernels against plain loops, and every fault it is there to find.
//
// No Python, no torch. Built with -fsanitize=address,undefined it also shows that fibers and
// sanitizers get along.
#include "emulation/device.h"

#include <algorithm>
#include <cmath>
#include <cstdio>
#include <cstring>
#include <functional>
#include <limits>
#include <numeric>
#include <stdexcept>
#include <string>
#include <thread>
#include <vector>

namespace {

using ffdwv::emulation::launch;
using ffdwv::emulation::Order;
using ffdwv::emulation::Schedule;

int checks = 0;
int failures = 0;

void expect(bool holds, const std::string& what) {
  ++checks;
  if (!holds) {
    std::printf("FAILED %s\n", what.c_str());
    ++failures;
  }
}

std::vector<Schedule> schedules() {
  std::vector<Schedule> all{{Order::kAscending}, {Order::kDescending}};
  for (std::uint64_t seed = 1; seed <= 6; ++seed) {
    all.push_back({Order::kRandom, seed});
  }
  return all;
}

// Small integers: sums of floats are exact in any order.
std::vector<float> numbers(int count) {
  std::vector<float> values(count);
  for (int i = 0; i < count; ++i) {
    values[i] = static_cast<float>((i * 37 + 11) % 101);
  }
  return values;
}

float sum(const float* begin, int count) { return std::accumulate(begin, begin + count, 0.0f); }

// In how many of the schedules run(schedule) is right.
int right(const std::function<bool(Schedule)>& run) {
  int count = 0;
  for (const Schedule& schedule : schedules()) {
    count += run(schedule);
  }
  return count;
}

void expect_always(const std::string& what, const std::function<bool(Schedule)>& run) {
  expect(right(run) == static_cast<int>(schedules().size()), what);
}

void expect_seen(const std::string& what, const std::function<bool(Schedule)>& run) {
  expect(right(run) < static_cast<int>(schedules().size()), what + ": wrong in no order");
}

// The launch ends with an error that holds all of the words, in every order.
void expect_fault(const std::string& what, dim3 block, const std::vector<std::string>& words,
                  const std::function<void()>& kernel) {
  for (const Schedule& schedule : schedules()) {
    std::string error = "no error";
    try {
      launch(1, block, schedule, kernel);
    } catch (const std::runtime_error& caught) {
      error = caught.what();
    }
    for (const std::string& word : words) {
      expect(error.find(word) != std::string::npos, what + ": no '" + word + "' in: " + error);
    }
  }
}

// ---- what works ------------------------------------------------------------------------------

__global__ void record_indices(int* visits) {
  const int block = blockIdx.x + gridDim.x * (blockIdx.y + gridDim.y * blockIdx.z);
  const int thread = threadIdx.x + blockDim.x * (threadIdx.y + blockDim.y * threadIdx.z);
  visits[block * blockDim.x * blockDim.y * blockDim.z + thread] += block * 1000 + thread + 1;
}

void test_indices() {
  expect_always("every thread of a three-dimensional grid runs once", [](Schedule schedule) {
    const dim3 grid(3, 2, 4), block(5, 3, 2);
    std::vector<int> visits(24 * 30);
    launch(grid, block, schedule, [&] { record_indices(visits.data()); });
    bool all = true;
    for (int i = 0; i < 24 * 30; ++i) {
      all = all && visits[i] == i / 30 * 1000 + i % 30 + 1;
    }
    return all;
  });
}

std::vector<int> visiting_order(Schedule schedule, int blocks, int threads) {
  std::vector<int> visits;
  launch(blocks, threads, schedule,
         [&] { visits.push_back(static_cast<int>(blockIdx.x * blockDim.x + threadIdx.x)); });
  return visits;
}

void test_schedules() {
  std::vector<int> wanted(7 * 70);
  std::iota(wanted.begin(), wanted.end(), 0);
  expect(visiting_order({Order::kAscending}, 7, 70) == wanted, "ascending order");
  std::reverse(wanted.begin(), wanted.end());
  expect(visiting_order({Order::kDescending}, 7, 70) == wanted, "descending order");
  const auto one = visiting_order({Order::kRandom, 1}, 7, 70);
  expect(one == visiting_order({Order::kRandom, 1}, 7, 70), "a seed gives one order");
  expect(one != visiting_order({Order::kRandom, 2}, 7, 70), "another seed gives another order");
}

struct Shuffles {
  int idx, up, down, exchange;
};

__global__ void shuffle_all(Shuffles* out, int amount, int width) {
  const int lane = threadIdx.x;
  out[lane] = {__shfl_sync(0xffffffff, lane, amount, width),
               __shfl_up_sync(0xffffffff, lane, amount, width),
               __shfl_down_sync(0xffffffff, lane, amount, width),
               __shfl_xor_sync(0xffffffff, lane, amount, width)};
}

// As the programming guide words them.
Shuffles wanted_shuffles(int lane, int amount, int width) {
  const int position = lane % width;
  const int first = lane - position;
  return {first + amount % width, position - amount < 0 ? lane : lane - amount,
          position + amount >= width ? lane : lane + amount,
          (lane ^ amount) / width > lane / width ? lane : lane ^ amount};
}

void test_shuffles() {
  for (int width = 1; width <= 32; width *= 2) {
    for (int amount = 0; amount < 32; ++amount) {
      Shuffles out[32];
      launch(1, 32, {}, [&] { shuffle_all(out, amount, width); });
      bool same = true;
      for (int lane = 0; lane < 32; ++lane) {
        const Shuffles wanted = wanted_shuffles(lane, amount, width);
        same = same && std::memcmp(&out[lane], &wanted, sizeof wanted) == 0;
      }
      expect(same, "shuffles of width " + std::to_string(width) + " by " + std::to_string(amount));
    }
  }
}

template <typename T>
__global__ void rotate(T* values) {
  values[threadIdx.x] = __shfl_sync(0xffffffff, values[threadIdx.x], threadIdx.x + 1);
}

template <typename T>
void test_shuffled_type(const char* name) {
  std::vector<T> values(32);
  for (int i = 0; i < 32; ++i) {
    values[i] = (static_cast<T>(i) - 7) * (std::numeric_limits<T>::max() / 40);
  }
  std::vector<T> wanted(values);
  std::rotate(wanted.begin(), wanted.begin() + 1, wanted.end());
  launch(1, 32, {}, [&] { rotate(values.data()); });
  expect(values == wanted, std::string("every bit of a shuffled ") + name);
}

__global__ void vote(unsigned* out, unsigned mask, unsigned ones) {
  const unsigned lane = threadIdx.x;
  if (mask >> lane & 1) {
    const int predicate = ones >> lane & 1;
    out[3 * lane] = __ballot_sync(mask, predicate);
    out[3 * lane + 1] = __any_sync(mask, predicate);
    out[3 * lane + 2] = __all_sync(mask, predicate);
  }
}

void test_votes() {
  for (const unsigned mask : {0xffffffffu, 0x0000ff0fu, 0x80000001u}) {
    for (const unsigned ones : {0u, 0xffffffffu, 0x00000f00u, 0x7ffffffeu}) {
      unsigned out[96] = {};
      launch(1, 32, {}, [&] { vote(out, mask, ones); });
      bool same = true;
      for (int lane = 0; lane < 32; ++lane) {
        const unsigned on = mask >> lane & 1;
        same = same && out[3 * lane] == (on ? ones & mask : 0) &&
               out[3 * lane + 1] == (on && (ones & mask) != 0) &&
               out[3 * lane + 2] == (on && (ones & mask) == mask);
      }
      expect(same, "votes with mask " + std::to_string(mask) + " of " + std::to_string(ones));
    }
  }
}

__device__ __forceinline__ float warp_sum(float value, unsigned mask, int width) {
#if defined(__CUDACC__)
#pragma unroll
#endif
  for (int offset = width / 2; offset > 0; offset /= 2) {
    value += __shfl_xor_sync(mask, value, offset, width);
  }
  return value;
}

// A row for every `width` lanes; rows past the end have no lanes in the mask.
__global__ void __launch_bounds__(64) row_sums(const float* __restrict__ x, float* sums, int rows,
                                               int width) {
  const int thread = blockIdx.x * blockDim.x + threadIdx.x;
  const unsigned mask = __ballot_sync(0xffffffff, thread / width < rows);
  if (thread / width < rows) {
    const float value = warp_sum(x[thread], mask, width);
    if (thread % width == 0) {
      sums[thread / width] = value;
    }
  }
}

void test_warp_reductions() {
  for (const int width : {32, 8, 2}) {
    for (const int rows : {1, 3, 64 / width, 64 / width + 1, 200 / width}) {
      const std::vector<float> x = numbers(rows * width);
      expect_always("sums of rows of " + std::to_string(width), [&](Schedule schedule) {
        std::vector<float> sums(rows, -1);
        const int blocks = (rows * width + 63) / 64;
        launch(blocks, 64, schedule, [&] { row_sums(x.data(), sums.data(), rows, width); });
        bool same = true;
        for (int row = 0; row < rows; ++row) {
          same = same && sums[row] == sum(&x[row * width], width);
        }
        return same;
      });
    }
  }
}

// One row after another: the second barrier keeps a fast warp from overwriting the sums that a slow
// one still reads.
template <bool kFirstBarrier, bool kSecondBarrier>
__global__ void block_sums(const float* x, float* sums, int rows) {
  FFDWV_SHARED(float, partial, 8);
  for (int row = 0; row < rows; ++row) {
    const float own = warp_sum(x[row * blockDim.x + threadIdx.x], 0xffffffff, 32);
    if (threadIdx.x % 32 == 0) {
      partial[threadIdx.x / 32] = own;
    }
    if (kFirstBarrier) {
      __syncthreads();
    }
    float total = 0;
    for (unsigned warp = 0; warp < blockDim.x / 32; ++warp) {
      total += partial[warp];
    }
    if (kSecondBarrier) {
      __syncthreads();
    }
    sums[row * blockDim.x + threadIdx.x] = total;
  }
}

template <bool kFirstBarrier, bool kSecondBarrier>
bool block_sums_are_right(Schedule schedule) {
  constexpr int kRows = 3, kThreads = 256;
  const std::vector<float> x = numbers(kRows * kThreads);
  std::vector<float> sums(kRows * kThreads, -1);
  launch(1, kThreads, schedule,
         [&] { block_sums<kFirstBarrier, kSecondBarrier>(x.data(), sums.data(), kRows); });
  bool same = true;
  for (int i = 0; i < kRows * kThreads; ++i) {
    same = same && sums[i] == sum(&x[i / kThreads * kThreads], kThreads);
  }
  return same;
}

__global__ void last_block_sum(const float* x, int count, float* partial, unsigned* done,
                               float* total) {
  FFDWV_SHARED(bool, is_last, 1);
  float own = 0;
  for (unsigned i = blockIdx.x * blockDim.x + threadIdx.x; i < static_cast<unsigned>(count);
       i += gridDim.x * blockDim.x) {
    own += x[i];
  }
  own = warp_sum(own, 0xffffffff, 32);
  if (threadIdx.x == 0) {
    partial[blockIdx.x] = own;
    __threadfence();
    is_last[0] = atomicInc(done, gridDim.x - 1) == gridDim.x - 1;
  }
  __syncthreads();
  if (is_last[0] && threadIdx.x == 0) {
    *total = 0;
    for (unsigned block = 0; block < gridDim.x; ++block) {
      *total += partial[block];
    }
  }
}

void test_block_reductions() {
  expect_always("block sums with both barriers", block_sums_are_right<true, true>);
  for (const int count : {1, 31, 160, 161, 1000}) {
    const std::vector<float> x = numbers(count);
    unsigned done = 0;  // atomicInc leaves it at 0 for the next launch
    expect_always("grid-stride sum of " + std::to_string(count), [&](Schedule schedule) {
      std::vector<float> partial(5, -1);
      float total = -1;
      launch(5, 32, schedule,
             [&] { last_block_sum(x.data(), count, partial.data(), &done, &total); });
      return total == sum(x.data(), count) && done == 0;
    });
  }
}

template <typename T>
__global__ void count_up(T* cells) {
  atomicAdd(&cells[0], 2);
  atomicMax(&cells[1], threadIdx.x);
  atomicMin(&cells[2], threadIdx.x);
  atomicCAS(&cells[3], 7, 9);
  atomicCAS(&cells[3], 8, 10);
}

void test_atomics() {
  int cells[4] = {5, 0, 99, 7};
  launch(2, 50, {}, [&] { count_up(cells); });
  expect(cells[0] == 205 && cells[1] == 49 && cells[2] == 0 && cells[3] == 9, "atomics of int");
  unsigned long long wide[4] = {1ull << 40, 0, 99, 7};
  launch(2, 50, {}, [&] { count_up(wide); });
  expect(wide[0] == (1ull << 40) + 200 && wide[1] == 49 && wide[2] == 0 && wide[3] == 9,
         "atomics of unsigned long long");
  double real = 0.5;
  launch(3, 7, {}, [&] { atomicAdd(&real, 0.25); });
  expect(real == 0.5 + 21 * 0.25, "atomicAdd of double");
}

void test_two_host_threads() {
  bool same[2] = {};
  std::thread other([&] { same[0] = block_sums_are_right<true, true>({Order::kRandom, 3}); });
  same[1] = block_sums_are_right<true, true>({Order::kRandom, 4});
  other.join();
  expect(same[0] && same[1], "two host threads emulate at once");
}

// ---- what is found ---------------------------------------------------------------------------

template <bool kSync>
__global__ void neighbour(float* out) {
  FFDWV_SHARED(float, values, 32);
  values[threadIdx.x] = static_cast<float>(threadIdx.x);
  if (kSync) {
    __syncwarp();
  }
  out[threadIdx.x] = values[(threadIdx.x + 1) % 32];
}

template <bool kSync>
bool neighbours_are_right(Schedule schedule) {
  float out[32] = {};
  launch(1, 32, schedule, [&] { neighbour<kSync>(out); });
  bool same = true;
  for (int i = 0; i < 32; ++i) {
    same = same && out[i] == static_cast<float>((i + 1) % 32);
  }
  return same;
}

void test_dropped_barriers() {
  expect_seen("a dropped __syncthreads before reading", block_sums_are_right<false, true>);
  expect_seen("a dropped __syncthreads before writing again", block_sums_are_right<true, false>);
  expect_always("neighbours with __syncwarp", neighbours_are_right<true>);
  expect_seen("a dropped __syncwarp", neighbours_are_right<false>);
}

__global__ void remember(float* out, int writes_below) {
  FFDWV_SHARED(float, kept, 1);
  if (static_cast<int>(blockIdx.x) < writes_below) {
    kept[0] = 1;
  }
  out[blockIdx.x] = kept[0];
}

void test_stale_shared_memory() {
  expect_always("shared memory of an earlier block is NaN", [](Schedule schedule) {
    std::vector<float> out(6);
    launch(6, 1, schedule, [&] { remember(out.data(), 3); });
    bool as_wanted = true;
    for (int i = 0; i < 6; ++i) {
      as_wanted = as_wanted && (i < 3 ? out[i] == 1 : std::isnan(out[i]));
    }
    return as_wanted;
  });
  float out[2] = {};
  launch(1, 1, {}, [&] { remember(out, 1); });
  launch(1, 1, {}, [&] { remember(out, 0); });
  expect(std::isnan(out[0]), "shared memory of an earlier launch is NaN");
}

__global__ void mismatched_masks() {
  __shfl_xor_sync(threadIdx.x < 16 ? 0xffffffffu : 0xffff00ffu, 1, 1);
}

__global__ void missing_lane() {
  if (threadIdx.x % 32 != 5) {
    __ballot_sync(0xffffffff, 1);
  }
}

__global__ void different_calls() {
  if (threadIdx.x % 2 == 0) {
    __shfl_xor_sync(0xffffffff, 1, 2);
  } else {
    __shfl_xor_sync(0xffffffff, 1, 2);
  }
}

// To the compiler both stand where the macro is used.
#define ANY_OR_ALL(choice) (choice ? __any_sync(0xffffffff, 1) : __all_sync(0xffffffff, 1))

__global__ void different_kinds() { ANY_OR_ALL(threadIdx.x % 2 == 0); }

__global__ void return_before_barrier() {
  if (threadIdx.x == 40) {
    return;
  }
  __syncthreads();
}

__global__ void different_barriers() {
  if (threadIdx.x < 32) {
    __syncthreads();
  } else {
    __syncthreads();
  }
}

__global__ void barrier_against_warp() {
  if (threadIdx.x < 3) {
    __syncthreads();
  } else {
    __syncwarp();
  }
}

void test_divergence() {
  expect_fault("mismatched masks", 32,
               {"block (0, 0, 0)", "warp 0", "0000ffff wait in __shfl_xor_sync(mask ffffffff)",
                "ffff0000 wait in __shfl_xor_sync(mask ffff00ff)", "emulation_test.cpp"},
               mismatched_masks);
  expect_fault("a lane that does not come", 64,
               {"warp 0 1:", "00000020 have ended", "ffffffdf wait in __ballot_sync"},
               missing_lane);
  expect_fault("a lane that does not exist", 20,
               {"fff00000 do not exist", "000fffff wait in __syncwarp"}, [] { __syncwarp(); });
  expect_fault("different places", 32, {"aaaaaaaa wait", "55555555 wait"}, different_calls);
  expect_fault("different kinds", 32, {"__any_sync", "__all_sync"}, different_kinds);
  expect_fault("a return before the barrier", 64,
               {"warp 0: lanes ffffffff wait in __syncthreads()", "warp 1:", "00000100 have ended"},
               return_before_barrier);
  expect_fault("different barriers", 64, {"warp 0:", "warp 1:"}, different_barriers);
  expect_fault("a barrier against a warp function", 32,
               {"00000007 wait in __syncthreads", "fffffff8 wait in __syncwarp"},
               barrier_against_warp);
}

// Two branches, each with its own mask, one of them nested in time inside the other.
__global__ void disjoint_masks(int* out) {
  const int lane = threadIdx.x;
  out[lane] = lane < 8 ? __shfl_xor_sync(0xff, lane, 7, 8) : __shfl_xor_sync(0xffffff00, lane, 1);
  out[lane] += __shfl_sync(0xffffffff, lane, 31);
}

void test_legal_divergence() {
  expect_always("branches with a mask each", [](Schedule schedule) {
    int out[32];
    launch(1, 32, schedule, [&] { disjoint_masks(out); });
    bool same = true;
    for (int lane = 0; lane < 32; ++lane) {
      same = same && out[lane] == (lane < 8 ? 7 - lane : lane ^ 1) + 31;
    }
    return same;
  });
}

void test_bad_warp_calls() {
  expect_fault("outside its own mask", 32, {"not in its own mask", "__ballot_sync(mask 0000ffff)"},
               [] { __ballot_sync(0x0000ffff, 1); });
  expect_fault("a read outside the mask", 16, {"lane 15", "reads lane 16", "not in the mask"},
               [] { __shfl_down_sync(0x0000ffff, 1, 1); });
  expect_fault("a bad width", 32, {"width 12"}, [] { __shfl_sync(0xffffffff, 1, 0, 12); });
}

void test_alignment() {
  alignas(16) float memory[12] = {1, 2, 3, 4, 5, 6, 7, 8};
  float4 value{};
  launch(1, 1, {}, [&] {
    value = ffdwv::load_vector<float4>(memory + 4);
    ffdwv::store_vector(memory + 8, value);
    __stcs(reinterpret_cast<float2*>(memory), __ldg(reinterpret_cast<const float2*>(memory + 2)));
  });
  expect(value.x == 5 && value.w == 8 && memory[8] == 5 && memory[11] == 8 && memory[0] == 3 &&
             memory[1] == 4,
         "vectors are loaded and stored");
  expect_fault("a misaligned load", 1, {"lane 0", "not aligned to 16 bytes"},
               [&] { value = ffdwv::load_vector<float4>(memory + 1); });
  expect_fault("a misaligned store", 1, {"not aligned to 16 bytes"},
               [&] { ffdwv::store_vector(memory + 6, value); });
  expect_fault("a vector in a shared array of floats", 1, {"not aligned to 16 bytes"}, [&] {
    FFDWV_SHARED(float, values, 8);
    value = ffdwv::load_vector<float4>(values);
  });
}

// Leaves from one thread while the others wait; each holds memory that must be given back.
__global__ void throw_from(unsigned thread) {
  const std::vector<int> held(100, 1);
  if (threadIdx.x == thread) {
    throw std::out_of_range("thread " + std::to_string(held.size()));
  }
  __syncthreads();
  __syncthreads();
}

void test_exceptions() {
  for (const Schedule& schedule : schedules()) {
    std::string error;
    try {
      launch(2, 96, schedule, [] { throw_from(50); });
    } catch (const std::out_of_range& caught) {
      error = caught.what();
    }
    expect(error == "thread 100", "an exception leaves the launch as it was thrown");
    expect(block_sums_are_right<true, true>(schedule), "the next launch is unaffected");
  }
  expect_fault("a launch inside a kernel", 1, {"cannot launch"}, [] { launch(1, 1, {}, [] {}); });
  expect_fault("a block that is too large", 1025, {"1 to 1024"}, [] {});
}

}  // namespace

int main() {
  test_indices();
  test_schedules();
  test_shuffles();
  test_shuffled_type<int>("int");
  test_shuffled_type<unsigned>("unsigned");
  test_shuffled_type<long long>("long long");
  test_shuffled_type<float>("float");
  test_shuffled_type<double>("double");
  test_votes();
  test_warp_reductions();
  test_block_reductions();
  test_atomics();
  test_two_host_threads();
  test_dropped_barriers();
  test_stale_shared_memory();
  test_divergence();
  test_legal_divergence();
  test_bad_warp_calls();
  test_alignment();
  test_exceptions();
  std::printf("%d of %d checks hold\n", checks - failures, checks);
  return failures != 0;
}
