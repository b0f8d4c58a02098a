// The weight gradient of a 3x3 convolution with stride 1 by Winograd's minimal filtering.
#include "kernels.h"
#include "parallel.h"
#include "tile_products.h"
#include "winograd_tiles.h"
#include "winograd_weight.h"

namespace pynet {
namespace PYNET_LEVEL {
namespace {

// Two forms. Small weights: tiles are cut into fixed parts, each with a dU of its own in L2. Large weights: the tiles
// of a block are all transformed first, then a chunk owns a position and a block of rows of dU and nothing is added
// twice.
struct WeightPlan {
    int64_t parts;                // 0: the shared form
    int64_t chunk;                // tiles transformed at once, by one thread (parts) or by all (shared)
    int64_t v_row, d_row, width;  // floats of a tile's row in V, in D, and of a row of dU
    int64_t v_stride, d_stride, u_stride;
    int64_t rows;                    // shared: rows of dU a chunk owns
    int64_t du, tiles, each, total;  // floats: all of dU; where V and D start
};

template <int m>
WeightPlan weight_plan(const Maps& t, int threads) {
    constexpr int X = Winograd<m>::kIn * Winograd<m>::kIn;
    WeightPlan p;
    p.v_row = round_up(t.SC, kLanes), p.d_row = round_up(t.DC, kLanes), p.width = p.d_row;
    p.u_stride = t.SC * p.width + kGap;
    const bool small = t.SC * t.DC <= 4096;
    if (small) {
        p.parts = maximum(1, minimum(16, t.tiles / 64));
        p.chunk = 32;
    } else {
        p.parts = 0;
        // V and D of a block stay in L3.
        p.chunk = maximum(64, minimum(t.tiles, (12 << 20) / (X * (p.v_row + p.d_row) * 4)));
    }
    p.v_stride = p.chunk * p.v_row + kGap, p.d_stride = p.chunk * p.d_row + kGap;
    p.rows = round_up(maximum(1, minimum(t.SC, 64)), kTileRows);
    p.du = round_up(maximum(1, p.parts) * X * p.u_stride, 16);
    p.tiles = p.du + round_up(maximum(p.v_row, p.d_row), 16);
    p.each = round_up(X * (p.v_stride + p.d_stride), 16);
    p.total = p.tiles + (p.parts ? threads : 1) * p.each;
    return p;
}

// dU[row][column] (+)= sum over `count` tiles of V[tile][row] * D[tile][column], rows [r0, r1).
void multiply_rows(const WeightPlan& p, int64_t count, int64_t r0, int64_t r1, const float* v, const float* d,
                   float* du, bool accumulate) {
    for (int64_t f = 0; f < p.width; f += kPanel) {
        const int vectors = panel_vectors(p.width - f);
        for (int64_t row = r0; row < r1; row += kTileRows)
            tile_for<false>(minimum(kTileRows, r1 - row), vectors)(count, v + row, p.v_row, d + f, p.d_row,
                                                                   du + row * p.width + f, p.width, accumulate);
    }
}

// dw = G^T dU G, the parts of dU added in order.
template <int m>
void finish_weights(const Context& context, const Conv2d& c, const WeightPlan& p, const float* du) {
    constexpr int A = Winograd<m>::kIn, X = A * A;
    const int64_t C = c.shape.C, F = c.shape.F;
    parallel_for(context, C, [&](int64_t row, int) {
        for (int64_t f = 0; f < F; f += kLanes) {
            vfloat half[3][A];
            PYNET_UNROLL
            for (int j = 0; j < A; ++j) {
                vfloat u[A], o[3];
                PYNET_UNROLL
                for (int i = 0; i < A; ++i) {
                    const float* from = du + (i * A + j) * p.u_stride + row * p.width + f;
                    u[i] = load(from);
                    for (int64_t part = 1; part < p.parts; ++part) u[i] += load(from + part * X * p.u_stride);
                }
                Winograd<m>::weight_adjoint(u, o);
                PYNET_UNROLL
                for (int i = 0; i < 3; ++i) half[i][j] = o[i];
            }
            PYNET_UNROLL
            for (int i = 0; i < 3; ++i) {
                vfloat o[3];
                Winograd<m>::weight_adjoint(half[i], o);
                PYNET_UNROLL
                for (int j = 0; j < 3; ++j) store_lanes(c.weight + ((i * 3 + j) * C + row) * F + f, o[j], F - f);
            }
        }
    });
}

}  // namespace

template <int m>
void winograd_weight(const Context& context, const Conv2d& c) {
    constexpr int X = Winograd<m>::kIn * Winograd<m>::kIn;
    const Maps t = maps_of<m>(c);
    const WeightPlan p = weight_plan<m>(t, context.threads);
    float* du = reinterpret_cast<float*>(context.workspace);
    float* zeros = du + p.du;
    for (int64_t i = 0; i < maximum(p.v_row, p.d_row); ++i) zeros[i] = 0.0f;
    if (p.parts) {
        parallel_for(context, p.parts, [&](int64_t part, int thread) {
            float* v = du + p.tiles + thread * p.each;
            float* d = v + X * p.v_stride;
            const int64_t first = t.tiles * part / p.parts, last = t.tiles * (part + 1) / p.parts;
            for (int64_t tile = first; tile < last; tile += p.chunk) {
                const int64_t count = minimum(p.chunk, last - tile);
                for (int64_t i = 0; i < count; ++i) {
                    const Tile at = tile_at<m>(t, tile + i);
                    transform_input<m>(t, at, zeros, v + i * p.v_row, p.v_stride);
                    transform_gradient<m>(t, c.out, at, zeros, d + i * p.d_row, p.d_stride);
                }
                for (int64_t xi = 0; xi < X; ++xi)
                    multiply_rows(p, count, 0, t.SC, v + xi * p.v_stride, d + xi * p.d_stride,
                                  du + (part * X + xi) * p.u_stride, tile > first);
            }
        });
    } else {
        float* v = du + p.tiles;
        float* d = v + X * p.v_stride;
        const int64_t row_blocks = ceil_div(t.SC, p.rows);
        for (int64_t tile = 0; tile < t.tiles; tile += p.chunk) {
            const int64_t count = minimum(p.chunk, t.tiles - tile);
            parallel_for(context, ceil_div(count, 4), [&](int64_t four, int) {
                for (int64_t i = four * 4; i < minimum(count, four * 4 + 4); ++i) {
                    const Tile at = tile_at<m>(t, tile + i);
                    transform_input<m>(t, at, zeros, v + i * p.v_row, p.v_stride);
                    transform_gradient<m>(t, c.out, at, zeros, d + i * p.d_row, p.d_stride);
                }
            });
            parallel_for(context, X * row_blocks, [&](int64_t chunk, int) {
                const int64_t xi = chunk / row_blocks, r0 = chunk % row_blocks * p.rows;
                multiply_rows(p, count, r0, minimum(t.SC, r0 + p.rows), v + xi * p.v_stride, d + xi * p.d_stride,
                              du + xi * p.u_stride, tile > 0);
            });
        }
    }
    finish_weights<m>(context, c, p, du);
}

template <int m>
size_t winograd_weight_workspace(const Conv2d& c, int threads) {
    return static_cast<size_t>(weight_plan<m>(maps_of<m>(c), threads).total) * sizeof(float);
}

template size_t winograd_weight_workspace<2>(const Conv2d&, int);
template size_t winograd_weight_workspace<4>(const Conv2d&, int);
template void winograd_weight<2>(const Context&, const Conv2d&);
template void winograd_weight<4>(const Context&, const Conv2d&);

}  // namespace PYNET_LEVEL
}  // namespace pynet
