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

}  // namespace PYNET_LEVEL
}  // namespace pynet
