#pragma once

#include <cstdint>

#if defined(__linux__)
#include <sys/mman.h>
#endif

namespace ffdwv {

// Asks for huge pages under memory that is about to be written for the first time: a large gradient is
// fresh from the system on every call, and taking it in pages of 4 KiB costs as much as computing it.
// A request: where the system has none, or the memory is there already, nothing happens.
inline void advise_huge_pages([[maybe_unused]] void* data, [[maybe_unused]] int64_t bytes) {
#if defined(__linux__) && defined(MADV_HUGEPAGE)
  constexpr uintptr_t kHugePage = uintptr_t{1} << 21;
  constexpr int64_t kLarge = int64_t{1} << 23;
  if (bytes >= kLarge) {
    const uintptr_t first = (reinterpret_cast<uintptr_t>(data) + kHugePage - 1) & ~(kHugePage - 1);
    const uintptr_t end = (reinterpret_cast<uintptr_t>(data) + bytes) & ~(kHugePage - 1);
    madvise(reinterpret_cast<void*>(first), end - first, MADV_HUGEPAGE);
  }
#endif
}

}  // namespace ffdwv
