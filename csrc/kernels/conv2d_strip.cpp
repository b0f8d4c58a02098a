// Convolution over strips (conv2d_strip.h): where a pixel's inputs are few, tap by tap, most of a direct convolution
// would be the way to them. In a strip the inputs of all taps of a kernel row follow each other,
//   out[i, j] = sum over kernel rows t and k < taps * channels of strip[i * step + t][j * step * channels + k] *
//   w[t][k]
// so that the micro-kernel walks long runs, from a table of where each pixel starts. A tile leaves out the kernel rows
// that lie beyond the map's edges for all of its pixels.
//
// Forward and backward-data are one routine. With stride s, backward-data splits the destination into s * s phases;
// each is a convolution of its own with stride 1 over the same strip of dout, with every s-th tap in reverse order.
// The weight gradient is in conv2d_strip_weight.cpp.
//
// Layout: (N, H, W, C), weights (KH, KW, Cg, F). Threads: bands of rows, or some whole images, and panels of outputs,
// by shape alone. Aliasing: none allowed.
// Workspace: packed weights and bias; for each thread a strip, the table, and a tile for channels that fill no vector.
#include "conv2d_strip.h"

#include "gemm.h"
#include "kernels.h"
#include "parallel.h"
#include "prefetch.h"
#include "statistics.h"

namespace pynet {
namespace PYNET_LEVEL {
namespace {

constexpr int64_t kStripBytes = 128 * 1024;  // of the strips of a chunk: part of L2
constexpr int64_t kMostPixels = 512;         // of a phase in a chunk
constexpr int64_t kWantedChunks = 32;

// Pixels of a tile NV vectors wide: what the registers hold beside a row of weights.
template <int NV>
constexpr int kPixels = kLanes == 16  ? 8
                        : kLanes == 8 ? (NV == 1   ? 8
                                         : NV == 2 ? 6
                                                   : 4)
                        : NV == 1     ? 8
                                      : kTileRows * 2 / NV;
static_assert(kPixels<1> >= kPixels<2> && kPixels<2> >= kPixels<3>, "a tile's pointers have room for kPixels<1>");

// One axis of a phase: where its pixels lie and which taps they have.
struct Axis {
    int64_t first, step, count;   // of the destination
    int64_t low, taps;            // source offset of the lowest tap; the others follow it
    int64_t kernel, kernel_step;  // the kernel's index of that tap, and from one tap to the next
};

Axis axis_of(bool backward, int64_t phase, int64_t size, int64_t K, int64_t stride, int64_t pad) {
    if (!backward) return {0, 1, size, -pad, K, 0, 1};
    const int64_t lowest = (phase + pad) % stride, taps = lowest < K ? (K - 1 - lowest) / stride + 1 : 0;
    const int64_t kernel = lowest + maximum(0, taps - 1) * stride;
    return {phase,  stride, maximum(0, ceil_div(size - phase, stride)), (phase + pad - kernel) / stride, taps,
            kernel, -stride};
}

// A pass seen from its destination.
struct View {
    const float* source;
    float* destination;
    int64_t N, SH, SW, SC, DH, DW, DC, Sg, Dg, groups;
    int64_t phases_h, phases_w, step_h, step_w;  // source pixels from one pixel of a phase to the next
    int64_t KH, KW, stride_h, stride_w, pad_h, pad_w;
    bool backward;

    PYNET_INLINE Axis down(int64_t phase) const { return axis_of(backward, phase, DH, KH, stride_h, pad_h); }
    PYNET_INLINE Axis across(int64_t phase) const { return axis_of(backward, phase, DW, KW, stride_w, pad_w); }
};

View view_of(const Conv2d& c) {
    const Conv2dShape& s = c.shape;
    const bool back = c.pass == ConvPass::backward_data;
    View v;
    v.source = back ? c.out : c.x;
    v.destination = back ? c.x : c.out;
    v.N = s.N;
    v.SH = back ? s.OH() : s.H, v.SW = back ? s.OW() : s.W, v.SC = back ? s.F : s.C;
    v.DH = back ? s.H : s.OH(), v.DW = back ? s.W : s.OW(), v.DC = back ? s.C : s.F;
    v.Sg = back ? s.Fg() : s.Cg(), v.Dg = back ? s.Cg() : s.Fg(), v.groups = s.groups;
    v.phases_h = back ? s.stride_h : 1, v.phases_w = back ? s.stride_w : 1;
    v.step_h = back ? 1 : s.stride_h, v.step_w = back ? 1 : s.stride_w;
    v.KH = s.KH, v.KW = s.KW, v.stride_h = s.stride_h, v.stride_w = s.stride_w, v.pad_h = s.pad_h, v.pad_w = s.pad_w;
    v.backward = back;
    return v;
}

// The lowest and the highest source offset of any phase along an axis.
struct Reach {
    int64_t low, high;
};

Reach reach_of(bool backward, int64_t phases, int64_t K, int64_t stride, int64_t pad) {
    Reach r{0, 0};
    bool any = false;
    for (int64_t phase = 0; phase < phases; ++phase) {
        const Axis a = axis_of(backward, phase, 1, K, stride, pad);
        if (a.taps == 0) continue;
        r.low = any ? minimum(r.low, a.low) : a.low;
        r.high = any ? maximum(r.high, a.low + a.taps - 1) : a.low + a.taps - 1;
        any = true;
    }
    return r;
}

struct Plan {
    Strip strip;
    Reach reach_h, reach_w;
    int64_t rows, bands, images;  // grid rows of a chunk, bands of an image; whole images of a chunk where bands is 1
    int64_t strip_rows;           // of one image in a chunk
    int64_t strip_floats;         // of a thread
    int64_t panels, width;        // of one group; floats of all its panels
    int64_t chunk_panels, panel_blocks;
    int64_t pixels;  // of all phases of a chunk
};

Plan plan_of(const View& v) {
    Plan p;
    p.reach_h = reach_of(v.backward, v.phases_h, v.KH, v.stride_h, v.pad_h);
    p.reach_w = reach_of(v.backward, v.phases_w, v.KW, v.stride_w, v.pad_w);
    const int64_t grid_rows = ceil_div(v.DH, v.phases_h), grid_columns = ceil_div(v.DW, v.phases_w);
    const int64_t columns = (grid_columns - 1) * v.step_w + p.reach_w.high - p.reach_w.low + 1;
    p.strip = {v.SH, v.SW, v.SC, v.Sg, p.reach_w.low, columns * v.Sg};
    p.panels = panels_of(v.Dg);
    p.width = packed_panels_width(v.Dg);
    auto strip_rows = [&](int64_t rows) { return (rows - 1) * v.step_h + p.reach_h.high - p.reach_h.low + 1; };
    const int64_t most = maximum(1, minimum(grid_rows, kMostPixels / grid_columns));
    // Equal bands, small enough for the caches and for all threads.
    p.bands = ceil_div(grid_rows, most);
    const int64_t row = maximum(p.strip.row, v.groups > 1 ? v.SW * v.SC : 0);  // every group visits the rows again
    while (p.bands < grid_rows && strip_rows(ceil_div(grid_rows, p.bands)) * row * 4 > kStripBytes) ++p.bands;
    while (p.bands < grid_rows && v.N * p.bands < kWantedChunks &&
           ceil_div(grid_rows, p.bands + 1) * grid_columns >= 4 * kTileRows)
        ++p.bands;
    p.rows = ceil_div(grid_rows, p.bands);
    p.bands = ceil_div(grid_rows, p.rows);
    p.strip_rows = strip_rows(p.rows);
    p.images = 1;
    if (p.bands == 1)
        while (v.N / (p.images + 1) >= kWantedChunks && p.images * grid_rows * grid_columns < kMostPixels / 4 &&
               (p.images + 1) * p.strip_rows * row * 4 <= kStripBytes)
            ++p.images;
    p.strip_floats = round_up(p.images * p.strip_rows * p.strip.row, 16) + 16;
    p.pixels = p.images * p.rows * v.phases_h * v.DW;
    p.chunk_panels = v.groups * p.panels;
    const int64_t places = ceil_div(v.N, p.images) * p.bands;
    while (p.chunk_panels > 1 && places * ceil_div(v.groups * p.panels, p.chunk_panels) < kWantedChunks)
        p.chunk_panels = ceil_div(p.chunk_panels, 2);
    p.panel_blocks = ceil_div(v.groups * p.panels, p.chunk_panels);
    return p;
}

// A panel of outputs of one group.
struct Panel {
    int64_t group, first, columns;
    int vectors;
};

PYNET_INLINE Panel panel_at(const View& v, const Plan& p, int64_t index) {
    const int64_t first = index % p.panels * kPanel, columns = panel_columns(v.Dg - first);
    return {index / p.panels, first, columns, panel_vectors(columns)};
}

// Floats of the packed weights of all phases and groups; a phase's start at phase_place.
int64_t packed_floats(const View& v, const Plan& p) { return v.groups * v.KH * v.KW * v.Sg * p.width; }

// Phase by phase, group by group, panel by panel: [tap row][tap][Sg][vectors of the panel].
void pack_weights(const Context& context, const Conv2d& c, const View& v, const Plan& p, float* packed) {
    const int64_t F = c.shape.F, Cg = c.shape.Cg();
    for (int64_t phase_h = 0; phase_h < v.phases_h; ++phase_h)
        for (int64_t phase_w = 0; phase_w < v.phases_w; ++phase_w) {
            const Axis down = v.down(phase_h), across = v.across(phase_w);
            const int64_t taps = down.taps * across.taps;
            parallel_for(context, v.groups * p.panels, [&](int64_t index, int) {
                const Panel panel = panel_at(v, p, index);
                const int64_t width = panel.vectors * kLanes;
                float* to = packed + (panel.group * p.width + panel.first) * taps * v.Sg;
                for (int64_t t = 0; t < taps; ++t, to += v.Sg * width) {
                    const int64_t kh = down.kernel + t / across.taps * down.kernel_step,
                                  kw = across.kernel + t % across.taps * across.kernel_step;
                    const float* w = c.weight + (kh * v.KW + kw) * Cg * F;  // (Cg, F)
                    if (v.backward)
                        pack_columns(w + panel.first * F + panel.group * v.Sg, 1, F, v.Sg, panel.columns, width, to);
                    else
                        pack_columns(w + panel.group * v.Dg + panel.first, F, 1, v.Sg, panel.columns, width, to);
                }
            });
            packed += v.groups * p.width * taps * v.Sg;
        }
}

// The kernel rows [first, end) whose inputs lie inside the map: the others would multiply zeros.
struct TapRows {
    int64_t first, end;
};

// What the tiles of a panel have in common.
struct Walk {
    const TapRows* taps;  // of each row of pixels,
    int64_t columns;      // which are so long
    int64_t run, row;     // run: inputs of a kernel row; row: floats of a row of the strip
    const float* weights;
    const float* bias;
    int64_t outputs;
    Activation activation;
    float alpha;
};

// Rows pixels of a panel NV vectors wide.
template <int Rows, int NV>
PYNET_NOINLINE void tile_strip(const Walk& walk, TapRows taps, const float* const* source, float* const* destination,
                               int64_t first, Ahead* ahead) {
    vfloat sum[Rows][NV];
    PYNET_UNROLL
    for (int i = 0; i < Rows; ++i) {
        PYNET_UNROLL
        for (int j = 0; j < NV; ++j) sum[i][j] = vfloat{};
    }
    const int64_t run = walk.run;
    const float* b = walk.weights;
    const float* pixel[Rows];
    PYNET_UNROLL
    for (int i = 0; i < Rows; ++i) pixel[i] = source[i];
    if (__builtin_expect(taps.first > 0, 0)) {
        b += taps.first * run * NV * kLanes;
        PYNET_UNROLL
        for (int i = 0; i < Rows; ++i) pixel[i] += taps.first * walk.row;
    }
    for (int64_t t = taps.first; t < taps.end; ++t) {
        ahead->share();
        for (int64_t k = 0; k < run; ++k) {
            vfloat v[NV];
            PYNET_UNROLL
            for (int j = 0; j < NV; ++j) v[j] = load(b + j * kLanes);
            PYNET_UNROLL
            for (int i = 0; i < Rows; ++i) {
                const float s = pixel[i][k];
                PYNET_UNROLL
                for (int j = 0; j < NV; ++j) sum[i][j] += s * v[j];
            }
            b += NV * kLanes;
        }
        PYNET_UNROLL
        for (int i = 0; i < Rows; ++i) pixel[i] += walk.row;
    }
    PYNET_UNROLL
    for (int j = 0; j < NV; ++j) {
        const vfloat add = load(walk.bias + j * kLanes);
        PYNET_UNROLL
        for (int i = 0; i < Rows; ++i) sum[i][j] += add;
    }
    activate(sum, walk.activation, walk.alpha);
    store_rows(sum, walk.outputs - (NV - 1) * kLanes, [&](int i) { return destination[i] + first; });
}

typedef void (*TileFunction)(const Walk&, TapRows, const float* const*, float* const*, int64_t, Ahead*);

template <int NV, int Rows = kPixels<NV>>
PYNET_INLINE TileFunction tile_of(int64_t rows) {
    if constexpr (Rows > 1) {
        if (rows < Rows) return tile_of<NV, Rows - 1>(rows);
    }
    return tile_strip<Rows, NV>;
}

// All pixels of a phase and one panel, in tiles of about equal height.
template <int NV>
void run_panel(const Walk& walk, int64_t pixels, const float* const* source, float* const* destination, int64_t first,
               Ahead* ahead) {
    if (pixels == 0) return;
    const int64_t tiles = ceil_div(pixels, kPixels<NV>), least = pixels / tiles, taller = pixels % tiles;
    const TileFunction tall = tile_of<NV>(least + 1), low = tile_of<NV>(least);
    const TapRows* row = walk.taps;
    int64_t row_end = walk.columns;
    for (int64_t t = 0, q = 0, end; t < tiles; ++t, q = end) {
        end = q + least + (t < taller ? 1 : 0);
        for (; row_end <= q; row_end += walk.columns) ++row;
        TapRows taps = *row;
        for (; row_end < end; row_end += walk.columns) {
            ++row;
            taps = {minimum(taps.first, row->first), maximum(taps.end, row->end)};
        }
        (t < taller ? tall : low)(walk, taps, source + q, destination + q, first, ahead);
    }
}

int64_t places_of(const View& v, const Plan& p) { return ceil_div(v.N, p.images) * p.bands; }

struct Layout {  // bytes
    int64_t weights, bias, threads, strip, table, taps, each, total;
};

Layout layout_of(const View& v, const Plan& p, int threads) {
    Layout l;
    l.weights = 0;
    l.bias = round_up(packed_floats(v, p) * 4, 64);
    l.threads = l.bias + round_up(v.groups * p.width * 4, 64);
    l.strip = 0;
    l.table = round_up(p.strip_floats * 4, 64);
    l.taps = l.table + round_up(p.pixels * 2 * static_cast<int64_t>(sizeof(void*)), 64);
    l.each = l.taps + round_up(p.images * p.rows * static_cast<int64_t>(sizeof(TapRows)), 64) + 64;
    l.total = l.threads + l.each * threads;
    return l;
}

// The pixels of a phase in a chunk: where each starts in the strip and where it goes, both for the first group, and the
// kernel rows of each row of them.
int64_t fill_table(const View& v, const Plan& p, const Axis& down, const Axis& across, int64_t n0, int64_t images,
                   int64_t i0, const float* strip, const float** source, float** destination, TapRows* taps) {
    const int64_t i1 = minimum(down.count, i0 + p.rows), image = p.strip_rows * p.strip.row;
    int64_t count = 0;
    for (int64_t n = 0; n < images; ++n)
        for (int64_t i = i0; i < i1; ++i) {
            const float* from = strip + n * image + ((i - i0) * v.step_h + down.low - p.reach_h.low) * p.strip.row +
                                (across.low - p.reach_w.low) * v.Sg;
            float* to = v.destination + (((n0 + n) * v.DH + down.first + i * down.step) * v.DW + across.first) * v.DC;
            const int64_t y = i * v.step_h + down.low, all = across.taps ? down.taps : 0,
                          above = minimum(all, maximum(0, -y));
            *taps++ = {above, maximum(above, minimum(all, v.SH - y))};
            for (int64_t j = 0; j < across.count; ++j, ++count) {
                source[count] = from + j * v.step_w * v.Sg;
                destination[count] = to + j * across.step * v.DC;
            }
        }
    return count;
}

void run_gather(const Context& context, const Conv2d& c) {
    const View v = view_of(c);
    const Plan p = plan_of(v);
    const Layout l = layout_of(v, p, context.threads);
    const float* packed = c.packed;
    if (!packed) {
        float* weights = reinterpret_cast<float*>(context.workspace + l.weights);
        pack_weights(context, c, v, p, weights);
        packed = weights;
    }
    float* bias = reinterpret_cast<float*>(context.workspace + l.bias);
    for (int64_t group = 0; group < v.groups; ++group)
        for (int64_t j = 0; j < p.width; ++j)
            bias[group * p.width + j] = !v.backward && c.bias && j < v.Dg ? c.bias[group * v.Dg + j] : 0.0f;
    const Activation activation = v.backward ? Activation::none : c.activation;
    const int64_t places = places_of(v, p);
    const bool large = v.N * (v.SH * v.SW * v.SC + v.DH * v.DW * v.DC) * 4 > kPrefetchFrom;
    parallel_for(context, p.panel_blocks * places, [&](int64_t chunk, int thread) {
        const int64_t block = chunk / places, band = chunk % places % p.bands, n0 = chunk % places / p.bands * p.images,
                      images = minimum(p.images, v.N - n0), i0 = band * p.rows;
        char* memory = context.workspace + l.threads + thread * l.each;
        float* strip = reinterpret_cast<float*>(memory + l.strip);
        const float** source = reinterpret_cast<const float**>(memory + l.table);
        float** destination = reinterpret_cast<float**>(memory + l.table) + p.pixels;
        TapRows* taps = reinterpret_cast<TapRows*>(memory + l.taps);
        const int64_t first = block * p.chunk_panels, last = minimum(v.groups * p.panels, first + p.chunk_panels);
        // What the next chunk reads and writes, fetched while this one computes.
        const int64_t some = large && p.panel_blocks == 1 ? 1 : 0, y1 = (i0 + p.rows) * v.step_h + p.reach_h.high;
        Ahead ahead(
            {v.source + (n0 * v.SH + (p.bands > 1 ? y1 : images * v.SH)) * v.SW * v.SC,
             some * (p.bands > 1 ? p.rows * v.step_h : images * v.SH) * v.SW * v.SC, false},
            {v.destination + (n0 * v.DH + (p.bands > 1 ? (i0 + p.rows) * v.phases_h : images * v.DH)) * v.DW * v.DC,
             some * (p.bands > 1 ? p.rows * v.phases_h : images * v.DH) * v.DW * v.DC, true},
            (last - first) * ceil_div(p.pixels, kTileRows) * ceil_div(v.KH, v.phases_h));
        for (int64_t index = first; index < last;) {
            const int64_t group = index / p.panels;
            const int64_t end = minimum(last, (group + 1) * p.panels);
            for (int64_t n = 0; n < images; ++n)
                write_strip(p.strip, v.source + (n0 + n) * v.SH * v.SW * v.SC + group * v.Sg,
                            i0 * v.step_h + p.reach_h.low, p.strip_rows, strip + n * p.strip_rows * p.strip.row);
            const float* weights = packed;
            for (int64_t phase_h = 0; phase_h < v.phases_h; ++phase_h)
                for (int64_t phase_w = 0; phase_w < v.phases_w; ++phase_w) {
                    const Axis down = v.down(phase_h), across = v.across(phase_w);
                    const int64_t size = down.taps * across.taps * v.Sg;
                    const int64_t pixels =
                        fill_table(v, p, down, across, n0, images, i0, strip, source, destination, taps);
                    for (int64_t at = index; at < end; ++at) {
                        const Panel panel = panel_at(v, p, at);
                        const int64_t place = group * p.width + panel.first;
                        const Walk walk{
                            taps,         across.count,  across.taps * v.Sg, p.strip.row, weights + place * size,
                            bias + place, panel.columns, activation,         c.alpha};
                        const int64_t to = group * v.Dg + panel.first;
                        (panel.vectors == 1   ? run_panel<1>
                         : panel.vectors == 2 ? run_panel<2>
                                              : run_panel<kWidest>)(walk, pixels, source, destination, to, &ahead);
                        if (c.parts)
                            take_part(c.parts, chunk % places, v.DC, to, panel.columns, pixels,
                                      [=](int64_t q) { return destination[q]; });
                    }
                    weights += v.groups * p.width * size;
                }
            index = end;
        }
    });
}

bool can(const Conv2d& c) {
    const Conv2dShape& s = c.shape;
    if (c.pass == ConvPass::backward_weight) return s.groups == 1 && (s.dilation_w == 1 || s.KW == 1);
    return s.dilation_h == 1 && s.dilation_w == 1;
}

bool prefer(const Conv2d& c) {
    const Conv2dShape& s = c.shape;
    if (s.KH * s.KW == 1) return false;
    if (c.pass == ConvPass::backward_weight) return s.C < kTileRows && s.KW > 1;
    const View v = view_of(c);
    // Groups: where phases share what they read, and on small maps, whose rows are still near when the next group
    // comes.
    if (v.groups > 1) return (v.backward && s.stride_w > 1) || (v.groups >= 8 && v.SH * v.SW <= 256);
    const int64_t vectors = ceil_div(v.Dg, kLanes);
    if (v.backward && s.stride_w > 1 && vectors <= 2 && v.Dg >= kLanes) return true;
    if (!v.backward && v.Sg < 8) return true;
    return v.Sg <= 128 && (vectors == 3 || vectors == 5);  // in one tile of three the last, which would be alone
}

size_t workspace(const Conv2d& c, int threads) {
    if (c.pass == ConvPass::backward_weight) return strip_weight_workspace(c.shape, threads);
    const View v = view_of(c);
    return static_cast<size_t>(layout_of(v, plan_of(v), threads).total);
}

void run(const Context& context, const Conv2d& c) {
    if (c.pass == ConvPass::backward_weight)
        strip_weight(context, c);
    else
        run_gather(context, c);
}

size_t packed_bytes(const Conv2d& c) {
    const View v = view_of(c);
    return static_cast<size_t>(packed_floats(v, plan_of(v))) * sizeof(float);
}

void pack(const Context& context, const Conv2d& c, float* packed) {
    const View v = view_of(c);
    pack_weights(context, c, v, plan_of(v), packed);
}

int64_t parts(const Conv2d& c) {
    const View v = view_of(c);
    return places_of(v, plan_of(v));
}

}  // namespace

const ConvAlgorithm kConvStrip = {"strip", can, prefer, workspace, run, true, packed_bytes, pack, parts};

}  // namespace PYNET_LEVEL
}  // namespace pynet
