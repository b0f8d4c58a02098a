// parallel_for(context, chunks, body): the only way to the worker threads. body(chunk, thread) is called once
// for every chunk; what a chunk computes must depend on its number alone, never on the thread, so that
// results have the same bits at every thread count. Partial sums are stored per chunk and added in order.
#pragma once
#include <stdint.h>

#include "../context.h"
#include "../workers.h"
#include "simd.h"

namespace pynet {
namespace PYNET_LEVEL {

// Subnormals count as zero inside kernels, on the caller and on the workers alike; the caller's mode is restored.
class FlushDenormals {
public:
    PYNET_INLINE FlushDenormals() : saved_(read()) { write(saved_ | kFlush); }
    PYNET_INLINE ~FlushDenormals() { write(saved_); }

private:
#if defined(__x86_64__)
    static constexpr uint32_t kFlush = 0x8040;  // MXCSR: FTZ | DAZ
    static PYNET_INLINE uint32_t read() { return __builtin_ia32_stmxcsr(); }
    static PYNET_INLINE void write(uint32_t mode) { __builtin_ia32_ldmxcsr(mode); }
    uint32_t saved_;
#elif defined(__aarch64__)
    static constexpr uint64_t kFlush = uint64_t{1} << 24;  // FPCR.FZ
    static PYNET_INLINE uint64_t read() {
        uint64_t mode;
        asm volatile("mrs %0, fpcr" : "=r"(mode));
        return mode;
    }
    static PYNET_INLINE void write(uint64_t mode) { asm volatile("msr fpcr, %0" ::"r"(mode)); }
    uint64_t saved_;
#else
    static constexpr int kFlush = 0;
    static PYNET_INLINE int read() { return 0; }
    static PYNET_INLINE void write(int) {}
    int saved_;
#endif
};

template <class Body>
PYNET_INLINE void parallel_for(const Context& context, int64_t chunks, Body body) {
    const int64_t threads = context.threads < chunks ? context.threads : chunks;
    if (threads <= 1) {
        FlushDenormals guard;
        for (int64_t chunk = 0; chunk < chunks; ++chunk) body(chunk, 0);
        return;
    }
    workers::run(
        static_cast<int>(threads), chunks,
        [](void* data, int64_t chunk, int thread) {
            FlushDenormals guard;
            (*static_cast<Body*>(data))(chunk, thread);
        },
        &body);
}

}  // namespace PYNET_LEVEL
}  // namespace pynet
