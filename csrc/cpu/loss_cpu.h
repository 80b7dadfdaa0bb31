#pragma once

#include "../arguments.h"

namespace ffdwv {

// Fills the outputs. Throws std::out_of_range, before anything is written, where a label lies
// outside [0, C) and is not ignore_index.
void loss_cpu(const LossArguments& arguments, const LossOutputs& outputs);

}  // namespace ffdwv
