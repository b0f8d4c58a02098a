// Bands, spread rows and lines of convolution in narrow groups: see conv2d_depthwise.cpp.
#include "conv2d_depthwise.h"

namespace pynet {
namespace PYNET_LEVEL {
namespace {

constexpr int64_t kSpreadBytes = 160 * 1024;  // of a band of spread rows
constexpr int64_t kWantedChunks = 32;

// The source offset of a tap for a destination position; false when the tap does not meet it.
PYNET_INLINE bool tap_offset(bool backward, int64_t at, int64_t stride, int64_t tap, int64_t pad, int64_t dilation,
                             int64_t* offset) {
    const int64_t distance = backward ? at + pad - tap * dilation : at * stride + tap * dilation - pad;
    if (backward && distance % stride != 0) return false;
    *offset = backward ? distance / stride : distance;
    return true;
}

// Lane l of the result is lane from[l] of v.
PYNET_INLINE vfloat permute(vfloat v, vint from) {
#ifdef __clang__
    vfloat result;
    for (int l = 0; l < kLanes; ++l) result[l] = v[from[l]];
    return result;
#else
    return __builtin_shuffle(v, from);
#endif
}

// Rows [y0, y1) of an image, spread for the vector of channels from `channel` on: [row][c < Sg][column][lane].
void spread_rows(const View& v, const float* image, int64_t channel, int64_t y0, int64_t y1, float* to) {
    const int64_t group0 = channel / v.Dg, segments = minimum(v.groups - 1, (channel + kLanes - 1) / v.Dg) - group0 + 1;
    if (segments * v.Sg <= kLanes) {  // all that a pixel gives lies in one vector
        vint first;
        for (int64_t l = 0; l < kLanes; ++l)
            first[l] = static_cast<int32_t>(minimum(segments - 1, (channel + l) / v.Dg - group0) * v.Sg);
        for (int64_t y = y0; y < y1; ++y)
            for (int64_t c = 0; c < v.Sg; ++c) {
                const float* from = image + y * v.SW * v.SC + group0 * v.Sg;
                for (int64_t x = 0; x < v.SW; ++x, from += v.SC, to += kLanes)
                    store(to, permute(load_lanes(from, segments * v.Sg), first + static_cast<int32_t>(c)));
            }
        return;
    }
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

// As many source rows as `rows` destination rows read at most.
int64_t most_source_rows(const View& v, int64_t rows) {
    const int64_t reach = (v.KH - 1) * v.dilation_h;
    return minimum(v.SH, v.backward ? (rows - 1 + reach) / v.stride_h + 2 : (rows - 1) * v.stride_h + reach + 1);
}

// Source rows [first, last) that destination rows [h0, h1) read, whatever the tap.
void source_rows(const View& v, int64_t h0, int64_t h1, int64_t* first, int64_t* last) {
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

}  // namespace

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

void split_blocks(const View& v, int64_t bands, Bands* b) {
    while (b->blocks > 1 && bands * ceil_div(v.blocks, b->blocks) < kFewChunks) b->blocks = ceil_div(b->blocks, 2);
    b->block_groups = ceil_div(v.blocks, b->blocks);
}

Bands bands_of(const View& v) {
    Bands b;
    const int64_t blocks = v.spread ? v.blocks : 1, row = v.DW * kLanes * 4, spread_row = v.Sg * v.SW * kLanes * 4;
    b.rows = v.DH;
    auto bytes = [&] { return v.spread ? most_source_rows(v, b.rows) * spread_row + b.rows * row : 0; };
    while ((b.rows > 1 && bytes() > kSpreadBytes) ||
           (b.rows > 2 && v.N * ceil_div(v.DH, b.rows) * blocks < kWantedChunks))
        b.rows = ceil_div(b.rows, 2);
    b.count = ceil_div(v.DH, b.rows);
    b.blocks = v.spread ? 1 : v.blocks;
    split_blocks(v, v.N * b.count, &b);
    b.spread_floats = v.spread ? round_up(most_source_rows(v, b.rows) * v.Sg * v.SW * kLanes, 16) : 0;
    return b;
}

Source source_of(const View& v, const float* image, int64_t h0, int64_t h1, int64_t block, float* spread) {
    if (!v.spread) return {image, 0};
    int64_t y0, y1;
    source_rows(v, h0, h1, &y0, &y1);
    spread_rows(v, image, first_channel(v, block), y0, y1, spread);
    return {spread, y0};
}

int64_t lines_floats(const View& v) {
    return round_up((v.KH * v.Sg + 1) * v.KW * static_cast<int64_t>(sizeof(Line) / sizeof(float)), 16);
}

Kernel meet(const View& v, int64_t phase, int64_t tap, int64_t channel, float* memory) {
    const int64_t phases = v.backward ? minimum(v.stride_w, v.DW) : 1, pixel = v.spread ? kLanes : v.SC;
    Line* row = reinterpret_cast<Line*>(memory);
    Kernel k{phase,     ceil_div(v.DW - phase, phases),       0,   0,       v.backward ? 1 : v.stride_w,
             pixel,     (v.backward ? -v.stride_w : 1) * tap, tap, channel, row,
             row + v.KW};
    int64_t x, lowest = 0, weight = 0;
    for (int64_t kw = 0; kw < v.KW; ++kw)
        if (tap_offset(v.backward, phase, v.stride_w, kw, v.pad_w, v.dilation_w, &x)) {
            if (k.taps == 0 || x < lowest) lowest = x, weight = kw;
            ++k.taps;
        }
    const bool known = k.taps == 2 || k.taps == 3 || k.taps == 5;
    if (v.dilation_w == 1 && known && (k.stride == 1 || (k.stride == 2 && k.taps > 2))) {
        row[k.runs++] = {lowest * pixel, weight * tap, -lowest, v.SW - lowest};
        return k;
    }
    k.taps = 1;
    k.stride = 0;
    k.step = (v.backward ? 1 : v.stride_w) * pixel;
    for (int64_t kw = 0; kw < v.KW; ++kw) {
        if (!tap_offset(v.backward, phase, v.stride_w, kw, v.pad_w, v.dilation_w, &x)) continue;
        Line& line = row[k.runs++];
        line = {x * pixel, kw * tap, 0, 0};
        valid_range(k.columns, v.backward ? 1 : v.stride_w, x, v.SW, &line.first, &line.last);
    }
    return k;
}

Lines lines_of(const View& v, const Kernel& kernel, int64_t h, int64_t y0) {
    const int64_t row = v.SW * (v.spread ? kLanes : v.SC);
    int64_t count = 0;
    for (int64_t kh = 0; kh < v.KH; ++kh) {
        int64_t y;
        if (!tap_offset(v.backward, h, v.stride_h, kh, v.pad_h, v.dilation_h, &y)) continue;
        if (y < 0 || y >= v.SH) continue;
        for (int64_t run = 0; run < kernel.runs; ++run)
            for (int64_t c = 0; c < v.Sg; ++c) {
                Line& line = kernel.lines[count++];
                line = kernel.row[run];
                line.source += ((y - y0) * v.Sg + c) * row;
                line.weight += kh * v.KW * kernel.tap + c * kernel.channel;
            }
    }
    return {kernel.lines, count, kernel.columns, kernel.step};
}

Blocks blocks_of(const View& v, const Bands& b, int64_t first, int64_t last, const float* source_image,
                 const float* destination_image, int64_t h, int64_t rows, int64_t calls) {
    const int64_t s = v.SW * v.SC, d = v.DW * v.DC, reach = (v.KH - 1) * v.dilation_h, after = h + rows;
    const int64_t next = v.backward ? (after - 1 + v.pad_h) / v.stride_h + 1
                                    : (after - 1) * v.stride_h + reach + 1 - v.pad_h,
                  some = fetches_ahead(v, b) ? rows : 0;
    return {first,
            last,
            v.DC,
            v.spread,
            {{source_image + next * s, some * (v.backward ? 1 : v.stride_h) * s, false},
             {destination_image + after * d, some * d, true},
             calls}};
}

}  // namespace PYNET_LEVEL
}  // namespace pynet
