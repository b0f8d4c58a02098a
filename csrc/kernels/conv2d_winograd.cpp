// 3x3 convolution with stride 1 by Winograd's minimal filtering (Lavin & Gray 2015): F(2x2, 3x3) needs 2.25 and
// F(4x4, 3x3) 4 times fewer multiplications than the direct sum, for larger rounding errors.
//
//   forward          tiles of x are transformed (B^T d B), multiplied with the transformed weights, one matrix product
//                    for each of the (m + 2)^2 positions xi, and transformed back (A^T . A), bias and activation
//                    included
//   backward_data    the same on dout, with the weights flipped and transposed and the padding 2 - pad
//   backward_weight  dU[xi] = sum over tiles of V[xi]^T D[xi] with D = A dout A^T, then dw = G^T dU G
//
// Forward and backward-data are fused: a chunk of tiles goes through all three steps in a thread's own L2. Weights are
// packed as U[panel][xi][channel][width]. Where U would outgrow the caches (from some 512 x 512 channels) the work is
// blocked instead: all tiles of a block are transformed first, then a chunk owns a panel of outputs and transforms its
// weights a few channels at a time, just before it uses them. Strides between positions carry 16 floats of padding:
// powers of two would put all positions into the same cache sets. Tiles at the edge read zeros and write what exists.
// Layout: (N, H, W, C), weights (3, 3, C, F). Threads: chunks of tiles by shape alone. Aliasing: none allowed.
#include "conv2d.h"
#include "gemm.h"
#include "kernels.h"
#include "parallel.h"
#include "winograd.h"

namespace pynet {
namespace PYNET_LEVEL {
namespace {

constexpr int64_t kGap = 16;  // floats between the positions of a tile block

// The map that is read, the map that is written, and how they lie: x -> out forward, dout -> dx backward.
struct Maps {
    const float* source;
    float* destination;
    int64_t N, SH, SW, SC, DH, DW, DC, pad_h, pad_w;
    int64_t tiles_h, tiles_w, tiles;
};

template <int m>
Maps maps_of(const Conv2d& c) {
    const Conv2dShape& s = c.shape;
    const bool back = c.pass == ConvPass::backward_data;
    Maps t;
    t.source = back ? c.out : c.x;
    t.destination = back ? c.x : c.out;
    t.N = s.N;
    t.SH = back ? s.OH() : s.H, t.SW = back ? s.OW() : s.W, t.SC = back ? s.F : s.C;
    t.DH = back ? s.H : s.OH(), t.DW = back ? s.W : s.OW(), t.DC = back ? s.C : s.F;
    t.pad_h = back ? 2 - s.pad_h : s.pad_h, t.pad_w = back ? 2 - s.pad_w : s.pad_w;
    t.tiles_h = ceil_div(t.DH, m), t.tiles_w = ceil_div(t.DW, m), t.tiles = t.N * t.tiles_h * t.tiles_w;
    return t;
}

struct Tile {
    int64_t n, y, x;  // image, first destination row and column
};

template <int m>
PYNET_INLINE Tile tile_at(const Maps& t, int64_t index) {
    return {index / (t.tiles_h * t.tiles_w), index / t.tiles_w % t.tiles_h * m, index % t.tiles_w * m};
}

// B^T d B of one tile whose pixel (i, j) starts at pixel(i, j): position xi of channel c goes to v[xi * stride + c];
// whole vectors are written.
template <int m, class Pixel>
PYNET_INLINE void transform_pixels(int64_t channels, Pixel pixel, float* v, int64_t stride) {
    constexpr int A = Winograd<m>::kIn;
    for (int64_t c = 0; c < channels; c += kLanes) {
        const int64_t lanes = channels - c;
        vfloat rows[A][A];
        PYNET_UNROLL
        for (int j = 0; j < A; ++j) {
            vfloat d[A], o[A];
            PYNET_UNROLL
            for (int i = 0; i < A; ++i) d[i] = load_lanes(pixel(i, j) + c, lanes);
            Winograd<m>::input(d, o);
            PYNET_UNROLL
            for (int i = 0; i < A; ++i) rows[i][j] = o[i];
        }
        PYNET_UNROLL
        for (int i = 0; i < A; ++i) {
            vfloat o[A];
            Winograd<m>::input(rows[i], o);
            PYNET_UNROLL
            for (int j = 0; j < A; ++j) store(v + (i * A + j) * stride + c, o[j]);
        }
    }
}

template <int m>
PYNET_NOINLINE void transform_input(const Maps& t, const Tile& at, const float* zeros, float* v, int64_t stride) {
    constexpr int A = Winograd<m>::kIn;
    const int64_t y0 = at.y - t.pad_h, x0 = at.x - t.pad_w;
    if (y0 >= 0 && y0 + A <= t.SH && x0 >= 0 && x0 + A <= t.SW) {
        const float* first = t.source + ((at.n * t.SH + y0) * t.SW + x0) * t.SC;
        const int64_t row = t.SW * t.SC, column = t.SC;
        transform_pixels<m>(t.SC, [=](int i, int j) { return first + i * row + j * column; }, v, stride);
        return;
    }
    const float* pixel[A * A];
    for (int64_t i = 0; i < A; ++i)
        for (int64_t j = 0; j < A; ++j) {
            const int64_t y = y0 + i, x = x0 + j;
            const bool inside = y >= 0 && y < t.SH && x >= 0 && x < t.SW;
            pixel[i * A + j] = inside ? t.source + ((at.n * t.SH + y) * t.SW + x) * t.SC : zeros;
        }
    transform_pixels<m>(t.SC, [&](int i, int j) { return pixel[i * A + j]; }, v, stride);
}

// A^T p A of one tile for `columns` outputs from channel f on, with bias and activation.
template <int m>
PYNET_NOINLINE void transform_output(const Maps& t, const Tile& at, const float* p, int64_t stride, int64_t f,
                                     int64_t columns, const float* bias, Activation activation, float alpha) {
    constexpr int A = Winograd<m>::kIn;
    const int64_t rows_left = minimum(m, t.DH - at.y), columns_left = minimum(m, t.DW - at.x);
    float* destination = t.destination + ((at.n * t.DH + at.y) * t.DW + at.x) * t.DC + f;
    for (int64_t j = 0; j < columns; j += kLanes) {
        const int64_t lanes = columns - j;
        vfloat half[m][A];
        PYNET_UNROLL
        for (int x = 0; x < A; ++x) {
            vfloat d[A], o[m];
            PYNET_UNROLL
            for (int y = 0; y < A; ++y) d[y] = load(p + (y * A + x) * stride + j);
            Winograd<m>::output(d, o);
            PYNET_UNROLL
            for (int y = 0; y < m; ++y) half[y][x] = o[y];
        }
        const vfloat add = bias ? load_lanes(bias + f + j, lanes) : vfloat{};
        PYNET_UNROLL
        for (int y = 0; y < m; ++y) {
            if (y >= rows_left) break;
            vfloat o[m];
            Winograd<m>::output(half[y], o);
            float* to = destination + y * t.DW * t.DC + j;
            PYNET_UNROLL
            for (int x = 0; x < m; ++x)
                if (x < columns_left) store_lanes(to + x * t.DC, activate(o[x] + add, activation, alpha), lanes);
        }
    }
}

struct Plan {
    int64_t K, columns;         // channels read, channels written
    int64_t panels, width_all;  // of the columns
    int64_t chunk;              // tiles of a chunk, a multiple of kTileRows
    int64_t panels_at_once;     // whose products stay in L2 until they are transformed back
    int64_t v_row, v_stride, p_stride;
    int64_t u_panel;  // floats of U of one whole panel
    int64_t u_block;  // channels transformed at once
    int64_t u_floats, each, total;
};

template <int m>
Plan plan_of(const Maps& t, int threads) {
    constexpr int X = Winograd<m>::kIn * Winograd<m>::kIn;
    Plan p;
    p.K = t.SC, p.columns = t.DC;
    p.panels = ceil_div(t.DC, kPanel), p.width_all = packed_panels_width(t.DC);
    p.v_row = round_up(t.SC, kLanes);
    // The transformed tiles fill about half an L2; fewer than 16 tiles would not repay the weights they stream in.
    const int64_t least = round_up(16, kTileRows), most = round_up(32, kTileRows);
    p.chunk = maximum(least, minimum(most, 512 * 1024 / (X * p.v_row * 4) / kTileRows * kTileRows));
    while (p.chunk > kTileRows && ceil_div(t.tiles, p.chunk) < 16) p.chunk -= kTileRows;
    p.panels_at_once = 2;
    p.v_stride = p.chunk * p.v_row + kGap;
    p.p_stride = p.chunk * p.panels_at_once * kPanel + kGap;
    p.u_panel = X * t.SC * kPanel;
    p.u_block = minimum(t.SC, 64);
    p.u_floats = round_up(X * t.SC * p.width_all, 16);
    const int64_t tiles_floats = X * (p.v_stride + p.p_stride), weights_floats = 9 * p.u_block * kPanel;
    p.each = round_up(maximum(tiles_floats, weights_floats), 16) + kGap;
    p.total = p.u_floats + p.v_row + 16 + threads * p.each;
    return p;
}

// G g G^T of channels [k0, k0 + count) and one panel of outputs: position xi of channel k0 + k starts at
// to[xi * stride + k * width]. Backward: g is flipped and its channels exchanged. Scratch: 9 * count * width floats.
template <int m>
void transform_weights(const Conv2d& c, const Plan& p, int64_t panel, int64_t k0, int64_t count, float* g, float* to,
                       int64_t stride) {
    constexpr int A = Winograd<m>::kIn;
    const int64_t C = c.shape.C, F = c.shape.F;
    const bool back = c.pass == ConvPass::backward_data;
    const int64_t columns = minimum(kPanel, p.columns - panel * kPanel), width = panel_vectors(columns) * kLanes;
    for (int64_t tap = 0; tap < 9; ++tap) {
        const float* w = c.weight + (back ? 8 - tap : tap) * C * F;
        if (back)
            pack_columns(w + panel * kPanel * F + k0, 1, F, count, columns, width, g + tap * count * width);
        else
            pack_columns(w + k0 * F + panel * kPanel, F, 1, count, columns, width, g + tap * count * width);
    }
    for (int64_t at = 0; at < count * width; at += kLanes) {
        vfloat half[A][3];
        PYNET_UNROLL
        for (int j = 0; j < 3; ++j) {
            vfloat d[3], o[A];
            PYNET_UNROLL
            for (int i = 0; i < 3; ++i) d[i] = load(g + (i * 3 + j) * count * width + at);
            Winograd<m>::weight(d, o);
            PYNET_UNROLL
            for (int i = 0; i < A; ++i) half[i][j] = o[i];
        }
        PYNET_UNROLL
        for (int i = 0; i < A; ++i) {
            vfloat o[A];
            Winograd<m>::weight(half[i], o);
            PYNET_UNROLL
            for (int j = 0; j < A; ++j) store(to + (i * A + j) * stride + at, o[j]);
        }
    }
}

template <int m>
void run_fused(const Context& context, const Conv2d& c) {
    constexpr int X = Winograd<m>::kIn * Winograd<m>::kIn;
    const Maps t = maps_of<m>(c);
    const Plan p = plan_of<m>(t, context.threads);
    float* u = reinterpret_cast<float*>(context.workspace);
    float* zeros = u + p.u_floats;
    float* scratch = zeros + round_up(p.v_row, 16);
    for (int64_t i = 0; i < p.v_row; ++i) zeros[i] = 0.0f;
    const int64_t k_blocks = ceil_div(p.K, p.u_block);
    parallel_for(context, p.panels * k_blocks, [&](int64_t chunk, int thread) {
        const int64_t panel = chunk / k_blocks, k0 = chunk % k_blocks * p.u_block;
        const int64_t width = panel_vectors(p.columns - panel * kPanel) * kLanes;
        transform_weights<m>(c, p, panel, k0, minimum(p.u_block, p.K - k0), scratch + thread * p.each,
                             u + panel * p.u_panel + k0 * width, p.K * width);
    });
    const bool back = c.pass == ConvPass::backward_data;
    const float* bias = back ? nullptr : c.bias;
    const Activation activation = back ? Activation::none : c.activation;
    parallel_for(context, ceil_div(t.tiles, p.chunk), [&](int64_t chunk, int thread) {
        float* v = scratch + thread * p.each;
        float* products = v + X * p.v_stride;
        const int64_t first = chunk * p.chunk, count = minimum(p.chunk, t.tiles - first);
        for (int64_t i = 0; i < count; ++i)
            transform_input<m>(t, tile_at<m>(t, first + i), zeros, v + i * p.v_row, p.v_stride);
        for (int64_t panel = 0; panel < p.panels; panel += p.panels_at_once) {
            const int64_t last = minimum(p.panels, panel + p.panels_at_once), row = p.panels_at_once * kPanel;
            for (int64_t q = panel; q < last; ++q) {
                const int vectors = panel_vectors(p.columns - q * kPanel);
                const float* weights = u + q * p.u_panel;
                for (int64_t xi = 0; xi < X; ++xi)
                    for (int64_t i = 0; i < count; i += kTileRows)
                        tile_for<true>(minimum(kTileRows, count - i), vectors)(
                            p.K, v + xi * p.v_stride + i * p.v_row, p.v_row, weights + xi * p.K * vectors * kLanes,
                            vectors * kLanes, products + xi * p.p_stride + i * row + (q - panel) * kPanel, row, false);
            }
            const int64_t f = panel * kPanel, columns = minimum((last - panel) * kPanel, p.columns - f);
            for (int64_t i = 0; i < count; ++i)
                transform_output<m>(t, tile_at<m>(t, first + i), products + i * row, p.p_stride, f, columns, bias,
                                    activation, c.alpha);
        }
    });
}

// The blocked form -------------------------------------------------------------------------------------------------

constexpr int64_t kLargeWeights = int64_t{12} << 20;  // bytes of U beyond which it is never held whole
constexpr int64_t kBlockTiles = 128, kChunkTiles = 64, kBlockChannels = 64;

template <int m>
bool is_blocked(const Maps& t) {
    constexpr int X = Winograd<m>::kIn * Winograd<m>::kIn;
    return X * t.SC * packed_panels_width(t.DC) * 4 > kLargeWeights;
}

struct BlockedPlan {
    int64_t v_row, v_stride, u_stride, p_stride, each, total;  // floats
};

template <int m>
BlockedPlan blocked_plan(const Maps& t, int threads) {
    constexpr int X = Winograd<m>::kIn * Winograd<m>::kIn;
    BlockedPlan p;
    p.v_row = round_up(t.SC, kLanes) + kGap;
    p.v_stride = minimum(kBlockTiles, t.tiles) * p.v_row + kGap;
    p.u_stride = kBlockChannels * kPanel + kGap, p.p_stride = kChunkTiles * kPanel + kGap;
    p.each = X * (p.u_stride + p.p_stride) + 9 * kBlockChannels * kPanel + kGap;
    p.total = X * p.v_stride + p.v_row + threads * p.each;
    return p;
}

template <int m>
void run_blocked(const Context& context, const Conv2d& c) {
    constexpr int X = Winograd<m>::kIn * Winograd<m>::kIn;
    const Maps t = maps_of<m>(c);
    const BlockedPlan b = blocked_plan<m>(t, context.threads);
    const Plan p = plan_of<m>(t, context.threads);
    float* v = reinterpret_cast<float*>(context.workspace);
    float* zeros = v + X * b.v_stride;
    float* scratch = zeros + b.v_row;
    for (int64_t i = 0; i < b.v_row; ++i) zeros[i] = 0.0f;
    const bool back = c.pass == ConvPass::backward_data;
    const float* bias = back ? nullptr : c.bias;
    const Activation activation = back ? Activation::none : c.activation;
    for (int64_t block = 0; block < t.tiles; block += kBlockTiles) {
        const int64_t tiles = minimum(kBlockTiles, t.tiles - block), chunks = ceil_div(tiles, kChunkTiles);
        parallel_for(context, tiles, [&](int64_t i, int) {
            transform_input<m>(t, tile_at<m>(t, block + i), zeros, v + i * b.v_row, b.v_stride);
        });
        parallel_for(context, p.panels * chunks, [&](int64_t chunk, int thread) {
            const int64_t panel = chunk / chunks, first = chunk % chunks * kChunkTiles,
                          count = minimum(kChunkTiles, tiles - first);
            const int64_t columns = minimum(kPanel, p.columns - panel * kPanel);
            const int vectors = panel_vectors(columns);
            const int64_t width = vectors * kLanes;
            float* u = scratch + thread * b.each;
            float* products = u + X * b.u_stride;
            float* g = products + X * b.p_stride;
            for (int64_t k = 0; k < p.K; k += kBlockChannels) {
                const int64_t channels = minimum(kBlockChannels, p.K - k);
                transform_weights<m>(c, p, panel, k, channels, g, u, b.u_stride);
                for (int64_t xi = 0; xi < X; ++xi)
                    for (int64_t i = 0; i < count; i += kTileRows)
                        tile_for<true>(minimum(kTileRows, count - i), vectors)(
                            channels, v + xi * b.v_stride + (first + i) * b.v_row + k, b.v_row, u + xi * b.u_stride,
                            width, products + xi * b.p_stride + i * width, width, k > 0);
            }
            for (int64_t i = 0; i < count; ++i)
                transform_output<m>(t, tile_at<m>(t, block + first + i), products + i * width, b.p_stride,
                                    panel * kPanel, columns, bias, activation, c.alpha);
        });
    }
}

// Backward-weight ------------------------------------------------------------------------------------------------

// A dout A^T of one tile, like transform_input; destination pixels that do not exist count as zero.
template <int m>
PYNET_NOINLINE void transform_gradient(const Maps& t, const float* dout, const Tile& at, const float* zeros, float* d,
                                       int64_t stride) {
    constexpr int A = Winograd<m>::kIn;
    const float* pixel[m * m];
    for (int64_t i = 0; i < m; ++i)
        for (int64_t j = 0; j < m; ++j) {
            const bool inside = at.y + i < t.DH && at.x + j < t.DW;
            pixel[i * m + j] = inside ? dout + ((at.n * t.DH + at.y + i) * t.DW + at.x + j) * t.DC : zeros;
        }
    for (int64_t f = 0; f < t.DC; f += kLanes) {
        const int64_t lanes = t.DC - f;
        vfloat half[A][m];
        PYNET_UNROLL
        for (int j = 0; j < m; ++j) {
            vfloat y[m], o[A];
            PYNET_UNROLL
            for (int i = 0; i < m; ++i) y[i] = load_lanes(pixel[i * m + j] + f, lanes);
            Winograd<m>::output_adjoint(y, o);
            PYNET_UNROLL
            for (int i = 0; i < A; ++i) half[i][j] = o[i];
        }
        PYNET_UNROLL
        for (int i = 0; i < A; ++i) {
            vfloat o[A];
            Winograd<m>::output_adjoint(half[i], o);
            PYNET_UNROLL
            for (int j = 0; j < A; ++j) store(d + (i * A + j) * stride + f, o[j]);
        }
    }
}

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

template <int m>
void run_weight(const Context& context, const Conv2d& c) {
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

// The list's entries -----------------------------------------------------------------------------------------------

bool can(const Conv2d& c) {
    const Conv2dShape& s = c.shape;
    return s.KH == 3 && s.KW == 3 && s.stride_h == 1 && s.stride_w == 1 && s.dilation_h == 1 && s.dilation_w == 1 &&
           s.groups == 1 && s.pad_h <= 2 && s.pad_w <= 2;
}

// Multiplications that the transforms save must outweigh the transforms: that takes channels on both sides, and maps
// whose last tiles are not mostly empty.
template <int m>
bool prefer(const Conv2d& c) {
    const Conv2dShape& s = c.shape;
    if (s.C < 12 || s.F < 12) return false;
    const bool back = c.pass == ConvPass::backward_data;
    const int64_t DH = back ? s.H : s.OH(), DW = back ? s.W : s.OW();
    const double used = static_cast<double>(DH * DW) / static_cast<double>(round_up(DH, m) * round_up(DW, m));
    return used >= (m == 4 ? 0.45 : 0.6);
}

template <int m>
size_t workspace(const Conv2d& c, int threads) {
    const Maps t = maps_of<m>(c);
    const int64_t floats = c.pass == ConvPass::backward_weight ? weight_plan<m>(t, threads).total
                           : is_blocked<m>(t)                  ? blocked_plan<m>(t, threads).total
                                                               : plan_of<m>(t, threads).total;
    return static_cast<size_t>(floats) * sizeof(float);
}

template <int m>
void run(const Context& context, const Conv2d& c) {
    if (c.pass == ConvPass::backward_weight)
        run_weight<m>(context, c);
    else if (is_blocked<m>(maps_of<m>(c)))
        run_blocked<m>(context, c);
    else
        run_fused<m>(context, c);
}

}  // namespace

const ConvAlgorithm kConvWinograd2 = {"winograd2", can, prefer<2>, workspace<2>, run<2>};
const ConvAlgorithm kConvWinograd4 = {"winograd4", can, prefer<4>, workspace<4>, run<4>};

}  // namespace PYNET_LEVEL
}  // namespace pynet
