#include "training.h"

#include <cmath>

#include "execute.h"
#include "memory.h"

namespace esrn {

real loss_gradient(const Plan& plan, Loss loss, const real* parameters, const real* input, const real* target,
                   real* gradient) {
    const int64_t scale = plan.network.scale;
    const int64_t count = (int64_t)plan.batch * plan.network.out_channels * scale * plan.height * scale * plan.width;
    const Lease workspace(plan.workspace()), output(count);
    real* y = output.data();
    run_forward(plan, parameters, input, y, workspace.data());
    // The output becomes its own gradient. Partial sums: float32 alone would lose digits of a large batch.
    constexpr int64_t PART = 4096;
    const real step = real(1) / count;
    double total = 0;
    for (int64_t first = 0; first < count; first += PART) {
        const int64_t last = first + PART < count ? first + PART : count;
        real sum = 0;
        if (loss == Loss::SQUARED)
            for (int64_t i = first; i < last; i++) {
                const real d = y[i] - target[i];
                sum += d * d;
                y[i] = 2 * step * d;
            }
        else
            for (int64_t i = first; i < last; i++) {
                const real d = y[i] - target[i];
                sum += std::fabs(d);
                y[i] = d > 0 ? step : d < 0 ? -step : d;  // 0 at 0, and NaN stays NaN
            }
        total += sum;
    }
    run_backward(plan, parameters, y, workspace.data(), gradient);
    return real(total / count);
}

void update(int64_t count, const UpdateState& state, const real* gradient, const UpdateSettings& s) {
    constexpr real BETA1 = real(0.9), BETA2 = real(0.999), EPSILON = real(1e-8);
    real shrink = 1;
    if (s.clip_norm > 0) {
        double squares = 0;
        for (int64_t i = 0; i < count; i++) squares += (double)gradient[i] * gradient[i];
        const double norm = std::sqrt(squares);
        if (norm > s.clip_norm) shrink = real(s.clip_norm / norm);
        if (!(norm == norm)) shrink = real(norm);  // NaN: every weight becomes NaN, and the loss says so
    }
    const real rate = s.rate * std::sqrt(1 - s.beta2_power) / (1 - s.beta1_power);
    const real keep = s.keep;
    // restrict: the compiler does not test five vectors for overlaps, it would give up.
    const real* __restrict g = gradient;
    real *__restrict m1 = state.moment1, *__restrict m2 = state.moment2;
    real *__restrict weights = state.weights, *__restrict average = state.average;
    for (int64_t i = 0; i < count; i++) {
        const real clipped = g[i] * shrink;
        const real m = m1[i] + (clipped - m1[i]) * (1 - BETA1);
        const real v = m2[i] + (clipped * clipped - m2[i]) * (1 - BETA2);
        const real w = weights[i] - rate * m / (std::sqrt(v) + EPSILON);
        m1[i] = m;
        m2[i] = v;
        weights[i] = w;
        average[i] = average[i] * keep + w * (1 - keep);
    }
}

}  // namespace esrn
