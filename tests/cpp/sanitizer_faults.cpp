// Faults on purpose, one for each sanitizer: a check that finds none of these checks nothing.
//
// As a program (sanitizer_faults_main address|undefined|thread) and as a library, called from Python.
#include <cstring>
#include <limits>
#include <memory>
#include <thread>

#define FAULT extern "C" [[gnu::visibility("default")]] int

// Reads the value after the last of `count`.
FAULT address(int count) {
  const auto values = std::make_unique<int[]>(count);
  const volatile int* read = values.get();
  return read[count];
}

// Adds to the largest number.
FAULT undefined(int more) { return std::numeric_limits<int>::max() - 3 + more; }

// Writes from two threads at once.
FAULT thread(int rounds) {
  int count = 0;
  const auto add = [&] {
    for (int i = 0; i < rounds; ++i) {
      ++count;
    }
  };
  std::thread other(add);
  add();
  other.join();
  return count;
}

int main(int count, char** words) {
  const char* name = count > 1 ? words[1] : "";
  return std::strcmp(name, "address") == 0     ? address(4)
         : std::strcmp(name, "undefined") == 0 ? undefined(4)
         : std::strcmp(name, "thread") == 0    ? thread(1000)
                                               : 0;
}
