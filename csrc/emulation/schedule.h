// Which thread of a block runs next.
#pragma once

#include <algorithm>
#include <bit>
#include <cstdint>
#include <random>

inline constexpr int warpSize = 32;

namespace ffdwv::emulation {

using Lanes = std::uint32_t;  // a bit for each lane of a warp

template <typename Visit>
void for_each_lane(Lanes lanes, Visit visit) {
  for (; lanes != 0; lanes &= lanes - 1) {
    visit(std::countr_zero(lanes));
  }
}

// The order of the threads that can go on, and of the blocks.
enum class Order { kAscending, kDescending, kRandom };

struct Schedule {
  Order order = Order::kAscending;
  std::uint64_t seed = 0;  // for Order::kRandom
};

// The threads of a block that can go on.
class ReadyThreads {
 public:
  static constexpr int kMaxThreads = 1024;

  void begin(Schedule schedule, int size) {
    order_ = schedule.order;
    random_.seed(schedule.seed);
    size_ = size;
    std::fill(std::begin(ready_), std::end(ready_), 0);
  }

  int size() const { return size_; }
  int warps() const { return (size_ + warpSize - 1) / warpSize; }

  // The lanes that exist in a warp: the last one may be partial.
  Lanes lanes(int warp) const { return ~Lanes(0) >> std::max(0, (warp + 1) * warpSize - size_); }

  void add(int warp, Lanes lanes) { ready_[warp] |= lanes; }

  void add_all() {
    for (int warp = 0; warp < warps(); ++warp) {
      ready_[warp] = lanes(warp);
    }
  }

  // The next thread to run, no longer among them; -1 if there is none.
  int take() {
    const int count = warps();
    const int first = order_ == Order::kRandom ? random(count) : 0;
    for (int i = 0; i < count; ++i) {
      const int warp = order_ == Order::kDescending ? count - 1 - i : (first + i) % count;
      if (ready_[warp] != 0) {
        const int lane = pick_lane(ready_[warp]);
        ready_[warp] &= ~(Lanes(1) << lane);
        return warp * warpSize + lane;
      }
    }
    return -1;
  }

 private:
  int random(int below) { return static_cast<int>(random_() % below); }

  int pick_lane(Lanes ready) {
    if (order_ == Order::kDescending) {
      return warpSize - 1 - std::countl_zero(ready);
    }
    const int first = order_ == Order::kRandom ? random(warpSize) : 0;
    return (first + std::countr_zero(std::rotr(ready, first))) % warpSize;
  }

  Order order_ = Order::kAscending;
  std::mt19937_64 random_;
  int size_ = 0;
  Lanes ready_[kMaxThreads / warpSize] = {};
};

}  // namespace ffdwv::emulation
