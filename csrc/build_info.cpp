// How this copy was built, as a JSON object, for bug reports and result headers.
//
// A C function, read through ctypes: the package then has nothing that is bound to a version of Python.

extern "C" __attribute__((visibility("default"))) const char* ffdwv_fast_build_info() {
  return "{\"version\": \"" FFDWV_VERSION "\", \"compiler\": \"" FFDWV_COMPILER
         "\", \"build_type\": \"" FFDWV_BUILD_TYPE "\", \"cxx_standard\": " FFDWV_CXX_STANDARD
         ", \"built_with_torch\": \"" FFDWV_TORCH_VERSION
         "\", \"oldest_torch\": \"" FFDWV_OLDEST_TORCH
         "\", \"cuda_architectures\": \"" FFDWV_CUDA_ARCHITECTURES "\"}";
}
