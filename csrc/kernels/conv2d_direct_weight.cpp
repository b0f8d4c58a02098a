// Backward-weight of direct convolution: dw[kh, kw] = x_shifted^T dout. A tile of (channels x outputs) stays in
// registers over some rows or images. These are cut into fixed parts with partial sums, added in order. Where rows of
// dout are short, or pixels of x lie apart, a tap's pixels are gathered first: a tile then passes all of them in one
// loop, from memory that lies side by side.
//
// Layout: (N, H, W, C), weights (KH, KW, Cg, F). Threads: chunks by shape alone. Aliasing: none allowed.
#include "conv2d_direct.h"
#include "gemm.h"
#include "kernels.h"
#include "parallel.h"
#include "weight_tile.h"

namespace pynet {
namespace PYNET_LEVEL {
namespace {

constexpr int64_t kWantedChunks = 32, kFewChunks = 16;
constexpr int64_t kUnitPixels = 128;
constexpr int64_t kShortUnit = 80;                   // whose x, and a panel of dout where it lies, stay in L1
constexpr int64_t kPartPixels = 512;                 // a shorter part would mostly read and write its sums
constexpr int64_t kLargeWeights = 128 * 1024;        // floats
constexpr int64_t kGathered = 16 * kTileRows;        // channels at a time
constexpr int64_t kPanelsTogether = 8;               // that are packed at a time: pieces of memory worth foreseeing
constexpr int64_t kMostPartials = int64_t{8} << 20;  // floats

// Work is cut into units: whole images, or rows of one, some hundred pixels. All tiles of dw meet a unit before the
// next one: its x and dout come from memory once and stay in L2, a panel of its dout in L1.
struct Plan {
    int64_t images, rows, row_blocks, units;  // of one unit; units of one image, or of all
    int64_t parts;                            // runs of units with a partial sum of their own
    int64_t panels, panel_blocks;             // panels of one chunk, of all groups
    int64_t channels, channel_blocks;         // channels of a group of one chunk
    int64_t group_panels, all_panels;
    int64_t size;          // floats of one partial of one group
    bool gathers;          // the pixels that meet a tap
    bool packs;            // panels of dout, whose pixels lie far apart, before many tiles read them
    int64_t panel_floats;  // of a unit's panel of dout that is packed, or is no whole vector
    int64_t tail_floats;   // of kPanelsTogether of them
    int64_t gathered;      // floats of a unit's pixels of kGathered channels
};

// Copies repay where many tiles read them: where a row of dout is a short loop, or there is but one tap.
PYNET_INLINE bool gathers(const Conv2dShape& s) {
    return minimum(s.Cg(), s.Fg()) >= 128 && (s.OW() < 16 || (s.KH * s.KW == 1 && s.Cg() * s.Fg() >= 256 * 128));
}

// Packing a panel of dout repays where more than four tiles read it.
PYNET_INLINE bool packs(const Conv2dShape& s, int64_t channels) {
    return s.F > kPanel && s.KH * s.KW * ceil_div(channels, kTileRows) > 4;
}

// A pointwise convolution does not see where rows end: rows too long for a short unit are halved.
Conv2dShape folded(Conv2dShape s) {
    const bool pointwise = s.KH == 1 && s.KW == 1 && s.stride_h == 1 && s.stride_w == 1 && s.pad_h == 0 && s.pad_w == 0;
    while (pointwise && s.W > kShortUnit && s.W % 2 == 0) s.H *= 2, s.W /= 2;
    return s;
}

// A sliver: kTileRows channels of so many pixels, [pixel][channel], and room for a whole vector at its end.
PYNET_INLINE int64_t sliver_floats(int64_t pixels) { return pixels * kTileRows + kLanes; }

Plan plan_of(const Conv2dShape& s) {
    Plan p;
    const int64_t map = s.OH() * s.OW();
    p.group_panels = ceil_div(s.Fg(), kPanel);
    p.all_panels = s.groups * p.group_panels;
    p.size = partial_size(s.KH * s.KW * s.Cg(), s.Fg());
    p.gathers = gathers(s);
    // Where dw itself lies beyond L2, longer units load and store it less often.
    const int64_t pixels = p.gathers || p.size * s.groups > kLargeWeights ? 3 * kUnitPixels : kUnitPixels;
    // Pixels that lie a power of two apart share few sets of L1, and half as many fit.
    const int64_t fit = s.stride_w * s.C % 64 == 0 && !p.gathers ? pixels / 2 : pixels;
    const bool is_short = s.F > kPanel && !packs(s, s.Cg());
    p.images = maximum(1, minimum(s.N, (is_short ? kShortUnit : fit) / map));
    p.rows = is_short ? minimum(s.OH(), maximum(1, kShortUnit / s.OW()))
                      : ceil_div(s.OH(), minimum(s.OH(), maximum(1, ceil_div(map, fit))));
    p.row_blocks = ceil_div(s.OH(), p.rows);
    p.units = ceil_div(s.N, p.images) * p.row_blocks;
    const int64_t most_parts = minimum(p.units, kMostPartials / (p.size * s.groups));
    // Rather more parts than chunks of some groups each, which would read a piece of every pixel.
    const bool small_groups = s.groups > 1 && p.size * s.groups <= kLargeWeights / 2;
    const int64_t part_pixels = small_groups ? kUnitPixels : kPartPixels;
    p.parts = maximum(1, minimum(minimum(most_parts, kWantedChunks), s.N * map / part_pixels));
    p.panels = p.all_panels;
    p.channels = s.Cg();
    auto chunks = [&] { return p.parts * ceil_div(p.all_panels, p.panels) * ceil_div(s.Cg(), p.channels); };
    while (p.gathers && chunks() < kFewChunks && maximum(p.panels * kPanel, p.channels) > 4 * kTileRows) {
        if (p.panels * kPanel >= p.channels)
            p.panels = ceil_div(p.panels, 2);
        else
            p.channels = round_up(ceil_div(p.channels, 2), kTileRows);
    }
    while (chunks() < kFewChunks && p.panels > 1) p.panels = ceil_div(p.panels, 2);
    while (chunks() < kFewChunks && p.channels > 2 * kTileRows) p.channels = round_up(p.channels / 2, kTileRows);
    if (chunks() < kFewChunks) p.parts = maximum(1, minimum(most_parts, s.N * map / kUnitPixels));
    p.panel_blocks = ceil_div(p.all_panels, p.panels);
    p.channel_blocks = ceil_div(s.Cg(), p.channels);
    p.packs = packs(s, p.channels);
    const int64_t unit = p.images * p.rows * s.OW();
    // Not a power of two apart, where they would share few sets of L1.
    p.panel_floats = p.gathers || p.packs || s.Fg() % kLanes ? round_up(unit * kPanel, 16) + 16 : 0;
    p.tail_floats = p.panel_floats * minimum(kPanelsTogether, p.group_panels);
    p.gathered = p.gathers ? round_up(kGathered / kTileRows * sliver_floats(unit), 16) : 0;
    return p;
}

// Images and output rows of a unit.
struct Unit {
    int64_t n, images, h0, h1;
};

PYNET_INLINE Unit unit_at(const Conv2dShape& s, const Plan& p, int64_t index) {
    const int64_t n = index / p.row_blocks * p.images, h0 = index % p.row_blocks * p.rows;
    return {n, minimum(p.images, s.N - n), h0, minimum(s.OH(), h0 + p.rows)};
}

// The output pixels of a unit that meet a tap, [h0, h1) x [w0, w1) of each image, and where they meet x.
struct Meeting {
    int64_t h0, h1, w0, w1;
    int64_t y, x;  // of (h0, w0)

    PYNET_INLINE int64_t pixels(const Unit& unit) const { return unit.images * (h1 - h0) * (w1 - w0); }
};

Meeting meeting_of(const Conv2dShape& s, const Unit& unit, int64_t kh, int64_t kw) {
    Meeting m;
    valid_range(s.OH(), s.stride_h, kh * s.dilation_h - s.pad_h, s.H, &m.h0, &m.h1);
    valid_range(s.OW(), s.stride_w, kw * s.dilation_w - s.pad_w, s.W, &m.w0, &m.w1);
    m.h0 = maximum(m.h0, unit.h0), m.h1 = maximum(m.h0, minimum(m.h1, unit.h1));
    m.y = m.h0 * s.stride_h + kh * s.dilation_h - s.pad_h;
    m.x = m.w0 * s.stride_w + kw * s.dilation_w - s.pad_w;
    return m;
}

PYNET_INLINE int64_t panel_width(int64_t columns) { return panel_vectors(columns) * kLanes; }

// `columns` columns of some pixels of dout into panels `step` apart, as their pixels from `first` on. Those of a pixel
// lie side by side and are read together. The last panel may be narrower, and so are its pixels.
void pack_dout(const float* dout, int64_t F, int64_t pixels, int64_t columns, int64_t step, int64_t first, float* to) {
    to += first * kPanel;
    for (int64_t k = 0; k < pixels; ++k, dout += F, to += kPanel) {
        int64_t n = 0;
        for (; n + kPanel <= columns; n += kPanel) {
            PYNET_UNROLL
            for (int j = 0; j < kTileVectors; ++j)
                store(to + n / kPanel * step + j * kLanes, load(dout + n + j * kLanes));
        }
        if (n == columns) continue;
        const int64_t width = panel_width(columns - n);
        float* last = to + n / kPanel * step - (first + k) * (kPanel - width);
        for (int64_t j = 0; j < width; j += kLanes) store(last + j, load_lanes(dout + n + j, columns - n - j));
    }
}

// Rows of the tiles that `channels` are cut into. Of one vector a low tile would wait for its sums: rather tiles of
// equal height.
PYNET_INLINE int64_t tile_height(int64_t channels, int vectors) {
    return vectors == 1 ? ceil_div(channels, ceil_div(channels, kOneWide)) : kTileRows;
}

// What one unit adds to the tiles of panels [panel0, panel1): all taps, channels [c0, c1) of a group.
void add_panels(const Conv2d& c, const Plan& p, const Unit& unit, int64_t group, int64_t panel0, int64_t panel1,
                int64_t c0, int64_t c1, bool more, float* partial, float* tail, Ahead* ahead) {
    const Conv2dShape& s = c.shape;
    const int64_t OH = s.OH(), OW = s.OW(), Cg = s.Cg();
    const int64_t pixels = ((unit.images - 1) * OH + unit.h1 - unit.h0) * OW;  // images, or rows of one: no gap
    const float* first = c.out + (unit.n * OH + unit.h0) * OW * s.F + group * s.Fg();
    if (p.packs)
        pack_dout(first + panel0 * kPanel, s.F, pixels, minimum(s.Fg(), panel1 * kPanel) - panel0 * kPanel,
                  p.panel_floats, 0, tail);
    for (int64_t panel = panel0; panel < panel1; ++panel) {
        const int64_t columns = minimum(kPanel, s.Fg() - panel * kPanel), width = panel_width(columns);
        const int vectors = panel_vectors(columns);
        const int64_t height = tile_height(c1 - c0, vectors);
        float* target = partial + panel * kPanel * s.KH * s.KW * Cg;
        const float* dout = first + panel * kPanel;
        int64_t ldb = s.F;
        if (p.packs || columns != width) {
            const float* packed = p.packs ? tail + (panel - panel0) * p.panel_floats : tail;
            if (!p.packs) pack_dout(dout, s.F, pixels, columns, 0, 0, tail);
            dout = packed;
            ldb = width;
        }
        for (int64_t kh = 0; kh < s.KH; ++kh)
            for (int64_t kw = 0; kw < s.KW; ++kw) {
                const Meeting m = meeting_of(s, unit, kh, kw);
                PixelWalk walk{unit.images,
                               m.h1 - m.h0,
                               m.w1 - m.w0,
                               s.H * s.W * s.C,
                               s.stride_h * s.W * s.C,
                               s.stride_w * s.C,
                               OH * OW * ldb,
                               OW * ldb,
                               ldb,
                               ahead};
                walk.join();
                const float* a = c.x + ((unit.n * s.H + m.y) * s.W + m.x) * s.C + group * Cg;
                const float* b = dout + ((m.h0 - unit.h0) * OW + m.w0) * ldb;
                for (int64_t ch = c0; ch < c1; ch += height)
                    pixels_for<>(minimum(height, c1 - ch), vectors)(
                        walk, a + ch, b, target + ((kh * s.KW + kw) * Cg + ch) * width, width, more);
            }
    }
}

// Channels [c0, c1) of the pixels of x that meet a tap, as slivers. Whole vectors are written: what is too much, the
// next pixel writes again.
void gather_x(const Conv2d& c, const Unit& unit, const Meeting& m, int64_t c0, int64_t c1, float* to) {
    const Conv2dShape& s = c.shape;
    const int64_t sliver = sliver_floats(m.pixels(unit));
    for (int64_t n = 0; n < unit.images; ++n)
        for (int64_t h = m.h0; h < m.h1; ++h) {
            const int64_t y = m.y + (h - m.h0) * s.stride_h;
            const float* row = c.x + (((unit.n + n) * s.H + y) * s.W + m.x) * s.C;
            for (int64_t w = m.w0; w < m.w1; ++w, row += s.stride_w * s.C, to += kTileRows) {
                float* dst = to;
                for (int64_t ch = c0; ch < c1; ch += kTileRows, dst += sliver) {
                    PYNET_UNROLL
                    for (int64_t j = 0; j < kTileRows; j += kLanes) {
                        const int64_t lanes = c1 - ch - j;
                        if (lanes > 0) store(dst + j, load_lanes(row + ch + j, lanes));
                    }
                }
            }
        }
}

// The same pixels of some panels of dout.
void gather_dout(const Conv2d& c, const Unit& unit, const Meeting& m, int64_t f0, int64_t columns, int64_t step,
                 float* to) {
    const int64_t OH = c.shape.OH(), OW = c.shape.OW(), F = c.shape.F, row = m.w1 - m.w0;
    int64_t first = 0;
    for (int64_t n = 0; n < unit.images; ++n)
        for (int64_t h = m.h0; h < m.h1; ++h, first += row)
            pack_dout(c.out + (((unit.n + n) * OH + h) * OW + m.w0) * F + f0, F, row, columns, step, first, to);
}

// As add_panels, where a tap's pixels are gathered.
void add_gathered(const Conv2d& c, const Plan& p, const Unit& unit, int64_t group, int64_t panel0, int64_t panel1,
                  int64_t c0, int64_t c1, bool more, float* partial, float* tail, Ahead* ahead) {
    const Conv2dShape& s = c.shape;
    const int64_t Cg = s.Cg(), f0 = panel0 * kPanel, f1 = minimum(s.Fg(), panel1 * kPanel);
    float* slivers = tail + p.tail_floats;
    for (int64_t tap = 0; tap < s.KH * s.KW; ++tap) {
        const Meeting m = meeting_of(s, unit, tap / s.KW, tap % s.KW);
        const int64_t pixels = m.pixels(unit);
        gather_dout(c, unit, m, group * s.Fg() + f0, f1 - f0, p.panel_floats, tail);
        for (int64_t first = c0; first < c1; first += kGathered) {
            const int64_t last = minimum(c1, first + kGathered), whole = (last - first) / kTileRows;
            gather_x(c, unit, m, group * Cg + first, group * Cg + last, slivers);
            for (int64_t panel = panel0; panel < panel1; ++panel) {
                const int vectors = panel_vectors(minimum(kPanel, s.Fg() - panel * kPanel));
                const int64_t width = vectors * kLanes;
                float* target = partial + panel * kPanel * s.KH * s.KW * Cg + (tap * Cg + first) * width;
                Tiles tiles{whole,
                            pixels,
                            slivers,
                            kTileRows,
                            sliver_floats(pixels),
                            tail + (panel - panel0) * p.panel_floats,
                            width,
                            target,
                            width,
                            kLanes,
                            more};
                tiles_of<false>(kTileRows, vectors)(tiles);
                ahead->share();
                if (first + whole * kTileRows == last) continue;
                tiles.count = 1;
                tiles.a += whole * tiles.a_step;
                tiles.c += whole * kTileRows * width;
                tiles_of<false>(last - first - whole * kTileRows, vectors)(tiles);
            }
        }
    }
}

}  // namespace

size_t direct_weight_workspace(const Conv2dShape& shape, int threads) {
    const Conv2dShape s = folded(shape);
    const Plan p = plan_of(s);
    return static_cast<size_t>(round_up(p.parts * p.size * s.groups, 16) + threads * (p.tail_floats + p.gathered)) *
           sizeof(float);
}

void direct_weight(const Context& context, const Conv2d& given) {
    Conv2d c = given;
    c.shape = folded(given.shape);
    const Conv2dShape& s = c.shape;
    const Plan p = plan_of(s);
    float* partials = reinterpret_cast<float*>(context.workspace);
    float* tails = partials + round_up(p.parts * p.size * s.groups, 16);
    const int64_t splits = p.panel_blocks * p.channel_blocks, OH = s.OH(), OW = s.OW();
    const bool ahead = splits == 1 && s.KH >= s.stride_h && s.KW >= s.stride_w &&
                       s.N * (s.H * s.W * s.C + OH * OW * s.F) * 4 > kPrefetchFrom;
    parallel_for(context, p.parts * splits, [&](int64_t chunk, int thread) {
        const int64_t part = chunk / splits, panel0 = chunk % splits / p.channel_blocks * p.panels,
                      panel1 = minimum(p.all_panels, panel0 + p.panels), c0 = chunk % p.channel_blocks * p.channels,
                      c1 = minimum(s.Cg(), c0 + p.channels);
        const int64_t first = p.units * part / p.parts, last = p.units * (part + 1) / p.parts;
        for (int64_t index = first; index < last; ++index) {
            const Unit unit = unit_at(s, p, index), next = unit_at(s, p, index + 1);
            const int64_t some = ahead ? p.images * p.rows * OW : 0, tiles = (panel1 - panel0) * s.KH * s.KW,
                          rows = s.KH * s.KW == 1 ? 1 : p.images * p.rows,  // without gaps: see join()
                height = tile_height(c1 - c0, panel_vectors(minimum(kPanel, s.Fg()))),
                          calls = tiles * (p.gathers ? ceil_div(c1 - c0, kGathered) : ceil_div(c1 - c0, height) * rows);
            Ahead units(
                {c.x + (next.n * s.H + next.h0 * s.stride_h) * s.W * s.C, some * s.stride_h * s.stride_w * s.C, false},
                {c.out + (next.n * OH + next.h0) * OW * s.F, some * s.F, false}, calls);
            float* tail = tails + thread * (p.tail_floats + p.gathered);
            for (int64_t panel = panel0, stop; panel < panel1; panel = stop) {
                const int64_t group = panel / p.group_panels, before = group * p.group_panels;
                float* partial = partials + (group * p.parts + part) * p.size;
                stop = minimum(minimum(panel1, before + p.group_panels), panel + kPanelsTogether);
                (p.gathers ? add_gathered : add_panels)(c, p, unit, group, panel - before, stop - before, c0, c1,
                                                        index > first, partial, tail, &units);
            }
        }
    });
    reduce_weight_partials(context, s, partials, p.parts, c.weight);
}

}  // namespace PYNET_LEVEL
}  // namespace pynet
