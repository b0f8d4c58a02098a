// The weight gradient of a 3x3 convolution with stride 1 by Winograd's minimal filtering, the adjoint of the forward
// pass (Lavin & Gray 2015):
//
//   dU[xi] = sum over tiles of V[xi]^T D[xi] with V = B^T d B and D = A dout A^T, then dw = G^T dU G
//
// Two forms. Many tiles and weights that are not large: the tiles are cut into parts, and a chunk takes a part through
// all steps, a few dozen tiles at a time with V, D and dU in a thread's own L2, and leaves a partial dw. Else (shared):
// some 2 MiB of V and D are transformed first, 64 tiles or more, then a chunk owns a block of dw (some input channels,
// some outputs) and has all positions of its dU in L2.
//
// Position (1, 1) of D is the sum of a tile's pixels: the bias gradient is its sum over the tiles.
//
// Layout: x and dout (N, H, W, C), dw (3, 3, C, F). Threads: chunks by shape alone, partial sums added in order.
// Aliasing: none allowed.
#include "kernels.h"
#include "parallel.h"
#include "reduce.h"
#include "tile_products.h"
#include "winograd_tiles.h"
#include "winograd_weight.h"

namespace pynet {
namespace PYNET_LEVEL {
namespace {

// Channels lie in blocks of `rows` or `columns`: [block][position][tile][channel of the block].
struct WeightPlan {
    bool shared;
    int64_t parts;          // of the tiles, each with a partial dw
    int64_t chunk;          // tiles transformed at once, by one thread or (shared) by all
    int64_t rows, columns;  // of the block of dw that a chunk makes
    int64_t v_row, d_row;   // floats of a tile in a block of V, of D
    int64_t v_stride, d_stride, u_stride;
    int64_t v_block, d_block;
    int64_t partial, bias_row;             // floats from one partial dw, one bias gradient to the next
    int64_t bias, zeros, v, d, du, total;  // where they start, after the partials
    int64_t each;                          // floats that a thread has of its own: dU and, unless shared, V and D
};

constexpr int64_t kRows = 64, kColumns = 32;  // of a block where all share V and D: its dU takes half an L2
constexpr int64_t kEnoughChunks = 16;

template <int m>
WeightPlan weight_plan(const Maps& t, int threads) {
    constexpr int X = Winograd<m>::kIn * Winograd<m>::kIn;
    WeightPlan p;
    p.parts = minimum(16, maximum(t.tiles / 64, minimum(8, t.tiles / 32)));
    // A part must have tiles enough to repay its dU: fetched and stored again by every chunk, then brought to dw.
    const int64_t weights = t.SC * t.DC;
    p.shared = weights > 128 * 128 || t.tiles < (weights > 64 * 64 ? 512 : 256);
    const int64_t v_width = round_up(t.SC, kLanes), d_width = round_up(t.DC, kLanes);
    const int64_t tile_bytes = X * (v_width + d_width) * 4;
    p.rows = t.SC, p.columns = d_width;
    if (p.shared) {
        p.parts = 1;
        p.chunk = maximum(64, minimum(t.tiles, (2 << 20) / tile_bytes));
        p.chunk = ceil_div(t.tiles, ceil_div(t.tiles, p.chunk));
        p.rows = kRows, p.columns = kColumns;
        const auto chunks = [&] { return ceil_div(t.SC, p.rows) * ceil_div(t.DC, p.columns); };
        while (p.rows > 16 && chunks() < kEnoughChunks) p.rows /= 2;
        if (chunks() < kEnoughChunks) p.columns = kPanel;
    } else {
        const int64_t most = maximum(16, minimum(64, (448 << 10) / tile_bytes)), each = ceil_div(t.tiles, p.parts);
        p.chunk = ceil_div(each, ceil_div(each, most));
    }
    p.v_row = minimum(v_width, round_up(p.rows, kLanes)), p.d_row = minimum(d_width, p.columns);
    p.v_stride = p.chunk * p.v_row + kGap, p.d_stride = p.chunk * p.d_row + kGap;
    p.u_stride = p.rows * p.columns + kGap;
    p.v_block = X * p.v_stride, p.d_block = X * p.d_stride;
    const int64_t v_floats = round_up(ceil_div(t.SC, p.v_row) * p.v_block, 16),
                  d_floats = round_up(ceil_div(t.DC, p.d_row) * p.d_block, 16);
    p.partial = round_up(9 * t.SC * t.DC, 16);
    p.bias_row = d_width;
    p.bias = p.shared ? 0 : p.parts * p.partial;
    p.zeros = p.bias + p.parts * p.bias_row;
    p.v = round_up(p.zeros + maximum(v_width, d_width), 16), p.d = p.v + v_floats, p.du = p.d + d_floats;
    p.each = round_up(X * p.u_stride, 16) + kGap;
    p.total = p.du + threads * p.each;
    if (!p.shared) {
        p.each += v_floats + d_floats;
        p.total = p.v + threads * p.each;
    }
    return p;
}

// bias (+)= the sums over `count` tiles of `width` columns of a block of D at position (1, 1).
template <int m>
void sum_bias(const WeightPlan& p, int64_t count, int64_t width, const float* d, float* bias, bool accumulate) {
    const float* sums = d + (Winograd<m>::kIn + 1) * p.d_stride;
    for (int64_t f = 0; f < width; f += kLanes) {
        vfloat sum = accumulate ? load(bias + f) : vfloat{};
        for (int64_t i = 0; i < count; ++i) sum += load(sums + i * p.d_row + f);
        store(bias + f, sum);
    }
}

// `rows` x `columns` of dw, or of a partial one, (+)= G^T dU G.
template <int m>
void finish_weights(const WeightPlan& p, const Maps& t, const float* du, int64_t rows, int64_t columns, float* dw,
                    bool accumulate) {
    constexpr int A = Winograd<m>::kIn;
    for (int64_t row = 0; row < rows; ++row)
        for (int64_t f = 0; f < columns; f += kLanes) {
            vfloat half[3][A];
            PYNET_UNROLL
            for (int j = 0; j < A; ++j) {
                vfloat u[A], o[3];
                PYNET_UNROLL
                for (int i = 0; i < A; ++i) u[i] = load(du + (i * A + j) * p.u_stride + row * p.columns + f);
                Winograd<m>::weight_adjoint(u, o);
                PYNET_UNROLL
                for (int i = 0; i < 3; ++i) half[i][j] = o[i];
            }
            const int64_t lanes = columns - f;
            PYNET_UNROLL
            for (int i = 0; i < 3; ++i) {
                vfloat o[3];
                Winograd<m>::weight_adjoint(half[i], o);
                PYNET_UNROLL
                for (int j = 0; j < 3; ++j) {
                    float* to = dw + ((i * 3 + j) * t.SC + row) * t.DC + f;
                    store_lanes(to, accumulate ? o[j] + load_lanes(to, lanes) : o[j], lanes);
                }
            }
        }
}

// dw = the partial ones added in order.
void add_partials(const Context& context, const WeightPlan& p, int64_t size, const float* partials, float* dw) {
    constexpr int64_t kBlock = 2048;
    parallel_for(context, ceil_div(size, kBlock), [&](int64_t block, int) {
        for (int64_t at = block * kBlock; at < minimum(size, (block + 1) * kBlock); at += kLanes) {
            vfloat sum = load(partials + at);
            for (int64_t part = 1; part < p.parts; ++part) sum += load(partials + part * p.partial + at);
            store_lanes(dw + at, sum, size - at);
        }
    });
}

// One part of the tiles through all steps.
template <int m>
void run_part(const Conv2d& c, const Maps& t, const WeightPlan& p, int64_t part, const float* zeros, float* partial,
              float* bias, float* v) {
    constexpr int X = Winograd<m>::kIn * Winograd<m>::kIn;
    float *d = v + p.d - p.v, *du = v + p.du - p.v;
    const int64_t first = t.tiles * part / p.parts, last = t.tiles * (part + 1) / p.parts;
    for (int64_t tile = first; tile < last; tile += p.chunk) {
        const int64_t count = minimum(p.chunk, last - tile);
        for_tiles<m>(t, tile, count, [&](int64_t i, const Tile& at) {
            transform_input<m>(t, at, zeros, v + i * p.v_row, p.v_stride);
            transform_gradient<m>(t, c.out, at, zeros, d + i * p.d_row, p.d_stride);
        });
        if (bias) sum_bias<m>(p, count, p.d_row, d, bias, tile > first);
        Ahead next = next_tiles<m>(t, tile + count, p.chunk, false, X * shares_of(t.SC, p.d_row));
        for (int64_t xi = 0; xi < X; ++xi)
            multiply_transposed(t.SC, p.d_row, count, v + xi * p.v_stride, p.v_row, d + xi * p.d_stride, p.d_row,
                                du + xi * p.u_stride, p.columns, tile > first, &next);
    }
    finish_weights<m>(p, t, du, t.SC, t.DC, partial, false);
}

// One block of dw, from channel r0 and output f0 on, of `count` transformed tiles.
template <int m>
void run_block(const Conv2d& c, const Maps& t, const WeightPlan& p, int64_t r0, int64_t f0, int64_t count,
               const float* v, const float* d, float* du, bool accumulate) {
    constexpr int X = Winograd<m>::kIn * Winograd<m>::kIn;
    const int64_t rows = minimum(p.rows, t.SC - r0), columns = minimum(p.columns, t.DC - f0);
    v += r0 / p.rows * p.v_block;
    d += f0 / p.columns * p.d_block;
    for (int64_t xi = 0; xi < X; ++xi) {
        Ahead next({v + (xi + 1) * p.v_stride, count * p.v_row, false},
                   {d + (xi + 1) * p.d_stride, count * p.d_row, false}, shares_of(rows, columns));
        multiply_transposed(rows, round_up(columns, kLanes), count, v + xi * p.v_stride, p.v_row, d + xi * p.d_stride,
                            p.d_row, du + xi * p.u_stride, p.columns, false, &next);
    }
    finish_weights<m>(p, t, du, rows, columns, c.weight + r0 * t.DC + f0, accumulate);
}

template <int m>
void run_shared(const Context& context, const Conv2d& c, const Maps& t, const WeightPlan& p, const float* zeros,
                float* bias, float* v, float* d, float* scratch) {
    const int64_t row_blocks = ceil_div(t.SC, p.rows), column_blocks = ceil_div(t.DC, p.columns);
    for (int64_t tile = 0; tile < t.tiles; tile += p.chunk) {
        const int64_t count = minimum(p.chunk, t.tiles - tile);
        parallel_for(context, ceil_div(count, 4), [&](int64_t four, int) {
            for_tiles<m>(t, tile + four * 4, minimum(4, count - four * 4), [&](int64_t i, const Tile& at) {
                i += four * 4;
                transform_input<m>(t, at, zeros, v + i * p.v_row, p.v_stride, p.v_row, p.v_block);
                transform_gradient<m>(t, c.out, at, zeros, d + i * p.d_row, p.d_stride, p.d_row, p.d_block);
            });
        });
        parallel_for(context, row_blocks * column_blocks, [&](int64_t chunk, int thread) {
            const int64_t r0 = chunk / column_blocks * p.rows, f0 = chunk % column_blocks * p.columns;
            if (bias && r0 == 0)
                sum_bias<m>(p, count, minimum(p.d_row, p.bias_row - f0), d + f0 / p.columns * p.d_block, bias + f0,
                            tile > 0);
            run_block<m>(c, t, p, r0, f0, count, v, d, scratch + thread * p.each, tile > 0);
        });
    }
}

}  // namespace

template <int m>
void winograd_weight(const Context& context, const Conv2d& c) {
    const Maps t = maps_of<m>(c);
    const WeightPlan p = weight_plan<m>(t, context.threads);
    float* partials = reinterpret_cast<float*>(context.workspace);
    float *sums = partials + p.bias, *zeros = partials + p.zeros, *scratch = partials + p.v;
    for (float* at = zeros; at < scratch; ++at) *at = 0.0f;
    if (p.shared) {
        run_shared<m>(context, c, t, p, zeros, c.dbias ? sums : nullptr, scratch, partials + p.d, partials + p.du);
    } else {
        parallel_for(context, p.parts, [&](int64_t part, int thread) {
            run_part<m>(c, t, p, part, zeros, partials + part * p.partial, c.dbias ? sums + part * p.bias_row : nullptr,
                        scratch + thread * p.each);
        });
        add_partials(context, p, 9 * t.SC * t.DC, partials, c.weight);
    }
    if (c.dbias) add_parts(p.parts, p.bias_row, t.DC, sums, c.dbias);
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
