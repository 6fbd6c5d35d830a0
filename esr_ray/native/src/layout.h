// layout.h - where a channel's pixels lie: planes, tiles, regions. Drawn in docs/native.md.
#pragma once
#include <vector>

#include "vec.h"

namespace esrn {

// One resolution of the network, for a whole batch.
//
// Images are stacked into tall tiles, so that a dense block's planes of one tile stay in the L2 cache. A plane is one
// channel of a tile: rows of pitch width + 1, whose one zero column is the right padding of a row and the left padding
// of the next; one zero row lies between images; `lead` zeros lie before the plane, and at least as many behind it.
// So a tap of a 3x3 convolution is a constant offset, and a plane is one flat vector whatever the width.
struct Geometry {
    int height = 0, width = 0, batch = 0;     // of an image
    int per_tile = 1, tiles = 0;              // images of a tile, tiles of the batch
    int pitch = 0, length = 0, vectors = 0;   // of a row; of a plane, in reals and in vectors
    int lead = 0, stride = 0;                 // zeros before a plane; distance between planes

    Geometry() = default;
    Geometry(int height, int width, int batch);
    int tap(int t) const { return (t / 3 - 1) * pitch + t % 3 - 1; }  // offset of tap t (0..8) of a 3x3
    int image(int n) const { return (n % per_tile) * (height + 1) * pitch; }  // offset of image n inside its tile
    const lane* mask() const;  // [vectors * VW], 64-byte aligned: -1 at pixels, 0 at padding

   private:
    std::vector<lane> mask_;
};

// Resolutions: the input's, its half (C blocks), and one for each stage of the tail.
constexpr int FULL = 0, HALF = 1, TAIL = 2, GEOMETRIES = 4;

// Memory is divided by what it is for and by resolution. Forward and backward memory has room for every tile; scratch
// holds one tile, and what it holds does not outlive that tile's turn.
enum Kind { FORWARD, BACKWARD, SCRATCH, KINDS };
constexpr int REGIONS = KINDS * GEOMETRIES;
inline int region(Kind kind, int geometry) { return kind * GEOMETRIES + geometry; }
inline Kind kind_of(int region) { return Kind(region / GEOMETRIES); }
inline int geometry_of(int region) { return region % GEOMETRIES; }

// Pixel 0 of a channel plane in tile 0: the offset in reals from its region's start.
struct Plane {
    int region;
    int64_t offset;
};
typedef std::vector<Plane> Planes;

inline Planes part(const Planes& planes, int first, int count) {
    return Planes(planes.begin() + first, planes.begin() + first + count);
}
inline void append(Planes& to, const Planes& more) { to.insert(to.end(), more.begin(), more.end()); }

}  // namespace esrn
