// The host side of the CUDA image op.
#include "images_cuda.h"

#include "host.h"
#include "images_kernel.h"

namespace ffdwv {

void images_cuda(const ImageJob& job, PixelType type, const torch::stable::Device& device) {
  using namespace cuda;
  const CurrentDevice current(device.index());
  const ImageKernel kernel = image_kernel(type);
  const ImageGrid grid = image_grid(job, kernel.vector, most_blocks(device.index()));
  const dim3 blocks(static_cast<unsigned>(grid.groups), static_cast<unsigned>(grid.parts));
  launch(
      kernel.function, blocks, grid.threads, current_stream(device.index()), job,
      grid.images_per_group);
}

}  // namespace ffdwv
