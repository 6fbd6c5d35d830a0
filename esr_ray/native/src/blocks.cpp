// blocks.cpp - the S, G and C blocks as operations, forward and backward.
#include <algorithm>

#include "build.h"

namespace esrn {
namespace {

// Planes that group `group` of convolution `conv` of a G block reads, in the order of its weights: the channel shuffle
// puts channel k of slice j at place k * (conv + 1) + j. Nothing is moved: a shuffle is an order of planes.
Planes shuffled_group(const Block& b, const Planes& slices, int conv, int group) {
    const int m = b.growth / group_count(conv);
    Planes v;
    for (int k = group * m; k < (group + 1) * m; k++)
        for (int j = 0; j <= conv; j++) v.push_back(slices[j * b.growth + k]);
    return v;
}

}  // namespace

void Builder::block_forward(const Block& b, const Planes& input, Saved* s) {
    divide();
    s->input = s->entry = input;
    s->out = allot(FORWARD, FULL, b.out);
    const size_t full = used[region(FORWARD, FULL)], half = used[region(FORWARD, HALF)];
    if (b.has_entry) {
        s->entry = allot(FORWARD, FULL, b.growth);
        conv_forward(FULL, b.entry, input, s->entry);
    }
    if (b.type == GROUP) group_forward(b, s);
    else steps_forward(b, s);

    // The last 1x1 with the residual: the residual's own 1x1 only adds terms to the sum.
    const Planes& dense = b.type == CONTEXTUAL ? s->shuffled : s->slices;
    Gemm q;
    forward_terms(q, FULL, b.last, dense, 0, b.out);
    q.op.bias[0] = range(b.last.bias, b.out);
    if (b.has_residual) {
        forward_terms(q, FULL, b.residual, input, 0, b.out);
        q.op.bias[1] = range(b.residual.bias, b.out);
    } else {
        q.op.add = b.adds_input ? input : s->entry;
    }
    emit(plan.forward, FULL, std::move(q), s->out);
    if (!plan.training) {
        used[region(FORWARD, FULL)] = full;
        used[region(FORWARD, HALF)] = half;
    }
}

void Builder::group_forward(const Block& b, Saved* s) {
    s->slices = s->entry;
    const Planes made = allot(FORWARD, FULL, b.convs * b.growth);
    append(s->slices, made);
    for (int c = 0; c < b.convs; c++) {
        const int groups = group_count(c), m = b.growth / groups;
        for (int q = 0; q < groups; q++) {
            Gemm x;
            forward_terms(x, FULL, b.dense[c], shuffled_group(b, s->slices, c, q), q * m, m);
            x.op.bias[0] = range(b.dense[c].bias + q * m, m);
            x.op.relu = true;
            emit(plan.forward, FULL, std::move(x), part(made, c * b.growth + q * m, m));
        }
    }
}

void Builder::steps_forward(const Block& b, Saved* s) {
    const int n = b.convs, growth = b.growth;
    const bool contextual = b.type == CONTEXTUAL;
    const int g = contextual ? HALF : FULL;
    s->slices = s->entry;
    if (contextual) {
        s->slices = allot(FORWARD, HALF, growth);
        transfer(plan.forward, POOL, HALF, FULL, s->entry, s->slices);
    }
    append(s->slices, allot(FORWARD, g, n * growth));
    s->steps = allot(FORWARD, g, (n - 1) * growth);
    if (contextual) s->recursion = allot(FORWARD, HALF, 2 * n * growth);
    Planes current = part(s->slices, 0, growth);
    for (int i = 0; i < n; i++) {
        const Planes slice = part(s->slices, (i + 1) * growth, growth);
        if (contextual) {
            const Planes once = part(s->recursion, 2 * i * growth, growth);
            const Planes twice = part(s->recursion, (2 * i + 1) * growth, growth);
            conv_forward(HALF, b.dense[i], current, once, true);
            conv_forward(HALF, b.dense[i], once, twice, true);
            conv_forward(HALF, b.dense[i], twice, slice, true);
        } else {
            conv_forward(FULL, b.dense[i], current, slice, true);
        }
        if (i == n - 1) break;
        current = part(s->steps, i * growth, growth);
        conv_forward(g, b.shrink[i], part(s->slices, 0, (2 + i) * growth), current);
    }
    if (contextual) {
        s->shuffled = allot(FORWARD, FULL, (n + 1) * growth / 4);
        transfer(plan.forward, SHUFFLE, HALF, FULL, s->slices, s->shuffled);
    }
}

void Builder::input_terms(Gemm& q, const Block& b, const Planes& dy, int fused, int first, int count) {
    if (fused >= 0) backward_terms(q, FULL, net.gff1, d_fused, 0, range(fused + first, count));
    if (b.has_residual) backward_terms(q, FULL, b.residual, dy, 0, range(first, count));
}

void Builder::block_backward(const Block& b, const Saved& s, const Planes& dy, const Planes& dx, int fused) {
    const size_t full = used[region(BACKWARD, FULL)], half = used[region(BACKWARD, HALF)];
    // Scratch is for one tile's turn, and a C block's entry is reached by way of the other resolution.
    used[region(SCRATCH, FULL)] = used[region(SCRATCH, HALF)] = 0;
    const Planes d_entry =
        b.has_entry ? allot(b.type == CONTEXTUAL ? BACKWARD : SCRATCH, FULL, b.growth) : dx;
    if (b.has_residual) weight_gradient(FULL, b.residual, dy, 0, s.input);
    if (b.type == GROUP) group_backward(b, s, dy, d_entry, fused);
    else steps_backward(b, s, dy, d_entry, fused);
    if (b.has_entry) {
        weight_gradient(FULL, b.entry, d_entry, 0, s.input);
        Gemm x;
        backward_terms(x, FULL, b.entry, d_entry, 0, range(0, b.in));
        input_terms(x, b, dy, fused, 0, b.in);
        if (b.adds_input) x.op.add = dy;
        emit(plan.backward, FULL, std::move(x), dx);
    }
    // dx stays; the rest is free for the next block.
    used[region(BACKWARD, FULL)] = full;
    used[region(BACKWARD, HALF)] = half;
}

// The entry's own residual: dy is added to its gradient where the block adds it as it is.
static bool entry_is_added(const Block& b) { return b.has_entry ? !b.adds_input && !b.has_residual : b.adds_input; }

void Builder::group_backward(const Block& b, const Saved& s, const Planes& dy, const Planes& d_entry, int fused) {
    const int n = b.convs, growth = b.growth;
    weight_gradient(FULL, b.last, dy, 0, s.slices);
    const Planes d_slices = allot(SCRATCH, FULL, n * growth);  // of slices 1..n, before ReLU
    const int parts = group_count(n - 1), m = growth / parts;  // channels that share all their consumers' groups
    for (int j = n; j >= 0; j--) {
        for (int q = 0; q < parts; q++) {
            Gemm x;
            backward_terms(x, FULL, b.last, dy, 0, range(j * growth + q * m, m));
            for (int c = j; c < n; c++) {  // the convolutions that read slice j
                const int wide = growth / group_count(c), group = q * m / wide;
                std::vector<int> inputs;
                for (int k = q * m; k < (q + 1) * m; k++) inputs.push_back((k - group * wide) * (c + 1) + j);
                backward_terms(x, FULL, b.dense[c], part(d_slices, c * growth + group * wide, wide), group * wide,
                               inputs);
            }
            if (j) {
                x.op.gate = part(s.slices, j * growth + q * m, m);
                emit(plan.backward, FULL, std::move(x), part(d_slices, (j - 1) * growth + q * m, m));
            } else {
                if (!b.has_entry) input_terms(x, b, dy, fused, q * m, m);
                if (entry_is_added(b)) x.op.add = part(dy, q * m, m);
                emit(plan.backward, FULL, std::move(x), part(d_entry, q * m, m));
            }
        }
        if (!j) break;
        const int c = j - 1, wide = growth / group_count(c);
        for (int q = 0; q < group_count(c); q++)
            weight_gradient(FULL, b.dense[c], part(d_slices, c * growth + q * wide, wide), q * wide,
                            shuffled_group(b, s.slices, c, q));
    }
}

void Builder::steps_backward(const Block& b, const Saved& s, const Planes& dy, const Planes& d_entry, int fused) {
    const int n = b.convs, growth = b.growth;
    const bool contextual = b.type == CONTEXTUAL;
    const int g = contextual ? HALF : FULL;
    Planes d_slices;  // C: from the last 1x1, which lies behind the pixel shuffle
    if (contextual) {
        weight_gradient(FULL, b.last, dy, 0, s.shuffled);
        const Planes d_shuffled = allot(BACKWARD, FULL, s.shuffled.size());
        d_slices = allot(BACKWARD, HALF, (n + 1) * growth);
        conv_backward(FULL, b.last, dy, d_shuffled);
        transfer(plan.backward, UNSHUFFLE, HALF, FULL, d_shuffled, d_slices);
    } else {
        weight_gradient(FULL, b.last, dy, 0, s.slices);
    }
    const Planes d_steps = allot(SCRATCH, g, (n - 1) * growth), d_conv = allot(SCRATCH, g, 3 * growth);
    // Terms of slice j's gradient from the 1x1s that read it.
    auto readers = [&](Gemm& q, int j) {
        for (int i = std::max(j - 1, 0); i < n - 1; i++)
            backward_terms(q, g, b.shrink[i], part(d_steps, i * growth, growth), 0, range(j * growth, growth));
        if (contextual) q.op.add = part(d_slices, j * growth, growth);
        else backward_terms(q, FULL, b.last, dy, 0, range(j * growth, growth));
    };
    for (int i = n - 1; i >= 0; i--) {
        const Planes input = i ? part(s.steps, (i - 1) * growth, growth) : part(s.slices, 0, growth);
        Planes d = part(d_conv, 2 * growth, growth);
        Gemm q;
        readers(q, i + 1);
        q.op.gate = part(s.slices, (i + 1) * growth, growth);
        emit(plan.backward, g, std::move(q), d);
        if (contextual)
            for (int time = 1; time >= 0; time--) {
                const Planes between = part(s.recursion, (2 * i + time) * growth, growth);
                const Planes before = part(d_conv, time * growth, growth);
                weight_gradient(HALF, b.dense[i], d, 0, between);
                conv_backward(HALF, b.dense[i], d, before, between);
                d = before;
            }
        weight_gradient(g, b.dense[i], d, 0, input);
        if (i) {
            const Planes d_input = part(d_steps, (i - 1) * growth, growth);
            conv_backward(g, b.dense[i], d, d_input);
            weight_gradient(g, b.shrink[i - 1], d_input, 0, part(s.slices, 0, (i + 1) * growth));
            continue;
        }
        Gemm x;
        backward_terms(x, g, b.dense[0], d, 0, range(0, growth));
        readers(x, 0);
        if (!contextual) {
            if (!b.has_entry) input_terms(x, b, dy, fused, 0, growth);
            if (entry_is_added(b)) x.op.add = dy;
            emit(plan.backward, FULL, std::move(x), d_entry);
            continue;
        }
        const Planes d_pooled = allot(BACKWARD, HALF, growth);
        emit(plan.backward, HALF, std::move(x), d_pooled);
        const Planes spread = b.has_entry ? d_entry : allot(BACKWARD, FULL, growth);
        transfer(plan.backward, UNPOOL, HALF, FULL, d_pooled, spread, entry_is_added(b) ? dy : Planes());
        if (b.has_entry) continue;
        Gemm rest;
        input_terms(rest, b, dy, fused, 0, growth);
        rest.op.add = spread;
        emit(plan.backward, FULL, std::move(rest), d_entry);
    }
}

}  // namespace esrn
