// The error of a launch, which no machine without a GPU can provoke.
#include <cstdio>

#include "cuda/launch_error.h"

namespace {

int failures = 0;

void expect(const std::string& text, const std::string& part) {
  if (text.find(part) == std::string::npos) {
    std::printf("FAILED: %s\n  is not in: %s\n", part.c_str(), text.c_str());
    ++failures;
  }
}

}  // namespace

int main() {
  using ffdwv::cuda::launch_error;
  const std::string uncovered = launch_error(true, "no kernel image", "80-real, 90-real, 120");
  expect(uncovered, "not among the architectures that the library was built for, 80-real, 90-real, 120");
  expect(uncovered, "FFDWV_CMAKE_ARGS=-DFFDWV_CUDA_ARCHITECTURES=native");
  expect(launch_error(false, "out of memory", "120"), "ffdwv_fast: CUDA: out of memory");
  return failures == 0 ? 0 : 1;
}
