// kernels.cpp - register blocking: channels x vectors of pixels (gemm), channels x terms (dot).
#include "kernels.h"

#include <algorithm>
#include <utility>

namespace esrn {
namespace {

template <int CO, int VB>
__attribute__((noinline)) void gemm_block(const real* const* __restrict source, int terms,
                                          const real* __restrict weights, int p0, const Epilogue& e) {
    vec acc[CO][VB];
#pragma GCC unroll 16
    for (int c = 0; c < CO; c++) {
        const vec bias = splat(e.bias ? e.bias[c] : 0);
#pragma GCC unroll 16
        for (int v = 0; v < VB; v++) acc[c][v] = bias;
    }
    // The destination, and what is added or compared, are often cold: fetch them behind the arithmetic.
#pragma GCC unroll 16
    for (int c = 0; c < CO; c++)
#pragma GCC unroll 16
        for (int v = 0; v < VB; v++) __builtin_prefetch(e.out[c] + p0 + v * VW, 1, 3);
    if (const real* const* other = e.gate ? e.gate : e.add)
        for (int c = 0; c < CO; c++)
            for (int v = 0; v < VB; v++) __builtin_prefetch(other[c] + p0 + v * VW, 0, 3);
#pragma GCC unroll 3
    for (int k = 0; k < terms; k++) {
        const real* s = source[k] + p0;
        vec x[VB];
#pragma GCC unroll 16
        for (int v = 0; v < VB; v++) {
            x[v] = load(s + v * VW);
            ESRN_KEEP(x[v]);
        }
#pragma GCC unroll 16
        for (int c = 0; c < CO; c++) {
            vec w = splat(weights[c]);
            ESRN_KEEP(w);
#pragma GCC unroll 16
            for (int v = 0; v < VB; v++) acc[c][v] += w * x[v];
        }
        weights += CO;
    }
    // One test for the block, not one for each vector.
    if (e.add)
#pragma GCC unroll 16
        for (int c = 0; c < CO; c++)
#pragma GCC unroll 16
            for (int v = 0; v < VB; v++) acc[c][v] += load(e.add[c] + p0 + v * VW);
    if (e.relu)
#pragma GCC unroll 16
        for (int c = 0; c < CO; c++)
#pragma GCC unroll 16
            for (int v = 0; v < VB; v++) acc[c][v] = keep_where(acc[c][v], acc[c][v] > 0);
    if (e.gate)
#pragma GCC unroll 16
        for (int c = 0; c < CO; c++)
#pragma GCC unroll 16
            for (int v = 0; v < VB; v++) acc[c][v] = keep_where(acc[c][v], load(e.gate[c] + p0 + v * VW) > 0);
#pragma GCC unroll 16
    for (int v = 0; v < VB; v++) {
        const vec_mask mask = *(const vec_mask*)(e.mask + p0 + v * VW);
#pragma GCC unroll 16
        for (int c = 0; c < CO; c++) store(e.out[c] + p0 + v * VW, keep_where(acc[c][v], mask));
    }
}

// Vectors of pixels that are held beside CO channels: sums, inputs and one weight fit the registers.
template <int CO>
constexpr int pixel_vectors() {
    if (REGISTERS == 32) return CO >= 7 ? 3 : CO >= 5 ? 4 : CO == 4 ? 6 : 8;
    return CO >= 5 ? 2 : CO >= 3 ? 3 : 4;
}

template <int CO, int VB>
void gemm_rest(int left, const real* const* s, int terms, const real* w, int p0, const Epilogue& e) {
    if constexpr (VB > 0) {
        if (left == VB) gemm_block<CO, VB>(s, terms, w, p0, e);
        else gemm_rest<CO, VB - 1>(left, s, terms, w, p0, e);
    }
}

template <int CO>
void gemm_channels(const real* const* s, int terms, const real* w, int first, int last, const Epilogue& e) {
    constexpr int VB = pixel_vectors<CO>();
    int v = first;
    for (; v + VB <= last; v += VB) gemm_block<CO, VB>(s, terms, w, v * VW, e);
    gemm_rest<CO, VB - 1>(last - v, s, terms, w, v * VW, e);
}

// Horizontal sums of several vectors at once, by a tree: each step halves the lanes that a vector occupies and joins
// two operands. fold<PART>: a and b hold VW/PART vectors of PART partial sums each; the result holds all, with PART/2.
template <int PART, bool HIGH, int... I>
inline vec fold_pick(vec a, vec b, std::integer_sequence<int, I...>) {
    constexpr int half = PART / 2, per = VW / PART;
    return __builtin_shufflevector(
        a, b, ((I / half < per ? I / half * PART : VW + (I / half - per) * PART) + I % half + (HIGH ? half : 0))...);
}
template <int PART>
inline vec fold(vec a, vec b) {
    using Lanes = std::make_integer_sequence<int, VW>;
    return fold_pick<PART, false>(a, b, Lanes{}) + fold_pick<PART, true>(a, b, Lanes{});
}
// N vectors (N <= 2 * VW / PART) -> one vector with PART/2 partial sums of each.
template <int PART, int N>
inline vec sum_tree(const vec* a) {
    constexpr int half = VW / PART;
    if constexpr (PART == VW) {
        return fold<PART>(a[0], a[N > 1 ? 1 : 0]);
    } else if constexpr (N <= half) {
        const vec t = sum_tree<PART * 2, N>(a);
        return fold<PART>(t, t);
    } else {
        return fold<PART>(sum_tree<PART * 2, half>(a), sum_tree<PART * 2, N - half>(a + half));
    }
}
// out[i] = sum of the lanes of a[i], i < N; writes whole vectors: `out` has room for N rounded up to VW.
template <int N>
inline void lane_sums(const vec* a, real* out) {
    store(out, sum_tree<2, (N < VW ? N : VW)>(a));
    if constexpr (N > VW) lane_sums<N - VW>(a + VW, out + VW);
}

// out[c * KB + k] = sum_p dy[c][p] * source[k][p]
template <int CO, int KB>
__attribute__((noinline)) void dot_block(const real* const* dy, const real* const* source, int vectors, real* out) {
    vec acc[CO * KB];
#pragma GCC unroll 32
    for (int i = 0; i < CO * KB; i++) acc[i] = vec{};
    const real *s[KB], *d[CO];
#pragma GCC unroll 16
    for (int k = 0; k < KB; k++) s[k] = source[k];
#pragma GCC unroll 16
    for (int c = 0; c < CO; c++) d[c] = dy[c];
    for (size_t p = 0; p < (size_t)vectors * VW; p += VW) {
        vec y[CO];
#pragma GCC unroll 16
        for (int c = 0; c < CO; c++) y[c] = load(d[c] + p);
#pragma GCC unroll 16
        for (int k = 0; k < KB; k++) {
            vec x = load(s[k] + p);
            ESRN_KEEP(x);
#pragma GCC unroll 16
            for (int c = 0; c < CO; c++) acc[c * KB + k] += y[c] * x;
        }
    }
    lane_sums<CO * KB>(acc, out);
}

template <int CO, int KB>
void dot_terms(const real* const* dy, const real* const* source, int first, int terms, int vectors, real* gradient,
               size_t row) {
    real out[CO * KB + 2 * VW];
    const real* s[KB];
    const int m = std::min(KB, terms - first);
    for (int i = 0; i < KB; i++) s[i] = source[first + std::min(i, m - 1)];  // the last block repeats its last term
    dot_block<CO, KB>(dy, s, vectors, out);
    for (int c = 0; c < CO; c++)
        for (int i = 0; i < m; i++) gradient[c * row + first + i] += out[c * KB + i];
}

template <int CO, int KB>
void dot_channels(const real* const* dy, const real* const* source, int terms, int vectors, real* gradient,
                  size_t row) {
    for (int k = 0; k < terms; k += KB) dot_terms<CO, KB>(dy, source, k, terms, vectors, gradient, row);
}

template <int CO>
__attribute__((noinline)) void sum_block(const real* const* dy, int vectors, real* out) {
    vec acc[CO];
#pragma GCC unroll 16
    for (int c = 0; c < CO; c++) acc[c] = vec{};
    for (size_t p = 0; p < (size_t)vectors * VW; p += VW)
#pragma GCC unroll 16
        for (int c = 0; c < CO; c++) acc[c] += load(dy[c] + p);
    lane_sums<CO>(acc, out);
}

}  // namespace

void gemm(const real* const* source, int terms, const real* weights, int channels, int first, int last,
          const Epilogue& e) {
    switch (channels) {
        case 1: return gemm_channels<1>(source, terms, weights, first, last, e);
        case 2: return gemm_channels<2>(source, terms, weights, first, last, e);
        case 3: return gemm_channels<3>(source, terms, weights, first, last, e);
        case 4: return gemm_channels<4>(source, terms, weights, first, last, e);
        case 5: return gemm_channels<5>(source, terms, weights, first, last, e);
        case 6: return gemm_channels<6>(source, terms, weights, first, last, e);
        case 7: return gemm_channels<7>(source, terms, weights, first, last, e);
        default: return gemm_channels<8>(source, terms, weights, first, last, e);
    }
}

void dot(const real* const* dy, int channels, const real* const* source, int terms, int vectors, real* gradient,
         size_t row, bool pointwise) {
    constexpr bool wide = REGISTERS == 32;
    constexpr int rows = wide ? 4 : 2;
    if (pointwise && channels % rows == 0) {  // the terms lie outside: they are often cold, dy comes from L2
        for (int k = 0; k < terms; k += 6)
            for (int c = 0; c < channels; c += rows)
                dot_terms<rows, 6>(dy + c, source, k, terms, vectors, gradient + c * row, row);
        return;
    }
    for (int c = 0, block; c < channels; c += block) {
        const int left = channels - c == 6 ? 3 : channels - c;  // 6 = 3 + 3
        real* g = gradient + c * row;
        if (wide && left >= 4) dot_channels<4, wide ? 6 : 3>(dy + c, source, terms, vectors, g, row), block = 4;
        else if (left == 3) dot_channels<3, wide ? 8 : 4>(dy + c, source, terms, vectors, g, row), block = 3;
        else if (left >= 2) dot_channels<2, wide ? 8 : 6>(dy + c, source, terms, vectors, g, row), block = 2;
        else dot_channels<1, 6>(dy + c, source, terms, vectors, g, row), block = 1;
    }
}

void sum(const real* const* dy, int channels, int vectors, real* gradient) {
    for (int first = 0; first < channels; first += 8) {
        const real* d[8];
        real out[8 + 2 * VW];
        const int m = std::min(8, channels - first);
        for (int c = 0; c < 8; c++) d[c] = dy[first + std::min(c, m - 1)];
        sum_block<8>(d, vectors, out);
        for (int c = 0; c < m; c++) gradient[first + c] += out[c];
    }
}

}  // namespace esrn
