// Never run: more values than registers, so that the build's refusal of spills is seen to work.
__global__ void __launch_bounds__(1024) spills(const float* in, float* out) {
  float kept[128];
#pragma unroll
  for (int i = 0; i < 128; ++i) {
    kept[i] = in[i * 1024 + threadIdx.x];
  }
  __syncthreads();
#pragma unroll
  for (int i = 0; i < 128; ++i) {
    out[i * 1024 + threadIdx.x] = kept[127 - i];
  }
}
