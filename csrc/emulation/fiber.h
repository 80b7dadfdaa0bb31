// Fibers: threads of execution that run one at a time and hand over by themselves.
//
// A switch saves the stack pointer and the registers that a called function must preserve. Without
// code for the processor at hand ucontext does it, with a system call and some ten times slower.
// Under AddressSanitizer every switch is announced, so it knows which stack it looks at.
#pragma once

#include <sys/mman.h>

#include <cstddef>
#include <cstdint>
#include <new>

#if !defined(__x86_64__)
#include <ucontext.h>
#endif

#if defined(__SANITIZE_ADDRESS__)
#define FFDWV_EMULATION_ASAN 1
#elif defined(__has_feature)
#if __has_feature(address_sanitizer)
#define FFDWV_EMULATION_ASAN 1
#endif
#endif
#if defined(FFDWV_EMULATION_ASAN)
#include <sanitizer/asan_interface.h>
#include <sanitizer/common_interface_defs.h>
#endif

namespace ffdwv::emulation {

// Memory that grows downwards into a page that must not be touched: an overflow ends the program.
class Stack {
 public:
  static constexpr std::size_t kGuard = 64 << 10;  // a page, of whichever size
  static constexpr std::size_t kSize = 256 << 10;  // reserved; only what is touched takes memory

  Stack() : base_(mmap(nullptr, kGuard + kSize, PROT_NONE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0)) {
    if (base_ == MAP_FAILED || mprotect(bottom(), kSize, PROT_READ | PROT_WRITE) != 0) {
      throw std::bad_alloc();
    }
  }
  ~Stack() {
#if defined(FFDWV_EMULATION_ASAN)
    __asan_unpoison_memory_region(bottom(), kSize);  // whoever gets these addresses next
#endif
    munmap(base_, kGuard + kSize);
  }
  Stack(const Stack&) = delete;
  Stack& operator=(const Stack&) = delete;

  void* bottom() const { return static_cast<char*>(base_) + kGuard; }

 private:
  void* base_;
};

#if defined(__x86_64__)
using Context = void*;  // a stack pointer; what it points at are six registers and an address

// System V: the arguments are in rdi and rsi.
[[gnu::naked, gnu::noinline]] inline void switch_context(Context* /*from*/, Context* /*to*/) {
  asm("pushq %rbp\n\tpushq %rbx\n\tpushq %r12\n\tpushq %r13\n\tpushq %r14\n\tpushq %r15\n\t"
      "movq %rsp, (%rdi)\n\tmovq (%rsi), %rsp\n\t"
      "popq %r15\n\tpopq %r14\n\tpopq %r13\n\tpopq %r12\n\tpopq %rbx\n\tpopq %rbp\n\tret");
}

// The first switch pops six registers, returns into entry() and leaves 0 as its caller.
inline void prepare_context(Context& context, const Stack& stack, void (*entry)()) {
  void** top = reinterpret_cast<void**>(static_cast<char*>(stack.bottom()) + Stack::kSize);
  top[-2] = reinterpret_cast<void*>(entry);
  context = top - 8;
}
#else
using Context = ucontext_t;

inline void switch_context(Context* from, Context* to) { swapcontext(from, to); }

inline void prepare_context(Context& context, const Stack& stack, void (*entry)()) {
  getcontext(&context);
  context.uc_stack.ss_sp = stack.bottom();
  context.uc_stack.ss_size = Stack::kSize;
  makecontext(&context, entry, 0);
}
#endif

// Calls a function again and again, once for each resume() that finds the last call finished. The
// function must not throw. A fiber belongs to the host thread that made it.
class Fiber {
 public:
  explicit Fiber(void (*function)()) : function_(function) {
    prepare_context(own_.context, stack_, run);
    own_.bottom = stack_.bottom();
    own_.size = Stack::kSize;
  }
  Fiber(const Fiber&) = delete;
  Fiber& operator=(const Fiber&) = delete;

  void resume() {
    running_ = this;
    hand_over(caller_, own_);
  }
  // To be called on the fiber: back to where it was resumed.
  static void pause() { hand_over(running_->own_, running_->caller_); }

 private:
  struct Side {
    Context context{};
    const void* bottom = nullptr;
    std::size_t size = 0;
    void* fake_stack = nullptr;  // AddressSanitizer's
  };

  static void hand_over(Side& from, Side& to) {
#if defined(FFDWV_EMULATION_ASAN)
    __sanitizer_start_switch_fiber(&from.fake_stack, to.bottom, to.size);
#endif
    switch_context(&from.context, &to.context);
#if defined(FFDWV_EMULATION_ASAN)
    __sanitizer_finish_switch_fiber(from.fake_stack, nullptr, nullptr);
#endif
  }

  static void run() {
    Fiber& self = *running_;
#if defined(FFDWV_EMULATION_ASAN)
    __sanitizer_finish_switch_fiber(nullptr, &self.caller_.bottom, &self.caller_.size);
#endif
    for (;;) {
      self.function_();
      pause();
    }
  }

  static inline constinit thread_local Fiber* running_ = nullptr;

  Stack stack_;
  Side own_, caller_;
  void (*function_)();
};

}  // namespace ffdwv::emulation
