// build.cpp - layers to operations. The backward is in gather form: the gradient of a plane sums all its consumers in
// registers, and applies ReLU's gate, in one gemm.
#include "build.h"

#include <algorithm>

namespace esrn {

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
    if (phases.empty() || !tiled || !phases.back().tiled || phases.back().geometry != g || divided)
        phases.push_back({g, tiled, {}, 0});
    divided = false;
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
    divide();
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
    divide();
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

}  // namespace esrn
