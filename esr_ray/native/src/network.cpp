#include "network.h"

namespace esrn {
namespace {

constexpr int MOST_CHANNELS = 4096, MOST_CONVS = 256, MOST_BLOCKS = 4096;
constexpr int64_t MOST_PARAMETERS = 1 << 26;  // a plan takes some 30 bytes for each

bool within(int value, int most) { return value >= 1 && value <= most; }

Conv add_conv(Network* n, int in, int out, int kernel, int groups = 1) {
    Conv c;
    c.in = in, c.out = out, c.kernel = kernel, c.groups = groups;
    c.weight = n->parameters;
    c.bias = c.weight + out * c.group_in() * c.taps();
    n->parameters = c.bias + out;
    return c;
}

Block add_block(Network* n, const int32_t* d, int in) {
    Block b;
    b.type = BlockType(d[0]), b.convs = d[1], b.growth = d[2], b.out = d[3], b.in = in;
    b.has_entry = in != b.growth;
    b.adds_input = b.out == in;
    b.has_residual = b.out != in && b.out != b.growth;
    if (b.has_entry) b.entry = add_conv(n, in, b.growth, 1);
    if (b.has_residual) b.residual = add_conv(n, in, b.out, 1);
    for (int c = 0; c < b.convs; c++)
        b.dense.push_back(b.type == GROUP ? add_conv(n, (c + 1) * b.growth, b.growth, 3, group_count(c))
                                          : add_conv(n, b.growth, b.growth, 3));
    if (b.type != GROUP)
        for (int c = 0; c + 1 < b.convs; c++) b.shrink.push_back(add_conv(n, (2 + c) * b.growth, b.growth, 1));
    const int dense = (b.convs + 1) * b.growth;
    b.last = add_conv(n, b.type == CONTEXTUAL ? dense / 4 : dense, b.out, 1);
    return b;
}

std::string block_error(const int32_t* b) {
    if (b[0] < SHRINK || b[0] > CONTEXTUAL) return "type must be S (0), G (1) or C (2)";
    if (!within(b[1], MOST_CONVS) || !within(b[2], MOST_CHANNELS) || !within(b[3], MOST_CHANNELS))
        return "convolutions, growth and out must be positive, and below 257, 4097 and 4097";
    if (b[0] == GROUP && b[2] % group_count(b[1] - 1)) return "growth must divide by the groups of its convolutions";
    if (b[0] == CONTEXTUAL && (int64_t)(b[1] + 1) * b[2] % 4) return "(convolutions + 1) * growth must divide by 4";
    return "";
}

}  // namespace

int group_count(int conv) { return conv >= 3 ? 4 : conv >= 1 ? 2 : 1; }

int description_length(const int32_t* d, int64_t size, std::string* error) {
    if (size < HEADER) return *error = "the description is shorter than its header", -1;
    if (d[VERSION] != DESCRIPTION_VERSION) return *error = "the description is of another version of the library", -1;
    if (!within(d[BLOCKS], MOST_BLOCKS)) return *error = "the number of blocks must be 1 to 4096", -1;
    if (HEADER + 4 * (int64_t)d[BLOCKS] > size) return *error = "the description ends before its last block", -1;
    if (HEADER + 4 * (int64_t)d[BLOCKS] < size) return *error = "the description goes on after its last block", -1;
    return HEADER + 4 * d[BLOCKS];
}

bool read_network(const int32_t* d, int64_t size, Network* n, std::string* error) {
    if (description_length(d, size, error) < 0) return false;
    n->in_channels = d[IN_CHANNELS], n->out_channels = d[OUT_CHANNELS], n->base = d[BASE];
    if (!within(n->in_channels, 64) || !within(n->out_channels, 64) || !within(n->base, MOST_CHANNELS))
        return *error = "channels must be 1 to 64 at the ends and 1 to 4096 between", false;
    if (d[SKIP] < NO_SKIP || d[SKIP] > BICUBIC) return *error = "the skip must be 0 (none), 1 or 2", false;
    n->skip = Skip(d[SKIP]);
    if (n->skip != NO_SKIP && n->in_channels != n->out_channels && !n->of_mosaic())
        return *error = "a skip needs as many channels going in as coming out, or a mosaic's 4 and 3", false;
    if (d[STAGES] < 0 || d[STAGES] > MOST_STAGES) return *error = "the tail has 0, 1 or 2 stages", false;
    for (int s = 0; s < d[STAGES]; s++) {
        const int channels = d[STAGE_CHANNELS + 2 * s], factor = d[STAGE_FACTOR + 2 * s];
        if (factor < 2 || factor > 4 || !within(channels, 16 * MOST_CHANNELS) || channels % (factor * factor))
            return *error = "a stage shuffles by 2, 3 or 4, and its channels divide by the square of that", false;
    }
    // At least the parameters: everything is indexed by int.
    int64_t bound = 9 * (int64_t)n->base * (n->in_channels + 2 * n->base), tail = n->base;
    for (int s = 0; s < d[STAGES]; s++) {
        const int64_t wide = d[STAGE_CHANNELS + 2 * s], factor = d[STAGE_FACTOR + 2 * s];
        bound += 9 * tail * wide;
        tail = wide / (factor * factor);
    }
    bound += 9 * tail * n->out_channels;
    for (int i = 0; i < d[BLOCKS]; i++) {
        const int32_t* b = d + HEADER + 4 * i;
        const std::string why = block_error(b);
        if (!why.empty()) return *error = "block " + std::to_string(i) + ": " + why, false;
        const int64_t dense = (int64_t)(b[1] + 1) * b[2];
        bound += 9 * b[1] * dense * b[2] + (int64_t)b[1] * dense * b[2] + (dense + 2 * MOST_CHANNELS) * b[3] +
                 (int64_t)MOST_CHANNELS * b[2] + (int64_t)b[3] * n->base;
        if (bound > MOST_PARAMETERS) return *error = "the network has more than 2^26 parameters", false;
    }

    n->sfe1 = add_conv(n, n->in_channels, n->base, 3);
    n->sfe2 = add_conv(n, n->base, n->base, 3);
    int channels = n->base, fused = 0;
    for (int i = 0; i < d[BLOCKS]; i++) {
        n->blocks.push_back(add_block(n, d + HEADER + 4 * i, channels));
        channels = n->blocks.back().out;
        fused += channels;
    }
    n->gff1 = add_conv(n, fused, n->base, 1);
    n->gff2 = add_conv(n, n->base, n->base, 3);
    channels = n->base;
    for (int s = 0; s < d[STAGES]; s++) {
        const int wide = d[STAGE_CHANNELS + 2 * s], factor = d[STAGE_FACTOR + 2 * s];
        n->stages.push_back({add_conv(n, channels, wide, 3), factor});
        n->scale *= factor;
        channels = wide / (factor * factor);
    }
    n->last = add_conv(n, channels, n->out_channels, 3);
    return true;
}

}  // namespace esrn
