// Backward-weight of direct convolution: dw[kh, kw] = x_shifted^T dout. A tile of (channels x outputs) stays in
// registers over all pixels of an image. Images are cut into fixed parts with partial sums, added in order. Layout: (N,
// H, W, C), weights (KH, KW, Cg, F). Threads: chunks by shape alone. Aliasing: none allowed.
#include "conv2d_direct.h"
#include "gemm.h"
#include "kernels.h"
#include "parallel.h"

namespace pynet {
namespace PYNET_LEVEL {
namespace {

constexpr int64_t kWantedChunks = 32;

// c[i][j] (+)= sum over images, rows, columns of x[i] * dout[j]; x and dout step by their own strides.
struct Walk {
    int64_t images, rows, columns;
    int64_t a_image, a_row, a_column, b_image, b_row, b_column;
};

template <int Rows, int NV>
PYNET_NOINLINE void tile_pixels(const Walk& walk, const float* a_base, const float* b_base, float* c, int64_t ldc,
                                bool accumulate) {
    vfloat sum[Rows][NV];
    PYNET_UNROLL
    for (int i = 0; i < Rows; ++i) {
        PYNET_UNROLL
        for (int j = 0; j < NV; ++j) sum[i][j] = accumulate ? load(c + i * ldc + j * kLanes) : vfloat{};
    }
    const int64_t columns = walk.columns, a_step = walk.a_column, b_step = walk.b_column;
    for (int64_t n = 0; n < walk.images; ++n) {
        for (int64_t r = 0; r < walk.rows; ++r) {
            const float* a = a_base + n * walk.a_image + r * walk.a_row;
            const float* b = b_base + n * walk.b_image + r * walk.b_row;
            for (int64_t k = 0; k < columns; ++k) {
                vfloat v[NV];
                PYNET_UNROLL
                for (int j = 0; j < NV; ++j) v[j] = load(b + j * kLanes);
                PYNET_UNROLL
                for (int i = 0; i < Rows; ++i) {
                    const float s = a[i];
                    PYNET_UNROLL
                    for (int j = 0; j < NV; ++j) sum[i][j] += s * v[j];
                }
                a += a_step;
                b += b_step;
            }
        }
    }
    PYNET_UNROLL
    for (int i = 0; i < Rows; ++i) {
        PYNET_UNROLL
        for (int j = 0; j < NV; ++j) store(c + i * ldc + j * kLanes, sum[i][j]);
    }
}

typedef void (*PixelsFunction)(const Walk&, const float*, const float*, float*, int64_t, bool);

template <int Rows = kTileRows>
PYNET_INLINE PixelsFunction pixels_for(int64_t rows, int vectors) {
    if constexpr (Rows == 1) {
        return vectors == 1 ? tile_pixels<1, 1> : tile_pixels<1, 2>;
    } else {
        if (rows == Rows) return vectors == 1 ? tile_pixels<Rows, 1> : tile_pixels<Rows, 2>;
        return pixels_for<Rows - 1>(rows, vectors);
    }
}

struct WeightPlan {
    int64_t parts, panels, channel_blocks, channels;  // channels: of one chunk
    int64_t size;                                     // floats of one partial of one group
    int64_t images;                                   // walked at once, so that their pixels stay in L2
    int64_t tail_floats;  // dout's last panel of one such run of images, when it is no whole vector
};

WeightPlan weight_plan(const Conv2dShape& s) {
    WeightPlan p;
    p.panels = ceil_div(s.Fg(), kPanel);
    p.size = partial_size(s.KH * s.KW * s.Cg(), s.Fg());
    p.channels = s.Cg();
    const int64_t units = s.groups * p.panels * s.KH;
    p.parts = maximum(1, minimum(s.N, ceil_div(kWantedChunks, units)));
    while (p.parts > 1 && p.parts * p.size * s.groups > (int64_t{8} << 20)) p.parts = ceil_div(p.parts, 2);
    while (units * p.parts * ceil_div(s.Cg(), p.channels) < kWantedChunks && p.channels > 2 * kTileRows)
        p.channels = round_up(p.channels / 2, kTileRows);
    p.channel_blocks = ceil_div(s.Cg(), p.channels);
    const int64_t image_bytes = (s.H * s.W * s.C + s.OH() * s.OW() * s.F) * 4;
    p.images = maximum(1, minimum(s.N, 256 * 1024 / maximum(1, image_bytes)));
    p.tail_floats = s.Fg() % kLanes ? p.images * s.OH() * s.OW() * kPanel : 0;
    return p;
}

}  // namespace

size_t direct_weight_workspace(const Conv2dShape& s, int threads) {
    const WeightPlan p = weight_plan(s);
    return static_cast<size_t>(round_up(p.parts * p.size * s.groups, 16) + threads * round_up(p.tail_floats, 16)) *
           sizeof(float);
}

namespace {

// One (group, panel, kh, channel block) over images [n0, n1) into `partial`.
void weight_chunk(const Conv2d& c, const WeightPlan& p, int64_t group, int64_t panel, int64_t kh, int64_t c0,
                  int64_t n0, int64_t n1, float* partial, float* tail) {
    const Conv2dShape& s = c.shape;
    const int64_t OH = s.OH(), OW = s.OW(), rows = s.KH * s.KW * s.Cg();
    const int64_t columns = minimum(kPanel, s.Fg() - panel * kPanel);
    const int vectors = panel_vectors(columns);
    const int64_t width = vectors * kLanes, c1 = minimum(s.Cg(), c0 + p.channels);
    float* target = partial + panel * kPanel * rows;
    int64_t oh0, oh1;
    valid_range(OH, s.stride_h, kh * s.dilation_h - s.pad_h, s.H, &oh0, &oh1);
    for (int64_t n = n0; n < n1; n += p.images) {
        const int64_t images = minimum(p.images, n1 - n);
        const float* dout = c.out + n * OH * OW * s.F + group * s.Fg() + panel * kPanel;
        int64_t ldb = s.F;
        if (columns != width) {
            pack_columns(dout, s.F, 1, images * OH * OW, columns, width, tail);
            dout = tail;
            ldb = width;
        }
        for (int64_t kw = 0; kw < s.KW; ++kw) {
            int64_t ow0, ow1;
            valid_range(OW, s.stride_w, kw * s.dilation_w - s.pad_w, s.W, &ow0, &ow1);
            const int64_t y = oh0 * s.stride_h + kh * s.dilation_h - s.pad_h,
                          x = ow0 * s.stride_w + kw * s.dilation_w - s.pad_w;
            const Walk walk{
                images,        oh1 - oh0, ow1 - ow0, s.H * s.W * s.C, s.stride_h * s.W * s.C, s.stride_w * s.C,
                OH * OW * ldb, OW * ldb,  ldb};
            const float* a = c.x + ((n * s.H + y) * s.W + x) * s.C + group * s.Cg();
            const float* b = dout + (oh0 * OW + ow0) * ldb;
            for (int64_t ch = c0; ch < c1; ch += kTileRows)
                pixels_for<>(minimum(kTileRows, c1 - ch), vectors)(
                    walk, a + ch, b, target + ((kh * s.KW + kw) * s.Cg() + ch) * width, width, n > n0);
        }
    }
}

}  // namespace

void direct_weight(const Context& context, const Conv2d& c) {
    const Conv2dShape& s = c.shape;
    const WeightPlan p = weight_plan(s);
    float* partials = reinterpret_cast<float*>(context.workspace);
    float* tails = partials + round_up(p.parts * p.size * s.groups, 16);
    parallel_for(context, s.groups * p.parts * p.panels * s.KH * p.channel_blocks, [&](int64_t chunk, int thread) {
        int64_t rest = chunk;
        const int64_t block = rest % p.channel_blocks;
        rest /= p.channel_blocks;
        const int64_t kh = rest % s.KH;
        rest /= s.KH;
        const int64_t panel = rest % p.panels;
        rest /= p.panels;
        const int64_t part = rest % p.parts, group = rest / p.parts;
        weight_chunk(c, p, group, panel, kh, block * p.channels, s.N * part / p.parts, s.N * (part + 1) / p.parts,
                     partials + (group * p.parts + part) * p.size, tails + thread * round_up(p.tail_floats, 16));
    });
    reduce_weight_partials(context, s, partials, p.parts, c.weight);
}

}  // namespace PYNET_LEVEL
}  // namespace pynet
