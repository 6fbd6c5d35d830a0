// crops.h - a square crop of a picture, as a network takes it.
#pragma once
#include "vec.h"

namespace esrn {

// Applied in this order, as esr_ray/data/crops.py does.
enum Flip { FLIP_HORIZONTAL = 1, FLIP_VERTICAL = 2, TRANSPOSE = 4 };

// uint8 RGB pixels (row_bytes from row to row) -> out (3, size, size) in [0, 1].
void copy_crop(const uint8_t* corner, int64_t row_bytes, int size, int flips, real* out);

}  // namespace esrn
