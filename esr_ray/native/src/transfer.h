// transfer.h - what moves pixels between resolutions, and between planes and the caller's batches.
#pragma once
#include <algorithm>

#include "plan.h"

namespace esrn {

struct Ends {  // the caller's dense batches, (batch, channels, height, width)
    const real* input;
    real* output;
    const real* output_gradient;
};

// Zeros before and behind a plane. Vector stores: calls of memset showed up beside 1x1 layers.
inline void clear_around(const Geometry& geo, real* plane) {
    for (int i = 0; i < geo.lead; i += VW) store(plane - geo.lead + i, vec{});
    for (int i = geo.vectors * VW; i < geo.stride; i += VW) store(plane + i, vec{});
}

// `base`: where each region begins. `geometry`: that of the operation's phase, the coarser one.
void run_transfer(const Plan& plan, const Op& op, int geometry, real* const* base, const Ends& ends);

}  // namespace esrn
