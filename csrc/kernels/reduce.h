// Column sums over fixed blocks of rows: the pattern behind bias gradients and normalisation statistics.
#pragma once
#include "simd.h"

namespace pynet {
namespace PYNET_LEVEL {

// How many blocks the rows of a (rows, columns) array are cut into: by the shape alone, so that the order of
// sums never depends on the thread count.
PYNET_INLINE int64_t row_blocks(int64_t rows, int64_t columns) {
    const int64_t by_work = rows * columns / 16384;
    return maximum(1, minimum(minimum(64, rows), by_work));
}

// out[c] (+)= sum over the rows of x (rows, columns).
void sum_block(int64_t rows, int64_t columns, const float* x, float* out, bool accumulate);

// out[c] = the sums of all parts, `step` floats apart, added in order.
PYNET_INLINE void add_parts(int64_t parts, int64_t step, int64_t columns, const float* sums, float* out) {
    for (int64_t c = 0; c < columns; ++c) {
        float sum = sums[c];
        for (int64_t part = 1; part < parts; ++part) sum += sums[part * step + c];
        out[c] = sum;
    }
}

}  // namespace PYNET_LEVEL
}  // namespace pynet
