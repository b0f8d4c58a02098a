// 3x3 convolution with stride 1 by Winograd's minimal filtering (Lavin & Gray 2015): F(2x2, 3x3) needs 2.25 and
// F(4x4, 3x3) 4 times fewer multiplications than the direct sum, for larger rounding errors.
//
//   forward          tiles of x are transformed (B^T d B), multiplied with the transformed weights, one matrix product
//                    for each of the (m + 2)^2 positions xi, and transformed back (A^T . A), bias and activation
//                    included
//   backward_data    the same on dout, with the weights flipped and transposed and the padding 2 - pad
//   backward_weight  in conv2d_winograd_weight.cpp
//
// Fused form: a chunk of tiles goes through all three steps in a thread's own L2, and during the products the pixels of
// the next chunk are fetched. Where the transformed weights U would outgrow the caches (from some 320 x 320 channels)
// the work is blocked instead: all tiles of a block are transformed first, then a chunk owns a panel of outputs and
// transforms its weights a few channels at a time, just before it uses them. Strides between positions carry 16 floats
// of padding: powers of two would put all positions into the same cache sets.
//
// Errors, root mean square against exact arithmetic for standard normal operands and 16 channels or more: at most 2
// (m = 2) and 7 (m = 4) times those of the direct algorithm forward and in backward_data, 2.5 and 10 times in
// backward_weight (tests/kernels/test_winograd_accuracy.py). A NaN spreads over its tile.
//
// Layout: (N, H, W, C), weights (3, 3, C, F). Threads: chunks of tiles by shape alone. Aliasing: none allowed.
// Workspace: U, one row of zeros, and the tiles and products of a chunk for each thread.
#include "conv2d.h"
#include "gemm.h"
#include "kernels.h"
#include "parallel.h"
#include "tile_products.h"
#include "winograd_tiles.h"
#include "winograd_weight.h"

namespace pynet {
namespace PYNET_LEVEL {
namespace {

// U is packed as U[panel][xi][channel][width], with a gap after each position.
PYNET_INLINE int64_t panel_size(int64_t X, int64_t K) { return X * (K * kPanel + kGap); }
PYNET_INLINE int64_t weights_size(int64_t X, int64_t K, int64_t columns) {
    return X * (K * packed_panels_width(columns) + panels_of(columns) * kGap);
}

constexpr int64_t kWeightRows = 32;  // channels whose weights are gathered at once

// G g G^T of channels [k0, k0 + count) and one panel of outputs: position xi of channel k0 + k starts at
// to[xi * stride + k * width]. Backward: g is flipped and its channels exchanged.
template <int m>
void transform_weights(const Conv2d& c, int64_t panel, int64_t k0, int64_t count, float* to, int64_t stride) {
    constexpr int A = Winograd<m>::kIn;
    const int64_t C = c.shape.C, F = c.shape.F;
    const bool back = c.pass == ConvPass::backward_data;
    const int64_t columns = panel_columns((back ? C : F) - panel * kPanel), width = panel_vectors(columns) * kLanes;
    for (int64_t k = 0; k < count; k += kWeightRows) {
        alignas(64) float g[9 * kWeightRows * kWidest * kLanes];
        const int64_t channels = minimum(kWeightRows, count - k), size = channels * width;
        for (int64_t tap = 0; tap < 9; ++tap) {
            const float* w = c.weight + (back ? 8 - tap : tap) * C * F;
            if (back)
                pack_columns(w + panel * kPanel * F + k0 + k, 1, F, channels, columns, width, g + tap * size);
            else
                pack_columns(w + (k0 + k) * F + panel * kPanel, F, 1, channels, columns, width, g + tap * size);
        }
        for (int64_t at = 0; at < size; at += kLanes) {
            vfloat half[A][3];
            PYNET_UNROLL
            for (int j = 0; j < 3; ++j) {
                vfloat d[3], o[A];
                PYNET_UNROLL
                for (int i = 0; i < 3; ++i) d[i] = load(g + (i * 3 + j) * size + at);
                Winograd<m>::weight(d, o);
                PYNET_UNROLL
                for (int i = 0; i < A; ++i) half[i][j] = o[i];
            }
            PYNET_UNROLL
            for (int i = 0; i < A; ++i) {
                vfloat o[A];
                Winograd<m>::weight(half[i], o);
                PYNET_UNROLL
                for (int j = 0; j < A; ++j) store(to + (i * A + j) * stride + k * width + at, o[j]);
            }
        }
    }
}

// All of U.
template <int m>
void transform_all_weights(const Context& context, const Conv2d& c, float* u) {
    constexpr int X = Winograd<m>::kIn * Winograd<m>::kIn;
    const bool back = c.pass == ConvPass::backward_data;
    const int64_t K = back ? c.shape.F : c.shape.C, columns = back ? c.shape.C : c.shape.F;
    const int64_t blocks = ceil_div(K, kWeightRows);
    parallel_for(context, panels_of(columns) * blocks, [&](int64_t chunk, int) {
        const int64_t panel = chunk / blocks, k0 = chunk % blocks * kWeightRows;
        const int64_t width = panel_vectors(panel_columns(columns - panel * kPanel)) * kLanes;
        transform_weights<m>(c, panel, k0, minimum(kWeightRows, K - k0), u + panel * panel_size(X, K) + k0 * width,
                             K * width + kGap);
    });
}

// A^T p A of tiles [first, first + count) for outputs [f, f + columns), and their statistics where they are wanted:
// part number `part`. Products of neighbouring tiles lie `row` floats apart.
template <int m>
void transform_outputs(const Conv2d& c, const Maps& t, int64_t first, int64_t count, const float* products, int64_t row,
                       int64_t stride, int64_t f, int64_t columns, int64_t part) {
    const bool back = c.pass == ConvPass::backward_data;
    const Finish finish = {back ? nullptr : c.bias, back ? Activation::none : c.activation, c.alpha};
    if (!c.parts) {
        for_tiles<m>(t, first, count, [&](int64_t i, const Tile& at) {
            transform_output<m>(t, at, products + i * row, stride, f, columns, finish);
        });
        return;
    }
    const Tile start = tile_at<m>(t, first);
    Part statistics(c.parts, part, t.DC, f, columns,
                    t.destination + ((start.n * t.DH + start.y) * t.DW + start.x) * t.DC);
    for_tiles<m>(t, first, count, [&](int64_t i, const Tile& at) {
        transform_output<m>(t, at, products + i * row, stride, f, columns, finish);
        add_output<m>(t, at, f, statistics);
    });
    statistics.finish();
}

// The fused form ---------------------------------------------------------------------------------------------------

struct Plan {
    int64_t chunk;           // tiles of a chunk, a multiple of kTileRows
    int64_t groups;          // of panels, each with chunks of its own where tiles are few
    int64_t panels_at_once;  // whose products stay in L2 until they are transformed back
    int64_t v_row, p_row;    // floats of a tile
    int64_t v_stride, p_stride;
    int64_t u_floats, each, total;
};

template <int m>
Plan plan_of(const Conv2d& c, const Maps& t, int threads) {
    constexpr int X = Winograd<m>::kIn * Winograd<m>::kIn;
    Plan p;
    p.v_row = round_up(t.SC, kLanes);
    // Transformed tiles and products leave most of an L2 to the weights, which every chunk streams in: fewer than 16
    // tiles would not repay that. Small work is cut finer, for the sake of many threads.
    constexpr int64_t kChunks = 16;
    const int64_t least = round_up(16, kTileRows), most = round_up(32, kTileRows);
    p.chunk = maximum(least, minimum(most, (160 << 10) / (X * p.v_row * 4) / kTileRows * kTileRows));
    while (p.chunk > kTileRows && ceil_div(t.tiles, p.chunk) < kChunks) p.chunk -= kTileRows;
    p.groups = minimum(panels_of(t.DC), ceil_div(kChunks, ceil_div(t.tiles, p.chunk)));
    p.panels_at_once = minimum(2, ceil_div(panels_of(t.DC), p.groups));
    p.p_row = (p.panels_at_once - 1) * kPanel + widest_panel(t.DC);
    p.v_stride = p.chunk * p.v_row + kGap;
    p.p_stride = p.chunk * p.p_row + kGap;
    p.u_floats = c.packed ? 0 : round_up(weights_size(X, t.SC, t.DC), 16);
    p.each = round_up(X * (p.v_stride + p.p_stride), 16) + kGap;
    p.total = p.u_floats + p.v_row + 16 + threads * p.each;
    return p;
}

template <int m>
void run_fused(const Context& context, const Conv2d& c) {
    constexpr int X = Winograd<m>::kIn * Winograd<m>::kIn;
    const Maps t = maps_of<m>(c);
    const Plan p = plan_of<m>(c, t, context.threads);
    float* own = reinterpret_cast<float*>(context.workspace);
    float* zeros = own + p.u_floats;
    float* scratch = zeros + round_up(p.v_row, 16);
    for (int64_t i = 0; i < p.v_row; ++i) zeros[i] = 0.0f;
    if (!c.packed) transform_all_weights<m>(context, c, own);
    const float* u = c.packed ? c.packed : own;
    const int64_t panels = panels_of(t.DC), chunks = ceil_div(t.tiles, p.chunk) * p.groups;
    parallel_for(context, chunks, [&](int64_t chunk, int thread) {
        float* v = scratch + thread * p.each;
        float* products = v + X * p.v_stride;
        const int64_t first = chunk / p.groups * p.chunk, count = minimum(p.chunk, t.tiles - first);
        const int64_t group = chunk % p.groups, end = panels * (group + 1) / p.groups;
        for_tiles<m>(t, first, count,
                     [&](int64_t i, const Tile& at) { transform_input<m>(t, at, zeros, v + i * p.v_row, p.v_stride); });
        for (int64_t panel = panels * group / p.groups; panel < end; panel += p.panels_at_once) {
            const int64_t last = minimum(end, panel + p.panels_at_once);
            const int64_t f = panel * kPanel, columns = (last < panels ? last * kPanel : t.DC) - f;
            Ahead next =
                next_tiles<m>(t, (chunk + 1) / p.groups * p.chunk, p.chunk, true, X * shares_of(count, columns));
            for (int64_t xi = 0; xi < X; ++xi) {
                for (int64_t q = panel; q < last; ++q) {
                    const int vectors = panel_vectors(panel_columns(t.DC - q * kPanel));
                    const float* weights = u + q * panel_size(X, t.SC) + xi * (t.SC * vectors * kLanes + kGap);
                    multiply_panel(count, t.SC, vectors, v + xi * p.v_stride, p.v_row, weights,
                                   products + xi * p.p_stride + (q - panel) * kPanel, p.p_row, false,
                                   last == end ? &next : nullptr);
                }
            }
            transform_outputs<m>(c, t, first, count, products, p.p_row, p.p_stride, f, columns, chunk / p.groups);
        }
    });
}

// The blocked form -------------------------------------------------------------------------------------------------

constexpr int64_t kLargeWeights = int64_t{12} << 20;  // bytes of U beyond which it is never held whole
constexpr int64_t kBlockTiles = 128, kChunkTiles = 64, kBlockChannels = 64;

template <int m>
bool is_blocked(const Maps& t) {
    constexpr int X = Winograd<m>::kIn * Winograd<m>::kIn;
    return weights_size(X, t.SC, t.DC) * 4 > kLargeWeights;
}

// Transformed tiles lie as they are read: [block of channels][position][tile][channel].
struct BlockedPlan {
    int64_t v_row, v_stride, v_block, v_floats, u_stride, p_stride, each, total;  // floats
};

template <int m>
BlockedPlan blocked_plan(const Maps& t, int threads) {
    constexpr int X = Winograd<m>::kIn * Winograd<m>::kIn;
    BlockedPlan p;
    p.v_row = minimum(kBlockChannels, round_up(t.SC, kLanes));
    p.v_stride = minimum(kBlockTiles, t.tiles) * p.v_row + kGap;
    p.v_block = X * p.v_stride;
    p.v_floats = ceil_div(t.SC, kBlockChannels) * p.v_block;
    p.u_stride = kBlockChannels * widest_panel(t.DC) + kGap, p.p_stride = kChunkTiles * widest_panel(t.DC) + kGap;
    p.each = X * (p.u_stride + p.p_stride) + kGap;
    p.total = p.v_floats + round_up(t.SC, 16) + threads * p.each;
    return p;
}

template <int m>
void run_blocked(const Context& context, const Conv2d& c) {
    constexpr int X = Winograd<m>::kIn * Winograd<m>::kIn;
    const Maps t = maps_of<m>(c);
    const BlockedPlan b = blocked_plan<m>(t, context.threads);
    float* v = reinterpret_cast<float*>(context.workspace);
    float* zeros = v + b.v_floats;
    float* scratch = zeros + round_up(t.SC, 16);
    for (int64_t i = 0; i < t.SC; ++i) zeros[i] = 0.0f;
    const int64_t panels = panels_of(t.DC);
    for (int64_t block = 0; block < t.tiles; block += kBlockTiles) {
        const int64_t tiles = minimum(kBlockTiles, t.tiles - block), chunks = ceil_div(tiles, kChunkTiles);
        parallel_for(context, tiles, [&](int64_t i, int) {
            transform_input<m>(t, tile_at<m>(t, block + i), zeros, v + i * b.v_row, b.v_stride, kBlockChannels,
                               b.v_block);
        });
        parallel_for(context, panels * chunks, [&](int64_t chunk, int thread) {
            const int64_t panel = chunk / chunks, first = chunk % chunks * kChunkTiles,
                          count = minimum(kChunkTiles, tiles - first);
            const int64_t columns = panel_columns(t.DC - panel * kPanel);
            const int vectors = panel_vectors(columns);
            const int64_t width = vectors * kLanes;
            float* u = scratch + thread * b.each;
            float* products = u + X * b.u_stride;
            for (int64_t k = 0; k < t.SC; k += kBlockChannels) {
                const int64_t channels = minimum(kBlockChannels, t.SC - k);
                transform_weights<m>(c, panel, k, channels, u, b.u_stride);
                for (int64_t xi = 0; xi < X; ++xi)
                    multiply_panel(count, channels, vectors,
                                   v + k / kBlockChannels * b.v_block + xi * b.v_stride + first * b.v_row, b.v_row,
                                   u + xi * b.u_stride, products + xi * b.p_stride, width, k > 0);
            }
            transform_outputs<m>(c, t, block + first, count, products, width, b.p_stride, panel * kPanel, columns,
                                 (block + first) / kChunkTiles);
        });
    }
}

// The list's entries -----------------------------------------------------------------------------------------------

bool can(const Conv2d& c) {
    const Conv2dShape& s = c.shape;
    return s.KH == 3 && s.KW == 3 && s.stride_h == 1 && s.stride_w == 1 && s.dilation_h == 1 && s.dilation_w == 1 &&
           s.groups == 1 && s.pad_h <= 2 && s.pad_w <= 2;
}

// Multiplications for each pair of channels. Where tiles are few the preparation of the weights counts too, in the same
// terms: so much for each of their values, the more where they lie beyond L2.
int64_t weight_cost(const Conv2dShape& s) { return s.C * s.F > 128 * 128 ? 10 : 4; }

template <int m>
int64_t multiplications(const Conv2d& c) {
    constexpr int64_t X = Winograd<m>::kIn * Winograd<m>::kIn;
    return X * (maps_of<m>(c).tiles + weight_cost(c.shape));
}

// The same of the direct algorithm, which leaves out padding.
int64_t direct_multiplications(const Conv2dShape& s) {
    int64_t rows = 0, columns = 0;
    for (int64_t tap = 0; tap < 3; ++tap) {
        int64_t first, last;
        valid_range(s.OH(), 1, tap - s.pad_h, s.H, &first, &last);
        rows += last - first;
        valid_range(s.OW(), 1, tap - s.pad_w, s.W, &first, &last);
        columns += last - first;
    }
    return s.N * rows * columns + 9 * weight_cost(s);
}

// With few channels on one side the transforms cost more than they save.
template <int m>
bool prefer(const Conv2d& c) {
    if (c.shape.C < 12 || c.shape.F < 12) return false;
    const int64_t work = multiplications<m>(c);
    if (m == 4 && work > multiplications<2>(c)) return false;
    return static_cast<double>(work) <= 0.9 * static_cast<double>(direct_multiplications(c.shape));
}

template <int m>
size_t workspace(const Conv2d& c, int threads) {
    const Maps t = maps_of<m>(c);
    if (c.pass == ConvPass::backward_weight) return winograd_weight_workspace<m>(c, threads);
    const int64_t floats = is_blocked<m>(t) ? blocked_plan<m>(t, threads).total : plan_of<m>(c, t, threads).total;
    return static_cast<size_t>(floats) * sizeof(float);
}

// The blocked form reads the weights as they are: transformed, they are four times as many bytes of main memory.
template <int m>
size_t packed_bytes(const Conv2d& c) {
    constexpr int64_t X = Winograd<m>::kIn * Winograd<m>::kIn;
    const Maps t = maps_of<m>(c);
    if (c.pass == ConvPass::backward_weight || is_blocked<m>(t)) return 0;
    return static_cast<size_t>(weights_size(X, t.SC, t.DC)) * sizeof(float);
}

template <int m>
int64_t parts(const Conv2d& c) {
    const Maps t = maps_of<m>(c);
    return ceil_div(t.tiles, is_blocked<m>(t) ? kChunkTiles : plan_of<m>(c, t, 1).chunk);
}

template <int m>
void run(const Context& context, const Conv2d& c) {
    if (c.pass == ConvPass::backward_weight)
        winograd_weight<m>(context, c);
    else if (is_blocked<m>(maps_of<m>(c)))
        run_blocked<m>(context, c);
    else
        run_fused<m>(context, c);
}

template <int m>
constexpr ConvAlgorithm algorithm(const char* name) {
    return {name, can, prefer<m>, workspace<m>, run<m>, true, packed_bytes<m>, transform_all_weights<m>, parts<m>};
}

}  // namespace

const ConvAlgorithm kConvWinograd2 = algorithm<2>("winograd2");
const ConvAlgorithm kConvWinograd4 = algorithm<4>("winograd4");

}  // namespace PYNET_LEVEL
}  // namespace pynet
