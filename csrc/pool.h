// The memory pool: every array and every scratch buffer comes from it. A fresh 16 MiB array costs up to
// milliseconds in page faults, a pooled one microseconds. Blocks are 64-byte aligned; large ones start on
// a huge page. The cache of free blocks is bounded and can be emptied. Thread-safe, and safe across fork.
#pragma once
#include <cstddef>
#include <cstdint>

namespace pynet::pool {

struct Stats {
    uint64_t in_use_bytes, cached_bytes, peak_bytes, limit_bytes, allocations, system_allocations;
};

// Returns null when the system refuses the memory.
void* allocate(size_t bytes);
void release(void* block);
void empty_cache();
void reset_peak();
size_t block_bytes(size_t bytes);  // what allocate(bytes) adds to in_use_bytes
Stats stats();

// Called around fork so that the child never inherits a held lock.
void lock_for_fork();
void unlock_after_fork();

// A scratch buffer for the time of one kernel call.
class Scratch {
public:
    explicit Scratch(size_t bytes) : block_(bytes ? allocate(bytes) : nullptr), bytes_(bytes) {}
    ~Scratch() {
        if (block_) release(block_);
    }
    Scratch(const Scratch&) = delete;
    Scratch& operator=(const Scratch&) = delete;
    bool failed() const { return bytes_ && !block_; }
    char* data() const { return static_cast<char*>(block_); }

private:
    void* block_;
    size_t bytes_;
};

}  // namespace pynet::pool
