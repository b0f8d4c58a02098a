// Convolution as matrix products (Chellapilla et al. 2006): receptive fields are written out as rows of a
// matrix, a block of pixels at a time, so that the matrix stays in cache.
//   forward          out = col W           col (pixels, KH * KW * Cg), W (KH * KW * Cg, Fg)
//   backward_weight  dW = col^T dout       summed over fixed parts of the images, in order
//   backward_data    dcol = dout W^T, added back into the pixels they came from, band of rows by band
// A 1x1 convolution without stride and padding is one plain product and no columns are written.
// Preferred for these, and where there are so few channels that reading pixels in place would leave the vector units
// idle. Layout: (N, H, W, C), weights (KH, KW, Cg, F). Aliasing: none allowed.
#include "conv2d.h"
#include "gemm.h"
#include "kernels.h"
#include "parallel.h"
#include "tile_products.h"

namespace pynet {
namespace PYNET_LEVEL {
namespace {

bool plain(const Conv2dShape& s) {
    return s.KH == 1 && s.KW == 1 && s.stride_h == 1 && s.stride_w == 1 && s.pad_h == 0 && s.pad_w == 0 &&
           s.groups == 1;
}

Gemm plain_gemm(const Conv2d& c) {
    const Conv2dShape& s = c.shape;
    const int64_t pixels = s.N * s.H * s.W;
    if (c.pass == ConvPass::backward_weight)
        return {s.C, s.F, pixels, c.x, 1, s.C, c.out, s.F, 1, c.weight, s.F, nullptr, Activation::none, 0};
    Gemm g{pixels, s.F, s.C, c.x, s.C, 1, c.weight, s.F, 1, c.out, s.F, c.bias, c.activation, c.alpha};
    if (c.pass == ConvPass::backward_data)
        g = {pixels, s.C, s.F, c.out, s.F, 1, c.weight, 1, s.F, c.x, s.C, nullptr, Activation::none, 0};
    g.packed_b = c.packed;
    g.parts = c.parts;
    return g;
}

struct Plan {
    int64_t K;        // KH * KW * Cg
    int64_t pixels;   // of one block
    int64_t parts;    // backward_weight: partial sums
    int64_t packed;   // floats of the packed weights of all groups
    int64_t each;     // floats of scratch a thread
    int64_t partial;  // floats of one partial of one group
};

// Rows of dx that one chunk of backward_data makes: it sums in a buffer of its own whose rows have room for what the
// padding receives, so that every column is added in whole vectors.
struct Band {
    int64_t rows;   // of one band; the last of an image may have fewer
    int64_t count;  // of one image
    int64_t width;  // pixels of a row of the buffer
    int64_t floats;
};

Band band_of(const Conv2dShape& s) {
    constexpr int64_t kEnoughBands = 32;
    Band band;
    // Output rows at the edge of a band are multiplied for both: bands much taller than the kernel.
    const int64_t reach = s.dilation_h * (s.KH - 1) + 1;
    band.count = maximum(1, minimum(ceil_div(kEnoughBands, s.N), s.H / (4 * reach)));
    band.rows = ceil_div(s.H, band.count);
    band.count = ceil_div(s.H, band.rows);
    band.width = maximum((s.OW() - 1) * s.stride_w + s.dilation_w * (s.KW - 1) + 1, s.pad_w + s.W);
    band.floats = band.rows * band.width * s.C + kLanes;
    return band;
}

Plan plan_of(const Conv2d& c) {
    const Conv2dShape& s = c.shape;
    Plan p;
    p.K = s.KH * s.KW * s.Cg();
    const int64_t per_pixel = p.K + (c.pass == ConvPass::backward_weight ? kPanel : 0);
    // Two dozen pixels at least, so that the product has rows to work on; about half an L2 at most.
    p.pixels = maximum(3 * kTileRows, minimum(32 * kTileRows, 64 * 1024 / per_pixel / kTileRows * kTileRows));
    const int64_t all_pixels = s.N * s.OH() * s.OW();
    while (p.pixels > 3 * kTileRows && ceil_div(all_pixels, p.pixels) * s.groups < 32) p.pixels -= kTileRows;
    p.partial = partial_size(p.K, s.Fg());
    p.parts = 1;
    p.packed = 0;
    if (c.pass == ConvPass::backward_weight) {
        p.parts = maximum(1, minimum(minimum(s.N * s.OH(), 32), (int64_t{8} << 20) / maximum(1, p.partial * s.groups)));
        p.each = p.pixels * (p.K + kPanel);
    } else {
        const bool back = c.pass == ConvPass::backward_data;
        p.packed = s.groups * (back ? s.Fg() * packed_panels_width(p.K) : p.K * packed_panels_width(s.Fg()));
        p.each = p.pixels * p.K;
        if (back) p.each = round_up(p.each, 16) + band_of(s).floats;
    }
    p.each = round_up(p.each, 16);
    return p;
}

// The receptive field of one output pixel and group, K floats, zero outside the map.
PYNET_INLINE void write_column(const Conv2dShape& s, const float* image, int64_t oh, int64_t ow, int64_t group,
                               float* to) {
    const int64_t Cg = s.Cg(), run = s.KW * Cg, x = ow * s.stride_w - s.pad_w;
    const bool whole_rows = s.dilation_w == 1 && s.groups == 1 && x >= 0 && x + s.KW <= s.W;
    for (int64_t kh = 0; kh < s.KH; ++kh, to += run) {
        const int64_t y = oh * s.stride_h - s.pad_h + kh * s.dilation_h;
        if (y < 0 || y >= s.H) {
            for (int64_t i = 0; i < run; i += kLanes) store_lanes(to + i, vfloat{}, run - i);
            continue;
        }
        const float* from = image + (y * s.W + x) * s.C + group * Cg;
        if (whole_rows) {
            for (int64_t i = 0; i < run; i += kLanes) store_lanes(to + i, load_lanes(from + i, run - i), run - i);
            continue;
        }
        for (int64_t kw = 0; kw < s.KW; ++kw) {
            const int64_t at = x + kw * s.dilation_w;
            const bool inside = at >= 0 && at < s.W;
            const float* pixel = from + kw * s.dilation_w * s.C;
            for (int64_t i = 0; i < Cg; ++i) to[kw * Cg + i] = inside ? pixel[i] : 0.0f;
        }
    }
}

// to[i] += sum over j < count of from[j][i] for NV vectors, of the last one `lanes` lanes. All of it is rewritten.
template <int NV>
PYNET_INLINE void add_vectors(const float* const* from, int count, int64_t skip, int64_t lanes, float* to) {
    vfloat sum[NV] = {};
    for (int j = 0; j < count; ++j) {
        const float* at = from[j] + skip;
        PYNET_UNROLL
        for (int v = 0; v < NV - 1; ++v) sum[v] += load(at + v * kLanes);
        sum[NV - 1] += load_partial(at + (NV - 1) * kLanes, lanes);
    }
    PYNET_UNROLL
    for (int v = 0; v < NV; ++v) store(to + v * kLanes, load(to + v * kLanes) + sum[v]);
}

// The same for `run` floats.
PYNET_INLINE void add_runs(const float* const* from, int count, int64_t skip, int64_t run, float* to) {
    for (; run > 4 * kLanes; run -= 4 * kLanes, skip += 4 * kLanes, to += 4 * kLanes)
        add_vectors<4>(from, count, skip, kLanes, to);
    const int64_t vectors = ceil_div(run, kLanes), lanes = run - (vectors - 1) * kLanes;
    if (vectors == 4)
        add_vectors<4>(from, count, skip, lanes, to);
    else if (vectors == 3)
        add_vectors<3>(from, count, skip, lanes, to);
    else if (vectors == 2)
        add_vectors<2>(from, count, skip, lanes, to);
    else
        add_vectors<1>(from, count, skip, lanes, to);
}

// Adds the columns of output pixels [ow0, ow1) of rows [oh0, oh1) to a band, the rows [top, y1). All rows of the kernel
// that reach a row of the band meet in registers.
void add_columns(const Conv2dShape& s, const Band& band, const float* columns, int64_t K, int64_t oh0, int64_t oh1,
                 int64_t ow0, int64_t ow1, int64_t group, int64_t top, int64_t y1, float* rows) {
    constexpr int kMost = 16;
    const int64_t Cg = s.Cg(), run = s.KW * Cg;
    const bool whole = s.dilation_w == 1 && s.groups == 1;
    const int64_t y0 = maximum(top, oh0 * s.stride_h - s.pad_h);
    y1 = minimum(y1, (oh1 - 1) * s.stride_h - s.pad_h + s.dilation_h * (s.KH - 1) + 1);
    for (int64_t y = y0; y < y1; ++y)
        for (int64_t kh = 0; kh < s.KH;) {
            const float* from[kMost];
            int count = 0;
            for (; kh < s.KH && count < kMost; ++kh) {
                const int64_t at = y + s.pad_h - kh * s.dilation_h, oh = at / s.stride_h;
                if (at >= 0 && oh >= oh0 && oh < oh1 && oh * s.stride_h == at)
                    from[count++] = columns + (oh - oh0) * (ow1 - ow0) * K + kh * run;
            }
            if (count == 0) continue;
            float* to = rows + ((y - top) * band.width + ow0 * s.stride_w) * s.C + group * Cg;
            for (int64_t ow = ow0, skip = 0; ow < ow1; ++ow, skip += K, to += s.stride_w * s.C) {
                if (whole) {
                    add_runs(from, count, skip, run, to);
                } else {
                    for (int64_t kw = 0; kw < s.KW; ++kw)
                        add_runs(from, count, skip + kw * Cg, Cg, to + kw * s.dilation_w * s.C);
                }
            }
        }
}

void write_columns(const Conv2dShape& s, const float* x, int64_t q0, int64_t q1, int64_t group, int64_t K, float* to) {
    const int64_t OH = s.OH(), OW = s.OW();
    int64_t ow = q0 % OW, oh = q0 / OW % OH, n = q0 / OW / OH;
    for (int64_t q = q0; q < q1; ++q, to += K) {
        write_column(s, x + n * s.H * s.W * s.C, oh, ow, group, to);
        if (++ow == OW) ow = 0, ++oh;
        if (oh == OH) oh = 0, ++n;
    }
}

void run_forward(const Context& context, const Conv2d& c, const Plan& p) {
    const Conv2dShape& s = c.shape;
    float* packed = reinterpret_cast<float*>(context.workspace);
    float* scratch = packed + round_up(p.packed, 16);
    const int64_t group_size = p.packed / s.groups, all = s.N * s.OH() * s.OW(), blocks = ceil_div(all, p.pixels);
    for (int64_t group = 0; group < s.groups; ++group)
        pack_panels(c.weight + group * s.Fg(), s.F, 1, p.K, s.Fg(), packed + group * group_size);
    parallel_for(context, blocks * s.groups, [&](int64_t chunk, int thread) {
        const int64_t group = chunk / blocks, q0 = chunk % blocks * p.pixels, q1 = minimum(all, q0 + p.pixels);
        float* columns = scratch + thread * p.each;
        write_columns(s, c.x, q0, q1, group, p.K, columns);
        gemm_packed(q1 - q0, s.Fg(), p.K, columns, p.K, packed + group * group_size, c.out + q0 * s.F + group * s.Fg(),
                    s.F, c.bias ? c.bias + group * s.Fg() : nullptr, c.activation, c.alpha);
    });
}

void run_backward_data(const Context& context, const Conv2d& c, const Plan& p) {
    const Conv2dShape& s = c.shape;
    float* packed = reinterpret_cast<float*>(context.workspace);
    float* scratch = packed + round_up(p.packed, 16);
    const int64_t group_size = p.packed / s.groups, OH = s.OH(), OW = s.OW();
    const Band band = band_of(s);
    for (int64_t group = 0; group < s.groups; ++group)
        pack_panels(c.weight + group * s.Fg(), 1, s.F, s.Fg(), p.K, packed + group * group_size);
    parallel_for(context, s.N * band.count, [&](int64_t chunk, int thread) {
        const int64_t n = chunk / band.count, y0 = chunk % band.count * band.rows, y1 = minimum(s.H, y0 + band.rows);
        float* columns = scratch + thread * p.each;
        float* rows = columns + round_up(p.pixels * p.K, 16);
        for (int64_t i = 0; i < band.floats; ++i) rows[i] = 0.0f;
        // Output rows of which some tap lies in the band.
        const int64_t above = y0 + s.pad_h - s.dilation_h * (s.KH - 1);
        const int64_t first = above > 0 ? ceil_div(above, s.stride_h) : 0,
                      last = minimum(OH, (y1 - 1 + s.pad_h) / s.stride_h + 1);
        for (int64_t group = 0; group < s.groups; ++group)
            for (int64_t oh0 = first, oh1; oh0 < last; oh0 = oh1) {
                oh1 = minimum(last, oh0 + maximum(1, p.pixels / OW));
                const int64_t piece = minimum(OW, p.pixels);  // less than a row only where there is but one
                for (int64_t ow0 = 0, ow1; ow0 < OW; ow0 = ow1) {
                    ow1 = minimum(OW, ow0 + piece);
                    gemm_packed((oh1 - oh0) * (ow1 - ow0), p.K, s.Fg(),
                                c.out + ((n * OH + oh0) * OW + ow0) * s.F + group * s.Fg(), s.F,
                                packed + group * group_size, columns, p.K, nullptr, Activation::none, 0);
                    add_columns(s, band, columns, p.K, oh0, oh1, ow0, ow1, group, y0, y1, rows);
                }
            }
        for (int64_t y = y0; y < y1; ++y)
            __builtin_memcpy(c.x + (n * s.H + y) * s.W * s.C, rows + ((y - y0) * band.width + s.pad_w) * s.C,
                             static_cast<size_t>(s.W * s.C) * sizeof(float));
    });
}

void run_backward_weight(const Context& context, const Conv2d& c, const Plan& p) {
    const Conv2dShape& s = c.shape;
    float* partials = reinterpret_cast<float*>(context.workspace);
    float* scratch = partials + round_up(p.parts * p.partial * s.groups, 16);
    const int64_t all = s.N * s.OH() * s.OW();
    parallel_for(context, s.groups * p.parts, [&](int64_t chunk, int thread) {
        const int64_t group = chunk / p.parts, part = chunk % p.parts;
        float* columns = scratch + thread * p.each;
        float* tail = columns + p.pixels * p.K;  // dout's last panel, when it is no whole vector
        float* partial = partials + chunk * p.partial;
        const int64_t first = all * part / p.parts, last = all * (part + 1) / p.parts;
        for (int64_t q0 = first; q0 < last; q0 += p.pixels) {
            const int64_t q1 = minimum(last, q0 + p.pixels);
            write_columns(s, c.x, q0, q1, group, p.K, columns);
            for (int64_t f = 0; f < s.Fg(); f += kPanel) {
                const int64_t width = panel_vectors(minimum(kPanel, s.Fg() - f)) * kLanes,
                              have = minimum(width, s.Fg() - f);
                const float* dout = c.out + q0 * s.F + group * s.Fg() + f;
                int64_t ldb = s.F;
                if (have != width) {
                    pack_columns(dout, s.F, 1, q1 - q0, have, width, tail);
                    dout = tail;
                    ldb = width;
                }
                multiply_transposed(p.K, width, q1 - q0, columns, p.K, dout, ldb, partial + f * p.K, width, q0 > first);
            }
        }
    });
    reduce_weight_partials(context, s, partials, p.parts, c.weight);
}

// Vector operations of the direct algorithm and of this one, to choose between them.
bool columns_pay(const Conv2dShape& s, ConvPass pass) {
    const double taps = static_cast<double>(s.KH * s.KW), Cg = static_cast<double>(s.Cg()),
                 Fg = static_cast<double>(s.Fg());
    auto vectors = [](double n) { return static_cast<double>(ceil_div(static_cast<int64_t>(n), kLanes)); };
    if (pass == ConvPass::backward_data) {
        const double in = static_cast<double>(s.H * s.W), out = static_cast<double>(s.OH() * s.OW());
        const double direct = in * taps * Fg * vectors(Cg) / static_cast<double>(s.stride_h * s.stride_w);
        const double columns = out * (Fg * vectors(taps * Cg) + 3 * vectors(taps * Cg));
        return columns < 0.8 * direct;
    }
    if (pass == ConvPass::backward_weight) return Cg < kTileRows;
    return Cg < 8;
}

bool can(const Conv2d&) { return true; }
bool prefer(const Conv2d& c) {
    if (plain(c.shape)) return c.pass != ConvPass::backward_weight;
    return c.shape.groups == 1 && columns_pay(c.shape, c.pass);
}

size_t workspace(const Conv2d& c, int threads) {
    if (plain(c.shape)) return gemm_workspace(plain_gemm(c), threads);
    const Plan p = plan_of(c);
    const int64_t shared = c.pass == ConvPass::backward_weight ? p.parts * p.partial * c.shape.groups : p.packed;
    return static_cast<size_t>(round_up(shared, 16) + threads * p.each) * sizeof(float);
}

void run(const Context& context, const Conv2d& c) {
    if (plain(c.shape)) {
        gemm(context, plain_gemm(c));
        return;
    }
    const Plan p = plan_of(c);
    if (c.pass == ConvPass::forward)
        run_forward(context, c, p);
    else if (c.pass == ConvPass::backward_data)
        run_backward_data(context, c, p);
    else
        run_backward_weight(context, c, p);
}

bool packs(const Conv2d& c) { return plain(c.shape) && c.pass != ConvPass::backward_weight; }
size_t packed_bytes(const Conv2d& c) { return packs(c) ? gemm_packed_bytes(plain_gemm(c)) : 0; }
void pack(const Context& context, const Conv2d& c, float* packed) { gemm_pack(context, plain_gemm(c), packed); }
int64_t parts(const Conv2d& c) { return plain(c.shape) ? gemm_parts(plain_gemm(c)) : 0; }

}  // namespace

const ConvAlgorithm kConvIm2col = {"im2col", can, prefer, workspace, run, false, packed_bytes, pack, parts};

}  // namespace PYNET_LEVEL
}  // namespace pynet
