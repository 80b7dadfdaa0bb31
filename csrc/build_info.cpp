// How this copy was built, for bug reports and result headers.
#include <pybind11/pybind11.h>

namespace py = pybind11;

PYBIND11_MODULE(_build_info, m) {
  m.doc() = "How the native part of ffdwv_fast was built.";
  m.def("get", [] {
    py::dict info;
    info["version"] = FFDWV_VERSION;
    info["compiler"] = FFDWV_COMPILER;
    info["build_type"] = FFDWV_BUILD_TYPE;
    info["cxx_standard"] = FFDWV_CXX_STANDARD;
    info["built_with_torch"] = FFDWV_TORCH_VERSION;
    info["oldest_torch"] = FFDWV_OLDEST_TORCH;
    info["cuda_architectures"] = FFDWV_CUDA_ARCHITECTURES;
    return info;
  });
}
