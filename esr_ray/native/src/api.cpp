// api.cpp - what Python sees: functions for ctypes, and MindSpore's custom operators. All return 0 or an error status,
// whose message esrn_error gives; nothing is thrown across.
#include <cstring>
#include <exception>
#include <mutex>
#include <string>

#include "crops.h"
#include "execute.h"
#include "memory.h"
#include "training.h"

using namespace esrn;

#define ESRN_API extern "C" __attribute__((visibility("default")))

namespace {

// One for the process: MindSpore runs an operator on a thread of its own, and Python asks from another.
// Never destroyed: other threads may still compute while the process ends.
std::mutex& error_lock = *new std::mutex;
std::string& last_error = *new std::string;

int fail(const std::string& message) {
    std::lock_guard<std::mutex> lock(error_lock);
    last_error = message;
    return 1;
}

template <typename F>
int guarded(F f) {
    try {
        return f();
    } catch (const std::exception& e) {
        return fail(std::string("native network: ") + e.what());
    }
}

const char* real_name() { return sizeof(real) == 4 ? "float32" : "float64"; }

}  // namespace

// Integers of a description and sizes, as every function below takes them.
#define ESRN_SHAPE const int32_t *description, int64_t integers, int batch, int height, int width

ESRN_API const char* esrn_instruction_set() {
#if defined(__AVX512F__)
    return "avx512";
#elif defined(__AVX2__)
    return "avx2";
#else
    return "portable";
#endif
}
ESRN_API int esrn_real_bytes() { return sizeof(real); }

// Copies the last error's message; returns its length.
ESRN_API int64_t esrn_error(char* to, int64_t size) {
    std::lock_guard<std::mutex> lock(error_lock);
    if (size > 0) {
        strncpy(to, last_error.c_str(), size - 1);
        to[size - 1] = 0;
    }
    return last_error.size();
}

// What a description says, without a plan. sizes: parameters, scale, input channels, output channels.
ESRN_API int esrn_network(const int32_t* description, int64_t integers, int64_t* sizes) {
    return guarded([&] {
        std::string error;
        Network n;
        if (!read_network(description, integers, &n, &error)) return fail(error);
        sizes[0] = n.parameters, sizes[1] = n.scale, sizes[2] = n.in_channels, sizes[3] = n.out_channels;
        return 0;
    });
}

// sizes: parameters, reals of the workspace, scale, input channels, output channels.
ESRN_API int esrn_sizes(ESRN_SHAPE, int64_t* sizes, double* flops) {
    return guarded([&] {
        std::string error;
        const auto plan = cached_plan(description, integers, batch, height, width, true, &error);
        if (!plan) return fail(error);
        const Network& n = plan->network;
        const int64_t values[] = {n.parameters, (int64_t)plan->workspace(), n.scale, n.in_channels, n.out_channels};
        memcpy(sizes, values, sizeof values);
        flops[0] = plan->forward.flops, flops[1] = plan->backward.flops;
        return 0;
    });
}

// `capacity`, `room`: reals that the vectors of parameters and the workspace have.
ESRN_API int esrn_forward(ESRN_SHAPE, const real* parameters, int64_t capacity, const real* input, real* output,
                          real* workspace, int64_t room) {
    return guarded([&] {
        std::string error;
        const auto plan = cached_plan(description, integers, batch, height, width, true, &error);
        if (!plan) return fail(error);
        if (plan->network.parameters > capacity)
            return fail("the vector of parameters has " + std::to_string(capacity) + " of the " +
                        std::to_string(plan->network.parameters) + " needed");
        if ((int64_t)plan->workspace() > room)
            return fail("the workspace has " + std::to_string(room) + " reals of the " +
                        std::to_string(plan->workspace()) + " needed");
        run_forward(*plan, parameters, input, output, workspace);
        return 0;
    });
}

// Forward alone, in memory of the library's own.
ESRN_API int esrn_infer(ESRN_SHAPE, const real* parameters, int64_t capacity, const real* input, real* output) {
    return guarded([&] {
        std::string error;
        const auto plan = cached_plan(description, integers, batch, height, width, false, &error);
        if (!plan) return fail(error);
        if (plan->network.parameters > capacity) return fail("the vector of parameters is too short");
        const Lease workspace(plan->workspace());
        run_forward(*plan, parameters, input, output, workspace.data());
        return 0;
    });
}

// `gradient` has the capacity of the parameters; what lies beyond the network's own is set to 0.
ESRN_API int esrn_backward(ESRN_SHAPE, const real* parameters, int64_t capacity, const real* output_gradient,
                           real* workspace, int64_t room, real* gradient) {
    return guarded([&] {
        std::string error;
        const auto plan = cached_plan(description, integers, batch, height, width, true, &error);
        if (!plan) return fail(error);
        const int64_t n = plan->network.parameters;
        if (n > capacity || (int64_t)plan->workspace() > room)
            return fail("the vector of parameters or the workspace is too short");
        run_backward(*plan, parameters, output_gradient, workspace, gradient);
        memset(gradient + n, 0, (capacity - n) * sizeof(real));
        return 0;
    });
}

// crops: for each its corner's address, bytes from row to row, and flips (crops.h). out (count, 3, size, size). The
// caller vouches for the pictures' sizes.
ESRN_API int esrn_crops(const int64_t* crops, int count, int size, real* out) {
    return guarded([&] {
        if (count < 0 || size < 1) return fail("crops: a count or size is not positive");
        for (int i = 0; i < count; i++)
            copy_crop((const uint8_t*)(uintptr_t)crops[3 * i], crops[3 * i + 1], size, crops[3 * i + 2],
                      out + (size_t)i * 3 * size * size);
        return 0;
    });
}

// ------------------------------------------------- MindSpore's custom operators (func_type "aot"): inputs, then outputs

namespace {

// Checks number, dtypes and ranks of an operator's tensors; `kinds`: r (real) or i (int32), `ranks` beside them.
bool legal(const char* name, const char* kinds, const char* ranks, int count, const int* dims,
           const char* const* dtypes) {
    const int expected = strlen(kinds);
    if (count != expected) return fail(std::string(name) + " takes other tensors"), false;
    for (int i = 0; i < count; i++)
        if (dims[i] != ranks[i] - '0' || strcmp(dtypes[i], kinds[i] == 'i' ? "int32" : real_name()))
            return fail(std::string(name) + ": tensor " + std::to_string(i) + " has another type or rank"), false;
    return true;
}

int gradient_operator(const std::string& name, Loss kind, int count, void** tensors, int* dims, int64_t** shapes,
                      const char** dtypes) {
    return guarded([&] {
        if (!legal(name.c_str(), "rirrrr", "114411", count, dims, dtypes)) return 1;
        const int64_t *in = shapes[2], *out = shapes[3], capacity = shapes[0][0];
        std::string error;
        const auto plan =
            cached_plan((const int32_t*)tensors[1], shapes[1][0], in[0], in[2], in[3], true, &error);
        if (!plan) return fail(error);
        const Network& n = plan->network;
        if (in[1] != n.in_channels || out[0] != in[0] || out[1] != n.out_channels || out[2] != n.scale * in[2] ||
            out[3] != n.scale * in[3] || shapes[4][0] != 1 || shapes[5][0] != capacity)
            return fail(name + ": the shapes are not those of the network");
        if (n.parameters > capacity)
            return fail("the vector of parameters has " + std::to_string(capacity) + " of the " +
                        std::to_string(n.parameters) + " needed");
        real *loss = (real*)tensors[4], *gradient = (real*)tensors[5];
        *loss = loss_gradient(*plan, kind, (const real*)tensors[0], (const real*)tensors[2], (const real*)tensors[3],
                              gradient);
        memset(gradient + n.parameters, 0, (capacity - n.parameters) * sizeof(real));
        return 0;
    });
}

}  // namespace

// parameters [P], description int32 [D], input (B, C, h, w), target (B, C, scale h, scale w) -> loss [1], gradient [P]
// (0 beyond the network's own parameters). The loss is the mean absolute difference.
ESRN_API int ESRNGradient(int count, void** tensors, int* dims, int64_t** shapes, const char** dtypes, void*, void*) {
    return gradient_operator("ESRNGradient", Loss::ABSOLUTE, count, tensors, dims, shapes, dtypes);
}

// The same for the mean squared difference.
ESRN_API int ESRNSquaredGradient(int count, void** tensors, int* dims, int64_t** shapes, const char** dtypes, void*,
                                 void*) {
    return gradient_operator("ESRNSquaredGradient", Loss::SQUARED, count, tensors, dims, shapes, dtypes);
}

// weights, first and second moments, averaged weights, gradient [P] each, settings [5] -> the first four, updated.
ESRN_API int ESRNUpdate(int count, void** tensors, int* dims, int64_t** shapes, const char** dtypes, void*, void*) {
    return guarded([&] {
        if (!legal("ESRNUpdate", "rrrrrrrrrr", "1111111111", count, dims, dtypes)) return 1;
        for (int i : {1, 2, 3, 4, 6, 7, 8, 9})
            if (shapes[i][0] != shapes[0][0]) return fail("ESRNUpdate: the vectors differ in length");
        if (shapes[5][0] != UPDATE_SETTINGS) return fail("ESRNUpdate: other settings are needed");
        real* const* v = (real**)tensors;
        const real* s = v[5];
        update(shapes[0][0], {v[0], v[1], v[2], v[3]}, v[4], {s[0], s[1], s[2], s[3], s[4]}, {v[6], v[7], v[8], v[9]});
        return 0;
    });
}
