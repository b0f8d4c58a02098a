// Depthwise convolution (one input and one output channel a group): nothing to multiply as matrices, so
// channels fill the vectors. Forward and backward-data gather: a destination pixel is the sum over taps of
// source pixel * weight, a run of pixels at a time where they share their taps. Backward-weight sums
// over fixed parts of the images, in order.
// Layout: (N, H, W, C), weights (KH, KW, C). Threads: destination rows, respectively parts and channel blocks.
// Workspace: the taps of a row a thread, respectively partial weight gradients.
#include "conv2d.h"
#include "kernels.h"
#include "parallel.h"

namespace pynet {
namespace PYNET_LEVEL {
namespace {

constexpr int kRun = kLanes == 16 ? 8 : 4;  // destination pixels that share one load of the weights

bool can(const Conv2d& c) { return c.shape.groups == c.shape.C && c.shape.F == c.shape.C; }
bool prefer(const Conv2d& c) { return c.shape.groups > 1; }

struct Tap {
    int64_t source;  // floats from the image's start to the pixel that column 0 of the grid reads
    int64_t column;  // that pixel's column, which may lie outside
    int64_t weight;  // floats from the weights' start
};

// A row of destination pixels that have the same taps: every pixel forward, one phase of the stride backward.
struct Row {
    const Tap* taps;
    int64_t count;                          // of taps
    int64_t columns;                        // of the grid
    int64_t inner0, inner1;                 // columns whose taps all lie inside
    int64_t step, SW;                       // source columns from one grid column to the next; columns that exist
    int64_t source_step, destination_step;  // in floats
};

template <bool kWhole>
PYNET_INLINE void gather_row(const Row& row, const float* image, const float* weight, float* to, vfloat bias,
                             int64_t lanes, Activation activation, float alpha) {
    const int64_t n = kWhole ? kLanes : lanes;
    auto single = [&](int64_t j) {
        vfloat sum = bias;
        for (int64_t t = 0; t < row.count; ++t) {
            const int64_t x = row.taps[t].column + j * row.step;
            if (x < 0 || x >= row.SW) continue;
            sum += load_lanes(image + row.taps[t].source + j * row.source_step, n) *
                   load_lanes(weight + row.taps[t].weight, n);
        }
        store_lanes(to + j * row.destination_step, activate(sum, activation, alpha), n);
    };
    int64_t j = 0;
    for (; j < row.inner0; ++j) single(j);
    for (; j + kRun <= row.inner1; j += kRun) {
        vfloat sum[kRun];
        PYNET_UNROLL
        for (int i = 0; i < kRun; ++i) sum[i] = bias;
        for (int64_t t = 0; t < row.count; ++t) {
            const vfloat w = load_lanes(weight + row.taps[t].weight, n);
            const float* from = image + row.taps[t].source + j * row.source_step;
            PYNET_UNROLL
            for (int i = 0; i < kRun; ++i) sum[i] += load_lanes(from + i * row.source_step, n) * w;
        }
        PYNET_UNROLL
        for (int i = 0; i < kRun; ++i)
            store_lanes(to + (j + i) * row.destination_step, activate(sum[i], activation, alpha), n);
    }
    for (; j < row.columns; ++j) single(j);
}

// The source offset of a tap for a destination phase; false when the tap does not meet the phase.
PYNET_INLINE bool tap_offset(bool backward, int64_t at, int64_t stride, int64_t tap, int64_t pad, int64_t dilation,
                             int64_t* offset) {
    const int64_t distance = backward ? at + pad - tap * dilation : tap * dilation - pad;
    if (backward && distance % stride != 0) return false;
    *offset = backward ? distance / stride : distance;
    return true;
}

void run_gather(const Context& context, const Conv2d& c) {
    const Conv2dShape& s = c.shape;
    const bool back = c.pass == ConvPass::backward_data;
    const int64_t SH = back ? s.OH() : s.H, SW = back ? s.OW() : s.W, DH = back ? s.H : s.OH(),
                  DW = back ? s.W : s.OW();
    const int64_t phases = back ? s.stride_w : 1, taps = s.KH * s.KW;
    const float* source = back ? c.out : c.x;
    float* destination = back ? c.x : c.out;
    parallel_for(context, s.N * DH, [&](int64_t at, int thread) {
        const int64_t h = at % DH;
        const float* image = source + at / DH * SH * SW * s.C;
        Tap* list = reinterpret_cast<Tap*>(context.workspace) + thread * taps;
        for (int64_t phase = 0; phase < phases && phase < DW; ++phase) {
            Row row{list,
                    0,
                    ceil_div(DW - phase, phases),
                    0,
                    0,
                    back ? 1 : s.stride_w,
                    SW,
                    (back ? 1 : s.stride_w) * s.C,
                    phases * s.C};
            row.inner1 = row.columns;
            for (int64_t kh = 0; kh < s.KH; ++kh) {
                int64_t y, x;
                if (!tap_offset(back, h, s.stride_h, kh, s.pad_h, s.dilation_h, &y)) continue;
                if (!back) y += h * s.stride_h;
                if (y < 0 || y >= SH) continue;
                for (int64_t kw = 0; kw < s.KW; ++kw) {
                    if (!tap_offset(back, phase, s.stride_w, kw, s.pad_w, s.dilation_w, &x)) continue;
                    int64_t first, last;
                    valid_range(row.columns, row.step, x, SW, &first, &last);
                    row.inner0 = maximum(row.inner0, first);
                    row.inner1 = minimum(row.inner1, last);
                    list[row.count++] = {(y * SW + x) * s.C, x, (kh * s.KW + kw) * s.C};
                }
            }
            row.inner0 = minimum(row.inner0, row.columns);
            row.inner1 = maximum(row.inner1, row.inner0);
            float* to = destination + (at * DW + phase) * s.C;
            const Activation activation = back ? Activation::none : c.activation;
            for (int64_t ch = 0; ch < s.C; ch += kLanes) {
                const int64_t lanes = minimum(kLanes, s.C - ch);
                const vfloat bias = !back && c.bias ? load_lanes(c.bias + ch, lanes) : vfloat{};
                if (lanes == kLanes)
                    gather_row<true>(row, image + ch, c.weight + ch, to + ch, bias, lanes, activation, c.alpha);
                else
                    gather_row<false>(row, image + ch, c.weight + ch, to + ch, bias, lanes, activation, c.alpha);
            }
        }
    });
}

struct Parts {
    int64_t parts, size;
};

Parts parts_of(const Conv2dShape& s) {
    const int64_t size = s.KH * s.KW * round_up(s.C, kLanes);
    return {maximum(1, minimum(s.N * s.OH(), 32)), size};
}

// Rows of the output (of all images) are cut into parts; a chunk is one part and one vector of channels.
void run_weight(const Context& context, const Conv2d& c) {
    const Conv2dShape& s = c.shape;
    const Parts p = parts_of(s);
    const int64_t OH = s.OH(), OW = s.OW(), blocks = ceil_div(s.C, kLanes), taps = s.KH * s.KW,
                  padded = round_up(s.C, kLanes);
    float* partials = reinterpret_cast<float*>(context.workspace);
    parallel_for(context, p.parts * blocks, [&](int64_t chunk, int) {
        const int64_t part = chunk / blocks, ch = chunk % blocks * kLanes, lanes = minimum(kLanes, s.C - ch);
        const int64_t row0 = s.N * OH * part / p.parts, row1 = s.N * OH * (part + 1) / p.parts;
        float* to = partials + part * p.size + ch;
        for (int64_t tap = 0; tap < taps; ++tap) store(to + tap * padded, vfloat{});
        for (int64_t row = row0; row < row1; ++row) {
            const int64_t oh = row % OH;
            const float* image = c.x + row / OH * s.H * s.W * s.C + ch;
            const float* dout = c.out + row * OW * s.C + ch;
            for (int64_t kh = 0; kh < s.KH; ++kh) {
                const int64_t y = oh * s.stride_h - s.pad_h + kh * s.dilation_h;
                if (y < 0 || y >= s.H) continue;
                for (int64_t kw = 0; kw < s.KW; ++kw) {
                    int64_t ow0, ow1;
                    const int64_t offset = kw * s.dilation_w - s.pad_w;
                    valid_range(OW, s.stride_w, offset, s.W, &ow0, &ow1);
                    vfloat sum[2] = {};
                    const float* a = image + (y * s.W + offset) * s.C;
                    int64_t ow = ow0;
                    for (; ow + 2 <= ow1; ow += 2) {
                        sum[0] += load_lanes(a + ow * s.stride_w * s.C, lanes) * load_lanes(dout + ow * s.C, lanes);
                        sum[1] += load_lanes(a + (ow + 1) * s.stride_w * s.C, lanes) *
                                  load_lanes(dout + (ow + 1) * s.C, lanes);
                    }
                    if (ow < ow1)
                        sum[0] += load_lanes(a + ow * s.stride_w * s.C, lanes) * load_lanes(dout + ow * s.C, lanes);
                    float* at = to + (kh * s.KW + kw) * padded;
                    store(at, load(at) + (sum[0] + sum[1]));
                }
            }
        }
    });
    parallel_for(context, taps, [&](int64_t tap, int) {
        for (int64_t ch = 0; ch < s.C; ch += kLanes) {
            vfloat sum = load(partials + tap * padded + ch);
            for (int64_t part = 1; part < p.parts; ++part) sum += load(partials + part * p.size + tap * padded + ch);
            store_lanes(c.weight + tap * s.C + ch, sum, minimum(kLanes, s.C - ch));
        }
    });
}

size_t workspace(const Conv2d& c, int threads) {
    if (c.pass != ConvPass::backward_weight)
        return static_cast<size_t>(threads * c.shape.KH * c.shape.KW) * sizeof(Tap);
    const Parts p = parts_of(c.shape);
    return static_cast<size_t>(p.parts * p.size) * sizeof(float);
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
