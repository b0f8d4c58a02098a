// Convolution in groups of few channels, depthwise above all: too little for matrix tiles to work on, so that
// vectors run over the outputs of many groups. An output channel f of a group of Cg inputs is
//   out[p][f] = sum over taps t, c < Cg of x[p + t][f / Fg * Cg + c] * w[t][c][f]
// and vectors of f load w as it lies in memory. Where every group is one channel (depthwise), x lies as it is
// wanted too; else a band of rows is first spread: each lane gets its own group's channel c, for one c after the
// other. Backward-data is the same from dout to x with transposed weights; backward-weight multiplies the same
// rows with dout.
//
// Several columns at a time: a column of the source that is loaded once meets all neighbouring taps of a kernel row.
// Work is cut into bands of rows of one image that stay in cache while all taps meet them. Channels that do not fill
// the last vector: it overlaps the one before, or is masked when it is the only one.
//
// Layout: (N, H, W, C), weights (KH, KW, Cg, F). Threads: bands and blocks of channels; partial weight gradients
// are summed in order. Aliasing: none allowed.
#include "conv2d_depthwise.h"

#include "kernels.h"
#include "parallel.h"

namespace pynet {
namespace PYNET_LEVEL {
namespace {

// Neighbouring taps of a kernel row for one channel of a group. Columns are counted in steps from the one that the
// first tap reads at column 0 of the destination's grid; those in [first, last) exist.
struct Line {
    int64_t source, weight;  // floats from their starts to column 0 and to the first tap
    int64_t first, last;
};

// A row of destination pixels that have the same taps: every pixel forward, one phase of the stride backward.
struct Row {
    const Line* lines;
    int64_t count;
    int64_t columns;
    int64_t source_step, weight_step, destination_step;  // in floats
    int64_t lanes;
    Activation activation;
    float alpha;
};

// Columns [j, j + kPixels) of the grid, of which `count` are stored.
template <int kPixels, int kTaps, int kStride, bool kWhole>
PYNET_INLINE void gather_tile(const Row& row, int64_t j, int64_t count, const float* source, const float* weight,
                              vfloat bias, float* to) {
    constexpr int kColumns = (kPixels - 1) * kStride + kTaps;
    vfloat sum[kPixels];
    PYNET_UNROLL
    for (int i = 0; i < kPixels; ++i) sum[i] = bias;
    const int64_t at = j * kStride, step = row.source_step, lanes = row.lanes;
    for (int64_t l = 0; l < row.count; ++l) {
        const Line& line = row.lines[l];
        const float* x = source + line.source + at * step;
        const bool inside = line.first <= at && at + kColumns <= line.last;
        vfloat w[kTaps];
        PYNET_UNROLL
        for (int k = 0; k < kTaps; ++k) w[k] = load_block<kWhole>(weight + line.weight + k * row.weight_step, lanes);
        PYNET_UNROLL
        for (int q = 0; q < kColumns; ++q) {
            const bool exists = inside || (line.first <= at + q && at + q < line.last);
            const vfloat v = load_block<kWhole>(exists ? x + q * step : kZeros, lanes);
            PYNET_UNROLL
            for (int k = 0; k < kTaps; ++k) {
                const int i = (q - k) / kStride;
                if (q >= k && (q - k) % kStride == 0 && i < kPixels) sum[i] += v * w[k];
            }
        }
    }
    PYNET_UNROLL
    for (int i = 0; i < kPixels; ++i) {
        if (i >= count) break;
        const vfloat v = activate(sum[i], row.activation, row.alpha);
        if (kWhole)
            store(to + i * row.destination_step, v);
        else
            store_partial(to + i * row.destination_step, v, lanes);
    }
}

template <int kTaps, int kStride, bool kWhole>
PYNET_NOINLINE void gather_row(const Row& row, const float* source, const float* weight, vfloat bias, float* to) {
    constexpr int kPixels = 8, kFew = 4;
    int64_t j = 0;
    for (; row.columns - j > kFew; j += kPixels)
        gather_tile<kPixels, kTaps, kStride, kWhole>(row, j, row.columns - j, source, weight, bias,
                                                     to + j * row.destination_step);
    if (j < row.columns)
        gather_tile<kFew, kTaps, kStride, kWhole>(row, j, row.columns - j, source, weight, bias,
                                                  to + j * row.destination_step);
}

typedef void (*GatherRow)(const Row&, const float*, const float*, vfloat, float*);

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

// The source offset of a tap for a destination position; false when the tap does not meet it.
PYNET_INLINE bool tap_offset(bool backward, int64_t at, int64_t stride, int64_t tap, int64_t pad, int64_t dilation,
                             int64_t* offset) {
    const int64_t distance = backward ? at + pad - tap * dilation : at * stride + tap * dilation - pad;
    if (backward && distance % stride != 0) return false;
    *offset = backward ? distance / stride : distance;
    return true;
}

// How a kernel row meets the columns of one phase.
struct Meeting {
    int64_t runs, taps, stride;  // runs of neighbouring taps; with stride 0, columns are counted by the grid
    int64_t weight_step;         // in taps
};

// Fills a line for each run, in a kernel row's units: `pixel` floats a source column, `tap` floats a tap.
Meeting meet(const View& v, int64_t phase, int64_t columns, int64_t pixel, int64_t tap, Line* lines) {
    Meeting m{0, 0, v.backward ? 1 : v.stride_w, v.backward ? -v.stride_w : 1};
    int64_t x, lowest = 0, weight = 0;
    for (int64_t kw = 0; kw < v.KW; ++kw)
        if (tap_offset(v.backward, phase, v.stride_w, kw, v.pad_w, v.dilation_w, &x)) {
            if (m.taps == 0 || x < lowest) lowest = x, weight = kw;
            ++m.taps;
        }
    const bool known = m.taps == 2 || m.taps == 3 || m.taps == 5;
    if (v.dilation_w == 1 && known && (m.stride == 1 || (m.stride == 2 && m.taps > 2))) {
        lines[0] = {lowest * pixel, weight * tap, -lowest, v.SW - lowest};
        m.runs = m.taps > 0;
        return m;
    }
    m.taps = 1;
    m.stride = 0;
    for (int64_t kw = 0; kw < v.KW; ++kw) {
        if (!tap_offset(v.backward, phase, v.stride_w, kw, v.pad_w, v.dilation_w, &x)) continue;
        Line& line = lines[m.runs++];
        line = {x * pixel, kw * tap, 0, 0};
        valid_range(columns, v.backward ? 1 : v.stride_w, x, v.SW, &line.first, &line.last);
    }
    return m;
}

struct GatherLayout {  // in floats; lines and spread rows a thread
    int64_t weights, threads, lines, each, total;
};

GatherLayout layout_of(const View& v, const Bands& b, int threads) {
    GatherLayout l;
    const bool transposed = v.backward && v.spread;
    l.weights = 0;
    l.threads = transposed ? round_up(v.KH * v.KW * v.Sg * v.DC + kLanes, 16) : 0;
    l.lines = round_up((v.KH * v.Sg + 1) * v.KW * static_cast<int64_t>(sizeof(Line) / sizeof(float)), 16);
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
    const Bands b = bands_of(v, false);
    const GatherLayout l = layout_of(v, b, context.threads);
    float* workspace = reinterpret_cast<float*>(context.workspace);
    const float* weight = c.weight;
    if (v.backward && v.spread) {
        transpose_weights(v, c.weight, workspace + l.weights);
        weight = workspace + l.weights;
    }
    const float* source = v.backward ? c.out : c.x;
    float* destination = v.backward ? c.x : c.out;
    const bool ahead = fetches_ahead(v, b);
    const int64_t reach = (v.KH - 1) * v.dilation_h + 1;
    const int64_t phases = v.backward ? minimum(v.stride_w, v.DW) : 1;
    const int64_t pixel = v.spread ? kLanes : v.SC, depth = v.spread ? v.Sg : 1, tap = depth * v.DC;
    parallel_for(context, v.N * b.count * b.block_groups, [&](int64_t chunk, int thread) {
        const int64_t n = chunk / b.block_groups / b.count, h0 = chunk / b.block_groups % b.count * b.rows,
                      h1 = minimum(v.DH, h0 + b.rows), block0 = chunk % b.block_groups * b.blocks;
        float* memory = workspace + l.threads + thread * l.each;
        Line* kernel_row = reinterpret_cast<Line*>(memory);
        Line* lines = kernel_row + v.KW;
        float* spread = memory + l.lines;
        const float* image = source + n * v.SH * v.SW * v.SC;
        int64_t y0 = 0, y1 = 0;
        if (v.spread) source_rows(v, h0, h1, &y0, &y1);
        Row row;
        row.lines = lines;
        row.destination_step = phases * v.DC;
        row.lanes = minimum(kLanes, v.DC);
        row.activation = v.backward ? Activation::none : c.activation;
        row.alpha = c.alpha;
        const int64_t block1 = minimum(v.blocks, block0 + b.blocks);
        if (v.spread) spread_rows(v, image, first_channel(v, block0), y0, y1, spread);
        for (int64_t phase = 0; phase < phases; ++phase) {
            row.columns = ceil_div(v.DW - phase, phases);
            const Meeting m = meet(v, phase, row.columns, pixel, tap, kernel_row);
            row.source_step = m.stride > 0 || v.backward ? pixel : v.stride_w * pixel;
            row.weight_step = m.weight_step * tap;
            const GatherRow gather =
                row.lanes == kLanes ? gather_row_for<true>(m.taps, m.stride) : gather_row_for<false>(m.taps, m.stride);
            for (int64_t h = h0; h < h1; ++h) {
                row.count = 0;
                for (int64_t kh = 0; kh < v.KH; ++kh) {
                    int64_t y;
                    if (!tap_offset(v.backward, h, v.stride_h, kh, v.pad_h, v.dilation_h, &y)) continue;
                    if (y < 0 || y >= v.SH) continue;
                    for (int64_t run = 0; run < m.runs; ++run)
                        for (int64_t s = 0; s < depth; ++s) {
                            Line& line = lines[row.count++];
                            line = kernel_row[run];
                            line.source += ((y - y0) * depth + s) * v.SW * pixel;
                            line.weight += kh * v.KW * tap + s * v.DC;
                        }
                }
                float* to = destination + ((n * v.DH + h) * v.DW + phase) * v.DC;
                // The rows that the next row of the destination adds.
                const int64_t next =
                    (v.backward ? (h + v.pad_h) / v.stride_h : (h - 1) * v.stride_h + reach - v.pad_h) + 1;
                const int64_t some = ahead && phase == 0 ? 1 : 0;
                Ahead<false> sources(image + next * v.SW * v.SC, some * (v.backward ? 1 : v.stride_h) * v.SW * v.SC,
                                     b.blocks);
                Ahead<true> destinations(to + v.DW * v.DC, some * v.DW * v.DC, b.blocks);
                for (int64_t block = block0; block < block1; ++block) {
                    sources.share();
                    destinations.share();
                    const int64_t channel = first_channel(v, block);
                    const vfloat bias = !v.backward && c.bias ? load_lanes(c.bias + channel, row.lanes) : vfloat{};
                    gather(row, v.spread ? spread : image + channel, weight + channel, bias, to + channel);
                }
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
    return static_cast<size_t>(layout_of(v, bands_of(v, false), threads).total) * sizeof(float);
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
