// Writing past the caches what they could not keep: a plain store first fetches the line that it overwrites.
#pragma once
#include "simd.h"

namespace pynet {
namespace PYNET_LEVEL {

// Bytes of an array from which it repays: of a smaller one a good part is still cached when the next operation reads
// it.
constexpr int64_t kStreamFrom = 8 << 20;

// Floats of a cache line, which must be written as a whole: pieces of one would go to memory one by one.
constexpr int64_t kLine = 16;

#if PYNET_LANES == 16 && defined(__AVX512F__)
constexpr bool kStoresPast = true;
PYNET_INLINE void store_past(float* p, vfloat v) { _mm512_stream_ps(p, reinterpret_cast<__m512>(v)); }
#elif PYNET_LANES == 8 && defined(__AVX__)
constexpr bool kStoresPast = true;
PYNET_INLINE void store_past(float* p, vfloat v) { _mm256_stream_ps(p, reinterpret_cast<__m256>(v)); }
#else
constexpr bool kStoresPast = false;
PYNET_INLINE void store_past(float* p, vfloat v) { store(p, v); }
#endif

// After store_past: when it returns, other threads may read what was stored.
PYNET_INLINE void end_of_stores_past() {
#if defined(__AVX__)
    _mm_sfence();
#endif
}

// Copies `count` floats: whole cache lines past the caches, the ends as ever. When it returns, other threads may read.
PYNET_INLINE void stream(float* to, const float* from, int64_t count) {
    const int64_t head = minimum(count, static_cast<int64_t>(-(reinterpret_cast<uintptr_t>(to) / 4) % kLine)),
                  lines = head + (count - head) / kLine * kLine;
    int64_t i = 0;
    for (; i < head; i += kLanes) store_lanes(to + i, load_lanes(from + i, head - i), head - i);
    for (i = head; i < lines; i += kLine) {
        PYNET_UNROLL
        for (int j = 0; j < kLine; j += kLanes) store_past(to + i + j, load(from + i + j));
    }
    for (; i < count; i += kLanes) store_lanes(to + i, load_lanes(from + i, count - i), count - i);
    end_of_stores_past();
}

}  // namespace PYNET_LEVEL
}  // namespace pynet
