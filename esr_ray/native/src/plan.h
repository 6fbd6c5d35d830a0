// plan.h - the program of one network at one batch and size: operations over planes, in order.
#pragma once
#include <map>
#include <memory>

#include "kernels.h"
#include "layout.h"
#include "network.h"

namespace esrn {

enum Operation {
    GEMM,           // sums of weighted, shifted planes, with an epilogue
    DOT,            // gradient of weights and biases
    LOAD_INPUT,     // the batch, padded to even sizes by its edge
    STORE_OUTPUT,   // cropped, and the skip added
    LOAD_GRADIENT,  // of the output, zero where it was cropped
    POOL,           // 2x2 average, and its gradient
    UNPOOL,
    SHUFFLE,        // pixel shuffle by `factor`, and its gradient
    UNSHUFFLE
};

struct Op {
    Operation kind = GEMM;
    Planes source;
    std::vector<int> shift;     // GEMM, DOT: offset of each source, by its tap
    Planes out, add, gate;      // DOT: `out` are the gradients of the outputs
    std::vector<int> bias[2];   // GEMM: parameter indices; two biases are added
    bool relu = false;
    size_t weights = 0, biases = 0;         // GEMM: where they are packed: [channel block][term][channel]
    int row = 0, weight_gradient = 0, bias_gradient = 0;  // DOT: row length and index of the first row
    bool pointwise = false;
    int fine = FULL, factor = 1;            // transfers: the finer resolution, and how much finer
    int level = 0;                          // evaluation: above those whose planes it reads or takes over
};

// Operations at one resolution. If `tiled`, they all run on a tile before the next; else each sees the whole batch.
struct Phase {
    int geometry;
    bool tiled;
    std::vector<Op> ops;
    int levels = 0;  // evaluation: of its operations
};

struct Program {
    std::vector<Phase> phases;
    std::vector<int> weights, bias1, bias2;  // parameter index of each packed weight and bias (bias2: -1 for none)
    double flops = 0;                        // 2 for each multiply-add at a pixel
};

struct Plan {
    Network network;
    int batch, height, width;  // of the input, as it comes
    bool training;             // else forward only, and blocks use the memory of those before
    Geometry geometry[GEOMETRIES];
    size_t stride[REGIONS] = {};  // reals of a region for each tile
    Program forward, backward;

    size_t tiles(int region) const { return kind_of(region) == SCRATCH ? 1 : geometry[geometry_of(region)].tiles; }
    size_t reals(int region) const { return stride[region] * tiles(region); }
    size_t workspace() const;       // reals of the forward memory, which the backward needs, with room to align it
    size_t backward_memory() const;
};

// The plan of a legal network; false, and why, where sizes are out of range.
bool make_plan(const Network& network, int batch, int height, int width, bool training, Plan* plan,
               std::string* error);

// The same, from the cache of the last few. Safe in any thread; null, and the error, if illegal.
std::shared_ptr<const Plan> cached_plan(const int32_t* description, int64_t size, int64_t batch, int64_t height,
                                        int64_t width, bool training, std::string* error);

}  // namespace esrn
