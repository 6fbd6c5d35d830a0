// network.h - what a network is, read from the integers that Python (esr_ray/native/describe.py) writes.
#pragma once
#include <cstdint>
#include <string>
#include <vector>

namespace esrn {

enum BlockType { SHRINK = 0, GROUP = 1, CONTEXTUAL = 2 };
enum Skip { NO_SKIP = 0, NEAREST = 1, BICUBIC = 2 };

// A convolution with bias: its weights (out, in / groups, kernel, kernel) and biases in the flat parameter vector.
struct Conv {
    int in = 0, out = 0, kernel = 1, groups = 1;
    int weight = 0, bias = 0;
    int group_in() const { return in / groups; }
    int taps() const { return kernel * kernel; }
};

struct Block {
    BlockType type;
    int convs, growth, out, in;
    bool has_entry, has_residual;  // 1x1 convolutions
    bool adds_input;               // the residual is the block's input; else, without a 1x1, the entry's output
    Conv entry, residual, last;
    std::vector<Conv> dense, shrink;  // 3x3; 1x1 between them (S and C)
};

struct Stage {  // of the tail: a 3x3, then a pixel shuffle by `factor`
    Conv expand;
    int factor;
};

// int32 layout of a description: a header, then 4 for each block (type, convolutions, growth, out).
enum Header { VERSION, IN_CHANNELS, OUT_CHANNELS, BASE, SKIP, BLOCKS, STAGES, STAGE_CHANNELS, STAGE_FACTOR,
              HEADER = STAGE_CHANNELS + 4 };  // channels and factor of two stages
constexpr int DESCRIPTION_VERSION = 1, MOST_STAGES = 2;

struct Network {
    int in_channels, out_channels, base, scale = 1, parameters = 0;
    Skip skip;
    Conv sfe1, sfe2, gff1, gff2, last;
    std::vector<Block> blocks;
    std::vector<Stage> stages;
    // Packed Bayer mosaics (R, two greens, B) go in and RGB comes out.
    bool of_mosaic() const { return in_channels == 4 && out_channels == 3; }
};

// Integers that a description of this beginning has, or an error. `size`: integers there are.
int description_length(const int32_t* description, int64_t size, std::string* error);

// Parameters are numbered in the order of the plain network's trainable_params(). False, and the rule, if illegal.
bool read_network(const int32_t* description, int64_t size, Network* network, std::string* error);

int group_count(int conv);  // groups of 3x3 convolution `conv` (from 0) of a G block

}  // namespace esrn
