// Direct convolution by gathering: no columns are built; the micro-kernel reads activations in place.
//
// Forward and backward-data are one routine. Every destination pixel is a sum over taps of (source pixel row
// of channels) x (tap's weight matrix). With stride s, backward-data splits the destination into s * s phases;
// within a phase all pixels have the same taps and neighbouring pixels read neighbouring source pixels.
//   forward        source = x,    destination = out, source row = i * stride - pad + kh * dilation
//   backward_data  source = dout, destination = dx,  row h = phase + i * stride, source row = i + (phase + pad - kh *
//   dilation) / stride
// A tile is kTileRows consecutive pixels of a phase's flattened grid, with a table of source pointers a tap; taps
// outside the map point at zeros, taps outside for the whole tile are left out. On small maps neighbouring
// pixels of the grid are the same position of neighbouring images, so that most such taps vanish.
//
// Backward-weight: dw[kh, kw] = x_shifted^T dout; each tile of (channels x outputs) stays in registers over all
// pixels of an image. Images are cut into fixed parts with partial sums, added in order.
//
// Layout: (N, H, W, C), weights (KH, KW, Cg, F). Threads: chunks by shape alone. Aliasing: none allowed.
#include "conv2d.h"
#include "gemm.h"
#include "kernels.h"
#include "parallel.h"

namespace pynet {
namespace PYNET_LEVEL {
namespace {

constexpr int64_t kTableBytes = 48 * 1024;  // pointer tables of one block of tiles
constexpr int64_t kWantedChunks = 32;

// destination[i][j] = activate(bias[j] + sum over taps t and k < K of source[t][i][k] * b[offset[t] + k][j]).
template <int Rows, int NV>
PYNET_NOINLINE void tile_taps(int64_t taps, int64_t K, const float* const* source, const int64_t* offset,
                              const float* b, const float* bias, Activation activation, float alpha,
                              float* const* destination) {
    vfloat sum[Rows][NV];
    PYNET_UNROLL
    for (int i = 0; i < Rows; ++i) {
        PYNET_UNROLL
        for (int j = 0; j < NV; ++j) sum[i][j] = vfloat{};
    }
    for (int64_t t = 0; t < taps; ++t) {
        const float* row[Rows];
        PYNET_UNROLL
        for (int i = 0; i < Rows; ++i) row[i] = source[t * kTileRows + i];
        const float* bk = b + offset[t] * (NV * kLanes);
        for (int64_t k = 0; k < K; ++k) {
            vfloat v[NV];
            PYNET_UNROLL
            for (int j = 0; j < NV; ++j) v[j] = load(bk + j * kLanes);
            PYNET_UNROLL
            for (int i = 0; i < Rows; ++i) {
                const float s = row[i][k];
                PYNET_UNROLL
                for (int j = 0; j < NV; ++j) sum[i][j] += s * v[j];
            }
            bk += NV * kLanes;
        }
    }
    PYNET_UNROLL
    for (int j = 0; j < NV; ++j) {
        const vfloat add = load(bias + j * kLanes);
        PYNET_UNROLL
        for (int i = 0; i < Rows; ++i) store(destination[i] + j * kLanes, activate(sum[i][j] + add, activation, alpha));
    }
}

typedef void (*TapsFunction)(int64_t, int64_t, const float* const*, const int64_t*, const float*, const float*,
                             Activation, float, float* const*);

template <int Rows = kTileRows>
PYNET_INLINE TapsFunction taps_for(int64_t rows, int vectors) {
    if constexpr (Rows == 1) {
        return vectors == 1 ? tile_taps<1, 1> : tile_taps<1, 2>;
    } else {
        if (rows == Rows) return vectors == 1 ? tile_taps<Rows, 1> : tile_taps<Rows, 2>;
        return taps_for<Rows - 1>(rows, vectors);
    }
}

// The gather view of a pass.
struct Gather {
    const float* source;
    float* destination;
    int64_t N, SH, SW, SC, DH, DW, DC;  // maps and channels of all groups
    int64_t Sg, Dg, groups;             // channels of one group
    int64_t phases_h, phases_w;         // 1 forward, the stride backward
    int64_t step_h, step_w;  // source pixels from one destination pixel to the next: the stride forward, 1 backward
    int64_t KH, KW, pad_h, pad_w, dilation_h, dilation_w;
    bool backward;
};

Gather gather_of(const Conv2d& c) {
    const Conv2dShape& s = c.shape;
    const bool back = c.pass == ConvPass::backward_data;
    Gather g;
    g.source = back ? c.out : c.x;
    g.destination = back ? c.x : c.out;
    g.N = s.N;
    g.SH = back ? s.OH() : s.H, g.SW = back ? s.OW() : s.W, g.SC = back ? s.F : s.C;
    g.DH = back ? s.H : s.OH(), g.DW = back ? s.W : s.OW(), g.DC = back ? s.C : s.F;
    g.Sg = back ? s.Fg() : s.Cg(), g.Dg = back ? s.Cg() : s.Fg(), g.groups = s.groups;
    g.phases_h = back ? s.stride_h : 1, g.phases_w = back ? s.stride_w : 1;
    g.step_h = back ? 1 : s.stride_h, g.step_w = back ? 1 : s.stride_w;
    g.KH = s.KH, g.KW = s.KW, g.pad_h = s.pad_h, g.pad_w = s.pad_w, g.dilation_h = s.dilation_h,
    g.dilation_w = s.dilation_w;
    g.backward = back;
    return g;
}

// The source offset of a tap in a phase; false when the tap does not meet the phase.
PYNET_INLINE bool tap_offset(bool backward, int64_t phase, int64_t phases, int64_t tap, int64_t pad, int64_t dilation,
                             int64_t* offset) {
    if (!backward) {
        *offset = tap * dilation - pad;
        return true;
    }
    const int64_t distance = phase + pad - tap * dilation;
    if (distance % phases != 0) return false;
    *offset = distance / phases;
    return true;
}

struct Blocks {
    int64_t tiles;                                // tiles of one block
    int64_t panels;                               // panels of one chunk
    int64_t panel_blocks, all_panels, width_all;  // of one group
    int64_t taps;
    bool images_innermost;  // neighbouring pixels of the grid are neighbouring images
};

Blocks blocks_of(const Gather& g) {
    Blocks b;
    b.taps = g.KH * g.KW;
    b.all_panels = ceil_div(g.Dg, kPanel);
    b.width_all = packed_panels_width(g.Dg);
    b.images_innermost = ceil_div(g.DW, g.phases_w) < kTileRows && g.N >= kTileRows;
    const int64_t pixels = g.N * ceil_div(g.DH, g.phases_h) * ceil_div(g.DW, g.phases_w);
    const int64_t tiles = ceil_div(pixels, kTileRows);
    const int64_t panel_bytes = b.taps * g.Sg * kPanel * 4;
    b.tiles = maximum(1, minimum(panel_bytes > 192 * 1024 ? 32 : 16, kTableBytes / (b.taps * kTileRows * 8)));
    b.panels = b.all_panels;
    auto chunks = [&] {
        return ceil_div(tiles, b.tiles) * ceil_div(b.all_panels, b.panels) * g.groups * g.phases_h * g.phases_w;
    };
    while (chunks() < kWantedChunks && b.panels > 1) b.panels = ceil_div(b.panels, 2);
    while (chunks() < kWantedChunks && b.tiles > 4) b.tiles /= 2;
    b.panel_blocks = ceil_div(b.all_panels, b.panels);
    return b;
}

struct Table {             // of one block of tiles
    const float** source;  // [tile][tap][kTileRows]
    int64_t* offset;       // [tile][tap]: the row of the panel where the tap's weights start
    int64_t* used;         // [tile]: how many taps are left
    float** destination;   // [tile][kTileRows]
};

int64_t table_bytes(const Blocks& b) { return round_up(b.tiles * (b.taps * (kTileRows + 1) + 1 + kTileRows) * 8, 64); }

Table table_at(char* memory, const Blocks& b) {
    Table t;
    t.source = reinterpret_cast<const float**>(memory);
    t.offset = reinterpret_cast<int64_t*>(t.source + b.tiles * b.taps * kTileRows);
    t.used = t.offset + b.tiles * b.taps;
    t.destination = reinterpret_cast<float**>(t.used + b.tiles);
    return t;
}

struct Phase {
    int64_t h, w, rows, columns;  // first destination row and column, size of its grid
};

// Fills tile `tile` of the table for grid pixels [q, q + rows); returns nothing but the table's entries.
void fill_tile(const Gather& g, const Blocks& b, const Phase& phase, int64_t group, int64_t q, int64_t rows,
               int64_t tile, const float* zeros, const Table& table) {
    int64_t image[kTileRows], i_at[kTileRows], j_at[kTileRows];
    int64_t j = 0, i = 0, n = 0;
    if (b.images_innermost) {
        n = q % g.N, j = q / g.N % phase.columns, i = q / g.N / phase.columns;
    } else {
        j = q % phase.columns, i = q / phase.columns % phase.rows, n = q / phase.columns / phase.rows;
    }
    for (int64_t r = 0; r < rows; ++r) {
        image[r] = n, i_at[r] = i, j_at[r] = j;
        table.destination[tile * kTileRows + r] =
            g.destination + ((n * g.DH + phase.h + i * g.phases_h) * g.DW + phase.w + j * g.phases_w) * g.DC +
            group * g.Dg;
        if (b.images_innermost) {
            if (++n == g.N) n = 0, ++j;
            if (j == phase.columns) j = 0, ++i;
        } else {
            if (++j == phase.columns) j = 0, ++i;
            if (i == phase.rows) i = 0, ++n;
        }
    }
    const bool one_row = !b.images_innermost && j_at[rows - 1] == j_at[0] + rows - 1 && i_at[rows - 1] == i_at[0];
    const float** source = table.source + tile * b.taps * kTileRows;
    int64_t* offset = table.offset + tile * b.taps;
    int64_t used = 0;
    for (int64_t kh = 0; kh < g.KH; ++kh) {
        int64_t row_offset;
        if (!tap_offset(g.backward, phase.h, g.phases_h, kh, g.pad_h, g.dilation_h, &row_offset)) continue;
        for (int64_t kw = 0; kw < g.KW; ++kw) {
            int64_t column_offset;
            if (!tap_offset(g.backward, phase.w, g.phases_w, kw, g.pad_w, g.dilation_w, &column_offset)) continue;
            const float** pointer = source + used * kTileRows;
            bool any = false;
            if (one_row) {
                const int64_t y = i_at[0] * g.step_h + row_offset;
                if (y < 0 || y >= g.SH) continue;
                const int64_t x0 = j_at[0] * g.step_w + column_offset;
                const float* base = g.source + (image[0] * g.SH + y) * g.SW * g.SC + group * g.Sg;
                if (x0 >= 0 && x0 + (rows - 1) * g.step_w < g.SW) {
                    for (int64_t r = 0; r < rows; ++r) pointer[r] = base + (x0 + r * g.step_w) * g.SC;
                    any = true;
                } else {
                    for (int64_t r = 0; r < rows; ++r) {
                        const int64_t x = x0 + r * g.step_w;
                        const bool inside = x >= 0 && x < g.SW;
                        pointer[r] = inside ? base + x * g.SC : zeros;
                        any |= inside;
                    }
                }
            } else {
                for (int64_t r = 0; r < rows; ++r) {
                    const int64_t y = i_at[r] * g.step_h + row_offset, x = j_at[r] * g.step_w + column_offset;
                    const bool inside = y >= 0 && y < g.SH && x >= 0 && x < g.SW;
                    pointer[r] = inside ? g.source + ((image[r] * g.SH + y) * g.SW + x) * g.SC + group * g.Sg : zeros;
                    any |= inside;
                }
            }
            if (!any) continue;
            offset[used++] = (kh * g.KW + kw) * g.Sg;
        }
    }
    table.used[tile] = used;
}

struct GatherLayout {  // workspace, in bytes
    int64_t weights, bias, zeros, threads, each, total;
};

GatherLayout layout_of(const Gather& g, const Blocks& b, int threads) {
    GatherLayout l;
    l.weights = 0;
    l.bias = round_up(g.groups * b.taps * g.Sg * b.width_all * 4, 64);
    l.zeros = l.bias + round_up(g.groups * b.width_all * 4, 64);
    l.threads = l.zeros + round_up(g.Sg * 4, 64);
    l.each = table_bytes(b) + kTileRows * kPanel * 4 + 64;
    l.total = l.threads + l.each * threads;
    return l;
}

// Weights of group, panel: [tap][Sg][width]; panel p of a group starts at p * kPanel * taps * Sg.
void pack_weights(const Context& context, const Conv2d& c, const Gather& g, const Blocks& b, float* packed,
                  float* bias) {
    const int64_t group_size = b.taps * g.Sg * b.width_all, F = c.shape.F, Cg = c.shape.Cg(), Fg = c.shape.Fg();
    parallel_for(context, g.groups * b.all_panels * b.taps, [&](int64_t chunk, int) {
        const int64_t tap = chunk % b.taps, panel = chunk / b.taps % b.all_panels,
                      group = chunk / b.taps / b.all_panels;
        const int64_t columns = minimum(kPanel, g.Dg - panel * kPanel), width = panel_vectors(columns) * kLanes;
        const float* w = c.weight + tap * Cg * F + group * Fg;  // (Cg, Fg), rows F apart
        float* to = packed + group * group_size + panel * kPanel * b.taps * g.Sg + tap * g.Sg * width;
        if (g.backward)
            pack_columns(w + panel * kPanel * F, 1, F, g.Sg, columns, width, to);
        else
            pack_columns(w + panel * kPanel, F, 1, g.Sg, columns, width, to);
    });
    for (int64_t group = 0; group < g.groups; ++group)
        for (int64_t j = 0; j < b.width_all; ++j)
            bias[group * b.width_all + j] = !g.backward && c.bias && j < g.Dg ? c.bias[group * g.Dg + j] : 0.0f;
}

void run_gather(const Context& context, const Conv2d& c) {
    const Gather g = gather_of(c);
    const Blocks b = blocks_of(g);
    const GatherLayout l = layout_of(g, b, context.threads);
    float* packed = reinterpret_cast<float*>(context.workspace + l.weights);
    float* bias = reinterpret_cast<float*>(context.workspace + l.bias);
    float* zeros = reinterpret_cast<float*>(context.workspace + l.zeros);
    for (int64_t k = 0; k < g.Sg; ++k) zeros[k] = 0.0f;
    pack_weights(context, c, g, b, packed, bias);

    const int64_t most_pixels = g.N * ceil_div(g.DH, g.phases_h) * ceil_div(g.DW, g.phases_w);
    const int64_t tile_blocks = ceil_div(ceil_div(most_pixels, kTileRows), b.tiles);
    const Activation activation = g.backward ? Activation::none : c.activation;
    parallel_for(
        context, g.phases_h * g.phases_w * g.groups * b.panel_blocks * tile_blocks, [&](int64_t chunk, int thread) {
            const int64_t block = chunk % tile_blocks;
            int64_t rest = chunk / tile_blocks;
            const int64_t panel_block = rest % b.panel_blocks;
            rest /= b.panel_blocks;
            const int64_t group = rest % g.groups;
            rest /= g.groups;
            Phase phase;
            phase.w = rest % g.phases_w, phase.h = rest / g.phases_w;
            if (phase.h >= g.DH || phase.w >= g.DW) return;
            phase.rows = ceil_div(g.DH - phase.h, g.phases_h), phase.columns = ceil_div(g.DW - phase.w, g.phases_w);
            const int64_t pixels = g.N * phase.rows * phase.columns;
            const int64_t q0 = block * b.tiles * kTileRows, q1 = minimum(pixels, q0 + b.tiles * kTileRows);
            if (q0 >= q1) return;

            char* memory = context.workspace + l.threads + thread * l.each;
            const Table table = table_at(memory, b);
            float* edge = reinterpret_cast<float*>(memory + table_bytes(b));
            const int64_t tiles = ceil_div(q1 - q0, kTileRows);
            for (int64_t tile = 0; tile < tiles; ++tile)
                fill_tile(g, b, phase, group, q0 + tile * kTileRows, minimum(kTileRows, q1 - q0 - tile * kTileRows),
                          tile, zeros, table);

            const int64_t last = minimum(b.all_panels, (panel_block + 1) * b.panels);
            for (int64_t panel = panel_block * b.panels; panel < last; ++panel) {
                const int64_t columns = minimum(kPanel, g.Dg - panel * kPanel);
                const int vectors = panel_vectors(columns);
                const int64_t width = vectors * kLanes;
                const float* weights = packed + group * b.taps * g.Sg * b.width_all + panel * kPanel * b.taps * g.Sg;
                const float* panel_bias = bias + group * b.width_all + panel * kPanel;
                for (int64_t tile = 0; tile < tiles; ++tile) {
                    const int64_t rows = minimum(kTileRows, q1 - q0 - tile * kTileRows), used = table.used[tile];
                    float* target[kTileRows];
                    for (int64_t r = 0; r < rows; ++r)
                        target[r] = columns == width ? table.destination[tile * kTileRows + r] + panel * kPanel
                                                     : edge + r * width;
                    taps_for<>(rows, vectors)(used, g.Sg, table.source + tile * b.taps * kTileRows,
                                              table.offset + tile * b.taps, weights, panel_bias, activation, c.alpha,
                                              target);
                    if (columns != width)
                        for (int64_t r = 0; r < rows; ++r)
                            store_edge(edge + r * width, width,
                                       table.destination[tile * kTileRows + r] + panel * kPanel, 0, 1, columns);
                }
            }
        });
}

// Backward-weight ------------------------------------------------------------------------------------------------

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

size_t weight_workspace(const Conv2dShape& s, int threads) {
    const WeightPlan p = weight_plan(s);
    return static_cast<size_t>(round_up(p.parts * p.size * s.groups, 16) + threads * round_up(p.tail_floats, 16)) *
           sizeof(float);
}

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

void run_weight(const Context& context, const Conv2d& c) {
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

bool can(const Conv2d&) { return true; }
bool prefer(const Conv2d&) { return true; }

size_t workspace(const Conv2d& c, int threads) {
    if (c.pass == ConvPass::backward_weight) return weight_workspace(c.shape, threads);
    const Gather g = gather_of(c);
    return static_cast<size_t>(layout_of(g, blocks_of(g), threads).total);
}

void run(const Context& context, const Conv2d& c) {
    if (c.pass == ConvPass::backward_weight)
        run_weight(context, c);
    else
        run_gather(context, c);
}

}  // namespace

const ConvAlgorithm kConvDirect = {"direct", can, prefer, workspace, run};

}  // namespace PYNET_LEVEL
}  // namespace pynet
