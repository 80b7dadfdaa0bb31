// What is said when a kernel cannot be launched.
#pragma once

#include <string>

namespace ffdwv::cuda {

// `no_kernel`: the library holds no code that this GPU can run. `reason`: CUDA's own words.
// `architectures`: those of the build, as CMake lists them.
inline std::string launch_error(
    bool no_kernel, const std::string& reason, const std::string& architectures) {
  if (!no_kernel) {
    return "ffdwv_fast: CUDA: " + reason;
  }
  return "ffdwv_fast: this GPU is not among the architectures that the library was built for, " +
         architectures +
         "; build it again on this machine, with FFDWV_CMAKE_ARGS=-DFFDWV_CUDA_ARCHITECTURES=native";
}

}  // namespace ffdwv::cuda
