// plan.cpp - sizes of a plan, and the cache of the last few.
#include "plan.h"

#include <algorithm>
#include <list>
#include <mutex>

#include "build.h"

namespace esrn {
namespace {

constexpr int64_t MOST_PIXELS = 1 << 28;  // of a batch at any resolution: everything in a tile is indexed by int
constexpr size_t CACHED_PLANS = 4;        // training and evaluation of a network, for two networks

struct Key {
    std::vector<int32_t> description;
    int batch, height, width;
    bool training;
    bool operator==(const Key& o) const {
        return batch == o.batch && height == o.height && width == o.width && training == o.training &&
               description == o.description;
    }
};

// Never destroyed: other threads may still compute while the process ends.
std::mutex& cache_lock = *new std::mutex;
auto& cache = *new std::list<std::pair<Key, std::shared_ptr<const Plan>>>;  // the most recent first

}  // namespace

size_t Plan::workspace() const {
    size_t n = LINE;
    for (int g = 0; g < GEOMETRIES; g++) n += reals(region(FORWARD, g));
    return n;
}

size_t Plan::backward_memory() const {
    size_t n = LINE;
    for (int g = 0; g < GEOMETRIES; g++) n += reals(region(BACKWARD, g)) + reals(region(SCRATCH, g));
    return n;
}

bool make_plan(const Network& network, int batch, int height, int width, bool training, Plan* plan,
               std::string* error) {
    if (batch < 1 || height < 1 || width < 1) return *error = "batch and sizes must be positive", false;
    // Blocks see even sizes only; the input is padded once.
    const int64_t even_height = (int64_t)height + height % 2, even_width = (int64_t)width + width % 2;
    const int64_t scale = network.scale, rows = (even_height + 1) * scale, columns = (even_width + 1) * scale;
    if (rows > MOST_PIXELS / columns || rows * columns > MOST_PIXELS / batch)
        return *error = "the batch has more than 2^28 pixels", false;
    plan->network = network;
    plan->batch = batch, plan->height = height, plan->width = width, plan->training = training;
    plan->geometry[FULL] = Geometry(even_height, even_width, batch);
    plan->geometry[HALF] = Geometry(even_height / 2, even_width / 2, batch);
    int factor = 1;
    for (size_t s = 0; s < network.stages.size(); s++) {
        factor *= network.stages[s].factor;
        plan->geometry[TAIL + s] = Geometry(even_height * factor, even_width * factor, batch);
    }
    Builder(plan).build();
    return true;
}

std::shared_ptr<const Plan> cached_plan(const int32_t* description, int64_t size, int64_t batch, int64_t height,
                                        int64_t width, bool training, std::string* error) {
    const int length = description_length(description, size, error);
    if (length < 0) return nullptr;
    // Before they are cut to int: MindSpore's sizes are 64 bits wide.
    if (std::min({batch, height, width}) < 1) return *error = "batch and sizes must be positive", nullptr;
    if (std::max({batch, height, width}) > MOST_PIXELS) return *error = "the batch has more than 2^28 pixels", nullptr;
    Key key{{description, description + length}, (int)batch, (int)height, (int)width, training};
    {
        std::lock_guard<std::mutex> lock(cache_lock);
        for (auto it = cache.begin(); it != cache.end(); ++it)
            if (it->first == key) {
                cache.splice(cache.begin(), cache, it);
                return it->second;
            }
    }
    // Built without the lock: another thread may build the same one, which costs its time only.
    Network network;
    if (!read_network(description, size, &network, error)) return nullptr;
    auto plan = std::make_shared<Plan>();
    if (!make_plan(network, batch, height, width, training, plan.get(), error)) return nullptr;
    std::lock_guard<std::mutex> lock(cache_lock);
    cache.emplace_front(std::move(key), plan);
    if (cache.size() > CACHED_PLANS) cache.pop_back();  // whoever runs it still holds it
    return plan;
}

}  // namespace esrn
