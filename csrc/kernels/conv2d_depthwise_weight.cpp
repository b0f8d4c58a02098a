// Weight gradients of convolution in narrow groups: see conv2d_depthwise.cpp. The sums of several taps of several
// kernel rows stay in registers while some columns pass; parts of the bands have sums of their own, added in order.
// Pixels that lie 1 KiB or a multiple of it apart (256 channels) share few sets of the first-level cache, where they
// would not stay from one row and one vector to the next: they are copied, one cache line of channels after the other.
#include "conv2d_depthwise.h"
#include "kernels.h"
#include "parallel.h"
#include "stream.h"

namespace pynet {
namespace PYNET_LEVEL {
namespace {

constexpr int64_t kWantedChunks = 32;
// Columns, and pixels of several rows, that all channels pass before the next ones: the sums are moved once for them.
// Rows of both maps stay in L2; those that come from memory are fewer, as the next ones are to come there beside them.
constexpr int64_t kSegment = 16, kTogether = 64;
constexpr int64_t kBytesTogether = 160 * 1024, kBytesFromMemory = 48 * 1024, kInMemory = 16 << 20;
constexpr int64_t kCopied = 256;  // channels whose multiples are copied: every chunk has whole lines of them
static_assert(kCopied % (kFewChunks * kLine) == 0);

// As many lines as the registers hold sums of.
constexpr int lines_at_once(int taps) { return taps == 1 ? 6 : taps == 5 ? (kLanes == 16 ? 5 : 2) : 3; }

// The additions of few sums would wait for each other: they get a second set.
template <int kLines, int kTaps>
constexpr int kSets = kLines * kTaps < 6 ? 2 : 1;

// Where columns are missing at an edge of the map.
constexpr int kAnywhere = -1;

// sum[.][l][k] += line l's columns at + i * kStride + k times dout[i], for kSome columns i of dout. Of the columns the
// first kLeft and the last kRight do not exist; kAnywhere: each is asked for.
template <int kSome, int kLines, int kTaps, int kStride, bool kWhole, int kLeft, int kRight>
PYNET_INLINE void add_columns(const Line* lines, int64_t at, int64_t step, const float* source, const float* dout,
                              int64_t dout_step, int64_t lanes, vfloat (&sum)[kSets<kLines, kTaps>][kLines][kTaps]) {
    constexpr int kColumns = (kSome - 1) * kStride + kTaps;
    vfloat d[kSome];
    PYNET_UNROLL
    for (int i = 0; i < kSome; ++i) d[i] = load_block<kWhole>(dout + i * dout_step, lanes);
    PYNET_UNROLL
    for (int l = 0; l < kLines; ++l) {
        const auto add = [&](int q, vfloat v) {
            PYNET_UNROLL
            for (int k = 0; k < kTaps; ++k) {
                const int i = (q - k) / kStride;
                if (q >= k && (q - k) % kStride == 0 && i < kSome) sum[i % kSets<kLines, kTaps>][l][k] += v * d[i];
            }
        };
        if (kLeft == kAnywhere) {
            for_columns<kColumns, kWhole>(lines[l], at, step, source, lanes, add);
        } else {
            const float* x = source + lines[l].source + at * step;
            PYNET_UNROLL
            for (int q = kLeft; q < kColumns - kRight; ++q) add(q, load_block<kWhole>(x + q * step, lanes));
        }
    }
}

// Rows of dout whose lines differ by one step alone.
struct Walk {
    Lines lines;  // of the first row
    int64_t rows, x_row, dout_row, dout_step;
    int64_t taps, tap_step;  // of the sums, [block][tap][lane]
};

// sums[k] of each line += the sum over all rows and `count` columns from j on.
template <int kLines, int kTaps, int kStride, bool kWhole>
PYNET_INLINE void sum_lines(const Walk& walk, Blocks& blocks, const Line* lines, int64_t j, int64_t count,
                            const float* source, const float* dout, int64_t lanes, float* sums) {
    constexpr int kMany = kSets<kLines, kTaps>;
    vfloat sum[kMany][kLines][kTaps] = {};
    PYNET_UNROLL
    for (int l = 0; l < kLines; ++l) {
        PYNET_UNROLL
        for (int k = 0; k < kTaps; ++k) sum[0][l][k] = load(sums + lines[l].weight + k * walk.tap_step);
    }
    for (int64_t row = 0; row < walk.rows; ++row, source += walk.x_row, dout += walk.dout_row) {
        blocks.ahead.share();
        int64_t i = 0;
        const auto add = [&](auto some) __attribute__((always_inline)) {
            constexpr int kSome = decltype(some)::value, kColumns = (kSome - 1) * kStride + kTaps;
            const int64_t at = (j + i) * kStride;
            const float* d = dout + i * walk.dout_step;
            const auto run = [&](auto left, auto right) __attribute__((always_inline)) {
                add_columns<kSome, kLines, kTaps, kStride, kWhole, decltype(left)::value, decltype(right)::value>(
                    lines, at, walk.lines.step, source, d, walk.dout_step, lanes, sum);
            };
            i += kSome;
            // Lines of several taps begin and end alike.
            const int64_t left = maximum(0, lines->first - at), right = maximum(0, at + kColumns - lines->last);
            if (kTaps > 1 && left == 0 && right == 0) return run(Count<0>{}, Count<0>{});
            if (kTaps > 2 && left == 1 && right == 0) return run(Count<1>{}, Count<0>{});
            if (kTaps > 2 && left == 0 && right == 1) return run(Count<0>{}, Count<1>{});
            if (kTaps > 4 && left == 2 && right == 0) return run(Count<2>{}, Count<0>{});
            if (kTaps > 4 && left == 0 && right == 2) return run(Count<0>{}, Count<2>{});
            if (kTaps == 3 && left == 1 && right == 1) return run(Count<1>{}, Count<1>{});
            run(Count<kAnywhere>{}, Count<kAnywhere>{});
        };
        if (kTaps == 3 && kStride == 1 && count == 7) add(Count<7>{});
        while (i + 4 <= count) add(Count<4>{});
        if (i + 2 <= count) add(Count<2>{});
        if (i < count) add(Count<1>{});
    }
    PYNET_UNROLL
    for (int l = 0; l < kLines; ++l) {
        PYNET_UNROLL
        for (int k = 0; k < kTaps; ++k)
            store(sums + lines[l].weight + k * walk.tap_step,
                  kMany == 1 ? sum[0][l][k] : sum[0][l][k] + sum[kMany - 1][l][k]);
    }
}

template <int kTaps, int kStride, bool kWhole>
PYNET_NOINLINE void sum_rows(const Walk& walk, Blocks& blocks, const float* source, const float* dout, float* sums) {
    constexpr int kLines = lines_at_once(kTaps);
    const Lines& lines = walk.lines;
    for (int64_t j = 0; j < lines.columns; j += kSegment) {
        const int64_t count = minimum(kSegment, lines.columns - j);
        float* to = sums;
        for_blocks<kWhole>(blocks, [&](int64_t channel, int64_t source_channel, int64_t lanes) {
            const float* x = source + source_channel;
            const float* d = dout + channel + j * walk.dout_step;
            int64_t l = 0;
            for (; l + kLines <= lines.count; l += kLines)
                sum_lines<kLines, kTaps, kStride, kWhole>(walk, blocks, lines.at + l, j, count, x, d, lanes, to);
            for (; kLines > 2 && l + 2 <= lines.count; l += 2)
                sum_lines<2, kTaps, kStride, kWhole>(walk, blocks, lines.at + l, j, count, x, d, lanes, to);
            for (; l < lines.count; ++l)
                sum_lines<1, kTaps, kStride, kWhole>(walk, blocks, lines.at + l, j, count, x, d, lanes, to);
            to += walk.taps * kLanes;
        });
    }
}

typedef void (*SumRows)(const Walk&, Blocks&, const float*, const float*, float*);

template <bool kWhole>
SumRows sum_rows_for(int64_t taps, int64_t stride) {
    if (taps == 2) return sum_rows<2, 1, kWhole>;
    if (taps == 3) return stride == 1 ? sum_rows<3, 1, kWhole> : sum_rows<3, 2, kWhole>;
    if (taps == 5) return stride == 1 ? sum_rows<5, 1, kWhole> : sum_rows<5, 2, kWhole>;
    return sum_rows<1, 1, kWhole>;
}

struct WeightPlan {
    Bands bands;
    bool copies;
    int64_t parts;             // of all bands of all images
    int64_t taps;              // weights of one output
    int64_t inside0, inside1;  // rows of dout that all kernel rows meet
    int64_t partials;          // floats of all parts: [part][block][tap][lane]
    int64_t together;          // rows of dout
    int64_t x_rows;            // of the source, that rows of dout summed together read when copied
    // Floats a thread: lines, then spread rows, or copied ones of the source and of dout.
    int64_t lines, x_floats, each;
};

// More taps have enough to do while they wait.
bool copies_lines(const View& v) { return !v.spread && v.SC % kCopied == 0 && v.KH * v.KW <= 9; }

// The rows of dout that are summed together.
int64_t rows_together(const View& v) {
    const int64_t rows = ceil_div(kTogether, minimum(kSegment, v.DW)), x_row = v.stride_h * v.SW * v.SC,
                  dout_row = v.DW * v.DC;
    if (copies_lines(v)) return minimum(rows, v.DH);
    const bool from_memory = v.N * (v.SH * v.SW * v.SC + v.DH * dout_row) * 4 >= kInMemory;
    return maximum(1, minimum(rows, (from_memory ? kBytesFromMemory : kBytesTogether) / ((x_row + dout_row) * 4)));
}

// One cache line of channels, as copied rows lie: those beyond the edges too, as zeros.
View copied(View v, int64_t rows) {
    v.SC = v.DC = kLine;
    v.blocks = kLine / kLanes;
    v.pad_h = 0;
    v.SH = rows;
    return v;
}

// `pixels` pixels of a cache line each, `step` floats apart; the line beside each, which comes next, is fetched.
void copy_lines(const float* from, int64_t step, int64_t pixels, float* to) {
    for (; pixels > 0; --pixels, from += step, to += kLine) {
        __builtin_prefetch(from + kLine);
        PYNET_UNROLL
        for (int64_t j = 0; j < kLine; j += kLanes) store(to + j, load(from + j));
    }
}

void zero_lines(int64_t pixels, float* to) {
    for (int64_t i = 0; i < pixels * kLine; i += kLanes) store(to + i, vfloat{});
}

// Parts have enough pixels for their sums to matter little.
WeightPlan weight_plan(const View& v) {
    WeightPlan p;
    p.bands = bands_of(v);
    p.taps = v.KH * v.KW * v.Sg;
    const int64_t bands = v.N * p.bands.count;
    p.parts = maximum(1, minimum(minimum(bands, kWantedChunks), v.N * v.DH * v.DW / (16 * p.taps)));
    p.bands.blocks = v.spread ? 1 : v.blocks;
    split_blocks(v, p.parts, &p.bands);
    int64_t unused;
    valid_range(v.DH, v.stride_h, -v.pad_h, v.SH, &p.inside0, &unused);
    valid_range(v.DH, v.stride_h, (v.KH - 1) * v.dilation_h - v.pad_h, v.SH, &unused, &p.inside1);
    p.partials = p.parts * v.blocks * p.taps * kLanes;
    p.together = rows_together(v);
    p.copies = copies_lines(v);
    p.lines = lines_floats(v);
    p.x_rows = (p.together - 1) * v.stride_h + (v.KH - 1) * v.dilation_h + 1;
    p.x_floats = p.copies ? p.x_rows * v.SW * kLine : p.bands.spread_floats;
    p.each = p.lines + p.x_floats + (p.copies ? p.together * v.DW * kLine : 0);
    return p;
}

// sums += those of rows [h0, h1) of dout, copied a cache line of channels after the other.
template <class BlocksAt>
void sum_copied(const View& v, const WeightPlan& p, SumRows sum, const Kernel& kernel, BlocksAt blocks_at,
                const float* image, const float* dout, int64_t h0, int64_t h1, float* memory, float* sums) {
    const View w = copied(v, p.x_rows);
    const Lines lines = lines_of(w, kernel, 0, 0);
    float *x_lines = memory + p.lines, *dout_lines = x_lines + p.x_floats;
    for (int64_t h = h0; h < h1; h += p.together) {
        const int64_t rows = minimum(p.together, h1 - h), top = h * v.stride_h - v.pad_h,
                      end = top + p.x_rows - (p.together - rows) * v.stride_h;
        const int64_t y0 = minimum(end, maximum(0, top)), y1 = maximum(y0, minimum(v.SH, end));
        const Walk walk{lines, rows, v.stride_h * v.SW * kLine, v.DW * kLine, kLine, p.taps, kernel.weight_step};
        Blocks blocks = blocks_at(h, rows);
        const int64_t first = blocks.first, last = blocks.last;
        blocks.first = 0, blocks.last = w.blocks, blocks.channels = w.DC;
        zero_lines((y0 - top) * v.SW, x_lines);
        zero_lines((end - y1) * v.SW, x_lines + (y1 - top) * v.SW * kLine);
        for (int64_t block = first; block < last; block += w.blocks) {
            const int64_t channel = block * kLanes;
            copy_lines(image + y0 * v.SW * v.SC + channel, v.SC, (y1 - y0) * v.SW, x_lines + (y0 - top) * v.SW * kLine);
            copy_lines(dout + h * v.DW * v.DC + channel, v.DC, rows * v.DW, dout_lines);
            sum(walk, blocks, x_lines, dout_lines, sums + (block - first) * p.taps * kLanes);
        }
    }
}

}  // namespace

size_t depthwise_weight_workspace(const Conv2d& c, int threads) {
    const WeightPlan p = weight_plan(view_of(c));
    return static_cast<size_t>(p.partials + threads * p.each) * sizeof(float);
}

void depthwise_weight(const Context& context, const Conv2d& c) {
    const View v = view_of(c);
    const WeightPlan p = weight_plan(v);
    const Bands& b = p.bands;
    float* partials = reinterpret_cast<float*>(context.workspace);
    const int64_t bands = v.N * b.count;
    parallel_for(context, p.parts * b.block_groups, [&](int64_t chunk, int thread) {
        const int64_t part = chunk / b.block_groups, block0 = chunk % b.block_groups * b.blocks,
                      block1 = minimum(v.blocks, block0 + b.blocks);
        float* memory = partials + p.partials + thread * p.each;
        float* sums = partials + (part * v.blocks + block0) * p.taps * kLanes;
        for (int64_t i = 0; i < (block1 - block0) * p.taps; ++i) store(sums + i * kLanes, vfloat{});
        const Kernel kernel = meet(p.copies ? copied(v, p.x_rows) : v, 0, v.Sg * kLanes, kLanes, memory);
        const SumRows sum = v.DC < kLanes ? sum_rows_for<false>(kernel.taps, kernel.stride)
                                          : sum_rows_for<true>(kernel.taps, kernel.stride);
        for (int64_t band = bands * part / p.parts; band < bands * (part + 1) / p.parts; ++band) {
            const int64_t n = band / b.count, h0 = band % b.count * b.rows, h1 = minimum(v.DH, h0 + b.rows);
            const float* image = c.x + n * v.SH * v.SW * v.SC;
            const float* dout = c.out + n * v.DH * v.DW * v.DC;
            const auto blocks_at = [&](int64_t h, int64_t rows) {
                return blocks_of(v, b, block0, block1, image, dout, h, rows,
                                 ceil_div(v.DW, kSegment) * (block1 - block0) * rows);
            };
            if (p.copies) {
                sum_copied(v, p, sum, kernel, blocks_at, image, dout, h0, h1, memory, sums);
                continue;
            }
            const Source from = source_of(v, image, h0, h1, block0, memory + p.lines);
            int64_t rows;
            for (int64_t h = h0; h < h1; h += rows) {
                rows = h < p.inside0 ? 1 : maximum(1, minimum(p.together, minimum(h1, p.inside1) - h));
                const Walk walk{lines_of(v, kernel, h, from.y0),
                                rows,
                                v.stride_h * v.SW * (v.spread ? kLanes * v.Sg : v.SC),
                                v.DW * v.DC,
                                v.DC,
                                p.taps,
                                kernel.weight_step};
                Blocks blocks = blocks_at(h, rows);
                sum(walk, blocks, from.at, dout + h * v.DW * v.DC, sums);
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

}  // namespace PYNET_LEVEL
}  // namespace pynet
