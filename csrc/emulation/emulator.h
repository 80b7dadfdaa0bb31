// The threads of a grid on one host thread: who waits for whom, and what is reported when it is in
// vain.
//
// A thread runs until it waits in a warp function or at the barrier, or ends; then the schedule
// picks the next. Nothing comes in between, and a block ends before the next begins.
#pragma once

#include <algorithm>
#include <cstdint>
#include <cstdio>
#include <exception>
#include <functional>
#include <map>
#include <memory>
#include <numeric>
#include <random>
#include <source_location>
#include <stdexcept>
#include <string>
#include <utility>
#include <vector>

#include "fiber.h"
#include "schedule.h"
#include "shared_memory.h"

struct uint3 {
  unsigned x, y, z;
};

struct dim3 {
  unsigned x, y, z;
  constexpr dim3(unsigned x = 1, unsigned y = 1, unsigned z = 1) : x(x), y(y), z(z) {}
};

inline constinit thread_local uint3 threadIdx{}, blockIdx{};
inline constinit thread_local dim3 blockDim{}, gridDim{};

namespace ffdwv::emulation {

// A call that waits for other threads.
struct Call {
  const char* name = nullptr;
  Lanes mask = 0;  // who meets; 0 for the whole block
  std::source_location where{};

  // The place in the source counts: stricter than the hardware, which lets two branches meet in two
  // calls of one kind. The names of one call are one literal, so that their addresses will do.
  bool operator==(const Call& other) const {
    return name == other.name && mask == other.mask && where.line() == other.where.line() &&
           where.column() == other.where.column() && where.file_name() == other.where.file_name();
  }

  std::string text() const {
    char digits[32] = "()";
    if (mask != 0) {
      std::snprintf(digits, sizeof digits, "(mask %08x)", mask);
    }
    return std::string(name) + digits + " at " + where.file_name() + ":" +
           std::to_string(where.line());
  }
};

class Emulator {
 public:
  static constexpr int kNoSource = -1;

  // This host thread's; its fibers are kept for the next launch.
  static Emulator& instance() {
    static thread_local Emulator emulator;
    return emulator;
  }

  void launch(dim3 grid, dim3 block, Schedule schedule, const std::function<void()>& kernel) {
    begin(grid, block, schedule, kernel);
    try {
      run_grid(schedule);
    } catch (...) {
      end();
      throw;
    }
    end();
  }

  // Waits until the lanes of the mask have made the same call. Gives what the lane `source` brought
  // or, with kNoSource, the lanes that brought anything but 0.
  std::uint64_t meet_warp(const Call& call, std::uint64_t value, int source) {
    if ((call.mask >> lane() & 1) == 0) {
      fail(call.text() + ": the calling lane is not in its own mask");
    }
    if (source != kNoSource && (call.mask >> source & 1) == 0) {
      fail(call.text() + ": reads lane " + std::to_string(source) + ", which is not in the mask");
    }
    Thread& self = *threads_[running_];
    self.call = call;
    self.value = value;
    self.source = source;
    waiting_[warp()] |= Lanes(1) << lane();
    if (is_complete(warp(), call)) {
      exchange(warp(), call.mask);
    }
    pause();
    return self.received;
  }

  // Waits until all threads of the block have made the same call.
  void meet_block(const Call& call) {
    threads_[running_]->call = call;
    const auto end = threads_.begin() + ready_.size();
    const auto same = [&](const auto& thread) { return thread->call == call; };
    if (++at_barrier_ == ready_.size() && std::all_of(threads_.begin(), end, same)) {
      at_barrier_ = 0;
      ready_.add_all();
    }
    pause();
  }

  // Ends the launch with an error that names the running thread.
  [[noreturn]] void fail(const std::string& what) const {
    throw std::runtime_error(place() + ", warp " + std::to_string(warp()) + ", lane " +
                             std::to_string(lane()) + ": " + what);
  }

  int warp() const { return running_ / warpSize; }
  int lane() const { return running_ % warpSize; }
  SharedMemory& shared_memory() { return shared_memory_; }

 private:
  static constexpr int kMaxThreads = ReadyThreads::kMaxThreads;

  struct Abandoned {};  // thrown in the threads of a block that another thread has brought down

  struct Thread {
    Fiber fiber{run_thread};
    bool inside = false;  // the kernel
    Call call;
    std::uint64_t value = 0;
    int source = kNoSource;
    std::uint64_t received = 0;
  };

  void begin(dim3 grid, dim3 block, Schedule schedule, const std::function<void()>& kernel) {
    if (kernel_ != nullptr) {
      fail("a kernel cannot launch another");
    }
    const auto size = std::uint64_t(block.x) * block.y * block.z;
    if (size < 1 || size > kMaxThreads || grid.x < 1 || grid.y < 1 || grid.z < 1) {
      throw std::runtime_error("emulation: a block has 1 to 1024 threads, a grid 1 block or more");
    }
    while (threads_.size() < size) {
      threads_.push_back(std::make_unique<Thread>());
    }
    ready_.begin(schedule, static_cast<int>(size));
    gridDim = grid;
    blockDim = block;
    kernel_ = &kernel;
  }

  void end() {
    kernel_ = nullptr;
    shared_memory_.release();
  }

  // A step that has no divisor in common with the number of blocks visits each of them once.
  void run_grid(Schedule schedule) {
    const std::uint64_t count = std::uint64_t(gridDim.x) * gridDim.y * gridDim.z;
    const bool ascending = schedule.order == Order::kAscending;
    std::uint64_t step = ascending ? 1 : count - 1;
    if (schedule.order == Order::kRandom) {
      std::mt19937_64 random(schedule.seed);
      do {
        step = random() % count + 1;
      } while (std::gcd(step, count) != 1);
    }
    std::uint64_t block = ascending ? 0 : count - 1;
    for (std::uint64_t i = 0; i < count; ++i, block = (block + step) % count) {
      run_block(block);
    }
  }

  void run_block(std::uint64_t block) {
    blockIdx = index(block, gridDim);
    shared_memory_.clear();
    std::fill(std::begin(waiting_), std::end(waiting_), 0);
    at_barrier_ = ended_ = 0;
    ready_.add_all();
    for (int thread; !fault_ && (thread = ready_.take()) >= 0;) {
      resume(thread);
    }
    if (!fault_ && ended_ < ready_.size()) {
      fault_ = std::make_exception_ptr(std::runtime_error(deadlock()));
    }
    if (fault_) {
      abandon();
      std::rethrow_exception(std::exchange(fault_, nullptr));
    }
  }

  template <typename Index>
  static uint3 index(Index i, dim3 size) {
    return {unsigned(i % size.x), unsigned(i / size.x % size.y), unsigned(i / size.x / size.y)};
  }

  void resume(int thread) {
    running_ = thread;
    threadIdx = index(static_cast<unsigned>(thread), blockDim);
    threads_[thread]->fiber.resume();
  }

  void pause() {
    Fiber::pause();
    if (abandoned_) {
      throw Abandoned();
    }
  }

  // Unwinds the threads that are still inside the kernel.
  void abandon() {
    abandoned_ = true;
    for (int thread = 0; thread < ready_.size(); ++thread) {
      if (threads_[thread]->inside) {
        resume(thread);
      }
    }
    abandoned_ = false;
  }

  static void run_thread() {
    Emulator& emulator = instance();
    Thread& self = *emulator.threads_[emulator.running_];
    self.inside = true;
    try {
      (*emulator.kernel_)();
    } catch (const Abandoned&) {
    } catch (...) {
      emulator.fault_ = std::current_exception();
    }
    self.inside = false;
    ++emulator.ended_;
  }

  Thread& thread(int warp, int lane) const { return *threads_[warp * warpSize + lane]; }

  bool is_complete(int warp, const Call& call) const {
    bool complete = (waiting_[warp] & call.mask) == call.mask;
    for_each_lane(complete ? call.mask : 0,
                  [&](int lane) { complete = complete && thread(warp, lane).call == call; });
    return complete;
  }

  void exchange(int warp, Lanes mask) {
    Lanes votes = 0;
    for_each_lane(mask, [&](int lane) {
      votes |= Lanes(thread(warp, lane).value != 0) << lane;
    });
    for_each_lane(mask, [&](int lane) {
      Thread& to = thread(warp, lane);
      to.received = to.source == kNoSource ? votes : thread(warp, to.source).value;
    });
    waiting_[warp] &= ~mask;
    ready_.add(warp, mask);
  }

  std::string place() const {
    return "emulation: block (" + std::to_string(blockIdx.x) + ", " + std::to_string(blockIdx.y) +
           ", " + std::to_string(blockIdx.z) + ")";
  }

  // Where every thread is when none can go on; warps that are alike are listed together.
  std::string deadlock() const {
    std::map<std::string, std::string> warps_of;
    for (int warp = 0; warp < ready_.warps(); ++warp) {
      warps_of[describe(warp)] += " " + std::to_string(warp);
    }
    std::string text = place() +
        ": no thread can go on. The lanes of a mask must make the same call with the same mask, "
        "and all threads of the block must reach the same __syncthreads().";
    for (const auto& [state, warps] : warps_of) {
      text += "\n  warp" + warps + ":" + state;
    }
    return text;
  }

  std::string describe(int warp) const {
    std::map<std::string, Lanes> lanes_of;
    if (const Lanes missing = ~ready_.lanes(warp)) {
      lanes_of["do not exist"] = missing;
    }
    for_each_lane(ready_.lanes(warp), [&](int lane) {
      const Thread& at = thread(warp, lane);
      lanes_of[at.inside ? "wait in " + at.call.text() : "have ended"] |= Lanes(1) << lane;
    });
    std::string text;
    for (const auto& [state, lanes] : lanes_of) {
      char digits[16];
      std::snprintf(digits, sizeof digits, "%08x", lanes);
      text += std::string(text.empty() ? "" : ",") + " lanes " + digits + " " + state;
    }
    return text;
  }

  std::vector<std::unique_ptr<Thread>> threads_;  // as many as the largest block so far
  const std::function<void()>* kernel_ = nullptr;
  ReadyThreads ready_;
  SharedMemory shared_memory_;
  Lanes waiting_[kMaxThreads / warpSize] = {};  // in a warp function
  int at_barrier_ = 0;
  int ended_ = 0;
  int running_ = 0;
  std::exception_ptr fault_;
  bool abandoned_ = false;
};

// Runs kernel(), with the arguments it holds, in every thread of the grid. A fault that is found or
// an exception that leaves a thread ends the launch and leaves from here; the next is unaffected.
inline void launch(dim3 grid, dim3 block, Schedule schedule, const std::function<void()>& kernel) {
  Emulator::instance().launch(grid, block, schedule, kernel);
}

}  // namespace ffdwv::emulation
