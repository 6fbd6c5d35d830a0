// build.h - how a plan is built: memory is allotted, and layers become operations.
#pragma once
#include <numeric>

#include "plan.h"

namespace esrn {

inline std::vector<int> range(int first, int count) {
    std::vector<int> v(count);
    std::iota(v.begin(), v.end(), first);
    return v;
}

// A gemm under construction: its output channels share the sources.
struct Gemm {
    Op op;
    std::vector<std::vector<int>> weights;  // [term][output channel]: parameter index
};

class Builder {
   public:
    explicit Builder(Plan* plan) : plan(*plan), net(plan->network) {}
    void build();

   private:
    // What a block leaves for its backward.
    struct Saved {
        Planes input, entry, out;  // entry: the input where there is none
        Planes slices;             // what the dense block concatenates: entry (or its pooled), then each convolution
        Planes steps;              // S, C: inputs of steps 1..
        Planes recursion;          // C: two between the three applications of each convolution
        Planes shuffled;           // C: `slices` at full resolution
    };

    Plan& plan;
    const Network& net;
    size_t used[REGIONS] = {};
    std::vector<Saved> saved;

    Planes allot(Kind kind, int geometry, int channels);

    void build_forward();
    void build_backward();
    void block_forward(const Block& b, const Planes& input, Saved* s);
    void group_forward(const Block& b, Saved* s);
    void steps_forward(const Block& b, Saved* s);
    // `dy`: gradient of the block's output. `dx`: to be written, with GFF's share for the block before (`fused`: where
    // that block's channels lie in GFF, or -1).
    void block_backward(const Block& b, const Saved& s, const Planes& dy, const Planes& dx, int fused);
    void group_backward(const Block& b, const Saved& s, const Planes& dy, const Planes& d_entry, int fused);
    void steps_backward(const Block& b, const Saved& s, const Planes& dy, const Planes& d_entry, int fused);
    // Terms that complete the gradient of rows [first, first + count) of a block's input.
    void input_terms(Gemm& q, const Block& b, const Planes& dy, int fused, int first, int count);

    // Terms of output channels [first, first + count) of `c`, whose group's inputs are `in`.
    void forward_terms(Gemm& q, int geometry, const Conv& c, const Planes& in, int first, int count);
    // Terms of output channels [first, ...) of `c`, whose gradients are `dy`, for inputs `inputs` of their group.
    void backward_terms(Gemm& q, int geometry, const Conv& c, const Planes& dy, int first,
                        const std::vector<int>& inputs);
    void emit(Program& program, int geometry, Gemm q, const Planes& out);
    void conv_forward(int geometry, const Conv& c, const Planes& in, const Planes& out, bool relu = false,
                      const Planes& add = {});
    void conv_backward(int geometry, const Conv& c, const Planes& dy, const Planes& dx, const Planes& gate = {},
                       const Planes& add = {});
    void weight_gradient(int geometry, const Conv& c, const Planes& dy, int first, const Planes& in);
    void transfer(Program& program, Operation kind, int coarse, int fine, const Planes& source, const Planes& out,
                  const Planes& add = {});
    void push(Program& program, int geometry, bool tiled, Op op);
    // Evaluation: what follows is a phase of its own. What waves over fewer operations still need stays nearer.
    void divide() { divided = !plan.training; }
    void find_levels(Phase& phase);

    bool divided = false;
    Planes d_fused;  // gradient of GFF's 1x1
    std::vector<int> fused_at;
};

}  // namespace esrn
