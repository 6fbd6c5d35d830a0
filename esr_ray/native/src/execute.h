// execute.h - running a plan's programs, on one thread.
#pragma once
#include "plan.h"

namespace esrn {

// Input (batch, in, h, w) -> output (batch, out, scale * h, scale * w). `workspace` has plan.workspace() reals; it
// holds the activations that the backward needs, and nothing else does.
void run_forward(const Plan& plan, const real* parameters, const real* input, real* output, real* workspace);

// Gradient of the output -> gradient [network.parameters], overwritten. The input has none.
void run_backward(const Plan& plan, const real* parameters, const real* output_gradient, real* workspace,
                  real* gradient);

}  // namespace esrn
