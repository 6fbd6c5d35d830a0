#include "memory.h"

#include <sys/mman.h>

#include <cstdlib>
#include <mutex>
#include <new>
#include <vector>

namespace esrn {
namespace {

constexpr size_t HUGE_PAGE = 2 << 20, LARGE = 1 << 20;

struct Free {
    real* memory;
    size_t capacity;
};

// Not thread-local: MindSpore may run each operator on another of its threads.
// Never destroyed: other threads may still compute while the process ends.
std::mutex& lock = *new std::mutex;
std::vector<Free>& free_list = *new std::vector<Free>;

}  // namespace

void ask_for_huge_pages(void* memory, size_t bytes) {
#ifdef MADV_HUGEPAGE
    const uintptr_t first = ((uintptr_t)memory + HUGE_PAGE - 1) / HUGE_PAGE * HUGE_PAGE;
    const uintptr_t last = ((uintptr_t)memory + bytes) / HUGE_PAGE * HUGE_PAGE;
    if (last > first) madvise((void*)first, last - first, MADV_HUGEPAGE);
#else
    (void)memory, (void)bytes;
#endif
}

Lease::Lease(size_t reals) {
    std::lock_guard<std::mutex> guard(lock);
    // The smallest that is large enough; if none is, the largest makes room for a larger one. So there are never more
    // than were in use at one time.
    size_t best = free_list.size(), largest = best;
    for (size_t i = 0; i < free_list.size(); i++) {
        const size_t capacity = free_list[i].capacity;
        if (capacity >= reals && (best == free_list.size() || capacity < free_list[best].capacity)) best = i;
        if (largest == free_list.size() || capacity > free_list[largest].capacity) largest = i;
    }
    if (best < free_list.size()) {
        memory_ = free_list[best].memory;
        capacity_ = free_list[best].capacity;
        free_list.erase(free_list.begin() + best);
        return;
    }
    if (largest < free_list.size()) {
        free(free_list[largest].memory);
        free_list.erase(free_list.begin() + largest);
    }
    const size_t bytes = reals * sizeof(real), unit = bytes >= LARGE ? HUGE_PAGE : 64;
    const size_t rounded = (bytes + unit - 1) / unit * unit;
    memory_ = (real*)aligned_alloc(unit, rounded ? rounded : unit);
    if (!memory_) throw std::bad_alloc();
    capacity_ = rounded / sizeof(real);
    ask_for_huge_pages(memory_, rounded);
}

Lease::~Lease() {
    std::lock_guard<std::mutex> guard(lock);
    free_list.push_back({memory_, capacity_});
}

}  // namespace esrn
