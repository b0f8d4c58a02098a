// Matrices transposed: x (count, R, C) -> out (count, C, R), which brings maps from (C, H * W) planes to channels
// innermost and back.
//
// Threads: blocks of rows of out. Aliasing: none allowed. Workspace: none.
#include "kernels.h"
#include "parallel.h"
#include "tile.h"

namespace pynet {
namespace PYNET_LEVEL {
namespace {

constexpr int64_t kChunk = 16384;  // elements that make a chunk

void transpose_tile(const float* x, int64_t C, float* out, int64_t R) {
    vfloat tile[kLanes];
    PYNET_UNROLL
    for (int i = 0; i < kLanes; ++i) tile[i] = load(x + i * C);
    transpose(tile);
    PYNET_UNROLL
    for (int i = 0; i < kLanes; ++i) store(out + i * R, tile[i]);
}

// Columns [c0, c1) of one matrix: rows of out.
void transpose_columns(int64_t R, int64_t C, int64_t c0, int64_t c1, const float* x, float* out) {
    const int64_t rows = R - R % kLanes, tiles = c0 + (c1 - c0) / kLanes * kLanes;
    for (int64_t c = c0; c < tiles; c += kLanes)
        for (int64_t r = 0; r < rows; r += kLanes) transpose_tile(x + r * C + c, C, out + c * R + r, R);
    for (int64_t r = 0; r < rows; ++r)
        for (int64_t c = tiles; c < c1; ++c) out[c * R + r] = x[r * C + c];
    for (int64_t r = rows; r < R; ++r)
        for (int64_t c = c0; c < c1; ++c) out[c * R + r] = x[r * C + c];
}

}  // namespace

void transpose_matrices(const Context& context, int64_t count, int64_t R, int64_t C, const float* x, float* out) {
    if (count * R * C == 0) return;
    const int64_t columns = round_up(maximum(1, kChunk / R), kLanes), blocks = ceil_div(C, columns);
    // Small matrices go several to a chunk.
    const int64_t several = maximum(1, kChunk / (R * C));
    parallel_for(context, ceil_div(count, several) * blocks, [&](int64_t chunk, int) {
        const int64_t c0 = chunk % blocks * columns, first = chunk / blocks * several;
        for (int64_t i = first; i < minimum(count, first + several); ++i)
            transpose_columns(R, C, c0, minimum(C, c0 + columns), x + i * R * C, out + i * R * C);
    });
}

}  // namespace PYNET_LEVEL
}  // namespace pynet
