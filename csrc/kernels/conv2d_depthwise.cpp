// Convolution in groups of few channels, depthwise above all: too little for matrix tiles to work on, so that
// vectors run over the outputs of many groups. An output channel f of a group of Cg inputs is
//   out[p][f] = sum over taps t, c < Cg of x[p + t][f / Fg * Cg + c] * w[t][c][f]
// and vectors of f load w as it lies in memory. Where every group is one channel (depthwise), x lies as it is
// wanted too; else a band of rows is first spread: each lane gets its own group's channel c, for one c after the
// other. Backward-data is the same from dout to x with transposed weights; backward-weight multiplies the same
// rows with dout.
//
// Several columns at a time: a column of the source that is loaded once meets all neighbouring taps of a kernel row.
// Those columns of all channels come before the next ones, so that memory is walked in order. Channels that do not fill
// the last vector: it overlaps the one before, or is masked when it is the only one.
//
// Layout: (N, H, W, C), weights (KH, KW, Cg, F). Threads: bands of rows and blocks of channels; partial weight
// gradients are summed in order. Aliasing: none allowed.
#include "conv2d_depthwise.h"

#include "kernels.h"
#include "parallel.h"

namespace pynet {
namespace PYNET_LEVEL {
namespace {

// A row of destination pixels that have the same taps: every pixel forward, one phase of the stride backward.
struct Row {
    Lines lines;
    int64_t weight_step, destination_step;  // in floats
    Activation activation;
    float alpha;
    const float* bias;
};

// Columns [j, j + kPixels) of the grid, of which `count` are stored, and all channels: memory is walked in order.
template <int kPixels, int kTaps, int kStride, bool kWhole>
PYNET_NOINLINE void gather_tile(const Row& row, Blocks& blocks, int64_t j, int64_t count, const float* source,
                                const float* weight, float* to) {
    constexpr int kColumns = (kPixels - 1) * kStride + kTaps;
    const int64_t at = j * kStride, step = row.lines.step;
    for_blocks<kWhole>(blocks, [&](int64_t channel, int64_t source_channel, int64_t lanes) {
        blocks.ahead.share();
        vfloat sum[kPixels];
        const vfloat bias = row.bias ? load_block<kWhole>(row.bias + channel, lanes) : vfloat{};
        PYNET_UNROLL
        for (int i = 0; i < kPixels; ++i) sum[i] = bias;
        for (int64_t l = 0; l < row.lines.count; ++l) {
            const Line& line = row.lines.at[l];
            vfloat w[kTaps];
            PYNET_UNROLL
            for (int k = 0; k < kTaps; ++k)
                w[k] = load_block<kWhole>(weight + channel + line.weight + k * row.weight_step, lanes);
            for_columns<kColumns, kWhole>(line, at, step, source + source_channel, lanes, [&](int q, vfloat v) {
                PYNET_UNROLL
                for (int k = 0; k < kTaps; ++k) {
                    const int i = (q - k) / kStride;
                    if (q >= k && (q - k) % kStride == 0 && i < kPixels) sum[i] += v * w[k];
                }
            });
        }
        activate(sum, row.activation, row.alpha);
        float* pixel = to + channel;
        if (kWhole && count >= kPixels) {
            PYNET_UNROLL
            for (int i = 0; i < kPixels; ++i, pixel += row.destination_step) store(pixel, sum[i]);
            return;
        }
        PYNET_UNROLL
        for (int i = 0; i < kPixels; ++i, pixel += row.destination_step) {
            if (i >= count) break;
            if (kWhole)
                store(pixel, sum[i]);
            else
                store_partial(pixel, sum[i], lanes);
        }
    });
}

template <int kTaps, int kStride, bool kWhole>
void gather_row(const Row& row, Blocks& blocks, const float* source, const float* weight, float* to) {
    constexpr int kFew = 4;
    const int64_t columns = row.lines.columns;
    int64_t j = 0;
    for (; columns - j > kFew; j += kPixels)
        gather_tile<kPixels, kTaps, kStride, kWhole>(row, blocks, j, columns - j, source, weight,
                                                     to + j * row.destination_step);
    if (j < columns)
        gather_tile<kFew, kTaps, kStride, kWhole>(row, blocks, j, columns - j, source, weight,
                                                  to + j * row.destination_step);
}

typedef void (*GatherRow)(const Row&, Blocks&, const float*, const float*, float*);

template <bool kWhole>
GatherRow gather_row_for(int64_t taps, int64_t stride) {
    switch (taps * 2 + stride) {
        case 5:
            return gather_row<2, 1, kWhole>;
        case 7:
            return gather_row<3, 1, kWhole>;
        case 8:
            return gather_row<3, 2, kWhole>;
        case 11:
            return gather_row<5, 1, kWhole>;
        case 12:
            return gather_row<5, 2, kWhole>;
        default:
            return gather_row<1, 1, kWhole>;
    }
}

struct GatherLayout {  // in floats; lines and spread rows a thread
    int64_t weights, threads, lines, each, total;
};

GatherLayout layout_of(const View& v, const Bands& b, int threads) {
    GatherLayout l;
    const bool transposed = v.backward && v.spread;
    l.weights = 0;
    l.threads = transposed ? round_up(v.KH * v.KW * v.Sg * v.DC + kLanes, 16) : 0;
    l.lines = lines_floats(v);
    l.each = l.lines + b.spread_floats;
    l.total = l.threads + threads * l.each;
    return l;
}

// (KH, KW, Cg, F) to (KH, KW, Fg, C)
void transpose_weights(const View& v, const float* weight, float* to) {
    for (int64_t tap = 0; tap < v.KH * v.KW; ++tap)
        for (int64_t j = 0; j < v.Sg; ++j)
            for (int64_t ch = 0; ch < v.DC; ++ch)
                *to++ = weight[(tap * v.Dg + ch % v.Dg) * v.SC + ch / v.Dg * v.Sg + j];
}

void run_gather(const Context& context, const Conv2d& c) {
    const View v = view_of(c);
    const Bands b = bands_of(v);
    const GatherLayout l = layout_of(v, b, context.threads);
    float* workspace = reinterpret_cast<float*>(context.workspace);
    const float* weight = c.weight;
    if (v.backward && v.spread) {
        transpose_weights(v, c.weight, workspace + l.weights);
        weight = workspace + l.weights;
    }
    const float* source = v.backward ? c.out : c.x;
    float* destination = v.backward ? c.x : c.out;
    const int64_t phases = v.backward ? minimum(v.stride_w, v.DW) : 1, tap = v.Sg * v.DC;
    parallel_for(context, v.N * b.count * b.block_groups, [&](int64_t chunk, int thread) {
        const int64_t n = chunk / b.block_groups / b.count, h0 = chunk / b.block_groups % b.count * b.rows,
                      h1 = minimum(v.DH, h0 + b.rows), block0 = chunk % b.block_groups * b.blocks,
                      block1 = minimum(v.blocks, block0 + b.blocks);
        float* memory = workspace + l.threads + thread * l.each;
        const float* image = source + n * v.SH * v.SW * v.SC;
        float* out = destination + n * v.DH * v.DW * v.DC;
        const Source from = source_of(v, image, h0, h1, block0, memory + l.lines);
        for (int64_t phase = 0; phase < phases; ++phase) {
            const Kernel kernel = meet(v, phase, tap, v.DC, memory);
            const GatherRow gather = v.DC < kLanes ? gather_row_for<false>(kernel.taps, kernel.stride)
                                                   : gather_row_for<true>(kernel.taps, kernel.stride);
            for (int64_t h = h0; h < h1; ++h) {
                const Row row{lines_of(v, kernel, h, from.y0),
                              kernel.weight_step,
                              phases * v.DC,
                              v.backward ? Activation::none : c.activation,
                              c.alpha,
                              v.backward ? nullptr : c.bias};
                Blocks blocks = blocks_of(v, b, block0, block1, image, out, h, phase == 0 ? 1 : 0,
                                          ceil_div(kernel.columns, kPixels) * (block1 - block0));
                gather(row, blocks, from.at, weight, out + (h * v.DW + phase) * v.DC);
            }
        }
    });
}

bool can(const Conv2d& c) { return c.shape.groups > 1; }

// Wider groups give the direct algorithm enough to do; so do fewer where neighbouring pixels share no columns, and for
// weight gradients.
bool prefer(const Conv2d& c) {
    const int64_t Cg = c.shape.Cg(), Fg = c.shape.Fg();
    const bool shared = c.shape.stride_w == 1 && c.pass != ConvPass::backward_weight;
    return Cg * Fg == 1 || (maximum(Cg, Fg) <= kLanes / 2 && Cg * Fg <= (shared ? 64 : 40));
}

size_t workspace(const Conv2d& c, int threads) {
    if (c.pass == ConvPass::backward_weight) return depthwise_weight_workspace(c, threads);
    const View v = view_of(c);
    return static_cast<size_t>(layout_of(v, bands_of(v), threads).total) * sizeof(float);
}

void run(const Context& context, const Conv2d& c) {
    if (c.pass == ConvPass::backward_weight)
        depthwise_weight(context, c);
    else
        run_gather(context, c);
}

}  // namespace

const ConvAlgorithm kConvDepthwise = {"depthwise", can, prefer, workspace, run};

}  // namespace PYNET_LEVEL
}  // namespace pynet
