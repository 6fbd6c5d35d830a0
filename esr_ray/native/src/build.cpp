// build.cpp - layers to operations. The backward is in gather form: the gradient of a plane sums all its consumers in
// registers, and applies ReLU's gate, in one gemm.
#include "build.h"

#include <algorithm>
#include <numeric>

namespace esrn {
namespace {

std::vector<int> range(int first, int count) {
    std::vector<int> v(count);
    std::iota(v.begin(), v.end(), first);
    return v;
}

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

Planes Builder::allot(Kind kind, int g, int channels) {
    const int r = region(kind, g);
    const Geometry& geo = plan.geometry[g];
    // All at multiples of the stride: where memory is used again, a plane takes the place of whole planes (run_waves).
    Planes planes;
    for (int c = 0; c < channels; c++) planes.push_back({r, (int64_t)(geo.lead + used[r] + (size_t)c * geo.stride)});
    used[r] += (size_t)channels * geo.stride;
    plan.stride[r] = std::max(plan.stride[r], used[r] + geo.lead);
    return planes;
}

void Builder::push(Program& program, int g, bool tiled, Op op) {
    auto& phases = program.phases;
    if (phases.empty() || !tiled || !phases.back().tiled || phases.back().geometry != g)
        phases.push_back({g, tiled, {}, 0});
    phases.back().ops.push_back(std::move(op));
}

void Builder::forward_terms(Gemm& q, int g, const Conv& c, const Planes& in, int first, int count) {
    const int taps = c.taps();
    for (int i = 0; i < c.group_in(); i++)
        for (int t = 0; t < taps; t++) {
            q.op.source.push_back(in[i]);
            q.op.shift.push_back(taps == 9 ? plan.geometry[g].tap(t) : 0);
            std::vector<int> w(count);
            for (int o = 0; o < count; o++) w[o] = c.weight + ((first + o) * c.group_in() + i) * taps + t;
            q.weights.push_back(std::move(w));
        }
}

void Builder::backward_terms(Gemm& q, int g, const Conv& c, const Planes& dy, int first,
                             const std::vector<int>& inputs) {
    const int taps = c.taps();
    for (size_t o = 0; o < dy.size(); o++)
        for (int t = 0; t < taps; t++) {
            q.op.source.push_back(dy[o]);
            q.op.shift.push_back(taps == 9 ? -plan.geometry[g].tap(t) : 0);
            std::vector<int> w;
            for (int i : inputs) w.push_back(c.weight + ((first + (int)o) * c.group_in() + i) * taps + t);
            q.weights.push_back(std::move(w));
        }
}

void Builder::emit(Program& program, int g, Gemm q, const Planes& out) {
    Op& op = q.op;
    const int n = out.size();
    op.out = out;
    op.weights = program.weights.size();
    op.biases = program.bias1.size();
    for (int first = 0, block; first < n; first += block) {
        block = channel_block(n - first);
        for (const auto& w : q.weights) program.weights.insert(program.weights.end(), &w[first], &w[first] + block);
    }
    for (size_t c = 0; c < op.bias[0].size(); c++) {
        program.bias1.push_back(op.bias[0][c]);
        program.bias2.push_back(op.bias[1].empty() ? -1 : op.bias[1][c]);
    }
    const Geometry& geo = plan.geometry[g];
    program.flops += 2.0 * q.weights.size() * n * geo.height * geo.width * geo.batch;
    push(program, g, true, std::move(op));
}

void Builder::conv_forward(int g, const Conv& c, const Planes& in, const Planes& out, bool relu, const Planes& add) {
    Gemm q;
    forward_terms(q, g, c, in, 0, c.out);
    q.op.bias[0] = range(c.bias, c.out);
    q.op.relu = relu;
    q.op.add = add;
    emit(plan.forward, g, std::move(q), out);
}

void Builder::conv_backward(int g, const Conv& c, const Planes& dy, const Planes& dx, const Planes& gate,
                            const Planes& add) {
    Gemm q;
    backward_terms(q, g, c, dy, 0, range(0, c.in));
    q.op.gate = gate;
    q.op.add = add;
    emit(plan.backward, g, std::move(q), dx);
}

// Gradient of the weights and biases of rows [first, first + dy.size()); `in`: the inputs of their group.
void Builder::weight_gradient(int g, const Conv& c, const Planes& dy, int first, const Planes& in) {
    Op op;
    const int taps = c.taps();
    op.kind = DOT;
    op.out = dy;
    for (const Plane& plane : in)
        for (int t = 0; t < taps; t++) {
            op.source.push_back(plane);
            op.shift.push_back(taps == 9 ? plan.geometry[g].tap(t) : 0);
        }
    op.row = c.group_in() * taps;
    op.weight_gradient = c.weight + first * op.row;
    op.bias_gradient = c.bias + first;
    op.pointwise = taps == 1;
    const Geometry& geo = plan.geometry[g];
    plan.backward.flops += 2.0 * op.source.size() * dy.size() * geo.height * geo.width * geo.batch;
    push(plan.backward, g, true, std::move(op));
}

void Builder::transfer(Program& program, Operation kind, int coarse, int fine, const Planes& source,
                       const Planes& out, const Planes& add) {
    Op op;
    op.kind = kind;
    op.source = source;
    op.out = out;
    op.add = add;
    op.fine = fine;
    op.factor = plan.geometry[fine].height / std::max(1, plan.geometry[coarse].height);
    push(program, coarse, false, std::move(op));
}

void Builder::build() {
    build_forward();
    if (plan.training) build_backward();
    else
        for (Phase& phase : plan.forward.phases) find_levels(phase);
}

void Builder::find_levels(Phase& phase) {
    struct Use {
        int written = -1, read = -1;  // levels
    };
    std::map<std::pair<int, int64_t>, Use> uses;
    auto use = [&](const Plane& p) -> Use& { return uses[{p.region, p.offset}]; };
    for (Op& op : phase.ops) {
        for (const Planes* read : {&op.source, &op.add, &op.gate})
            for (const Plane& p : *read) op.level = std::max(op.level, use(p).written + 1);
        for (const Plane& p : op.out) op.level = std::max({op.level, use(p).written + 1, use(p).read + 1});
        for (const Planes* read : {&op.source, &op.add, &op.gate})
            for (const Plane& p : *read) use(p).read = std::max(use(p).read, op.level);
        for (const Plane& p : op.out) use(p) = {op.level, -1};
        phase.levels = std::max(phase.levels, op.level + 1);
    }
}

// ------------------------------------------------------------------------------------------------------- whole network

void Builder::build_forward() {
    Program& program = plan.forward;
    Saved ends;  // the network's own planes, kept as a block's are
    ends.input = allot(FORWARD, FULL, net.in_channels);
    ends.entry = allot(FORWARD, FULL, net.base);
    transfer(program, LOAD_INPUT, FULL, FULL, {}, ends.input);
    conv_forward(FULL, net.sfe1, ends.input, ends.entry);
    Planes current = allot(FORWARD, FULL, net.base), fused;
    conv_forward(FULL, net.sfe2, ends.entry, current);
    for (const Block& b : net.blocks) {
        Saved s;
        fused_at.push_back(fused.size());
        block_forward(b, current, &s);
        current = s.out;
        append(fused, current);
        saved.push_back(std::move(s));
    }
    ends.slices = fused;
    ends.steps = allot(FORWARD, FULL, net.base);
    ends.out = allot(FORWARD, FULL, net.base);
    conv_forward(FULL, net.gff1, fused, ends.steps);
    conv_forward(FULL, net.gff2, ends.steps, ends.out, false, ends.entry);
    current = ends.out;
    int g = FULL;
    for (size_t i = 0; i < net.stages.size(); i++) {
        const Stage& stage = net.stages[i];
        const int next = TAIL + i;
        const Planes wide = allot(FORWARD, g, stage.expand.out);
        conv_forward(g, stage.expand, current, wide);
        current = allot(FORWARD, next, stage.expand.out / (stage.factor * stage.factor));
        transfer(program, SHUFFLE, g, next, wide, current);
        append(ends.shuffled, current);
        g = next;
    }
    const Planes output = allot(FORWARD, g, net.out_channels);
    conv_forward(g, net.last, current, output);
    transfer(program, STORE_OUTPUT, g, g, output, {});
    saved.push_back(std::move(ends));
}

void Builder::build_backward() {
    Program& program = plan.backward;
    const Saved ends = saved.back();
    const int stages = net.stages.size();
    int g = stages ? TAIL + stages - 1 : FULL;
    Planes dy = allot(BACKWARD, g, net.out_channels);
    transfer(program, LOAD_GRADIENT, g, g, {}, dy);
    // The tail, last convolution first: what each reads, and the shuffle that brought it there.
    const Conv* conv = &net.last;
    int shuffled = ends.shuffled.size();
    for (int i = stages - 1; i >= 0; i--) {
        const Stage& stage = net.stages[i];
        const int coarse = i ? TAIL + i - 1 : FULL;
        shuffled -= conv->in;
        weight_gradient(g, *conv, dy, 0, part(ends.shuffled, shuffled, conv->in));
        const Planes dx = allot(BACKWARD, g, conv->in);
        conv_backward(g, *conv, dy, dx);
        dy = allot(BACKWARD, coarse, stage.expand.out);
        transfer(program, UNSHUFFLE, coarse, g, dx, dy);
        conv = &stage.expand;
        g = coarse;
    }
    weight_gradient(FULL, *conv, dy, 0, ends.out);
    const Planes d_out = allot(BACKWARD, FULL, net.base);  // of GFF's output: also the global residual's
    conv_backward(FULL, *conv, dy, d_out);
    weight_gradient(FULL, net.gff2, d_out, 0, ends.steps);
    d_fused = allot(BACKWARD, FULL, net.base);
    conv_backward(FULL, net.gff2, d_out, d_fused);
    weight_gradient(FULL, net.gff1, d_fused, 0, ends.slices);

    const int blocks = net.blocks.size();
    dy = allot(BACKWARD, FULL, net.blocks.back().out);
    Gemm q;
    backward_terms(q, FULL, net.gff1, d_fused, 0, range(fused_at.back(), net.blocks.back().out));
    emit(program, FULL, std::move(q), dy);
    for (int i = blocks - 1; i >= 0; i--) {
        const Planes dx = allot(BACKWARD, FULL, net.blocks[i].in);
        block_backward(net.blocks[i], saved[i], dy, dx, i ? fused_at[i - 1] : -1);
        dy = dx;
    }
    weight_gradient(FULL, net.sfe2, dy, 0, ends.entry);
    const Planes d_entry = allot(BACKWARD, FULL, net.base);
    conv_backward(FULL, net.sfe2, dy, d_entry, {}, d_out);
    weight_gradient(FULL, net.sfe1, d_entry, 0, ends.input);
}

// -------------------------------------------------------------------------------------------------------------- blocks

void Builder::block_forward(const Block& b, const Planes& input, Saved* s) {
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
