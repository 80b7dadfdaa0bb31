// The shared arrays of a block.
#pragma once

#include <cstddef>
#include <cstring>
#include <map>
#include <memory>

namespace ffdwv::emulation {

class SharedMemory {
 public:
  // The same piece of memory for the same key. It holds 0xff (NaN, -1) before it is written and is
  // aligned to its type and no further: what relies on more is misaligned here.
  void* get(const void* key, std::size_t bytes, std::size_t alignment) {
    Piece& piece = pieces_[key];
    if (!piece.memory) {
      piece = {std::make_unique<std::byte[]>(alignment + bytes), alignment, bytes};
      piece.clear();
    }
    return piece.start();
  }

  void clear() {
    for (auto& [key, piece] : pieces_) {
      piece.clear();
    }
  }

  void release() { pieces_.clear(); }

 private:
  struct Piece {
    std::unique_ptr<std::byte[]> memory;
    std::size_t offset = 0;
    std::size_t bytes = 0;

    std::byte* start() const { return memory.get() + offset; }
    void clear() { std::memset(start(), 0xff, bytes); }
  };

  std::map<const void*, Piece> pieces_;
};

}  // namespace ffdwv::emulation
