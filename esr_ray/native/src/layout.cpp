#include "layout.h"

namespace esrn {

// A plane of about this many reals: a dense block of 100 planes is then half a megabyte.
constexpr int TILE_REALS = 1300;

Geometry::Geometry(int height_, int width_, int batch_) : height(height_), width(width_), batch(batch_) {
    pitch = width + 1;
    for (int n = 1; n <= batch; n++)
        if (batch % n == 0 && (int64_t)n * (height + 1) * pitch <= TILE_REALS) per_tile = n;
    tiles = batch / per_tile;
    length = (per_tile * (height + 1) - 1) * pitch;
    vectors = (length + VW - 1) / VW;
    lead = round_up(pitch + 1, LINE);
    stride = lead + round_up(vectors * VW, LINE);
    if (stride / LINE % 2 == 0) stride += LINE;  // an odd number of cache lines spreads planes over the L1 sets
    mask_.assign(vectors * VW + LINE, 0);
    lane* m = const_cast<lane*>(mask());
    for (int p = 0; p < length; p++) m[p] = (p % pitch < width && p / pitch % (height + 1) < height) ? -1 : 0;
}

const lane* Geometry::mask() const { return (const lane*)(((uintptr_t)mask_.data() + 63) / 64 * 64); }

}  // namespace esrn
