// Weight gradient over strips (conv2d_strip.h). For one kh the KW * Cg inputs of an output pixel lie next to each
// other, so that a tile takes as many rows of them as its registers hold, however few channels there are:
//   dw[kh][kw * Cg + c][f] = sum over pixels of strip[oh * stride_h + kh * dilation_h][ow * stride_w * Cg + kw * Cg +
//   c]
//                            * dout[pixel][f]
// The output rows of all images are cut into fixed parts, with partial sums that are added in order. A part goes by
// bands of rows, or by some whole images where they are small: their inputs are copied into strips, and a panel of
// their gradients into whole vectors; both stay in cache for all tiles.
// Layout: (N, H, W, C) activations, (KH, KW, Cg, F) weights. Threads: parts, and panels of outputs and kernel rows
// where these are few. Aliasing: none. Workspace: partial sums; strips and a panel of gradients for each thread.
#include "conv2d_strip.h"
#include "gemm.h"
#include "kernels.h"
#include "parallel.h"

namespace pynet {
namespace PYNET_LEVEL {
namespace {

constexpr int64_t kBandPixels = 128;         // a panel of their gradients takes half of L1
constexpr int64_t kPartPixels = 512;         // a shorter part would mostly read and write its sums,
constexpr int64_t kFewPartPixels = 128;      // but is better than an idle thread
constexpr int64_t kStripBytes = 128 * 1024;  // part of L2
constexpr int64_t kMostParts = 32, kWantedChunks = 16;
constexpr int64_t kMostPartials = int64_t{8} << 20;  // floats

// Rows of a tile one, respectively two vectors wide.
constexpr int kOneWide = 2 * kTileRows, kTwoWide = kLanes == 16 ? 12 : kTileRows;

struct Band {  // what a tile sums over
    int64_t images, rows, columns;
    int64_t a_image, a_row, a_column, b_row, b_column;  // the rows of b follow each other through all images
};

template <int Rows, int NV>
PYNET_NOINLINE void tile_band(const Band& band, const float* a_base, const float* b_base, float* c, int64_t ldc,
                              bool accumulate) {
    vfloat sum[Rows][NV];
    PYNET_UNROLL
    for (int i = 0; i < Rows; ++i) {
        PYNET_UNROLL
        for (int j = 0; j < NV; ++j) sum[i][j] = accumulate ? load(c + i * ldc + j * kLanes) : vfloat{};
    }
    const int64_t columns = band.columns, a_step = band.a_column, b_step = band.b_column;
    for (int64_t r = 0; r < band.images * band.rows; ++r) {
        const float* a = a_base + r / band.rows * band.a_image + r % band.rows * band.a_row;
        const float* b = b_base + r * band.b_row;
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
    PYNET_UNROLL
    for (int i = 0; i < Rows; ++i) {
        PYNET_UNROLL
        for (int j = 0; j < NV; ++j) store(c + i * ldc + j * kLanes, sum[i][j]);
    }
}

typedef void (*BandFunction)(const Band&, const float*, const float*, float*, int64_t, bool);

template <int NV, int Rows = NV == 1 ? kOneWide : kTwoWide>
PYNET_INLINE BandFunction band_for(int64_t rows) {
    if constexpr (Rows > 1) {
        if (rows < Rows) return band_for<NV, Rows - 1>(rows);
    }
    return tile_band<Rows, NV>;
}

struct Plan {
    Strip strip;
    int64_t run;                                     // inputs of one kh: KW * Cg
    int64_t images, rows, strip_rows;                // of a band; rows of the strip of one image
    int64_t unit;                                    // output rows that stay together: one, or those of an image
    int64_t parts, partial;                          // of all output rows; floats of the sums of one part and group
    int64_t panels;                                  // of one group
    int64_t chunk_panels, panel_blocks, row_blocks;  // panels of a chunk; blocks of kernel rows: 1 or KH
    int64_t strip_floats, gradient_floats;           // of a thread
};

Plan plan_of(const Conv2dShape& s) {
    Plan p;
    const int64_t OH = s.OH(), OW = s.OW(), map = OH * OW;
    p.run = s.KW * s.Cg();
    p.strip = {s.H, s.W, s.C, s.Cg(), -s.pad_w, ((OW - 1) * s.stride_w + (s.KW - 1) * s.dilation_w + 1) * s.Cg()};
    auto strip_rows = [&](int64_t rows) { return (rows - 1) * s.stride_h + (s.KH - 1) * s.dilation_h + 1; };
    p.rows = map <= 2 * kBandPixels ? OH : maximum(1, kBandPixels / OW);
    while (p.rows > 1 && strip_rows(p.rows) * p.strip.row * 4 > kStripBytes) --p.rows;
    p.unit = p.rows == OH ? OH : 1;
    p.strip_rows = strip_rows(p.rows);
    const int64_t fit = maximum(1, kStripBytes / 4 / (p.strip_rows * p.strip.row));
    p.images = p.rows == OH ? maximum(1, minimum(minimum(s.N, fit), kBandPixels / map)) : 1;
    p.partial = partial_size(s.KH * p.run, s.Fg());
    p.panels = ceil_div(s.Fg(), kPanel);
    const int64_t most_parts =
        minimum(minimum(s.N * OH / p.unit, kMostParts), maximum(1, kMostPartials / (p.partial * s.groups)));
    p.parts = maximum(1, minimum(most_parts, s.N * map / kPartPixels));
    p.chunk_panels = s.groups * p.panels;
    p.row_blocks = 1;
    auto chunks = [&] { return p.parts * ceil_div(s.groups * p.panels, p.chunk_panels) * p.row_blocks; };
    while (p.chunk_panels > 1 && chunks() < kWantedChunks) p.chunk_panels = ceil_div(p.chunk_panels, 2);
    if (chunks() < kWantedChunks) p.parts = maximum(1, minimum(most_parts, s.N * map / kFewPartPixels));
    if (chunks() < kWantedChunks) p.row_blocks = s.KH;
    p.panel_blocks = ceil_div(s.groups * p.panels, p.chunk_panels);
    p.strip_floats = round_up(p.images * p.strip_rows * p.strip.row, 16) + 16;
    p.gradient_floats = round_up(p.images * p.rows * OW * kPanel, 16);
    return p;
}

// What a band adds to one panel of one group, kernel rows [kh0, kh1).
void sum_panel(const Conv2dShape& s, const Plan& p, int64_t images, int64_t rows, const float* strip, const float* dout,
               int64_t first, int64_t kh0, int64_t kh1, float* gradients, float* partial, bool accumulate) {
    const int64_t OW = s.OW(), columns = minimum(kPanel, s.Fg() - first), width = panel_vectors(columns) * kLanes;
    const int64_t most = width == kPanel ? kTwoWide : kOneWide;
    const int64_t tiles = ceil_div(p.run, most);  // of about equal height
    const float* b = dout + first;
    int64_t ldb = s.F;
    // Pixels that lie far apart would also share few sets of L1.
    if (columns != width || (s.F > kPanel && (kh1 - kh0) * tiles > 2)) {
        pack_columns(b, s.F, 1, images * rows * OW, columns, width, gradients);
        b = gradients;
        ldb = width;
    }
    const Band band{images,   rows, OW, p.strip_rows * p.strip.row, s.stride_h * p.strip.row, s.stride_w * s.Cg(),
                    OW * ldb, ldb};
    float* sums = partial + first * s.KH * p.run;
    for (int64_t kh = kh0; kh < kh1; ++kh)
        for (int64_t t = 0; t < tiles; ++t) {
            const int64_t i = p.run * t / tiles, height = p.run * (t + 1) / tiles - i;
            const BandFunction tile = width == kPanel ? band_for<2>(height) : band_for<1>(height);
            tile(band, strip + kh * s.dilation_h * p.strip.row + i, b, sums + (kh * p.run + i) * width, width,
                 accumulate);
        }
}

}  // namespace

size_t strip_weight_workspace(const Conv2dShape& s, int threads) {
    const Plan p = plan_of(s);
    return static_cast<size_t>(round_up(p.parts * p.partial * s.groups, 16) +
                               threads * (p.strip_floats + p.gradient_floats)) *
           sizeof(float);
}

void strip_weight(const Context& context, const Conv2d& c) {
    const Conv2dShape& s = c.shape;
    const Plan p = plan_of(s);
    float* partials = reinterpret_cast<float*>(context.workspace);
    float* threads = partials + round_up(p.parts * p.partial * s.groups, 16);
    const int64_t OH = s.OH(), OW = s.OW(), units = s.N * OH / p.unit, blocks = p.panel_blocks * p.row_blocks;
    parallel_for(context, p.parts * blocks, [&](int64_t chunk, int thread) {
        float* strip = threads + thread * (p.strip_floats + p.gradient_floats);
        float* gradients = strip + p.strip_floats;
        const int64_t part = chunk / blocks, panel0 = chunk % blocks / p.row_blocks * p.chunk_panels,
                      panel1 = minimum(s.groups * p.panels, panel0 + p.chunk_panels),
                      kh0 = chunk % p.row_blocks * s.KH / p.row_blocks,
                      kh1 = (chunk % p.row_blocks + 1) * s.KH / p.row_blocks;
        const int64_t first = units * part / p.parts * p.unit, last = units * (part + 1) / p.parts * p.unit;
        int64_t images, rows;
        for (int64_t at = first; at < last; at += images * rows) {
            const int64_t n = at / OH, oh = at % OH;
            rows = minimum(p.rows, minimum(OH - oh, last - at));
            images = p.unit == OH ? minimum(p.images, (last - at) / OH) : 1;
            int64_t copied = -1;
            for (int64_t index = panel0; index < panel1; ++index) {
                const int64_t group = index / p.panels;
                if (group != copied)
                    for (int64_t i = 0; i < images; ++i)
                        write_strip(p.strip, c.x + (n + i) * s.H * s.W * s.C + group * s.Cg(),
                                    oh * s.stride_h - s.pad_h, (rows - 1) * s.stride_h + (s.KH - 1) * s.dilation_h + 1,
                                    strip + i * p.strip_rows * p.strip.row);
                copied = group;
                sum_panel(s, p, images, rows, strip, c.out + at * OW * s.F + group * s.Fg(), index % p.panels * kPanel,
                          kh0, kh1, gradients, partials + (group * p.parts + part) * p.partial, at > first);
            }
        }
    });
    reduce_weight_partials(context, s, partials, p.parts, c.weight);
}

}  // namespace PYNET_LEVEL
}  // namespace pynet
