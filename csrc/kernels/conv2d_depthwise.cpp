// Convolution in groups of few channels, depthwise above all: too little for matrix tiles to work on, so that
// vectors run over the outputs of many groups. An output channel f of a group of Cg inputs is
//   out[p][f] = sum over taps t, c < Cg of x[p + t][f / Fg * Cg + c] * w[t][c][f]
// and vectors of f load w as it lies in memory. Where every group is one channel (depthwise), x lies as it is
// wanted too; else a band of rows is first spread: each lane gets its own group's channel c, for one c after the
// other. Backward-data is the same from dout to x with transposed weights; backward-weight multiplies the same
// rows with dout.
//
// Work is cut into bands of rows of one image, such that a band's vectors stay in L1 while all taps meet them.
// Channels that do not fill the last vector: it overlaps the one before, or is masked when it is the only one.
// Layout: (N, H, W, C), weights (KH, KW, Cg, F). Threads: bands and blocks of channels; partial weight gradients
// are summed in order. Aliasing: none allowed.
#include "channels.h"
#include "conv2d.h"
#include "kernels.h"
#include "parallel.h"
#include "prefetch.h"

namespace pynet {
namespace PYNET_LEVEL {
namespace {

constexpr int64_t kBandBytes = 384 * 1024;    // of a band of rows: L2, with the next one on its way
constexpr int64_t kVectorBytes = 24 * 1024;   // of one vector of channels of a band: L1
constexpr int64_t kSpreadBytes = 160 * 1024;  // of a band of spread rows
constexpr int64_t kWantedChunks = 32, kFewChunks = 8;

alignas(64) constexpr float kZeros[kLanes] = {};

// A convolution of one pass, seen from the map that is walked in vectors: source -> lanes.
struct View {
    int64_t N, KH, KW, stride_h, stride_w, pad_h, pad_w, dilation_h, dilation_w;
    int64_t SH, SW, SC;  // the source's map
    int64_t DH, DW, DC;  // the map in lanes: out, or dx
    int64_t Sg, Dg, groups;
    bool backward;  // data
    bool spread;
    int64_t blocks;  // vectors of DC
};

View view_of(const Conv2d& c) {
    const Conv2dShape& s = c.shape;
    const bool back = c.pass == ConvPass::backward_data;
    View v{s.N,
           s.KH,
           s.KW,
           s.stride_h,
           s.stride_w,
           s.pad_h,
           s.pad_w,
           s.dilation_h,
           s.dilation_w,
           back ? s.OH() : s.H,
           back ? s.OW() : s.W,
           back ? s.F : s.C,
           back ? s.H : s.OH(),
           back ? s.W : s.OW(),
           back ? s.C : s.F,
           back ? s.Fg() : s.Cg(),
           back ? s.Cg() : s.Fg(),
           s.groups,
           back,
           s.Cg() > 1 || s.Fg() > 1,
           0};
    v.blocks = ceil_div(v.DC, kLanes);
    return v;
}

PYNET_INLINE int64_t first_channel(const View& v, int64_t block) {
    return v.DC < kLanes ? 0 : minimum(block * kLanes, v.DC - kLanes);
}

// Source rows [first, last) that destination rows [h0, h1) read, whatever the tap.
PYNET_INLINE void source_rows(const View& v, int64_t h0, int64_t h1, int64_t* first, int64_t* last) {
    const int64_t reach = (v.KH - 1) * v.dilation_h;
    if (v.backward) {
        *first = maximum(0, h0 + v.pad_h - reach) / v.stride_h;
        *last = minimum(v.SH, (h1 - 1 + v.pad_h) / v.stride_h + 1);
    } else {
        *first = maximum(0, h0 * v.stride_h - v.pad_h);
        *last = minimum(v.SH, (h1 - 1) * v.stride_h - v.pad_h + reach + 1);
    }
    *first = minimum(*first, v.SH);
    *last = maximum(*last, *first);
}

int64_t most_source_rows(const View& v, int64_t rows) {
    const int64_t reach = (v.KH - 1) * v.dilation_h;
    return minimum(v.SH, v.backward ? (rows - 1 + reach) / v.stride_h + 2 : (rows - 1) * v.stride_h + reach + 1);
}

struct Bands {
    int64_t rows, count;           // of one band, of one image
    int64_t blocks, block_groups;  // vectors of channels of one chunk
    int64_t spread_floats;
};

// Channels are split too where there are few bands.
void split_blocks(const View& v, int64_t bands, Bands* b) {
    while (b->blocks > 1 && bands * ceil_div(v.blocks, b->blocks) < kFewChunks) b->blocks = ceil_div(b->blocks, 2);
    b->block_groups = ceil_div(v.blocks, b->blocks);
}

// Bands of whole rows stay in L2, so that each row is fetched once, and for weight gradients one vector of channels of
// a band stays in L1 while all kernel rows meet it.
Bands bands_of(const View& v, bool weights) {
    Bands b;
    const int64_t source_row = v.SW * (v.spread ? v.Sg * kLanes : v.SC) * 4,
                  row = v.DW * (v.spread ? kLanes : v.DC) * 4, most = v.spread ? kSpreadBytes : kBandBytes;
    const int64_t blocks = v.spread ? v.blocks : 1;
    b.rows = v.DH;
    auto bytes = [&](int64_t source, int64_t destination) {
        return most_source_rows(v, b.rows) * source + b.rows * destination;
    };
    while ((b.rows > 1 && bytes(source_row, row) > most) ||
           (b.rows > 1 && weights && !v.spread && bytes(v.SW * kLanes * 4, v.DW * kLanes * 4) > kVectorBytes) ||
           (b.rows > 2 && v.N * ceil_div(v.DH, b.rows) * blocks < kWantedChunks))
        b.rows = ceil_div(b.rows, 2);
    b.count = ceil_div(v.DH, b.rows);
    b.blocks = v.spread ? 1 : v.blocks;
    split_blocks(v, v.N * b.count, &b);
    b.spread_floats = v.spread ? round_up(most_source_rows(v, b.rows) * v.Sg * v.SW * kLanes, 16) : 0;
    return b;
}

// Rows [y0, y1) of an image, spread for the vector of channels from `channel` on: [row][c < Sg][column][lane].
void spread_rows(const View& v, const float* image, int64_t channel, int64_t y0, int64_t y1, float* to) {
    const int64_t group0 = channel / v.Dg, segments = minimum(v.groups - 1, (channel + kLanes - 1) / v.Dg) - group0 + 1;
    vint from_here[kLanes];  // the lanes of a segment and of all behind it
    for (int64_t s = 1; s < segments; ++s)
        from_here[s] = lane_numbers() >= static_cast<int32_t>((group0 + s) * v.Dg - channel);
    for (int64_t y = y0; y < y1; ++y)
        for (int64_t c = 0; c < v.Sg; ++c) {
            const float* from = image + y * v.SW * v.SC + group0 * v.Sg + c;
            for (int64_t x = 0; x < v.SW; ++x, from += v.SC, to += kLanes) {
                vfloat lanes = splat(from[0]);
                for (int64_t s = 1; s < segments; ++s) lanes = select(from_here[s], splat(from[s * v.Sg]), lanes);
                store(to, lanes);
            }
        }
}

// Forward and backward-data ------------------------------------------------------------------------------------

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

template <bool kWhole>
PYNET_INLINE vfloat load_block(const float* p, int64_t lanes) {
    return kWhole ? load(p) : load_partial(p, lanes);
}

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
    const bool ahead =
        !v.spread && b.block_groups == 1 && v.N * (v.SH * v.SW * v.SC + v.DH * v.DW * v.DC) * 4 > kPrefetchFrom;
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

// Backward-weight ----------------------------------------------------------------------------------------------

// Rows of dout and the rows of x that a kernel row meets. Columns of x are counted in steps; those in [first, last)
// exist.
struct Walk {
    int64_t rows, columns;
    const float* x;
    const float* dout;
    int64_t x_row, x_step, dout_row, dout_step;
    int64_t offset, first, last;  // offset: the column of x that the first tap meets at column 0 of dout
    int64_t lanes;
};

// sum[.][k] += x[at + i * kStride + k] * dout[i] for kPixels columns i of dout and kTaps neighbouring taps k. Two sums
// a tap: the additions of one would wait for each other.
template <int kPixels, int kTaps, int kStride, bool kWhole>
PYNET_INLINE void add_pixels(const Walk& walk, int64_t at, const float* x_row, const float* dout,
                             vfloat (&sum)[2][kTaps]) {
    constexpr int kColumns = (kPixels - 1) * kStride + kTaps;
    const float* x = x_row + at * walk.x_step;
    const bool inside = at >= walk.first && at + kColumns <= walk.last;
    vfloat d[kPixels];
    PYNET_UNROLL
    for (int i = 0; i < kPixels; ++i) d[i] = load_block<kWhole>(dout + i * walk.dout_step, walk.lanes);
    PYNET_UNROLL
    for (int q = 0; q < kColumns; ++q) {
        const bool exists = inside || (at + q >= walk.first && at + q < walk.last);
        const vfloat v = load_block<kWhole>(exists ? x + q * walk.x_step : kZeros, walk.lanes);
        PYNET_UNROLL
        for (int k = 0; k < kTaps; ++k) {
            const int i = (q - k) / kStride;
            if (q >= k && (q - k) % kStride == 0 && i < kPixels) sum[i % 2][k] += v * d[i];
        }
    }
}

// sums[k] += the sum over rows and columns j of x[j * kStride + offset + k] * dout[j].
template <int kTaps, int kStride, bool kWhole>
PYNET_NOINLINE void sum_taps(const Walk& walk, float* sums, int64_t sums_step) {
    constexpr int kPixels = 4;
    vfloat sum[2][kTaps];
    PYNET_UNROLL
    for (int k = 0; k < kTaps; ++k) sum[0][k] = load(sums + k * sums_step), sum[1][k] = vfloat{};
    for (int64_t r = 0; r < walk.rows; ++r) {
        const float* x = walk.x + r * walk.x_row;
        const float* dout = walk.dout + r * walk.dout_row;
        int64_t j = 0;
        for (; j + kPixels <= walk.columns; j += kPixels)
            add_pixels<kPixels, kTaps, kStride, kWhole>(walk, j * kStride + walk.offset, x, dout + j * walk.dout_step,
                                                        sum);
        for (; j < walk.columns; ++j)
            add_pixels<1, kTaps, kStride, kWhole>(walk, j * kStride + walk.offset, x, dout + j * walk.dout_step, sum);
    }
    PYNET_UNROLL
    for (int k = 0; k < kTaps; ++k) store(sums + k * sums_step, sum[0][k] + sum[1][k]);
}

typedef void (*SumTaps)(const Walk&, float*, int64_t);

template <bool kWhole>
SumTaps sum_taps_for(int64_t taps, int64_t stride) {
    if (taps == 1) return sum_taps<1, 1, kWhole>;
    if (taps == 3) return stride == 1 ? sum_taps<3, 1, kWhole> : sum_taps<3, 2, kWhole>;
    return stride == 1 ? sum_taps<5, 1, kWhole> : sum_taps<5, 2, kWhole>;
}

struct WeightPlan {
    Bands bands;
    int64_t parts;     // of all bands of all images
    int64_t taps;      // weights of one output
    int64_t partials;  // floats of all parts: [part][block][tap][lane]
};

WeightPlan weight_plan(const View& v) {
    WeightPlan p;
    p.bands = bands_of(v, true);
    p.taps = v.KH * v.KW * v.Sg;
    const int64_t bands = v.N * p.bands.count;
    p.parts = maximum(1, minimum(minimum(bands, kWantedChunks), v.N * v.DH * v.DW / 64));
    p.bands.blocks = v.blocks;
    split_blocks(v, p.parts, &p.bands);
    p.partials = p.parts * v.blocks * p.taps * kLanes;
    return p;
}

// One band [h0, h1) of one image and one vector of channels: adds to sums, [tap][lane]. x0 is row 0 of the map.
template <class Fetch>
void sum_band(const View& v, const float* x0, const float* dout, int64_t h0, int64_t h1, int64_t plane, int64_t pixel,
              float* sums, Fetch fetch) {
    const int64_t x_row = v.SW * pixel * (v.spread ? v.Sg : 1), lanes = minimum(kLanes, v.DC);
    const bool neighbours = v.dilation_w == 1 && v.stride_w <= 2;
    for (int64_t kh = 0; kh < v.KH; ++kh) {
        int64_t from, to;
        fetch();
        valid_range(v.DH, v.stride_h, kh * v.dilation_h - v.pad_h, v.SH, &from, &to);
        from = maximum(from, h0), to = minimum(to, h1);
        if (from >= to) continue;
        const float* x = x0 + (from * v.stride_h + kh * v.dilation_h - v.pad_h) * x_row;
        int64_t taps;
        for (int64_t kw = 0; kw < v.KW; kw += taps) {
            taps = !neighbours || v.KW - kw < 3 ? 1 : v.KW - kw < 5 ? 3 : 5;
            const int64_t offset = kw * v.dilation_w - v.pad_w;
            Walk walk{
                to - from, v.DW, x,    dout + from * v.DW * v.DC, v.stride_h * x_row, pixel, v.DW * v.DC, v.DC, offset,
                0,         v.SW, lanes};
            if (taps == 1) {
                walk.x += offset * pixel;
                walk.x_step = v.stride_w * pixel;
                walk.offset = 0;
                valid_range(v.DW, v.stride_w, offset, v.SW, &walk.first, &walk.last);
            }
            const SumTaps sum =
                lanes == kLanes ? sum_taps_for<true>(taps, v.stride_w) : sum_taps_for<false>(taps, v.stride_w);
            for (int64_t c = 0; c < v.Sg; ++c, walk.x += plane)
                sum(walk, sums + ((kh * v.KW + kw) * v.Sg + c) * kLanes, v.Sg * kLanes);
        }
    }
}

void run_weight(const Context& context, const Conv2d& c) {
    const View v = view_of(c);
    const WeightPlan p = weight_plan(v);
    const Bands& b = p.bands;
    float* partials = reinterpret_cast<float*>(context.workspace);
    float* threads = partials + p.partials;
    const bool ahead =
        !v.spread && b.block_groups == 1 && v.N * (v.SH * v.SW * v.SC + v.DH * v.DW * v.DC) * 4 > kPrefetchFrom;
    const int64_t reach = (v.KH - 1) * v.dilation_h;
    const int64_t bands = v.N * b.count, pixel = v.spread ? kLanes : v.SC;
    parallel_for(context, p.parts * b.block_groups, [&](int64_t chunk, int thread) {
        const int64_t part = chunk / b.block_groups, block0 = chunk % b.block_groups * b.blocks,
                      block1 = minimum(v.blocks, block0 + b.blocks);
        float* spread = threads + thread * b.spread_floats;
        float* sums = partials + part * v.blocks * p.taps * kLanes;
        for (int64_t i = block0 * p.taps; i < block1 * p.taps; ++i) store(sums + i * kLanes, vfloat{});
        for (int64_t band = bands * part / p.parts; band < bands * (part + 1) / p.parts; ++band) {
            const int64_t n = band / b.count, h0 = band % b.count * b.rows, h1 = minimum(v.DH, h0 + b.rows);
            const float* image = c.x + n * v.SH * v.SW * v.SC;
            const float* dout = c.out + n * v.DH * v.DW * v.DC;
            const int64_t some = ahead ? b.rows : 0;
            Ahead<false> xs(image + (h1 * v.stride_h - v.pad_h + reach) * v.SW * v.SC, some * v.stride_h * v.SW * v.SC,
                            b.blocks * v.KH);
            Ahead<false> douts(dout + h1 * v.DW * v.DC, some * v.DW * v.DC, b.blocks * v.KH);
            const auto fetch = [&] {
                xs.share();
                douts.share();
            };
            for (int64_t block = block0; block < block1; ++block) {
                const int64_t channel = first_channel(v, block);
                const float* x0 = image + channel;
                if (v.spread) {
                    int64_t y0, y1;
                    source_rows(v, h0, h1, &y0, &y1);
                    spread_rows(v, image, channel, y0, y1, spread);
                    x0 = spread - y0 * v.Sg * v.SW * kLanes;
                }
                sum_band(v, x0, dout + channel, h0, h1, v.SW * kLanes, pixel, sums + block * p.taps * kLanes, fetch);
            }
        }
    });
    parallel_for(context, p.taps, [&](int64_t tap, int) {
        for (int64_t block = 0; block < v.blocks; ++block) {
            const float* from = partials + (block * p.taps + tap) * kLanes;
            vfloat sum = load(from);
            for (int64_t part = 1; part < p.parts; ++part) sum += load(from + part * v.blocks * p.taps * kLanes);
            store_lanes(c.weight + tap * v.DC + first_channel(v, block), sum, minimum(kLanes, v.DC));
        }
    });
}

bool can(const Conv2d& c) { return c.shape.groups > 1; }

bool prefer(const Conv2d& c) {
    const Conv2dShape& s = c.shape;
    const int64_t lanes = c.pass == ConvPass::backward_data ? s.Cg() : s.Fg();
    return lanes < kLanes;
}

size_t workspace(const Conv2d& c, int threads) {
    const View v = view_of(c);
    if (c.pass == ConvPass::backward_weight) {
        const WeightPlan p = weight_plan(v);
        return static_cast<size_t>(p.partials + threads * p.bands.spread_floats) * sizeof(float);
    }
    return static_cast<size_t>(layout_of(v, bands_of(v, false), threads).total) * sizeof(float);
}

void run(const Context& context, const Conv2d& c) {
    if (c.pass == ConvPass::backward_weight)
        run_weight(context, c);
    else
        run_gather(context, c);
}

}  // namespace

const ConvAlgorithm kConvDepthwise = {"depthwise", can, prefer, workspace, run};

}  // namespace PYNET_LEVEL
}  // namespace pynet
