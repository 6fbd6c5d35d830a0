// training.h - what a training step needs beside the network: the loss, and the optimizer.
#pragma once
#include "plan.h"

namespace esrn {

enum class Loss { ABSOLUTE, SQUARED };

// Mean absolute or squared difference of the network's output and `target`, and the gradient of it
// [network.parameters].
real loss_gradient(const Plan& plan, Loss loss, const real* parameters, const real* input, const real* target,
                   real* gradient);

// One step of one training, as esr_ray/training/native.py writes it.
struct UpdateSettings {
    real rate;
    real beta1_power, beta2_power;  // of this step, counted from 1
    real clip_norm;                 // greatest norm of the gradient; 0: any
    real keep;                      // decay of the averaged weights; 0: they are the weights
};
constexpr int UPDATE_SETTINGS = 5;

// Vectors of `count` each, which the update reads and writes; none overlaps another.
struct UpdateState {
    real *weights, *moment1, *moment2, *average;
};

// Adam (Kingma and Ba 2015, algorithm 1; epsilon added to the root as MindSpore does) with clipping by the global norm.
void update(int64_t count, const UpdateState& state, const real* gradient, const UpdateSettings& settings);

}  // namespace esrn
