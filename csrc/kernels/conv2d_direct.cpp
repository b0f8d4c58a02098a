// Direct convolution by gathering: no columns are built; the micro-kernel reads activations in place.
//
// Forward and backward-data are one routine. Every destination pixel is a sum over taps of (source pixel row
// of channels) x (tap's weight matrix). With stride s, backward-data splits the destination into s * s phases;
// within a phase all pixels have the same taps and neighbouring pixels read neighbouring source pixels.
//   forward        source = x,    destination = out, source row = i * stride - pad + kh * dilation
//   backward_data  source = dout, destination = dx,  row h = phase + i * stride, source row = i + (phase + pad - kh *
//   dilation) / stride
// A tile is kTileRows consecutive pixels of a phase's flattened grid, with a table of source pointers a tap; taps
// outside the map point at zeros, taps outside for the whole tile are left out. On small maps, given a tile's worth of
// images, neighbouring pixels of the grid are the same position of neighbouring images: only tiles that span two
// positions still meet such taps. All groups share a table: their channels lie side by side.
//
// Layout: (N, H, W, C), weights (KH, KW, Cg, F). Threads: chunks by shape alone. Aliasing: none allowed.
#include "conv2d_direct.h"

#include "conv2d.h"
#include "gemm.h"
#include "kernels.h"
#include "parallel.h"
#include "prefetch.h"
#include "statistics.h"

namespace pynet {
namespace PYNET_LEVEL {
namespace {

constexpr int64_t kTableBytes = 48 * 1024;  // pointer tables of one block of tiles
constexpr int64_t kWantedChunks = 32;
// Columns of a grid up to which a tile takes one position of several images: of larger maps too few taps are outside.
constexpr int64_t kSmallMap = 8;

// destination[i][to + j] = activate(bias[j] + sum over taps t and k < K of source[t][i][first + k] * b[offset[t] +
// k][j]); of the last vector `last` columns exist.
template <int Rows, int NV>
PYNET_NOINLINE void tile_taps(int64_t taps, int64_t K, const float* const* source, int64_t first, const int64_t* offset,
                              const float* b, const float* bias, Activation activation, float alpha,
                              float* const* destination, int64_t to, int64_t last, Ahead* ahead) {
    vfloat sum[Rows][NV];
    PYNET_UNROLL
    for (int i = 0; i < Rows; ++i) {
        PYNET_UNROLL
        for (int j = 0; j < NV; ++j) sum[i][j] = vfloat{};
    }
    for (int64_t t = 0; t < taps; ++t) {
        const float* row[Rows];
        PYNET_UNROLL
        for (int i = 0; i < Rows; ++i) row[i] = source[t * kTileRows + i] + first;
        const float* bk = b + offset[t] * (NV * kLanes);
        ahead->share();
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
        for (int i = 0; i < Rows; ++i) sum[i][j] += add;
    }
    activate(sum, activation, alpha);
    store_rows(sum, last, [&](int i) { return destination[i] + to; });
}

typedef void (*TapsFunction)(int64_t, int64_t, const float* const*, int64_t, const int64_t*, const float*, const float*,
                             Activation, float, float* const*, int64_t, int64_t, Ahead*);

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
    if (s.KH == 1 && s.KW == 1 && s.stride_h == 1 && s.stride_w == 1 && s.pad_h == 0 && s.pad_w == 0) {
        // All pixels are one row.
        g.SW = g.DW = g.N * g.SH * g.SW;
        g.N = g.SH = g.DH = 1;
    }
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
    int64_t tiles;                     // of one block
    int64_t panels, panel_blocks;      // panels of one chunk, of all groups
    int64_t group_panels, all_panels;  // of one group, of all
    int64_t width;                     // of the panels of one group
    int64_t taps;
    bool images_innermost;  // neighbouring pixels of the grid are neighbouring images
};

Blocks blocks_of(const Gather& g) {
    Blocks b;
    b.taps = g.KH * g.KW;
    b.group_panels = ceil_div(g.Dg, kPanel);
    b.all_panels = g.groups * b.group_panels;
    b.width = packed_panels_width(g.Dg);
    const bool any_outside = g.backward ? b.taps > 1 : g.pad_h > 0 || g.pad_w > 0;
    b.images_innermost = any_outside && ceil_div(g.DW, g.phases_w) <= kSmallMap && g.N >= kTileRows;
    const int64_t pixels = g.N * ceil_div(g.DH, g.phases_h) * ceil_div(g.DW, g.phases_w);
    const int64_t tiles = ceil_div(pixels, kTileRows);
    const int64_t panel_bytes = b.taps * g.Sg * kPanel * 4;
    b.tiles = maximum(1, minimum(panel_bytes > 192 * 1024 ? 32 : 16, kTableBytes / (b.taps * kTileRows * 8)));
    b.panels = b.all_panels;
    auto chunks = [&] { return ceil_div(tiles, b.tiles) * ceil_div(b.all_panels, b.panels) * g.phases_h * g.phases_w; };
    while (chunks() < kWantedChunks && b.panels > 1) b.panels = ceil_div(b.panels, 2);
    while (chunks() < kWantedChunks && b.tiles > 4) b.tiles /= 2;
    b.panel_blocks = ceil_div(b.all_panels, b.panels);
    return b;
}

// Where a tap reads, from the pixel that position 0 of the grid would read, and its row of a panel of the weights.
struct Tap {
    int64_t row, column, weight;
};

struct Table {             // of one block of tiles
    Tap* taps;             // of the phase
    const float** source;  // [tile][tap][kTileRows]
    int64_t* offset;       // [tile][tap]: where the tap's weights start, in rows of the panel
    int64_t* used;         // [tile]: how many taps are left
    float** destination;   // [tile][kTileRows]
};

int64_t table_bytes(const Blocks& b) {
    return round_up(
        b.tiles * (b.taps * (kTileRows + 1) + 1 + kTileRows) * 8 + b.taps * static_cast<int64_t>(sizeof(Tap)), 64);
}

Table table_at(char* memory, const Blocks& b) {
    Table t;
    t.taps = reinterpret_cast<Tap*>(memory);
    t.source = reinterpret_cast<const float**>(t.taps + b.taps);
    t.offset = reinterpret_cast<int64_t*>(t.source + b.tiles * b.taps * kTileRows);
    t.used = t.offset + b.tiles * b.taps;
    t.destination = reinterpret_cast<float**>(t.used + b.tiles);
    return t;
}

struct Phase {
    int64_t h, w, rows, columns;  // first destination row and column, size of its grid
};

// The taps that meet a phase; returns how many.
int64_t taps_of(const Gather& g, const Phase& phase, Tap* taps) {
    int64_t count = 0;
    for (int64_t kh = 0; kh < g.KH; ++kh)
        for (int64_t kw = 0; kw < g.KW; ++kw) {
            Tap& tap = taps[count];
            if (!tap_offset(g.backward, phase.h, g.phases_h, kh, g.pad_h, g.dilation_h, &tap.row) ||
                !tap_offset(g.backward, phase.w, g.phases_w, kw, g.pad_w, g.dilation_w, &tap.column))
                continue;
            tap.weight = (kh * g.KW + kw) * g.Sg;
            ++count;
        }
    return count;
}

// A pixel of a phase's grid, and the order in which tiles take them.
struct Pixel {
    int64_t n, i, j;
};

PYNET_INLINE Pixel pixel_at(const Gather& g, const Blocks& b, const Phase& phase, int64_t q) {
    if (b.images_innermost) return {q % g.N, q / g.N / phase.columns, q / g.N % phase.columns};
    return {q / phase.columns / phase.rows, q / phase.columns % phase.rows, q % phase.columns};
}

PYNET_INLINE void advance(const Gather& g, const Blocks& b, const Phase& phase, Pixel* p) {
    if (b.images_innermost) {
        if (++p->n == g.N) p->n = 0, ++p->j;
        if (p->j == phase.columns) p->j = 0, ++p->i;
    } else {
        if (++p->j == phase.columns) p->j = 0, ++p->i;
        if (p->i == phase.rows) p->i = 0, ++p->n;
    }
}

PYNET_INLINE float* destination_of(const Gather& g, const Phase& phase, const Pixel& p) {
    return g.destination + ((p.n * g.DH + phase.h + p.i * g.phases_h) * g.DW + phase.w + p.j * g.phases_w) * g.DC;
}

void write_zeros(const Gather& g, const Blocks& b, const Phase& phase, Pixel at, int64_t count) {
    for (int64_t q = 0; q < count; ++q, advance(g, b, phase, &at)) {
        float* to = destination_of(g, phase, at);
        for (int64_t k = 0; k < g.DC; k += kLanes) store_lanes(to + k, vfloat{}, g.DC - k);
    }
}

// Fills a tile of the table for `rows` pixels of the grid from *at on, which moves behind them.
void fill_tile(const Gather& g, const Blocks& b, const Phase& phase, int64_t taps, Pixel* at, int64_t rows,
               int64_t tile, const float* zeros, const Table& table) {
    float** destination = table.destination + tile * kTileRows;
    const float** source = table.source + tile * b.taps * kTileRows;
    int64_t* offset = table.offset + tile * b.taps;
    int64_t used = 0;
    if (!b.images_innermost && at->j + rows <= phase.columns) {  // neighbours of one row
        const Pixel first = *at;
        float* to = destination_of(g, phase, first);
        for (int64_t r = 0; r < rows; ++r) destination[r] = to + r * g.phases_w * g.DC;
        at->j += rows - 1;
        advance(g, b, phase, at);
        const int64_t step = g.step_w * g.SC;
        for (int64_t t = 0; t < taps; ++t) {
            const Tap& tap = table.taps[t];
            const int64_t y = first.i * g.step_h + tap.row, x0 = first.j * g.step_w + tap.column;
            const int64_t x1 = x0 + (rows - 1) * g.step_w;
            if (y < 0 || y >= g.SH || x1 < 0 || x0 >= g.SW) continue;
            const float* from = g.source + ((first.n * g.SH + y) * g.SW + x0) * g.SC;
            const float** pointer = source + used * kTileRows;
            if (x0 >= 0 && x1 < g.SW) {
                for (int64_t r = 0; r < rows; ++r) pointer[r] = from + r * step;
            } else {
                for (int64_t r = 0; r < rows; ++r) {
                    const int64_t x = x0 + r * g.step_w;
                    pointer[r] = x >= 0 && x < g.SW ? from + r * step : zeros;
                }
            }
            offset[used++] = tap.weight;
        }
        table.used[tile] = used;
        return;
    }
    Pixel pixel[kTileRows];
    for (int64_t r = 0; r < rows; ++r) {
        pixel[r] = *at;
        destination[r] = destination_of(g, phase, *at);
        advance(g, b, phase, at);
    }
    for (int64_t t = 0; t < taps; ++t) {
        const Tap& tap = table.taps[t];
        const float** pointer = source + used * kTileRows;
        bool any = false;
        for (int64_t r = 0; r < rows; ++r) {
            const int64_t y = pixel[r].i * g.step_h + tap.row, x = pixel[r].j * g.step_w + tap.column;
            const bool inside = y >= 0 && y < g.SH && x >= 0 && x < g.SW;
            pointer[r] = inside ? g.source + ((pixel[r].n * g.SH + y) * g.SW + x) * g.SC : zeros;
            any |= inside;
        }
        if (any) offset[used++] = tap.weight;
    }
    table.used[tile] = used;
}

struct GatherLayout {  // workspace, in bytes
    int64_t weights, bias, zeros, threads, each, total;
};

GatherLayout layout_of(const Gather& g, const Blocks& b, int threads) {
    GatherLayout l;
    l.weights = 0;
    l.bias = round_up(g.groups * b.taps * g.Sg * b.width * 4, 64);
    l.zeros = l.bias + round_up(g.groups * b.width * 4, 64);
    l.threads = l.zeros + round_up(g.SC * 4, 64);
    l.each = table_bytes(b);
    l.total = l.threads + l.each * threads;
    return l;
}

// A panel of the weights: which channels of the destination it makes of which channels of the source.
struct Panel {
    int64_t from, to, columns, width;
    int64_t place;  // of its columns among the widths of all panels
};

PYNET_INLINE Panel panel_at(const Gather& g, const Blocks& b, int64_t index) {
    const int64_t group = index / b.group_panels, first = index % b.group_panels * kPanel,
                  columns = minimum(kPanel, g.Dg - first);
    return {group * g.Sg, group * g.Dg + first, columns, panel_vectors(columns) * kLanes, group * b.width + first};
}

// Panel by panel: [tap][Sg][width].
void pack_weights(const Context& context, const Conv2d& c, const Gather& g, const Blocks& b, float* packed) {
    const int64_t F = c.shape.F, Cg = c.shape.Cg();
    parallel_for(context, b.all_panels * b.taps, [&](int64_t chunk, int) {
        const int64_t tap = chunk % b.taps;
        const Panel p = panel_at(g, b, chunk / b.taps);
        const float* w = c.weight + tap * Cg * F;  // (Cg, F)
        float* to = packed + p.place * b.taps * g.Sg + tap * g.Sg * p.width;
        if (g.backward)
            pack_columns(w + p.to % g.Dg * F + p.from, 1, F, g.Sg, p.columns, p.width, to);
        else
            pack_columns(w + p.to, F, 1, g.Sg, p.columns, p.width, to);
    });
}

// How many blocks of tiles a phase has at most.
int64_t tile_blocks_of(const Gather& g, const Blocks& b) {
    const int64_t pixels = g.N * ceil_div(g.DH, g.phases_h) * ceil_div(g.DW, g.phases_w);
    return ceil_div(ceil_div(pixels, kTileRows), b.tiles);
}

void run_gather(const Context& context, const Conv2d& c) {
    const Gather g = gather_of(c);
    const Blocks b = blocks_of(g);
    const GatherLayout l = layout_of(g, b, context.threads);
    const float* packed = c.packed;
    if (!packed) {
        float* weights = reinterpret_cast<float*>(context.workspace + l.weights);
        pack_weights(context, c, g, b, weights);
        packed = weights;
    }
    float* bias = reinterpret_cast<float*>(context.workspace + l.bias);
    for (int64_t group = 0; group < g.groups; ++group)
        for (int64_t j = 0; j < b.width; ++j)
            bias[group * b.width + j] = !g.backward && c.bias && j < g.Dg ? c.bias[group * g.Dg + j] : 0.0f;
    float* zeros = reinterpret_cast<float*>(context.workspace + l.zeros);
    for (int64_t k = 0; k < g.SC; ++k) zeros[k] = 0.0f;

    const int64_t tile_blocks = tile_blocks_of(g, b), phases = g.phases_h * g.phases_w;
    const Activation activation = g.backward ? Activation::none : c.activation;
    const bool ahead = !b.images_innermost && b.panel_blocks == 1 && g.KH >= g.step_h && g.KW >= g.step_w &&
                       g.N * (g.SH * g.SW * g.SC + g.DH * g.DW * g.DC) * 4 > kPrefetchFrom;
    // The phases of a place follow each other: they share what they read, and lines of what they write.
    parallel_for(context, b.panel_blocks * tile_blocks * phases, [&](int64_t chunk, int thread) {
        const int64_t panel_block = chunk / phases / tile_blocks, block = chunk / phases % tile_blocks;
        Phase phase;
        phase.w = chunk % phases % g.phases_w, phase.h = chunk % phases / g.phases_w;
        if (phase.h >= g.DH || phase.w >= g.DW) return;
        phase.rows = ceil_div(g.DH - phase.h, g.phases_h), phase.columns = ceil_div(g.DW - phase.w, g.phases_w);
        const int64_t pixels = g.N * phase.rows * phase.columns;
        const int64_t q0 = block * b.tiles * kTileRows, q1 = minimum(pixels, q0 + b.tiles * kTileRows);
        if (q0 >= q1) return;

        char* memory = context.workspace + l.threads + thread * l.each;
        const Table table = table_at(memory, b);
        const int64_t tiles = ceil_div(q1 - q0, kTileRows);
        const int64_t taps = taps_of(g, phase, table.taps);
        Pixel at = pixel_at(g, b, phase, q0);
        if (taps == 0) {  // the stride jumps over these pixels
            if (panel_block == 0) write_zeros(g, b, phase, at, q1 - q0);
            return;
        }
        for (int64_t tile = 0; tile < tiles; ++tile)
            fill_tile(g, b, phase, taps, &at, minimum(kTileRows, q1 - q0 - tile * kTileRows), tile, zeros, table);

        const int64_t first = panel_block * b.panels, last = minimum(b.all_panels, first + b.panels);
        const int64_t some = ahead && chunk % phases == 0 ? b.tiles * kTileRows : 0;
        const int64_t reach = g.backward ? 0 : (g.KH - 1) * g.dilation_h - g.pad_h;
        Ahead next({g.source + ((at.n * g.SH + at.i * g.step_h + reach) * g.SW + at.j * g.step_w) * g.SC,
                    some * g.step_h * g.step_w * g.SC, false},
                   {g.destination + ((at.n * g.DH + at.i * g.phases_h) * g.DW + at.j * g.phases_w) * g.DC,
                    some * phases * g.DC, true},
                   (last - first) * tiles * taps);
        for (int64_t index = first; index < last; ++index) {
            const Panel p = panel_at(g, b, index);
            for (int64_t tile = 0; tile < tiles; ++tile) {
                const int64_t rows = minimum(kTileRows, q1 - q0 - tile * kTileRows);
                float* const* destination = table.destination + tile * kTileRows;
                taps_for<>(rows, panel_vectors(p.columns))(
                    table.used[tile], g.Sg, table.source + tile * b.taps * kTileRows, p.from,
                    table.offset + tile * b.taps, packed + p.place * b.taps * g.Sg, bias + p.place, activation, c.alpha,
                    destination, p.to, p.columns - p.width + kLanes, &next);
            }
            if (c.parts)
                take_part(c.parts, block, g.DC, p.to, p.columns, q1 - q0,
                          [&](int64_t q) { return table.destination[q]; });
        }
    });
}

bool can(const Conv2d&) { return true; }
bool prefer(const Conv2d&) { return true; }

size_t workspace(const Conv2d& c, int threads) {
    if (c.pass == ConvPass::backward_weight) return direct_weight_workspace(c.shape, threads);
    const Gather g = gather_of(c);
    return static_cast<size_t>(layout_of(g, blocks_of(g), threads).total);
}

void run(const Context& context, const Conv2d& c) {
    if (c.pass == ConvPass::backward_weight)
        direct_weight(context, c);
    else
        run_gather(context, c);
}

size_t packed_bytes(const Conv2d& c) {
    const Gather g = gather_of(c);
    const Blocks b = blocks_of(g);
    return static_cast<size_t>(g.groups * b.taps * g.Sg * b.width) * sizeof(float);
}

void pack(const Context& context, const Conv2d& c, float* packed) {
    const Gather g = gather_of(c);
    pack_weights(context, c, g, blocks_of(g), packed);
}

int64_t parts(const Conv2d& c) {
    const Gather g = gather_of(c);
    return tile_blocks_of(g, blocks_of(g));
}

}  // namespace

const ConvAlgorithm kConvDirect = {"direct", can, prefer, workspace, run, false, packed_bytes, pack, parts};

}  // namespace PYNET_LEVEL
}  // namespace pynet
