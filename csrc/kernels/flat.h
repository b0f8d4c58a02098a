// Passes over flat arrays: fixed chunks for the threads, several vectors at a time, a partial vector at the end.
#pragma once
#include "parallel.h"
#include "simd.h"

namespace pynet {
namespace PYNET_LEVEL {

constexpr int64_t kChunk = 16384;  // floats: long against a hand-out, short against a thread's share

// body(begin, end) for the fixed chunks of [0, count).
template <class Body>
PYNET_INLINE void for_chunks(const Context& context, int64_t count, Body body) {
    parallel_for(context, ceil_div(count, kChunk),
                 [&](int64_t chunk, int) { body(chunk * kChunk, minimum(count, (chunk + 1) * kChunk)); });
}

// out[i] = value(reader), where reader(p) gives the lanes of array p that belong to out's. kUnroll vectors are
// computed before any is stored: `out` may be an operand, and the compiler must not order loads after stores.
template <int kUnroll, class Value>
PYNET_INLINE void map_run(int64_t begin, int64_t end, float* out, Value value) {
    int64_t i = begin;
    for (; i + kUnroll * kLanes <= end; i += kUnroll * kLanes) {
        vfloat result[kUnroll];
        PYNET_UNROLL
        for (int j = 0; j < kUnroll; ++j) result[j] = value([=](const float* p) { return load(p + i + j * kLanes); });
        PYNET_UNROLL
        for (int j = 0; j < kUnroll; ++j) store(out + i + j * kLanes, result[j]);
    }
    for (; i < end; i += kLanes) {
        const int64_t n = minimum(kLanes, end - i);
        store_lanes(out + i, value([=](const float* p) { return load_lanes(p + i, n); }), n);
    }
}

}  // namespace PYNET_LEVEL
}  // namespace pynet
