// Size classes (four per power of two), one free list each, one lock. Blocks below a megabyte come from
// the C heap; larger ones from mmap on a 2 MiB boundary with huge pages advised.
#include "pool.h"

#include <stdlib.h>
#include <sys/mman.h>
#include <unistd.h>

#include <mutex>
#include <vector>

namespace pynet::pool {
namespace {

constexpr size_t kHeader = 64;  // keeps the class index in front of the block, and the block aligned
constexpr size_t kSmallest = 256;
constexpr size_t kMapFrom = size_t{1} << 20;
constexpr size_t kHugePage = size_t{2} << 20;
constexpr int kClasses = 4 * 40;

struct Header {
    int32_t size_class;
};

struct State {
    std::mutex lock;
    std::vector<void*> free_blocks[kClasses];
    Stats stats{};
};

// Never destroyed: arrays that outlive the interpreter's teardown still release into it.
State& state() {
    static State* instance = [] {
        auto* fresh = new State;
        const long pages = sysconf(_SC_PHYS_PAGES), page = sysconf(_SC_PAGESIZE);
        // A quarter of the machine may lie idle in the cache; beyond that, blocks go back to the system.
        fresh->stats.limit_bytes = static_cast<uint64_t>(pages) * static_cast<uint64_t>(page) / 4;
        return fresh;
    }();
    return *instance;
}

size_t class_bytes(int size_class) {
    const size_t base = kSmallest << (size_class / 4);
    return base + base / 4 * static_cast<size_t>(size_class % 4);
}

int class_of(size_t bytes) {
    if (bytes <= kSmallest) return 0;
    const int log2 = 63 - __builtin_clzll(bytes / kSmallest);
    for (int c = 4 * log2; c < kClasses; ++c)
        if (class_bytes(c) >= bytes) return c;
    return -1;
}

void* system_allocate(size_t total) {
    if (total < kMapFrom) {
        void* block = nullptr;
        return posix_memalign(&block, 64, total) == 0 ? block : nullptr;
    }
    // Over-map, then trim, so that the block starts on a huge page.
    char* raw = static_cast<char*>(
        mmap(nullptr, total + kHugePage, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0));
    if (raw == MAP_FAILED) return nullptr;
    char* block = reinterpret_cast<char*>((reinterpret_cast<uintptr_t>(raw) + kHugePage - 1) & ~(kHugePage - 1));
    if (block != raw) munmap(raw, static_cast<size_t>(block - raw));
    const size_t tail = static_cast<size_t>(raw + total + kHugePage - (block + total));
    if (tail) munmap(block + total, tail);
    if (total >= kHugePage) madvise(block, total, MADV_HUGEPAGE);
    return block;
}

void system_release(void* block, size_t total) {
    if (total < kMapFrom)
        free(block);
    else
        munmap(block, total);
}

size_t mapped_bytes(int size_class) { return (class_bytes(size_class) + kHeader + 4095) & ~size_t{4095}; }

size_t total_bytes(int size_class) {
    const size_t bytes = class_bytes(size_class) + kHeader;
    return bytes < kMapFrom ? bytes : mapped_bytes(size_class);
}

void drop_cache(State& s) {
    for (int c = 0; c < kClasses; ++c) {
        for (void* block : s.free_blocks[c]) system_release(block, total_bytes(c));
        s.free_blocks[c].clear();
        s.free_blocks[c].shrink_to_fit();
    }
    s.stats.cached_bytes = 0;
}

}  // namespace

void* allocate(size_t bytes) {
    const int size_class = bytes > (size_t{1} << 46) ? -1 : class_of(bytes);
    if (size_class < 0) return nullptr;
    State& s = state();
    std::lock_guard<std::mutex> hold(s.lock);
    const size_t total = total_bytes(size_class);
    void* block = nullptr;
    auto& list = s.free_blocks[size_class];
    if (!list.empty()) {
        block = list.back();
        list.pop_back();
        s.stats.cached_bytes -= total;
    } else {
        block = system_allocate(total);
        if (!block) {  // what lies idle may be what is missing
            drop_cache(s);
            block = system_allocate(total);
        }
        if (!block) return nullptr;
        ++s.stats.system_allocations;
    }
    ++s.stats.allocations;
    s.stats.in_use_bytes += total;
    if (s.stats.in_use_bytes > s.stats.peak_bytes) s.stats.peak_bytes = s.stats.in_use_bytes;
    static_cast<Header*>(block)->size_class = size_class;
    return static_cast<char*>(block) + kHeader;
}

void release(void* data) {
    void* block = static_cast<char*>(data) - kHeader;
    const int size_class = static_cast<Header*>(block)->size_class;
    const size_t total = total_bytes(size_class);
    State& s = state();
    std::lock_guard<std::mutex> hold(s.lock);
    s.stats.in_use_bytes -= total;
    if (s.stats.cached_bytes + total > s.stats.limit_bytes) {
        system_release(block, total);
        return;
    }
    s.free_blocks[size_class].push_back(block);
    s.stats.cached_bytes += total;
}

size_t block_bytes(size_t bytes) {
    const int size_class = class_of(bytes);
    return size_class < 0 ? bytes : total_bytes(size_class);
}

void empty_cache() {
    State& s = state();
    std::lock_guard<std::mutex> hold(s.lock);
    drop_cache(s);
}

void reset_peak() {
    State& s = state();
    std::lock_guard<std::mutex> hold(s.lock);
    s.stats.peak_bytes = s.stats.in_use_bytes;
}

Stats stats() {
    State& s = state();
    std::lock_guard<std::mutex> hold(s.lock);
    return s.stats;
}

void lock_for_fork() { state().lock.lock(); }
void unlock_after_fork() { state().lock.unlock(); }

}  // namespace pynet::pool
