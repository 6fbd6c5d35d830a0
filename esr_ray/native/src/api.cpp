// api.cpp - what Python sees: functions for ctypes. All return 0 or an error status (1: refused, 2: no memory), whose
// message esrn_error gives; nothing is thrown across.
#include <cstring>
#include <exception>
#include <mutex>
#include <new>
#include <string>

#include "crops.h"
#include "execute.h"
#include "memory.h"
#include "training.h"

using namespace esrn;

#define ESRN_API extern "C" __attribute__((visibility("default")))

namespace {

// One for the process: any thread may call, and any other ask.
// Never destroyed: other threads may still compute while the process ends.
std::mutex& error_lock = *new std::mutex;
std::string& last_error = *new std::string;

constexpr int REFUSED = 1, NO_MEMORY = 2;

int fail(const std::string& message, int status = REFUSED) {
    std::lock_guard<std::mutex> lock(error_lock);
    last_error = message;
    return status;
}

// Whether the vectors have the lengths that a plan needs; where not, the last error says so.
bool fits(const Plan& plan, int64_t given, int64_t room = INT64_MAX) {
    if (given != plan.network.parameters)
        fail("the vector of parameters has " + std::to_string(given) + ", and " +
             std::to_string(plan.network.parameters) + " are needed");
    else if ((int64_t)plan.workspace() > room)
        fail("the workspace has " + std::to_string(room) + " reals of the " + std::to_string(plan.workspace()) +
             " needed");
    else
        return true;
    return false;
}

template <typename F>
int guarded(F f) {
    try {
        return f();
    } catch (const std::bad_alloc&) {
        return fail("native network: there is not enough memory", NO_MEMORY);
    } catch (const std::exception& e) {
        return fail(std::string("native network: ") + e.what());
    }
}

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

// `given`, `room`: reals that the vectors of parameters and the workspace have; the former are the network's own alone.
ESRN_API int esrn_forward(ESRN_SHAPE, const real* parameters, int64_t given, const real* input, real* output,
                          real* workspace, int64_t room) {
    return guarded([&] {
        std::string error;
        const auto plan = cached_plan(description, integers, batch, height, width, true, &error);
        if (!plan) return fail(error);
        if (!fits(*plan, given, room)) return REFUSED;
        run_forward(*plan, parameters, input, output, workspace);
        return 0;
    });
}

// Forward alone, in memory of the library's own.
ESRN_API int esrn_infer(ESRN_SHAPE, const real* parameters, int64_t given, const real* input, real* output) {
    return guarded([&] {
        std::string error;
        const auto plan = cached_plan(description, integers, batch, height, width, false, &error);
        if (!plan) return fail(error);
        if (!fits(*plan, given)) return REFUSED;
        const Lease workspace(plan->workspace());
        run_forward(*plan, parameters, input, output, workspace.data());
        return 0;
    });
}

// `gradient` is as long as the parameters.
ESRN_API int esrn_backward(ESRN_SHAPE, const real* parameters, int64_t given, const real* output_gradient,
                           real* workspace, int64_t room, real* gradient) {
    return guarded([&] {
        std::string error;
        const auto plan = cached_plan(description, integers, batch, height, width, true, &error);
        if (!plan) return fail(error);
        if (!fits(*plan, given, room)) return REFUSED;
        run_backward(*plan, parameters, output_gradient, workspace, gradient);
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

// Mean absolute (or, if `squared`, mean squared) difference of the network's output and `target` (batch, channels out,
// scale * height, scale * width), and its gradient, as long as the parameters.
ESRN_API int esrn_gradient(ESRN_SHAPE, const real* parameters, int64_t given, const real* input, const real* target,
                           int squared, real* loss, real* gradient) {
    return guarded([&] {
        std::string error;
        const auto plan = cached_plan(description, integers, batch, height, width, true, &error);
        if (!plan) return fail(error);
        if (!fits(*plan, given)) return REFUSED;
        *loss = loss_gradient(*plan, squared ? Loss::SQUARED : Loss::ABSOLUTE, parameters, input, target, gradient);
        return 0;
    });
}

// One step of the optimizer, in place: `count` reals each. settings: as UpdateSettings has them, so many as `given`.
ESRN_API int esrn_update(int64_t count, real* weights, real* moment1, real* moment2, real* average,
                         const real* gradient, const real* settings, int64_t given) {
    return guarded([&] {
        if (count < 0) return fail("the update of a negative number of weights");
        if (given != UPDATE_SETTINGS) return fail("the update needs other settings");
        update(count, {weights, moment1, moment2, average}, gradient,
               {settings[0], settings[1], settings[2], settings[3], settings[4]});
        return 0;
    });
}
