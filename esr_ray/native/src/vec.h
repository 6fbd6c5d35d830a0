// vec.h - one SIMD vector of reals, as GCC and clang spell it for every instruction set. See docs/native.md.
#pragma once
#include <cstddef>
#include <cstdint>

namespace esrn {

#ifdef ESRN_DOUBLE  // the same code in double precision: what finite differences are taken of (tests)
typedef double real;
typedef int64_t lane;
#else
typedef float real;
typedef int32_t lane;
#endif

#if defined(__AVX512F__)
#define ESRN_VECTOR_BYTES 64
#elif defined(__AVX2__)
#define ESRN_VECTOR_BYTES 32
#else
#define ESRN_VECTOR_BYTES 16
#endif

constexpr int VW = ESRN_VECTOR_BYTES / sizeof(real);  // reals of a vector
constexpr int LINE = 64 / sizeof(real);               // reals of a cache line
#if defined(__AVX512F__) || defined(__aarch64__)
constexpr int REGISTERS = 32;
#else
constexpr int REGISTERS = 16;
#endif

typedef real vec __attribute__((vector_size(ESRN_VECTOR_BYTES)));
typedef real vec_unaligned __attribute__((vector_size(ESRN_VECTOR_BYTES), aligned(sizeof(real)), may_alias));
typedef lane vec_mask __attribute__((vector_size(ESRN_VECTOR_BYTES), may_alias));

// Keeps a loaded vector in a register. Without it GCC folds the load into every multiply-add that uses it, and clang
// hoists the weights out of the loop and spills the accumulators: both halve the speed.
#if defined(__x86_64__)
#define ESRN_KEEP(x) asm("" : "+v"(x))
#elif defined(__aarch64__)
#define ESRN_KEEP(x) asm("" : "+w"(x))
#else
#define ESRN_KEEP(x) (void)(x)
#endif

inline vec load(const real* p) { return *(const vec_unaligned*)p; }
inline void store(real* p, vec v) { *(vec_unaligned*)p = v; }
inline vec splat(real s) { return s - vec{}; }  // minus: 's + 0' would stay an addition, because of -0
inline vec keep_where(vec v, vec_mask m) { return (vec)((vec_mask)v & m); }

inline int round_up(int a, int b) { return (a + b - 1) / b * b; }

}  // namespace esrn
