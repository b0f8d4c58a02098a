// Walking the rows of an (M, C) array in vectors, with C of any size, and sums and maxima over lanes.
#pragma once
#include "channels.h"
#include "math.h"
#include "parallel.h"

namespace pynet {
namespace PYNET_LEVEL {

// Rows that one chunk takes, by the shape alone.
PYNET_INLINE int64_t rows_of_chunk(int64_t C) { return maximum(1, 8192 / maximum(1, C)); }

// visit(column, lanes that count) over one row.
template <class Visit>
PYNET_INLINE void for_row(int64_t C, Visit visit) {
    int64_t c = 0;
    for (; c + kLanes <= C; c += kLanes) visit(c, int64_t{kLanes});
    if (c < C) visit(c, C - c);
}

// visit(column, Count<vectors>, lanes that count) over one row, several vectors at a time.
template <class Visit>
PYNET_INLINE void for_blocks(int64_t C, Visit visit) {
    int64_t c = 0;
    for (; c + 4 * kLanes <= C; c += 4 * kLanes) visit(c, Count<4>{}, int64_t{kLanes});
    for (; c + kLanes <= C; c += kLanes) visit(c, Count<1>{}, int64_t{kLanes});
    if (c < C) visit(c, Count<1>{}, C - c);
}

// n lanes of p; the others are `fill`.
PYNET_INLINE vfloat load_filled(const float* p, int64_t n, float fill) {
    return n >= kLanes ? load(p) : select(lane_numbers() < static_cast<int32_t>(n), load_partial(p, n), splat(fill));
}

// The lanes that do not count become zero.
PYNET_INLINE vfloat keep_lanes(vfloat v, int64_t n) {
    return n >= kLanes ? v : select(lane_numbers() < static_cast<int32_t>(n), v, vfloat{});
}

// Over the lanes, pairwise.
PYNET_INLINE float sum_lanes(vfloat v) {
    float lane[kLanes];
    store(lane, v);
    PYNET_UNROLL
    for (int width = kLanes / 2; width > 0; width /= 2) {
        PYNET_UNROLL
        for (int i = 0; i < width; ++i) lane[i] += lane[i + width];
    }
    return lane[0];
}
PYNET_INLINE float max_lanes(vfloat v) {
    float lane[kLanes];
    store(lane, v);
    PYNET_UNROLL
    for (int width = kLanes / 2; width > 0; width /= 2) {
        PYNET_UNROLL
        for (int i = 0; i < width; ++i) lane[i] = lane[i] > lane[i + width] ? lane[i] : lane[i + width];
    }
    return lane[0];
}

// The largest of a row. A NaN may be passed over: it comes back through the exponentials.
PYNET_INLINE float row_max(const float* row, int64_t C) {
    vfloat largest = splat(-kInfinity);
    for_row(C, [&](int64_t c, int64_t n) { largest = max(largest, load_filled(row + c, n, -kInfinity)); });
    return max_lanes(largest);
}

// rows(first, last) for the fixed chunks of M rows.
template <class Rows>
PYNET_INLINE void for_row_chunks(const Context& context, int64_t M, int64_t C, Rows rows) {
    const int64_t step = rows_of_chunk(C);
    parallel_for(context, ceil_div(M, step),
                 [&](int64_t chunk, int) { rows(chunk * step, minimum(M, (chunk + 1) * step)); });
}

}  // namespace PYNET_LEVEL
}  // namespace pynet
