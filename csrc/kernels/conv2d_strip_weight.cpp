// Weight gradient over strips (conv2d_strip.h), for few channels: of one channel's worth of rows alone a tile would be
// too low to hide the latency of its sums. For one kh the KW * C inputs of an output pixel lie next to each other in a
// strip, so a tile takes them together:
//   dw[kh][kw * C + c][f] = sum over pixels of strip[oh * stride_h + kh * dilation_h][ow * stride_w * C + kw * C + c]
//                           * dout[pixel][f]
// The output rows of all images are cut into fixed parts, with partial sums that are added in order. A part goes by
// bands of rows: their inputs are copied into a padded strip, and strip and gradient stay in L1 for all tiles. Where a
// row of the gradient is too long for that, or its outputs fill no whole vectors, a panel of it is packed: pixels far
// apart would share few sets of L1. The bias gradient is summed as a band comes. Layout: (N, H, W, C) activations, (KH,
// KW, C, F) weights. Threads: parts. Aliasing: none. Workspace: partial sums of both gradients; a strip and, where it
// is packed, a panel of a band of gradients for each thread.
#include "conv2d_strip.h"
#include "gemm.h"
#include "kernels.h"
#include "parallel.h"
#include "reduce.h"
#include "weight_tile.h"

namespace pynet {
namespace PYNET_LEVEL {
namespace {

constexpr int64_t kParts = 32;
constexpr int64_t kBandBytes = 20 * 1024;

struct Plan {
    int64_t run;  // inputs of one kh: KW * C
    Strip source;
    int64_t band;       // output rows of a band
    int64_t parts;      // of all output rows
    int64_t partial;    // floats of a part's sums
    int64_t bias;       // and of its bias gradient
    int64_t sums;       // floats of both, of all parts
    bool packs;         // a panel of dout, which else is read in place
    int64_t strip;      // its floats
    int64_t gradients;  // and of the packed panel
};

Plan plan_of(const Conv2dShape& s) {
    Plan p;
    const int64_t OH = s.OH(), OW = s.OW();
    p.run = s.KW * s.C;
    p.source = {s.H, s.W, s.C, s.C, -s.pad_w, ((OW - 1) * s.stride_w + s.KW) * s.C};
    const int64_t x_row = s.stride_h * p.source.row;
    p.packs = s.F % kLanes || (OW * s.F + x_row) * 4 > kBandBytes;
    p.band = maximum(1, minimum(OH, kBandBytes / 4 / (OW * (p.packs ? minimum(s.F, kPanel) : s.F) + x_row)));
    p.parts = minimum(kParts, s.N * OH);
    p.partial = partial_size(s.KH * p.run, s.F);
    p.bias = round_up(s.F, kLanes);
    p.sums = round_up(p.parts * (p.partial + p.bias), 16);
    p.strip = round_up(((p.band - 1) * s.stride_h + (s.KH - 1) * s.dilation_h + 1) * p.source.row, 16);
    p.gradients = p.packs ? round_up(p.band * OW * kPanel, 16) : 0;
    return p;
}

// Tiles of about equal height that the inputs of one kh are cut into.
PYNET_INLINE int64_t tiles_of_run(const Plan& p, int vectors) {
    return ceil_div(p.run, vectors == 1 ? kOneWide : kTwoWide);
}

void sum_band(const Conv2dShape& s, const Plan& p, int64_t rows, const float* strip, const float* dout,
              float* gradients, float* partial, bool accumulate, Ahead* ahead) {
    const int64_t OW = s.OW(), K = s.KH * p.run;
    for (int64_t f = 0; f < s.F; f += kPanel) {
        const int64_t columns = minimum(kPanel, s.F - f);
        const int vectors = panel_vectors(columns);
        const int64_t width = vectors * kLanes, tiles = tiles_of_run(p, vectors);
        const float* b = dout + f;
        int64_t ldb = s.F;
        if (p.packs) {
            pack_columns(b, s.F, 1, rows * OW, columns, width, gradients);
            b = gradients;
            ldb = width;
        }
        const PixelWalk walk{1, rows, OW, 0, s.stride_h * p.source.row, s.stride_w * s.C, 0, OW * ldb, ldb, ahead};
        for (int64_t kh = 0; kh < s.KH; ++kh)
            for (int64_t t = 0; t < tiles; ++t) {
                const int64_t i = p.run * t / tiles, height = p.run * (t + 1) / tiles - i;
                pixels_for<>(height, vectors)(walk, strip + kh * s.dilation_h * p.source.row + i, b,
                                              partial + f * K + (kh * p.run + i) * width, width, accumulate);
            }
    }
}

}  // namespace

size_t strip_weight_workspace(const Conv2dShape& s, int threads) {
    const Plan p = plan_of(s);
    return static_cast<size_t>(p.sums + threads * (p.strip + p.gradients)) * sizeof(float);
}

void strip_weight(const Context& context, const Conv2d& c) {
    const Conv2dShape& s = c.shape;
    const Plan p = plan_of(s);
    float* partials = reinterpret_cast<float*>(context.workspace);
    float *biases = partials + p.parts * p.partial, *threads = partials + p.sums;
    const int64_t OH = s.OH(), OW = s.OW(), all = s.N * OH;
    const bool large = s.N * (s.H * s.W * s.C + OH * OW * s.F) * 4 > kPrefetchFrom;
    parallel_for(context, p.parts, [&](int64_t part, int thread) {
        float* strip = threads + thread * (p.strip + p.gradients);
        const int64_t first = all * part / p.parts, last = all * (part + 1) / p.parts;
        for (int64_t at = first; at < last;) {
            const int64_t n = at / OH, oh = at % OH, rows = minimum(p.band, minimum(OH - oh, last - at));
            write_strip(p.source, c.x + n * s.H * s.W * s.C, oh * s.stride_h - s.pad_h,
                        (rows - 1) * s.stride_h + (s.KH - 1) * s.dilation_h + 1, strip);
            const float* dout = c.out + at * OW * s.F;
            const bool more = at > first;
            if (c.dbias) sum_block(rows * OW, s.F, dout, biases + part * p.bias, more);
            at += rows;
            const int64_t some = large && at < last ? p.band * OW : 0;
            Ahead next(
                {c.x + (at / OH * s.H + at % OH * s.stride_h) * s.W * s.C, some * s.stride_h * s.stride_w * s.C, false},
                {c.out + at * OW * s.F, some * s.F, false},
                ceil_div(s.F, kPanel) * s.KH * tiles_of_run(p, panel_vectors(minimum(kPanel, s.F))) * rows);
            sum_band(s, p, rows, strip, dout, strip + p.strip, partials + part * p.partial, more, &next);
        }
    });
    reduce_weight_partials(context, s, partials, p.parts, c.weight);
    if (c.dbias) add_parts(p.parts, p.bias, s.F, biases, c.dbias);
}

}  // namespace PYNET_LEVEL
}  // namespace pynet
