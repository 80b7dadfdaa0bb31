#pragma once

#include "../arguments.h"

namespace ffdwv {

// Fills the outputs on the current stream of the logits' device; waits for nothing. A label outside
// [0, C) that is not ignore_index makes its row's loss and gradient NaN.
void loss_cuda(const LossArguments& arguments, const LossOutputs& outputs);

}  // namespace ffdwv
