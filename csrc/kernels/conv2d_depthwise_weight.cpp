// Weight gradients of convolution in narrow groups: see conv2d_depthwise.cpp. A vector of channels of a band of rows
// meets all taps while it is in L1; parts of the bands have sums of their own, added in order.
#include "conv2d_depthwise.h"
#include "kernels.h"
#include "parallel.h"

namespace pynet {
namespace PYNET_LEVEL {
namespace {

constexpr int64_t kWantedChunks = 32;

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

}  // namespace

size_t depthwise_weight_workspace(const Conv2d& c, int threads) {
    const WeightPlan p = weight_plan(view_of(c));
    return static_cast<size_t>(p.partials + threads * p.bands.spread_floats) * sizeof(float);
}

void depthwise_weight(const Context& context, const Conv2d& c) {
    const View v = view_of(c);
    const WeightPlan p = weight_plan(v);
    const Bands& b = p.bands;
    float* partials = reinterpret_cast<float*>(context.workspace);
    float* threads = partials + p.partials;
    const bool ahead = fetches_ahead(v, b);
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

}  // namespace PYNET_LEVEL
}  // namespace pynet
