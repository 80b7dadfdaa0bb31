// What a kernel includes: CUDA C++ under nvcc, its emulation under a host compiler, and the things
// that have to be said in a way of their own so that the emulation can check them.
#pragma once

#if !defined(__CUDACC__)
#include "cuda_emulation.h"
#else

// A static shared array: __shared__ type name[size].
#define FFDWV_SHARED(type, name, size) __shared__ type name[size]

namespace ffdwv {

// Accesses that must be aligned to the size of the vector.
template <typename Vector>
__device__ __forceinline__ Vector load_vector(const void* address) {
  return *static_cast<const Vector*>(address);
}

template <typename Vector>
__device__ __forceinline__ void store_vector(void* address, const Vector& value) {
  *static_cast<Vector*>(address) = value;
}

}  // namespace ffdwv
#endif
