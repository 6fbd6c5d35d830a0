// execute.cpp - weights are packed, memory is laid out, operations run tile by tile.
#include "execute.h"

#include <sys/mman.h>

#include <algorithm>
#include <cstdlib>
#include <cstring>
#include <new>

#include "transfer.h"

namespace esrn {
namespace {

// A plane is about one 4 KB page, so that a dense block's exceed the first-level TLB: ask for huge pages.
constexpr size_t HUGE_PAGE = 2 << 20;

void ask_for_huge_pages(void* memory, size_t bytes) {
#ifdef MADV_HUGEPAGE
    const uintptr_t first = ((uintptr_t)memory + HUGE_PAGE - 1) / HUGE_PAGE * HUGE_PAGE;
    const uintptr_t last = ((uintptr_t)memory + bytes) / HUGE_PAGE * HUGE_PAGE;
    if (last > first) madvise((void*)first, last - first, MADV_HUGEPAGE);
#endif
}

struct Memory {
    real* start = nullptr;
    size_t reals = 0;
    ~Memory() { free(start); }
};

// Between two changes of the channel block: a run of pixels whose inputs stay in the L1 cache.
constexpr int RUN_VECTORS = 384 / VW;

class Executor {
   public:
    Executor(const Plan& plan, real* workspace) : plan(plan) {
        place(FORWARD, workspace, plan.workspace());
    }
    void add_backward_memory() {
        const size_t n = plan.backward_memory();
        real* memory = thread_memory(BACKWARD_MEMORY, n);
        for (int g = 0; g < GEOMETRIES; g++) {
            base[region(BACKWARD, g)] = memory;
            memory += plan.reals(region(BACKWARD, g));
            base[region(SCRATCH, g)] = memory;
            memory += plan.reals(region(SCRATCH, g));
        }
    }
    void pack(const Program& program, const real* parameters) {
        real* w = thread_memory(PACKED_WEIGHTS, program.weights.size());
        for (size_t i = 0; i < program.weights.size(); i++) w[i] = parameters[program.weights[i]];
        real* b = thread_memory(PACKED_BIASES, program.bias1.size());
        for (size_t i = 0; i < program.bias1.size(); i++)
            b[i] = parameters[program.bias1[i]] + (program.bias2[i] >= 0 ? parameters[program.bias2[i]] : 0);
        weights = w, biases = b;
    }
    void run(const Program& program, const Ends& ends) {
        for (const Phase& phase : program.phases) {
            if (!phase.tiled) {
                for (const Op& op : phase.ops) run_transfer(plan, op, phase.geometry, base, ends);
                continue;
            }
            const Geometry& geo = plan.geometry[phase.geometry];
            for (tile = 0; tile < geo.tiles; tile++)
                for (const Op& op : phase.ops) op.kind == GEMM ? run_gemm(op, geo) : run_dot(op, geo);
        }
    }
    real* gradient = nullptr;

   private:
    const Plan& plan;
    real* base[REGIONS] = {};
    const real *weights = nullptr, *biases = nullptr;
    int tile = 0;
    std::vector<const real*> sources, outs, adds, gates;

    void place(Kind kind, real* memory, size_t reals) {
        memory = (real*)(((uintptr_t)memory + 63) / 64 * 64);
        ask_for_huge_pages(memory, (reals - LINE) * sizeof(real));
        for (int g = 0; g < GEOMETRIES; g++) {
            base[region(kind, g)] = memory;
            memory += plan.reals(region(kind, g));
        }
    }
    const real* at(const Plane& p) const {
        const size_t shift = kind_of(p.region) == SCRATCH ? 0 : plan.stride[p.region] * tile;
        return base[p.region] + shift + p.offset;
    }
    void locate(std::vector<const real*>& to, const Planes& planes) {
        to.resize(planes.size());
        for (size_t i = 0; i < planes.size(); i++) to[i] = at(planes[i]);
    }
    void locate_sources(const Op& op) {
        locate(sources, op.source);
        for (size_t i = 0; i < sources.size(); i++) sources[i] += op.shift[i];
    }
    void run_gemm(const Op& op, const Geometry& geo) {
        const int terms = op.source.size(), channels = op.out.size();
        locate_sources(op);
        locate(outs, op.out);
        locate(adds, op.add);
        locate(gates, op.gate);
        for (const real* out : outs) clear_around(geo, const_cast<real*>(out));
        for (int first = 0; first < geo.vectors; first += RUN_VECTORS) {
            const int last = std::min(first + RUN_VECTORS, geo.vectors);
            const real* w = weights + op.weights;
            for (int c = 0, block; c < channels; c += block) {
                block = channel_block(channels - c);
                const Epilogue e{(real* const*)&outs[c],
                                 adds.empty() ? nullptr : &adds[c],
                                 gates.empty() ? nullptr : &gates[c],
                                 op.bias[0].empty() ? nullptr : biases + op.biases + c,
                                 geo.mask(),
                                 op.relu};
                gemm(sources.data(), terms, w, block, first, last, e);
                w += (size_t)terms * block;
            }
        }
    }
    void run_dot(const Op& op, const Geometry& geo) {
        const int channels = op.out.size();
        locate_sources(op);
        locate(outs, op.out);
        dot(outs.data(), channels, sources.data(), sources.size(), geo.vectors, gradient + op.weight_gradient, op.row,
            op.pointwise);
        sum(outs.data(), channels, geo.vectors, gradient + op.bias_gradient);
    }
};

}  // namespace

real* thread_memory(int slot, size_t reals) {
    static thread_local Memory memories[SLOTS];
    Memory& m = memories[slot];
    reals += LINE;
    if (reals > m.reals) {
        free(m.start);
        m = {};
        const size_t bytes = (reals * sizeof(real) + HUGE_PAGE - 1) / HUGE_PAGE * HUGE_PAGE;
        m.start = (real*)aligned_alloc(HUGE_PAGE, bytes);
        if (!m.start) throw std::bad_alloc();
        m.reals = bytes / sizeof(real);
        ask_for_huge_pages(m.start, bytes);
    }
    return m.start;
}

void run_forward(const Plan& plan, const real* parameters, const real* input, real* output, real* workspace) {
    Executor executor(plan, workspace);
    executor.pack(plan.forward, parameters);
    executor.run(plan.forward, {input, output, nullptr});
}

void run_backward(const Plan& plan, const real* parameters, const real* output_gradient, real* workspace,
                  real* gradient) {
    Executor executor(plan, workspace);
    executor.add_backward_memory();
    executor.pack(plan.backward, parameters);
    executor.gradient = gradient;
    memset(gradient, 0, plan.network.parameters * sizeof(real));
    executor.run(plan.backward, {nullptr, nullptr, output_gradient});
}

}  // namespace esrn
