// Convolution with stride 1 by fast Fourier transforms (Mathieu, Henaff & LeCun 2014), for large kernels: the map is
// cut into tiles of T x T pixels that overlap by the kernel less one (overlap-save), and a correlation becomes one
// complex product over channels at each of the T (T / 2 + 1) frequencies:
//   forward          Y = X conj(W), of which T - KH + 1 by T - KW + 1 pixels are free of wrap-around
//   backward_data    the same on dout, with the weights turned by 180 degrees and transposed, and the padding KH - 1 -
//   pad backward_weight  dW = sum over tiles of X conj(dY), dY being the pixels that a tile yields, transformed back
//   once
// A tile costs the same for every kernel, so larger kernels cost only the pixels that they take from each tile. T is
// 16, 32 or 64, whichever `cost` estimates to be least.
//
// A block of tiles is transformed, multiplied and transformed back, each step in parallel; the block and its products
// stay in the caches. Weights are transformed for a block of outputs at a time, which bounds the workspace.
//   tiles     [position][tile][re: channels, im: channels]
//   weights   [position][panel][channel][re: kLanes outputs, im], and likewise gradients and products [..][tile][..]
// Depthwise convolutions multiply value by value: conv2d_fft_depthwise.cpp.
// Layout: (N, H, W, C), weights (KH, KW, Cg, F). Threads: tiles, positions, panels, by shape alone. Aliasing: none.
#include "conv2d.h"
#include "fft_maps.h"
#include "fft_products.h"
#include "gemm.h"
#include "parallel.h"

namespace pynet {
namespace PYNET_LEVEL {
namespace {

constexpr int64_t kGap = 16;                           // floats between positions: powers of two share cache sets
constexpr int64_t kBlockBytes = int64_t{2} << 20;      // of tiles and their products
constexpr int64_t kSpectrumBytes = int64_t{48} << 20;  // of transformed weights or their gradients

struct Plan : FftMaps {
    int64_t K, N;                             // channels of a group: summed over (or rows of dW), produced
    int64_t block, columns;                   // tiles and outputs held at once
    int64_t plane, tile_row;                  // floats of a tile's real part, of both
    int64_t v_stride, p_stride, u_stride;     // between positions: tiles, products or gradients, weights
    int64_t turned, v, p, u, scratch, total;  // floats: where they start; turned: backward-data's weights
};

template <int T>
Plan plan_of(const Conv2d& c, int threads) {
    const Conv2dShape& s = c.shape;
    const bool back = c.pass == ConvPass::backward_data;
    Plan p;
    static_cast<FftMaps&>(p) = fft_maps(c, T);
    p.K = back ? s.Fg() : s.Cg(), p.N = back ? s.Cg() : s.Fg();
    constexpr int64_t X = kPositions<T>;
    p.columns = minimum(round_up(p.N, kLanes), maximum(1, kSpectrumBytes / (X * p.K * 2 * kLanes * 4)) * kLanes);
    p.plane = round_up(p.K, kLanes), p.tile_row = 2 * p.plane;
    const int64_t most = kBlockBytes / (X * (p.tile_row + 2 * p.columns) * 4) / kTileRows * kTileRows;
    p.block = minimum(p.tiles, maximum(kTileRows, most));
    p.v_stride = p.block * p.tile_row + kGap;
    p.p_stride = p.block * 2 * p.columns + kGap;
    p.u_stride = p.K * 2 * p.columns + kGap;
    p.turned = 0;
    p.v = back ? round_up(s.KH * s.KW * p.K * p.columns, 16) : 0;
    p.p = p.v + X * p.v_stride;
    p.u = p.p + X * p.p_stride;
    p.scratch = p.u + X * p.u_stride;
    p.total = p.scratch + threads * transform_scratch(T);
    return p;
}

// Tiles [first, first + count) of a group's source into V.
template <int T>
void transform_tiles(const Context& context, const Plan& p, int64_t group, int64_t first, int64_t count, float* own) {
    const int64_t vectors = p.plane / kLanes;
    parallel_for(context, count * vectors, [&](int64_t chunk, int thread) {
        const int64_t i = chunk / vectors, c = chunk % vectors * kLanes;
        const Window window = source_window(p, T, tile_at(p, first + i), group * p.K + c, minimum(kLanes, p.K - c));
        transform<T>(window, own + p.scratch + thread * transform_scratch(T), own + p.v + i * p.tile_row + c,
                     p.v_stride, p.plane);
    });
}

// The weights of a group's outputs [n0, n0 + columns) into U. Backward-data first brings them to (KH, KW, K, columns).
template <int T>
void transform_weights(const Context& context, const Conv2d& conv, const Plan& p, int64_t group, int64_t n0,
                       int64_t columns, float* own) {
    const Conv2dShape& s = conv.shape;
    const bool back = conv.pass == ConvPass::backward_data;
    const int64_t taps = s.KH * s.KW, width = round_up(columns, kLanes);
    if (back)
        parallel_for(context, taps, [&](int64_t tap, int) {
            pack_columns(conv.weight + (taps - 1 - tap) * s.Cg() * s.F + n0 * s.F + group * s.Fg(), 1, s.F, p.K,
                         columns, width, own + p.turned + tap * p.K * width);
        });
    parallel_for(context, width / kLanes * p.K, [&](int64_t chunk, int thread) {
        const int64_t n = chunk / p.K * kLanes, k = chunk % p.K;
        const int64_t step = back ? p.K * width : s.Cg() * s.F;  // from tap to tap
        const float* from = back ? own + p.turned + k * width + n : conv.weight + k * s.F + group * s.Fg() + n0 + n;
        const Window window = {from, s.KW * step, step, 0, s.KH, 0, s.KW, back ? kLanes : minimum(kLanes, columns - n)};
        transform<T>(window, own + p.scratch + thread * transform_scratch(T), own + p.u + (n * p.K + k * kLanes) * 2,
                     p.u_stride, kLanes);
    });
}

template <int T>
void run_maps(const Context& context, const Conv2d& conv) {
    constexpr int64_t X = kPositions<T>;
    const Plan p = plan_of<T>(conv, context.threads);
    float* own = reinterpret_cast<float*>(context.workspace);
    for (int64_t group = 0; group < conv.shape.groups; ++group)
        for (int64_t n0 = 0; n0 < p.N; n0 += p.columns) {
            const int64_t columns = minimum(p.columns, p.N - n0), panels = ceil_div(columns, kLanes);
            transform_weights<T>(context, conv, p, group, n0, columns, own);
            for (int64_t first = 0; first < p.tiles; first += p.block) {
                const int64_t count = minimum(p.block, p.tiles - first);
                transform_tiles<T>(context, p, group, first, count, own);
                parallel_for(context, X, [&](int64_t at, int) {
                    for (int64_t panel = 0; panel < panels; ++panel)
                        multiply_complex<true>(count, p.K, own + p.v + at * p.v_stride, p.tile_row, p.plane,
                                               own + p.u + at * p.u_stride + panel * p.K * 2 * kLanes,
                                               own + p.p + at * p.p_stride + panel * p.block * 2 * kLanes, false);
                });
                parallel_for(context, count * panels, [&](int64_t chunk, int thread) {
                    const int64_t i = chunk / panels, n = chunk % panels * kLanes, c = group * p.N + n0 + n;
                    const Target target =
                        destination_target(p, T, conv, tile_at(p, first + i), c, minimum(kLanes, columns - n));
                    inverse_transform<T>(own + p.p + (n * p.block + i * kLanes) * 2, p.p_stride, kLanes,
                                         own + p.scratch + thread * transform_scratch(T), target);
                });
            }
        }
}

template <int T>
void run_weight(const Context& context, const Conv2d& conv) {
    constexpr int64_t X = kPositions<T>;
    const Conv2dShape& s = conv.shape;
    const Plan p = plan_of<T>(conv, context.threads);
    float* own = reinterpret_cast<float*>(context.workspace);
    for (int64_t group = 0; group < s.groups; ++group)
        for (int64_t n0 = 0; n0 < p.N; n0 += p.columns) {
            const int64_t columns = minimum(p.columns, p.N - n0), panels = ceil_div(columns, kLanes);
            for (int64_t first = 0; first < p.tiles; first += p.block) {
                const int64_t count = minimum(p.block, p.tiles - first);
                transform_tiles<T>(context, p, group, first, count, own);
                parallel_for(context, count * panels, [&](int64_t chunk, int thread) {
                    const int64_t i = chunk / panels, n = chunk % panels * kLanes;
                    const Window window =
                        gradient_window(p, tile_at(p, first + i), group * p.N + n0 + n, minimum(kLanes, columns - n));
                    transform<T>(window, own + p.scratch + thread * transform_scratch(T),
                                 own + p.p + (n * p.block + i * kLanes) * 2, p.p_stride, kLanes);
                });
                parallel_for(context, X, [&](int64_t at, int) {
                    Ahead next({own + p.v + (at + 1) * p.v_stride, count * p.tile_row, false},
                               {own + p.u + (at + 1) * p.u_stride, panels * p.K * 2 * kLanes, true},
                               panels * ceil_div(p.K, kTileRows));
                    for (int64_t panel = 0; panel < panels; ++panel)
                        multiply_complex<false>(p.K, count, own + p.v + at * p.v_stride, p.tile_row, p.plane,
                                                own + p.p + at * p.p_stride + panel * p.block * 2 * kLanes,
                                                own + p.u + at * p.u_stride + panel * p.K * 2 * kLanes, first > 0,
                                                &next);
                });
            }
            parallel_for(context, panels * p.K, [&](int64_t chunk, int thread) {
                const int64_t n = chunk / p.K * kLanes, k = chunk % p.K;
                const Target target = weight_target(s, T, conv.weight + k * s.F + group * s.Fg() + n0 + n, s.Cg() * s.F,
                                                    minimum(kLanes, columns - n));
                inverse_transform<T>(own + p.u + (n * p.K + k * kLanes) * 2, p.u_stride, kLanes,
                                     own + p.scratch + thread * transform_scratch(T), target);
            });
        }
}

// The list's entry -------------------------------------------------------------------------------------------------

bool can(const Conv2d& c) {
    const Conv2dShape& s = c.shape;
    return s.KH <= 64 && s.KW <= 64 && s.stride_h == 1 && s.stride_w == 1 && s.dilation_h == 1 && s.dilation_w == 1;
}

// Measured, in multiply-adds of a vector in the direct algorithm.
constexpr bool kWide = kLanes == 16;
constexpr double kTransform16 = kWide ? 3500 : 10000, kTransform32 = kWide ? 20000 : 57000,
                 kTransform64 = kWide ? 130000 : 370000;
constexpr double kProduct = kWide ? 1 : 1.5;  // one of a complex product's four
constexpr double kSpectraNear =
    kWide ? 2 << 20 : 1 << 20;                     // bytes of transformed weights that L2 serves for the most part
constexpr double kSpectraFar = kWide ? 0.4 : 2.1;  // what writing and reading a byte beyond them takes
constexpr double kStart = 50000;                   // of three parallel steps

double cost(const Conv2d& c, int64_t T) {
    const Conv2dShape& s = c.shape;
    if (s.KH > T || s.KW > T) return 1e300;
    const bool back = c.pass == ConvPass::backward_data;
    const int64_t tiles =
        s.N * ceil_div(back ? s.H : s.OH(), T - s.KH + 1) * ceil_div(back ? s.W : s.OW(), T - s.KW + 1);
    const double transform = T == 16 ? kTransform16 : T == 32 ? kTransform32 : kTransform64;
    if (is_depthwise(s)) {
        const int64_t vectors = ceil_div(s.C, kLanes);
        return 0.7 * static_cast<double>(vectors * (2 * tiles + 1)) * transform + kStart;  // spectra lie close together
    }
    const int64_t in = ceil_div(s.Cg(), kLanes), out = ceil_div(s.Fg(), kLanes);
    const int64_t weights = back ? s.Fg() * in : s.Cg() * out;  // vectors at one position
    const int64_t transforms = tiles * (in + out) + weights, products = tiles * (T / 2 + 1) * T * 4 * weights;
    // Where there are few tiles to share them, the weights' spectra pass through the caches for little work.
    const double bytes = static_cast<double>((T / 2 + 1) * T * 2 * weights * kLanes * 4);
    const double traffic = bytes > kSpectraNear ? kSpectraFar * (bytes - kSpectraNear) : 0;
    return static_cast<double>(s.groups) *
           (static_cast<double>(transforms) * transform + kProduct * static_cast<double>(products) + traffic + kStart);
}

int tile_size(const Conv2d& c) {
    const double small = cost(c, 16), middle = cost(c, 32), large = cost(c, 64);
    return small <= middle && small <= large ? 16 : middle <= large ? 32 : 64;
}

// Where it clearly beats the direct sum without its idle lanes: an infinity or a NaN spreads over a tile here, and
// rounding errors follow the tile's largest values, which small gains do not repay. 3x3 is Winograd's.
bool prefer(const Conv2d& c) {
    const Conv2dShape& s = c.shape;
    if (s.KH * s.KW <= 9) return false;
    const double direct = static_cast<double>(s.N * s.OH() * s.OW()) *
                          static_cast<double>(minimum(s.KH, s.H) * minimum(s.KW, s.W) * s.Cg() * s.F) / kLanes;
    return 1.1 * cost(c, tile_size(c)) <= direct;
}

size_t workspace(const Conv2d& c, int threads) {
    const int T = tile_size(c);
    if (is_depthwise(c.shape)) return fft_depthwise_workspace(c, T, threads);
    const Plan p = T == 16 ? plan_of<16>(c, threads) : T == 32 ? plan_of<32>(c, threads) : plan_of<64>(c, threads);
    return static_cast<size_t>(p.total) * sizeof(float);
}

template <int T>
void run_tiles(const Context& context, const Conv2d& c) {
    if (c.pass == ConvPass::backward_weight)
        run_weight<T>(context, c);
    else
        run_maps<T>(context, c);
}

void run(const Context& context, const Conv2d& c) {
    const int T = tile_size(c);
    if (is_depthwise(c.shape))
        fft_depthwise(context, c, T);
    else
        T == 16 ? run_tiles<16>(context, c) : T == 32 ? run_tiles<32>(context, c) : run_tiles<64>(context, c);
}

}  // namespace

const ConvAlgorithm kConvFft = {"fft", can, prefer, workspace, run};

}  // namespace PYNET_LEVEL
}  // namespace pynet
