// execute.cpp - weights are packed, memory is laid out, operations run tile by tile.
#include "execute.h"

#include <algorithm>
#include <cstring>

#include "memory.h"
#include "transfer.h"

namespace esrn {
namespace {

// Between two changes of the channel block: a run of pixels whose inputs stay in the L1 cache.
constexpr int RUN_VECTORS = 384 / VW;
// Planes beyond this leave the L2 cache between two operations.
constexpr int LARGE_VECTORS = 4096 / VW;

class Executor {
   public:
    Executor(const Plan& plan, const Program& program, const real* parameters, real* workspace)
        : plan(plan), weights(program.weights.size()), biases(program.bias1.size()) {
        workspace = (real*)(((uintptr_t)workspace + 63) / 64 * 64);
        ask_for_huge_pages(workspace, (plan.workspace() - LINE) * sizeof(real));
        for (int g = 0; g < GEOMETRIES; g++) {
            base[region(FORWARD, g)] = workspace;
            workspace += plan.reals(region(FORWARD, g));
        }
        real *w = weights.data(), *b = biases.data();
        for (size_t i = 0; i < program.weights.size(); i++) w[i] = parameters[program.weights[i]];
        for (size_t i = 0; i < program.bias1.size(); i++)
            b[i] = parameters[program.bias1[i]] + (program.bias2[i] >= 0 ? parameters[program.bias2[i]] : 0);
    }
    void use_backward_memory(real* memory) {
        for (Kind kind : {BACKWARD, SCRATCH})
            for (int g = 0; g < GEOMETRIES; g++) {
                base[region(kind, g)] = memory;
                memory += plan.reals(region(kind, g));
            }
    }
    void run(const Program& program, const Ends& ends) {
        for (const Phase& phase : program.phases) {
            if (!phase.tiled) {
                for (const Op& op : phase.ops) run_transfer(plan, op, phase.geometry, base, ends);
                continue;
            }
            const Geometry& geo = plan.geometry[phase.geometry];
            for (tile = 0; tile < geo.tiles; tile++)
                if (phase.levels && geo.vectors > LARGE_VECTORS) run_waves(phase, geo);
                else
                    for (const Op& op : phase.ops) {
                        pointers.clear();
                        const Located planes = locate(op);
                        op.kind == GEMM ? run_gemm(op, planes, geo, 0, geo.vectors) : run_dot(op, planes, geo);
                    }
        }
    }
    real* gradient = nullptr;

   private:
    const Plan& plan;
    real* base[REGIONS] = {};
    const Lease weights, biases;  // packed
    int tile = 0;
    std::vector<const real*> pointers;

    // Where an operation's planes are: places in `pointers`, which may still grow.
    struct Located {
        size_t source, out, add, gate;
    };

    const real* at(const Plane& p) const {
        const size_t shift = kind_of(p.region) == SCRATCH ? 0 : plan.stride[p.region] * tile;
        return base[p.region] + shift + p.offset;
    }
    size_t locate(const Planes& planes) {
        const size_t first = pointers.size();
        for (const Plane& p : planes) pointers.push_back(at(p));
        return first;
    }
    Located locate(const Op& op) {
        const Located found{locate(op.source), locate(op.out), locate(op.add), locate(op.gate)};
        for (size_t i = 0; i < op.source.size(); i++) pointers[found.source + i] += op.shift[i];
        return found;
    }
    // A large picture's planes fit no cache: operations follow each other in waves, each a little behind those that it
    // reads (a tap reaches pitch + 1 ahead), so that what one has written is still near when the next one reads it. What
    // takes a plane over is behind those that read it before, and they reach pitch + 1 back.
    void run_waves(const Phase& phase, const Geometry& geo) {
        pointers.clear();
        std::vector<Located> planes;
        for (const Op& op : phase.ops) planes.push_back(locate(op));
        const int behind = (geo.pitch + 1 + VW - 1) / VW + 1;
        const int all = geo.vectors + (phase.levels - 1) * behind;
        for (int front = 0; front < all; front += RUN_VECTORS)
            for (size_t i = 0; i < phase.ops.size(); i++) {
                const int first = front - phase.ops[i].level * behind, last = first + RUN_VECTORS;
                if (last > 0 && first < geo.vectors)
                    run_gemm(phase.ops[i], planes[i], geo, std::max(first, 0), std::min(last, geo.vectors));
            }
    }
    void run_gemm(const Op& op, const Located& planes, const Geometry& geo, int begin, int end) {
        const int terms = op.source.size(), channels = op.out.size();
        const real* const* outs = &pointers[planes.out];
        if (begin == 0)
            for (int c = 0; c < channels; c++) clear_around(geo, const_cast<real*>(outs[c]));
        for (int first = begin; first < end; first += RUN_VECTORS) {
            const int last = std::min(first + RUN_VECTORS, end);
            const real* w = weights.data() + op.weights;
            for (int c = 0, block; c < channels; c += block) {
                block = channel_block(channels - c);
                const Epilogue e{(real* const*)&outs[c],
                                 op.add.empty() ? nullptr : &pointers[planes.add + c],
                                 op.gate.empty() ? nullptr : &pointers[planes.gate + c],
                                 op.bias[0].empty() ? nullptr : biases.data() + op.biases + c,
                                 geo.mask(),
                                 op.relu};
                gemm(&pointers[planes.source], terms, w, block, first, last, e);
                w += (size_t)terms * block;
            }
        }
    }
    void run_dot(const Op& op, const Located& planes, const Geometry& geo) {
        const int channels = op.out.size();
        const real* const* outs = &pointers[planes.out];
        dot(outs, channels, &pointers[planes.source], op.source.size(), geo.vectors, gradient + op.weight_gradient,
            op.row, op.pointwise);
        sum(outs, channels, geo.vectors, gradient + op.bias_gradient);
    }
};

}  // namespace

void run_forward(const Plan& plan, const real* parameters, const real* input, real* output, real* workspace) {
    Executor executor(plan, plan.forward, parameters, workspace);
    executor.run(plan.forward, {input, output, nullptr});
}

void run_backward(const Plan& plan, const real* parameters, const real* output_gradient, real* workspace,
                  real* gradient) {
    const Lease memory(plan.backward_memory());
    Executor executor(plan, plan.backward, parameters, workspace);
    executor.use_backward_memory(memory.data());
    executor.gradient = gradient;
    memset(gradient, 0, plan.network.parameters * sizeof(real));
    executor.run(plan.backward, {nullptr, nullptr, output_gradient});
}

}  // namespace esrn
