// crops.cpp - a batch of crops from pictures in memory: uint8 RGB to planes of reals, flipped and transposed.
#include "crops.h"

namespace esrn {
namespace {

// A division for each of 256 values, not for each pixel.
struct Unit {
    real of[256];
    Unit() {
        for (int i = 0; i < 256; i++) of[i] = real(i) / 255;
    }
};
const Unit unit;

}  // namespace

void copy_crop(const uint8_t* corner, int64_t row_bytes, int size, int flips, real* out) {
    // Steps in memory for one pixel to the right and one down in the result.
    int64_t right = flips & FLIP_HORIZONTAL ? -3 : 3, down = flips & FLIP_VERTICAL ? -row_bytes : row_bytes;
    const uint8_t* start = corner;
    if (flips & FLIP_HORIZONTAL) start += 3 * (size - 1);
    if (flips & FLIP_VERTICAL) start += row_bytes * (size - 1);
    if (flips & TRANSPOSE) {
        const int64_t t = right;
        right = down, down = t;
    }
    const size_t plane = (size_t)size * size;
    for (int y = 0; y < size; y++) {
        real* row = out + (size_t)y * size;
        const uint8_t* from = start + y * down;
        for (int x = 0; x < size; x++, from += right) {
            row[x] = unit.of[from[0]];
            row[x + plane] = unit.of[from[1]];
            row[x + 2 * plane] = unit.of[from[2]];
        }
    }
}

}  // namespace esrn
