// memory.h - work memory that calls share: it grows to what was needed at most at one time, and stays.
#pragma once
#include "vec.h"

namespace esrn {

// Reals for as long as this lives, 64-byte aligned; of any content. Safe in any thread. Throws std::bad_alloc.
class Lease {
   public:
    explicit Lease(size_t reals);
    ~Lease();
    Lease(const Lease&) = delete;
    Lease& operator=(const Lease&) = delete;
    real* data() const { return memory_; }

   private:
    real* memory_;
    size_t capacity_;
};

// Planes are about one 4 KB page each, so that a dense block's exceed the first-level TLB: huge pages help.
void ask_for_huge_pages(void* memory, size_t bytes);

}  // namespace esrn
