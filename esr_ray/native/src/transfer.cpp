#include "transfer.h"

#include <cmath>
#include <cstring>

namespace esrn {
namespace {

struct Transfer {
    const Plan& plan;
    const Op& op;
    const Geometry &coarse, &fine;
    real* const* base;
    const Ends& ends;

    real* image(const Plane& p, int n) const {  // pixel 0 of image n
        const Geometry& geo = plan.geometry[geometry_of(p.region)];
        return base[p.region] + plan.stride[p.region] * (n / geo.per_tile) + p.offset + geo.image(n);
    }
    // The same of a plane that is written image by image: its padding is cleared first.
    real* fresh(const Plane& p, int n) const {
        const Geometry& geo = plan.geometry[geometry_of(p.region)];
        real* im = image(p, n);
        for (int y = 0; y < geo.height; y++) im[y * geo.pitch + geo.width] = 0;
        if (n % geo.per_tile != geo.per_tile - 1) memset(im + geo.height * geo.pitch, 0, geo.pitch * sizeof(real));
        if (n % geo.per_tile == 0) {
            clear_around(geo, im);
            for (int p = geo.length; p < geo.vectors * VW; p++) im[p] = 0;
        }
        return im;
    }

    void load_input(int n) const {
        const int height = plan.height, width = plan.width, channels = op.out.size();
        for (int c = 0; c < channels; c++) {
            real* to = fresh(op.out[c], n);
            const real* from = ends.input + ((size_t)n * channels + c) * height * width;
            for (int y = 0; y < fine.height; y++) {
                real* row = to + y * fine.pitch;
                memcpy(row, from + (size_t)std::min(y, height - 1) * width, width * sizeof(real));
                if (fine.width > width) row[width] = row[width - 1];
            }
        }
    }
    void load_gradient(int n) const {
        const int scale = plan.network.scale, height = scale * plan.height, width = scale * plan.width;
        const int channels = op.out.size();
        for (int c = 0; c < channels; c++) {
            real* to = fresh(op.out[c], n);
            const real* from = ends.output_gradient + ((size_t)n * channels + c) * height * width;
            for (int y = 0; y < fine.height; y++) {
                real* row = to + y * fine.pitch;
                const int kept = y < height ? width : 0;
                memcpy(row, from + (size_t)std::min(y, height - 1) * width, kept * sizeof(real));
                for (int x = kept; x < fine.width; x++) row[x] = 0;
            }
        }
    }
    void store_output(int n) const {
        const int scale = plan.network.scale, height = scale * plan.height, width = scale * plan.width;
        const int channels = op.source.size();
        std::vector<real> greens;
        for (int c = 0; c < channels; c++) {
            const real* from = image(op.source[c], n);
            const size_t picture = (size_t)n * channels + c;
            real* to = ends.output + picture * height * width;
            for (int y = 0; y < height; y++) memcpy(to + (size_t)y * width, from + y * fine.pitch, width * sizeof(real));
            if (plan.network.skip == NO_SKIP) continue;
            const real* in = skipped(n, c, &greens);
            if (plan.network.skip == NEAREST) add_nearest(in, to);
            if (plan.network.skip == BICUBIC) add_bicubic(in, to);
        }
    }
    // What is enlarged and added to channel c of the output: that channel of the input, and of a mosaic its R, the mean of
    // its greens (which is put into `greens`), or its B.
    const real* skipped(int n, int c, std::vector<real>* greens) const {
        const Network& network = plan.network;
        const size_t pixels = (size_t)plan.height * plan.width;
        const real* in = ends.input + (size_t)n * network.in_channels * pixels;
        if (!network.of_mosaic()) return in + c * pixels;
        if (c != 1) return in + (c == 0 ? 0 : 3) * pixels;
        greens->resize(pixels);
        for (size_t p = 0; p < pixels; p++) (*greens)[p] = (in[pixels + p] + in[2 * pixels + p]) / 2;
        return greens->data();
    }
    void add_nearest(const real* in, real* out) const {
        const int scale = plan.network.scale, width = plan.width;
        for (int y = 0; y < scale * plan.height; y++) {
            const real* __restrict row = in + (size_t)(y / scale) * width;
            real* __restrict to = out + (size_t)y * scale * width;
            if (scale == 2)
                for (int x = 0; x < width; x++) to[2 * x] += row[x], to[2 * x + 1] += row[x];
            else
                for (int x = 0; x < width; x++)
                    for (int i = 0; i < scale; i++) to[scale * x + i] += row[x];
        }
    }
    // Keys' cubic, a = -0.5, borders replicated: rows of taps for each phase, first down, then across.
    void add_bicubic(const real* in, real* out) const {
        const int scale = plan.network.scale, height = plan.height, width = plan.width;
        std::vector<real> taps(scale * 5), down(width + 4);
        for (int phase = 0; phase < scale; phase++)
            for (int t = 0; t < 5; t++) {
                const double d = std::fabs((phase + 0.5) / scale - 0.5 - (t - 2));
                taps[phase * 5 + t] = d <= 1  ? 1.5 * d * d * d - 2.5 * d * d + 1
                                      : d < 2 ? -0.5 * d * d * d + 2.5 * d * d - 4 * d + 2
                                              : 0;
            }
        for (int y = 0; y < scale * height; y++) {
            std::fill(down.begin(), down.end(), real(0));
            for (int t = 0; t < 5; t++) {
                const real w = taps[y % scale * 5 + t];
                const real* row = in + (size_t)std::clamp(y / scale + t - 2, 0, height - 1) * width;
                for (int x = 0; x < width; x++) down[x + 2] += w * row[x];
            }
            down[0] = down[1] = down[2];
            down[width + 2] = down[width + 3] = down[width + 1];
            for (int x = 0; x < width; x++)
                for (int phase = 0; phase < scale; phase++) {
                    real s = 0;
                    for (int t = 0; t < 5; t++) s += taps[phase * 5 + t] * down[x + t];
                    *out++ += s;
                }
        }
    }

    void pool(int n) const {
        for (size_t c = 0; c < op.out.size(); c++) {
            const real* from = image(op.source[c], n);
            real* to = fresh(op.out[c], n);
            for (int y = 0; y < coarse.height; y++) {
                const real *a = from + 2 * y * fine.pitch, *b = a + fine.pitch;
                for (int x = 0; x < coarse.width; x++)
                    to[y * coarse.pitch + x] = real(0.25) * (a[2 * x] + a[2 * x + 1] + b[2 * x] + b[2 * x + 1]);
            }
        }
    }
    void unpool(int n) const {
        for (size_t c = 0; c < op.out.size(); c++) {
            const real* from = image(op.source[c], n);
            const real* add = op.add.empty() ? nullptr : image(op.add[c], n);
            real* to = fresh(op.out[c], n);
            for (int y = 0; y < fine.height; y++)
                for (int x = 0; x < fine.width; x++) {
                    const real v = real(0.25) * from[y / 2 * coarse.pitch + x / 2];
                    to[y * fine.pitch + x] = add ? v + add[y * fine.pitch + x] : v;
                }
        }
    }
    // Pixel (factor * y + i, factor * x + j) of channel c is pixel (y, x) of channel (c * factor + i) * factor + j.
    void shuffle(int n) const {
        const int f = op.factor;
        for (size_t c = 0; c < op.out.size(); c++) {
            real* to = fresh(op.out[c], n);
            for (int i = 0; i < f; i++) {
                const Plane* sources = &op.source[(c * f + i) * f];
                for (int y = 0; y < coarse.height; y++) {
                    real* __restrict row = to + (f * y + i) * fine.pitch;
                    if (f == 2) {  // both at once: whole vectors are stored
                        const real* __restrict a = image(sources[0], n) + y * coarse.pitch;
                        const real* __restrict b = image(sources[1], n) + y * coarse.pitch;
                        for (int x = 0; x < coarse.width; x++) row[2 * x] = a[x], row[2 * x + 1] = b[x];
                        continue;
                    }
                    for (int j = 0; j < f; j++) {
                        const real* __restrict s = image(sources[j], n) + y * coarse.pitch;
                        for (int x = 0; x < coarse.width; x++) row[f * x + j] = s[x];
                    }
                }
            }
        }
    }
    void unshuffle(int n) const {
        const int f = op.factor;
        for (size_t c = 0; c < op.source.size(); c++) {
            const real* from = image(op.source[c], n);
            for (int i = 0; i < f; i++) {
                const Plane* outs = &op.out[(c * f + i) * f];
                for (int j = 0; j < f; j++) fresh(outs[j], n);
                for (int y = 0; y < coarse.height; y++) {
                    const real* __restrict row = from + (f * y + i) * fine.pitch;
                    if (f == 2) {
                        real* __restrict a = image(outs[0], n) + y * coarse.pitch;
                        real* __restrict b = image(outs[1], n) + y * coarse.pitch;
                        for (int x = 0; x < coarse.width; x++) a[x] = row[2 * x], b[x] = row[2 * x + 1];
                        continue;
                    }
                    for (int j = 0; j < f; j++) {
                        real* __restrict d = image(outs[j], n) + y * coarse.pitch;
                        for (int x = 0; x < coarse.width; x++) d[x] = row[f * x + j];
                    }
                }
            }
        }
    }
};

}  // namespace

void run_transfer(const Plan& plan, const Op& op, int geometry, real* const* base, const Ends& ends) {
    const Transfer t{plan, op, plan.geometry[geometry], plan.geometry[op.fine], base, ends};
    for (int n = 0; n < plan.batch; n++) switch (op.kind) {
            case LOAD_INPUT: t.load_input(n); break;
            case STORE_OUTPUT: t.store_output(n); break;
            case LOAD_GRADIENT: t.load_gradient(n); break;
            case POOL: t.pool(n); break;
            case UNPOOL: t.unpool(n); break;
            case SHUFFLE: t.shuffle(n); break;
            case UNSHUFFLE: t.unshuffle(n); break;
            case GEMM:
            case DOT: break;
        }
}

}  // namespace esrn
