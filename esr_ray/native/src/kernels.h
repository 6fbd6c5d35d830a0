// kernels.h - the three vector kernels that all layers are made of, over lists of pointers to planes.
#pragma once
#include "vec.h"

namespace esrn {

// What follows the accumulation of a gemm, for the channels of one block.
struct Epilogue {
    real* const* out;         // destination planes
    const real* const* add;   // planes to add, or null
    const real* const* gate;  // planes: the result is kept where they are > 0 (backward of ReLU), or null
    const real* bias;         // or null
    const lane* mask;         // -1 at pixels, 0 at padding
    bool relu;
};

// Output channels are cut into blocks whose sums are held in registers: the size of the next one when n are left.
inline int channel_block(int n) {
    if (REGISTERS == 32) return n < 8 ? n : 8;
    return n == 6 ? 6 : n < 4 ? n : 4;
}

// out[c][p] = epilogue(sum_k weights[k * channels + c] * source[k][p]), vectors first <= v < last, channels <= 8.
// A 3x3 convolution is nine k per input channel, whose sources are shifted by the tap; a 1x1 is one k per channel.
void gemm(const real* const* source, int terms, const real* weights, int channels, int first, int last,
          const Epilogue& epilogue);

// gradient[c * row + k] += sum_p dy[c][p] * source[k][p], over `vectors` vectors.
void dot(const real* const* dy, int channels, const real* const* source, int terms, int vectors, real* gradient,
         size_t row, bool pointwise);

// gradient[c] += sum_p dy[c][p].
void sum(const real* const* dy, int channels, int vectors, real* gradient);

}  // namespace esrn
