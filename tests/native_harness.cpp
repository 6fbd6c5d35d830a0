// native_harness.cpp - runs the native library's sources under the sanitizers (tests/test_native_sanitizers.py builds
// and starts it): random legal networks in buffers of exactly the size they must have, illegal input, and threads.
//
// It asserts what no sanitizer sees by itself: all memory is filled with NaN before the library gets it, so that what
// is read without having been written shows in the output or the gradient. Built with -DEXACT_MEMORY, the library's own
// work memory comes from here in place of memory.cpp, and is not larger than what was asked for.
#include <algorithm>
#include <atomic>
#include <cmath>
#include <cstdio>
#include <cstdlib>
#include <cstring>
#include <limits>
#include <new>
#include <string>
#include <thread>
#include <vector>

#include "execute.h"
#include "memory.h"
#include "training.h"

#if defined(__has_feature)
#if __has_feature(address_sanitizer)
#define WATCHED 1
#endif
#endif
#if defined(__SANITIZE_ADDRESS__)
#define WATCHED 1
#endif
#ifdef WATCHED
#include <sanitizer/asan_interface.h>
#else
#define ASAN_POISON_MEMORY_REGION(from, bytes) ((void)(from), (void)(bytes))
#define ASAN_UNPOISON_MEMORY_REGION(from, bytes) ((void)(from), (void)(bytes))
#endif

using namespace esrn;

#define SHAPE const int32_t *description, int64_t integers, int batch, int height, int width
extern "C" {
const char* esrn_instruction_set();
int esrn_real_bytes();
int64_t esrn_error(char* to, int64_t size);
int esrn_network(const int32_t* description, int64_t integers, int64_t* sizes);
int esrn_sizes(SHAPE, int64_t* sizes, double* flops);
int esrn_forward(SHAPE, const real* parameters, int64_t given, const real* input, real* output, real* workspace,
                 int64_t room);
int esrn_infer(SHAPE, const real* parameters, int64_t given, const real* input, real* output);
int esrn_backward(SHAPE, const real* parameters, int64_t given, const real* output_gradient, real* workspace,
                  int64_t room, real* gradient);
int esrn_gradient(SHAPE, const real* parameters, int64_t given, const real* input, const real* target, int squared,
                  real* loss, real* gradient);
int esrn_update(int64_t count, real* weights, real* moment1, real* moment2, real* average, const real* gradient,
                const real* settings, int64_t given);
int esrn_crops(const int64_t* crops, int count, int size, real* out);
}

namespace {

const real NOT_WRITTEN = std::numeric_limits<real>::quiet_NaN();

// Sizes of memory that the library asks for with a cache line to spare, which it does not need if it is aligned.
std::vector<size_t> sizes_with_slack;

std::string last_error() {
    char text[500];
    esrn_error(text, sizeof text);
    return text;
}

void require(bool holds, const std::string& what) {
    if (holds) return;
    fprintf(stderr, "FAILED: %s (last error: %s)\n", what.c_str(), last_error().c_str());
    exit(1);
}

// Numbers of this engine are the same everywhere; those of the standard distributions are not.
struct Random {
    uint64_t state;
    uint64_t next() {
        state += 0x9e3779b97f4a7c15;
        uint64_t z = state;
        z = (z ^ z >> 30) * 0xbf58476d1ce4e5b9;
        z = (z ^ z >> 27) * 0x94d049bb133111eb;
        return z ^ z >> 31;
    }
    int below(int n) { return next() % n; }
    int from(const std::vector<int>& choices) { return choices[below(choices.size())]; }
    real number() { return (int64_t)(next() >> 40) / real(1 << 23) - 1; }  // -1 to 1
};

struct Case {
    std::vector<int32_t> description;
    int batch, height, width;

    int64_t integers() const { return description.size(); }
};

// A block of the rules in docs/method.md.
bool legal_block(int type, int convs, int growth) {
    if (type == GROUP) return growth % group_count(convs - 1) == 0;
    return type != CONTEXTUAL || (convs + 1) * growth % 4 == 0;
}

std::vector<int32_t> network(int in, int out, int base, int skip, const std::vector<int>& factors,
                             const std::vector<std::vector<int>>& blocks, int stage_base) {
    std::vector<int32_t> d = {DESCRIPTION_VERSION, in, out, base, skip, (int)blocks.size(), (int)factors.size()};
    for (int f : factors) d.insert(d.end(), {stage_base * f * f, f});
    d.resize(HEADER, 0);
    for (const auto& b : blocks) d.insert(d.end(), b.begin(), b.end());
    return d;
}

std::vector<int> random_block(Random& r, int type, int convs) {
    for (;;) {
        const int growth = r.from({1, 2, 3, 4, 5, 6, 8, 12, 16}), out = r.below(2) ? growth : 1 + r.below(24);
        if (legal_block(type, convs, growth)) return {type, convs, growth, out};
    }
}

Case random_case(Random& r, int index) {
    std::vector<std::vector<int>> blocks;
    // Every type with every number of convolutions comes first in its turn.
    blocks.push_back(random_block(r, index % 3, index / 3 % 9 + 1));
    for (int more = r.below(3); more; more--) blocks.push_back(random_block(r, r.below(3), 1 + r.below(4)));
    const std::vector<std::vector<int>> tails = {{2}, {3}, {2, 2}, {}, {4}, {3, 2}};
    const int skip = r.below(3), in = r.below(4) ? 3 : 1 + r.below(5), out = skip ? in : 1 + r.below(5);
    const int base = 1 + r.below(16);
    return {network(in, out, base, skip, tails[r.below(4) ? index % 3 : r.below(6)], blocks, 1 + r.below(9)),
            1 + r.below(5), 1 + r.below(13), 1 + r.below(17)};
}

std::vector<Case> cases() {
    std::vector<Case> list;
    Random r{1};
    for (int index = 0; index < 108; index++) list.push_back(random_case(r, index));
    // Several tiles of several images, of one image, and an image larger than a tile.
    const std::vector<std::vector<int>> mixed = {{GROUP, 3, 8, 12}, {CONTEXTUAL, 2, 8, 8}, {SHRINK, 2, 6, 8}};
    list.push_back({network(3, 3, 8, BICUBIC, {2}, mixed, 6), 12, 10, 11});
    list.push_back({network(3, 3, 8, NEAREST, {2, 2}, mixed, 8), 6, 32, 32});
    list.push_back({network(3, 3, 4, BICUBIC, {3}, mixed, 3), 1, 60, 71});
    return list;
}

// A heap block of exactly so many numbers, filled: what is read or written beside it is an error.
template <typename T>
struct Exact {
    T* data;
    size_t size;
    explicit Exact(size_t size, T value = T()) : data((T*)malloc(size * sizeof(T))), size(size) {
        for (size_t i = 0; i < size; i++) data[i] = value;
    }
    Exact(const Exact& o) : Exact(o.size) { memcpy(data, o.data, size * sizeof(T)); }
    Exact& operator=(const Exact&) = delete;
    ~Exact() { free(data); }
    bool operator==(const Exact& o) const { return size == o.size && !memcmp(data, o.data, size * sizeof(T)); }
};

Exact<real> random_reals(Random& r, size_t size, real factor) {
    Exact<real> a(size);
    for (size_t i = 0; i < size; i++) a.data[i] = factor * r.number();
    return a;
}

bool all_finite(const Exact<real>& a) {
    for (size_t i = 0; i < a.size; i++)
        if (!std::isfinite(a.data[i])) return false;
    return true;
}

// A workspace of exactly `room` reals in one of two positions: on a cache line, where the library must leave the slack
// for aligning untouched, or one real behind it, where it needs all of the slack but that real.
struct Workspace {
    Exact<real> block;
    real* start;
    int64_t room;
    Workspace(int64_t room, bool aligned) : block(room + 2 * LINE, NOT_WRITTEN), room(room) {
        real* line = (real*)(((uintptr_t)block.data + 63) / 64 * 64);
        start = aligned ? line : line + 1;
        const real* last = start + room - (aligned ? LINE : 0);
        ASAN_POISON_MEMORY_REGION(block.data, (char*)line - (char*)block.data);
        ASAN_POISON_MEMORY_REGION(last, (char*)(block.data + block.size) - (char*)last);
    }
    ~Workspace() { ASAN_UNPOISON_MEMORY_REGION(block.data, block.size * sizeof(real)); }
};

struct Sizes {
    int64_t parameters, workspace, scale, in, out;
};

Sizes sizes_of(const Case& c) {
    Exact<int64_t> sizes(5, -1);
    Exact<double> flops(2, -1);
    require(esrn_sizes(c.description.data(), c.integers(), c.batch, c.height, c.width, sizes.data, flops.data) == 0,
            "sizes of a legal network");
    require(flops.data[0] > 0 && flops.data[1] > flops.data[0], "the backward takes more than the forward");
    return {sizes.data[0], sizes.data[1], sizes.data[2], sizes.data[3], sizes.data[4]};
}

// Everything that one network is given and gives.
struct Run {
    const Case& c;
    const Sizes sizes;
    Exact<int32_t> description;
    Exact<real> parameters, x, dy, y, gradient;

    Run(const Case& c, uint64_t seed) : Run(c, Random{seed}) {}
    Run(const Case& c, Random r)
        : c(c), sizes(sizes_of(c)), description(c.description.size()),
          parameters(random_reals(r, sizes.parameters, 0.3)),
          x(random_reals(r, (size_t)c.batch * sizes.in * c.height * c.width, 1)),
          dy(random_reals(r, (size_t)c.batch * sizes.out * c.height * c.width * sizes.scale * sizes.scale, 1)),
          y(dy.size, NOT_WRITTEN), gradient(sizes.parameters, NOT_WRITTEN) {
        memcpy(description.data, c.description.data(), c.description.size() * sizeof(int32_t));
    }
    int forward(Workspace& w, Exact<real>& to) {
        return esrn_forward(description.data, description.size, c.batch, c.height, c.width, parameters.data,
                            parameters.size, x.data, to.data, w.start, w.room);
    }
    int infer(Exact<real>& to) {
        return esrn_infer(description.data, description.size, c.batch, c.height, c.width, parameters.data,
                          parameters.size, x.data, to.data);
    }
    int backward(Workspace& w, Exact<real>& to) {
        return esrn_backward(description.data, description.size, c.batch, c.height, c.width, parameters.data,
                             parameters.size, dy.data, w.start, w.room, to.data);
    }
    // Of the difference from `target`.
    int loss_gradient(const Exact<real>& target, bool squared, Exact<real>& loss, Exact<real>& to) {
        return esrn_gradient(description.data, description.size, c.batch, c.height, c.width, parameters.data,
                             parameters.size, x.data, target.data, squared, loss.data, to.data);
    }
};

// The vectors of an update: weights, both moments, averaged weights, the gradient; and its settings.
struct Update {
    std::vector<Exact<real>> vectors;
    Exact<real> settings;
    Update(size_t count, Random r) : settings(UPDATE_SETTINGS) {
        vectors.reserve(5);
        for (int i = 0; i < 5; i++) vectors.emplace_back(random_reals(r, count, 1));
        for (size_t k = 0; k < count; k++) vectors[2].data[k] *= vectors[2].data[k];  // second moments are squares
        const real values[UPDATE_SETTINGS] = {real(0.001), real(0.9), real(0.999), real(r.below(2) * 0.5),
                                              real(r.below(2) * 0.99)};
        memcpy(settings.data, values, sizeof values);
    }
    int run(int64_t count, int64_t given = UPDATE_SETTINGS) {
        return esrn_update(count, vectors[0].data, vectors[1].data, vectors[2].data, vectors[3].data, vectors[4].data,
                           settings.data, given);
    }
};

// --------------------------------------------------------------------------------------------------------- modes

void run_cases() {
    int index = 0;
    for (const Case& c : cases()) {
        const std::string name = "case " + std::to_string(index);
        std::string error;
        const auto training = cached_plan(c.description.data(), c.integers(), c.batch, c.height, c.width, true, &error);
        const auto alone = cached_plan(c.description.data(), c.integers(), c.batch, c.height, c.width, false, &error);
        require(training && alone, name + " is legal: " + error);
        require(alone->workspace() <= training->workspace(), name + ": inference needs no more memory than training");
        sizes_with_slack = {training->workspace(), alone->workspace(), training->backward_memory()};

        Run r(c, 100 + index);
        const Exact<int32_t> description = r.description;
        const Exact<real> parameters = r.parameters, x = r.x, dy = r.dy;
        Workspace w(r.sizes.workspace, index % 2), other(r.sizes.workspace, !(index % 2));
        require(r.forward(w, r.y) == 0, name + ": forward");
        require(all_finite(r.y), name + ": the output is finite");
        require(r.backward(w, r.gradient) == 0, name + ": backward");
        require(all_finite(r.gradient), name + ": the gradient is finite");
        Exact<real> y(r.y.size, NOT_WRITTEN), gradient(r.gradient.size, NOT_WRITTEN);
        require(r.infer(y) == 0 && y == r.y, name + ": inference gives the output of the forward");
        require(r.backward(w, gradient) == 0 && gradient == r.gradient, name + ": a workspace serves again");
        require(r.forward(other, y) == 0 && y == r.y, name + ": the output of another workspace");

        // The gradient is a forward, that of the mean absolute difference, and a backward.
        Exact<real> loss(1, NOT_WRITTEN);
        require(r.loss_gradient(dy, false, loss, gradient) == 0, name + ": gradient");
        double sum = 0;
        for (size_t i = 0; i < y.size; i++) {
            const real difference = r.y.data[i] - dy.data[i];
            sum += std::fabs(difference);
            r.dy.data[i] = (difference > 0 ? 1 : difference < 0 ? -1 : 0) * (real(1) / y.size);
        }
        require(std::fabs(loss.data[0] - sum / y.size) <= 1e-5 * sum / y.size, name + ": the loss");
        require(r.backward(other, r.gradient) == 0 && gradient == r.gradient, name + ": the gradient of the loss");
        require(r.loss_gradient(dy, true, loss, gradient) == 0, name + ": squared gradient");
        sum = 0;
        for (size_t i = 0; i < y.size; i++) {
            const real difference = r.y.data[i] - dy.data[i];
            sum += (double)difference * difference;
            r.dy.data[i] = 2 * (real(1) / y.size) * difference;
        }
        require(std::fabs(loss.data[0] - sum / y.size) <= 1e-5 * sum / y.size, name + ": the squared loss");
        require(r.backward(other, r.gradient) == 0 && gradient == r.gradient, name + ": the gradient of that loss");
        require(description == r.description && parameters == r.parameters && x == r.x,
                name + ": what is given is only read");
        index++;
    }
    sizes_with_slack.clear();
    for (size_t count = 0; count < 70; count++) {
        Update u(count, Random{count});
        const std::vector<Exact<real>> before = u.vectors;
        require(u.run(count) == 0, "an update");
        for (int i = 0; i < 4; i++) {
            require(all_finite(u.vectors[i]), "what is updated is finite");
            require(!count || !(u.vectors[i] == before[i]), "an update writes all four");
        }
        require(u.vectors[4] == before[4], "an update only reads the gradient");
    }
    printf("%d cases\n", index);
}

void refuse(const std::string& what, int status) {
    require(status != 0, what + " is refused");
    require(!last_error().empty(), what + " is refused with a message");
}

void refuse_description(const std::string& what, const std::vector<int32_t>& d, int64_t integers) {
    const Exact<int32_t> exact(integers > 0 ? integers : 0);
    memcpy(exact.data, d.data(), exact.size * sizeof(int32_t));
    int64_t sizes[5];
    double flops[2];
    refuse(what, esrn_sizes(exact.data, integers, 2, 5, 6, sizes, flops));
    refuse(what + " (infer)", esrn_infer(exact.data, integers, 2, 5, 6, nullptr, INT64_MAX, nullptr, nullptr));
    refuse(what + " (forward)",
           esrn_forward(exact.data, integers, 2, 5, 6, nullptr, INT64_MAX, nullptr, nullptr, nullptr, INT64_MAX));
    refuse(what + " (backward)",
           esrn_backward(exact.data, integers, 2, 5, 6, nullptr, INT64_MAX, nullptr, nullptr, INT64_MAX, nullptr));
    refuse(what + " (gradient)", esrn_gradient(exact.data, integers, 2, 5, 6, nullptr, INT64_MAX, nullptr, nullptr, 0,
                                               nullptr, nullptr));
}

void run_illegal() {
    const Case c{network(3, 3, 8, NEAREST, {2, 2}, {{SHRINK, 2, 4, 8}, {GROUP, 4, 8, 4}}, 8), 2, 5, 6};
    const std::vector<int32_t> good = c.description;
    // Shorter than it says, at every length.
    for (int64_t integers = -1; integers < (int64_t)good.size(); integers++)
        refuse_description("a description of " + std::to_string(integers) + " integers", good, integers);
    std::vector<int32_t> longer = good;
    longer.push_back(0);
    refuse_description("a description that goes on", longer, longer.size());
    auto changed = [&](int at, int32_t value) {
        std::vector<int32_t> d = good;
        d[at] = value;
        refuse_description("integer " + std::to_string(at) + " = " + std::to_string(value), d, d.size());
    };
    // No number of a description may be so large or negative.
    for (size_t at = 0; at < good.size(); at++)
        for (int32_t value : {INT32_MIN, INT32_MIN + 1, -1, 1 << 24, INT32_MAX - 1, INT32_MAX}) changed(at, value);
    // Nor 0, but for the skip, the number of stages, and the type of a block (S).
    for (size_t at = 0; at < good.size(); at++)
        if (at != SKIP && at != STAGES && (at < HEADER || (at - HEADER) % 4)) changed(at, 0);
    changed(VERSION, DESCRIPTION_VERSION + 1);
    changed(IN_CHANNELS, 65), changed(OUT_CHANNELS, 65), changed(BASE, 4097);
    changed(IN_CHANNELS, 1);  // a skip from 1 channel to 3
    changed(SKIP, 3), changed(BLOCKS, 3), changed(BLOCKS, 4097), changed(STAGES, 3);
    changed(STAGE_FACTOR, 1), changed(STAGE_FACTOR, 5), changed(STAGE_FACTOR, 3);
    changed(STAGE_CHANNELS, 30), changed(STAGE_CHANNELS, 65540);
    changed(HEADER, 3);
    for (int at : {HEADER + 1, HEADER + 5}) changed(at, 257);
    for (int at : {HEADER + 2, HEADER + 3, HEADER + 6, HEADER + 7}) changed(at, 4097);
    changed(HEADER + 6, 6);  // G of 4 convolutions
    changed(HEADER + 6, 3);
    auto refuse_network = [&](const std::string& what, const std::vector<int32_t>& d) {
        refuse_description(what, d, d.size());
    };
    refuse_network("G_2_3_4", network(3, 3, 8, 0, {2}, {{GROUP, 2, 3, 4}}, 8));
    refuse_network("C_2_3_4", network(3, 3, 8, 0, {2}, {{CONTEXTUAL, 2, 3, 4}}, 8));
    // Within the bounds one by one, and too large together: parameters are counted by int.
    refuse_network("S_256_4096_8", network(3, 3, 8, 0, {2}, {{SHRINK, 256, 4096, 8}}, 8));
    refuse_network("40 blocks of 8 x 1024",
                   network(3, 3, 8, 0, {2}, std::vector<std::vector<int>>(40, {SHRINK, 8, 1024, 8}), 8));
    refuse_network("a stage of 65536 channels", network(3, 3, 4096, 0, {4}, {{SHRINK, 1, 4, 4}}, 4096));
    refuse_network("two stages of 65536 channels", network(3, 3, 8, 0, {2, 2}, {{SHRINK, 1, 4, 4}}, 16384));

    const int sides[][3] = {{0, 5, 6}, {2, 0, 6}, {2, 5, 0}, {-1, 5, 6}, {2, -5, 6}, {2, 5, INT32_MIN},
                            {INT32_MAX, 5, 6}, {2, INT32_MAX, 6}, {2, 5, INT32_MAX}, {2, 1 << 14, 1 << 14},
                            {INT32_MAX, INT32_MAX, INT32_MAX}, {INT32_MIN, INT32_MIN, INT32_MIN}};
    for (const auto& [batch, height, width] : sides) {
        const std::string what = "batch and sizes " + std::to_string(batch) + " " + std::to_string(height) + " " +
                                 std::to_string(width);
        int64_t sizes[5];
        double flops[2];
        refuse(what, esrn_sizes(good.data(), good.size(), batch, height, width, sizes, flops));
        refuse(what + " (infer)",
               esrn_infer(good.data(), good.size(), batch, height, width, nullptr, INT64_MAX, nullptr, nullptr));
        refuse(what + " (gradient)", esrn_gradient(good.data(), good.size(), batch, height, width, nullptr, INT64_MAX,
                                                   nullptr, nullptr, 1, nullptr, nullptr));
    }

    Run r(c, 1);
    Workspace w(r.sizes.workspace, false);
    require(r.forward(w, r.y) == 0, "the network itself");
    // What is refused is not touched: the pointers are null.
    for (int64_t given : {r.sizes.parameters - 1, r.sizes.parameters + 1, (int64_t)0, (int64_t)-1, INT64_MAX}) {
        refuse("a vector of another length (forward)", esrn_forward(good.data(), good.size(), 2, 5, 6, nullptr, given, nullptr,
                                                        nullptr, nullptr, r.sizes.workspace));
        refuse("a vector of another length (backward)", esrn_backward(good.data(), good.size(), 2, 5, 6, nullptr, given, nullptr,
                                                          nullptr, r.sizes.workspace, nullptr));
        refuse("a vector of another length (infer)",
               esrn_infer(good.data(), good.size(), 2, 5, 6, nullptr, given, nullptr, nullptr));
        for (int squared : {0, 1})
            refuse("a vector of another length (gradient)", esrn_gradient(good.data(), good.size(), 2, 5, 6, nullptr, given,
                                                              nullptr, nullptr, squared, nullptr, nullptr));
    }
    for (int64_t room : {r.sizes.workspace - 1, (int64_t)0, (int64_t)-1}) {
        refuse("a short workspace (forward)", esrn_forward(good.data(), good.size(), 2, 5, 6, nullptr,
                                                           r.sizes.parameters, nullptr, nullptr, nullptr, room));
        refuse("a short workspace (backward)", esrn_backward(good.data(), good.size(), 2, 5, 6, nullptr,
                                                             r.sizes.parameters, nullptr, nullptr, room, nullptr));
    }
    // A message is cut to what there is room for.
    for (int64_t size : {0, 1, 5}) {
        Exact<char> text(size, 'x');
        require(esrn_error(text.data, size) > 5, "the whole length of a message");
        require(size == 0 || text.data[size - 1] == 0, "a cut message ends");
    }
}

// Crops at the corners of a picture that is not larger, flipped in every way.
void run_crops() {
    const int height = 7, width = 9;
    Random r{3};
    Exact<uint8_t> picture(3 * height * width);
    for (size_t i = 0; i < picture.size; i++) picture.data[i] = r.below(256);
    for (int size : {1, 4, 7})
        for (int flips = 0; flips < 8; flips++) {
            const int tops[] = {0, height - size}, lefts[] = {0, width - size};
            Exact<int64_t> crops(4 * 3);
            for (int i = 0; i < 4; i++) {
                const int64_t corner = 3 * (tops[i / 2] * width + lefts[i % 2]);
                const int64_t crop[] = {(int64_t)(uintptr_t)(picture.data + corner), 3 * width, flips};
                memcpy(crops.data + 3 * i, crop, sizeof crop);
            }
            Exact<real> out((size_t)4 * 3 * size * size, NOT_WRITTEN);
            require(esrn_crops(crops.data, 4, size, out.data) == 0, "crops");
            for (int i = 0; i < 4; i++)
                for (int c = 0; c < 3; c++)
                    for (int y = 0; y < size; y++)
                        for (int x = 0; x < size; x++) {
                            int row = flips & 4 ? x : y, column = flips & 4 ? y : x;
                            if (flips & 2) row = size - 1 - row;
                            if (flips & 1) column = size - 1 - column;
                            const int at = 3 * ((tops[i / 2] + row) * width + lefts[i % 2] + column) + c;
                            require(out.data[((i * 3 + c) * size + y) * size + x] == real(picture.data[at]) / 255,
                                    "a pixel of a crop");
                        }
        }
    refuse("a negative count of crops", esrn_crops(nullptr, -1, 4, nullptr));
    refuse("crops of no size", esrn_crops(nullptr, 1, 0, nullptr));
    refuse("crops of negative size", esrn_crops(nullptr, 1, -4, nullptr));
}

void run_illegal_updates() {
    Update u(9, Random{1});
    const std::vector<Exact<real>> before = u.vectors;
    for (int64_t count : {(int64_t)-1, INT64_MIN}) refuse("an update of " + std::to_string(count), u.run(count));
    for (int64_t given : {UPDATE_SETTINGS - 1, UPDATE_SETTINGS + 1, 0, -1})
        refuse("an update with " + std::to_string(given) + " settings", u.run(9, given));
    for (int i = 0; i < 5; i++) require(before[i] == u.vectors[i], "an update that is refused writes nothing");
}

// Numbers of a description or a batch's sizes made extreme, or others; what is read then is run in memory that is not
// larger than it was said to be, and what is refused touches nothing.
int32_t hostile(Random& r, int32_t before) {
    const int32_t extremes[] = {0, 1, -1, 2, 255, 256, 4096, 4097, 65535, 65536, INT32_MAX, INT32_MIN};
    switch (r.below(5)) {
        case 0: return extremes[r.below(12)];
        case 1: return (uint32_t)before + 1;
        case 2: return (uint32_t)before - 1;
        case 3: return (int32_t)r.next();
        default: return r.below(20);
    }
}

constexpr int FUZZED = 30000;
constexpr int64_t MOST_PARAMETERS = 20000, MOST_ROOM = 40000;  // of what is run: larger ones would take their time

void run_fuzz() {
    Random r{77};
    int ran = 0, refused = 0;
    for (int index = 0; index < FUZZED; index++) {
        Case c = random_case(r, index);
        int64_t integers = c.integers();
        for (int more = r.below(4); more; more--) {
            int32_t* sizes[] = {&c.batch, &c.height, &c.width};
            int32_t& chosen = r.below(4) ? c.description[r.below(c.description.size())] : *sizes[r.below(3)];
            chosen = hostile(r, chosen);
        }
        if (r.below(10) == 0) integers = r.below(integers + 1);
        const Exact<int32_t> exact(integers);
        memcpy(exact.data, c.description.data(), integers * sizeof(int32_t));
        Exact<int64_t> network(4, -1), sizes(5, -1);
        double flops[2];
        if (esrn_network(exact.data, integers, network.data) || network.data[0] > MOST_PARAMETERS) {
            refused++;
            continue;
        }
        if (esrn_sizes(exact.data, integers, c.batch, c.height, c.width, sizes.data, flops)) {
            refused++;
            continue;
        }
        require(sizes.data[0] == network.data[0], "one number of parameters");
        if (sizes.data[1] > MOST_ROOM) continue;
        c.description.assign(exact.data, exact.data + integers);
        Run run(c, index);
        Workspace w(run.sizes.workspace, index % 2);
        require(run.forward(w, run.y) == 0 && run.backward(w, run.gradient) == 0, "what was read is run");
        Exact<real> y(run.y.size, NOT_WRITTEN);
        require(run.infer(y) == 0 && y == run.y, "inference gives the output of the forward");
        ran++;
    }
    require(ran > FUZZED / 20 && refused > FUZZED / 10, "inputs of both kinds");
    printf("%d ran, %d refused\n", ran, refused);
}

// Two threads at once, several times over: more networks than the library remembers plans of, and errors between.
void run_threads() {
    const auto list = cases();
    for (int round = 0; round < 3; round++) {
        std::vector<Run> runs;
        for (int i = 0; i < 6; i++) {
            runs.emplace_back(list[(round * 6 + i) * 5], i);
            Run& r = runs.back();
            Workspace w(r.sizes.workspace, false);
            require(r.forward(w, r.y) == 0 && r.backward(w, r.gradient) == 0, "a network alone");
        }
        auto work = [&](int first) {
            for (int step = 0; step < 4; step++)
                for (int i = first; i < 6; i += 1 + (step & 1)) {  // some networks are both threads'
                    Run& r = runs[i];
                    Workspace w(r.sizes.workspace, false);
                    Exact<real> y(r.y.size, NOT_WRITTEN), z(r.y.size, NOT_WRITTEN);
                    Exact<real> gradient(r.gradient.size, NOT_WRITTEN), loss(1, NOT_WRITTEN);
                    require(r.forward(w, y) == 0 && y == r.y, "the forward beside another thread");
                    require(r.infer(z) == 0 && z == r.y, "the inference beside another thread");
                    require(r.backward(w, gradient) == 0 && gradient == r.gradient,
                            "the backward beside another thread");
                    require(r.loss_gradient(r.dy, false, loss, gradient) == 0 && all_finite(gradient),
                            "the gradient of a loss beside another thread");
                    require(esrn_infer(r.description.data, 3, 1, 1, 1, nullptr, 0, nullptr, nullptr) != 0,
                            "an error beside another thread");
                    require(last_error().find("description") != std::string::npos, "its message");
                }
        };
        std::thread one(work, 0), other(work, 1);
        one.join(), other.join();
    }
}

// The process ends while other threads compute, as a user's may: what they use must outlive main.
void run_exit() {
    const auto list = cases();
    std::atomic<int>& running = *new std::atomic<int>(0);
    for (int i = 0; i < 3; i++) {
        Run* r = new Run(*new Case(list[i]), i);  // these are in use until the end
        std::thread([r, &running] {
            Exact<real> y(r->y.size, NOT_WRITTEN);
            for (int step = 0;; step++) {
                r->infer(y);
                if (step == 0) running++;
            }
        }).detach();
    }
    while (running < 3) std::this_thread::yield();
}

}  // namespace

#ifdef EXACT_MEMORY
namespace esrn {

Lease::Lease(size_t reals) : capacity_(reals) {
    void* memory = nullptr;
    if (posix_memalign(&memory, 64, reals * sizeof(real))) throw std::bad_alloc();
    memory_ = (real*)memory;
    std::fill(memory_, memory_ + reals, NOT_WRITTEN);
    for (size_t with_slack : sizes_with_slack)
        if (reals == with_slack) ASAN_POISON_MEMORY_REGION(memory_ + reals - LINE, LINE * sizeof(real));
}
Lease::~Lease() {
    ASAN_UNPOISON_MEMORY_REGION(memory_, capacity_ * sizeof(real));
    free(memory_);
}
void ask_for_huge_pages(void*, size_t) {}

}  // namespace esrn
#endif

int main(int count, char** arguments) {
    const std::string mode = count > 1 ? arguments[1] : "all";
    require(esrn_real_bytes() == sizeof(real), "one precision in all files");
    if (mode == "all" || mode == "cases") run_cases(), run_crops();
    if (mode == "all" || mode == "illegal") run_illegal(), run_illegal_updates();
    if (mode == "all" || mode == "fuzz") run_fuzz();
    if (mode == "all" || mode == "threads") run_threads();
    printf("%s: done with %s\n", esrn_instruction_set(), mode.c_str());
    fflush(stdout);
    if (mode == "exit") run_exit();
    return 0;
}
