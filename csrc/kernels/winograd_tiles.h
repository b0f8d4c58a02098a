// Tiles of maps under Winograd's transforms: where a tile lies, and the way of its pixels into the transformed space
// and back. Position xi = i * (m + 2) + j of a tile lies `stride` floats from the next; channels are contiguous, whole
// vectors of them are written. Tiles at the edge read zeros and write what exists.
#pragma once
#include "conv2d.h"
#include "prefetch.h"
#include "statistics.h"
#include "winograd.h"

namespace pynet {
namespace PYNET_LEVEL {

constexpr int64_t kGap = 16;  // floats between the positions of a block of tiles: powers of two share cache sets

// The map that is read, the map that is written, and how they lie: x -> out forward, dout -> dx backward.
struct Maps {
    const float* source;
    float* destination;
    int64_t N, SH, SW, SC, DH, DW, DC, pad_h, pad_w;
    int64_t tiles_h, tiles_w, tiles;
};

template <int m>
Maps maps_of(const Conv2d& c) {
    const Conv2dShape& s = c.shape;
    const bool back = c.pass == ConvPass::backward_data;
    Maps t;
    t.source = back ? c.out : c.x;
    t.destination = back ? c.x : c.out;
    t.N = s.N;
    t.SH = back ? s.OH() : s.H, t.SW = back ? s.OW() : s.W, t.SC = back ? s.F : s.C;
    t.DH = back ? s.H : s.OH(), t.DW = back ? s.W : s.OW(), t.DC = back ? s.C : s.F;
    t.pad_h = back ? 2 - s.pad_h : s.pad_h, t.pad_w = back ? 2 - s.pad_w : s.pad_w;
    t.tiles_h = ceil_div(t.DH, m), t.tiles_w = ceil_div(t.DW, m), t.tiles = t.N * t.tiles_h * t.tiles_w;
    return t;
}

struct Tile {
    int64_t n, y, x;  // image, first destination row and column
};

template <int m>
PYNET_INLINE Tile tile_at(const Maps& t, int64_t index) {
    return {index / (t.tiles_h * t.tiles_w), index / t.tiles_w % t.tiles_h * m, index % t.tiles_w * m};
}

// visit(i, tile) for tiles first + i, i < count.
template <int m, class Visit>
PYNET_INLINE void for_tiles(const Maps& t, int64_t first, int64_t count, Visit visit) {
    Tile at = tile_at<m>(t, first);
    for (int64_t i = 0; i < count; ++i) {
        visit(i, at);
        at.x += m;
        if (at.x < t.DW) continue;
        at.x = 0, at.y += m;
        if (at.y < t.DH) continue;
        at.y = 0, ++at.n;
    }
}

// The rows of both maps that tiles [first, first + count) touch, as far as these exist.
template <int m>
Ahead next_tiles(const Maps& t, int64_t first, int64_t count, bool writes, int64_t calls) {
    constexpr int64_t A = Winograd<m>::kIn;
    if (first >= t.tiles) return {{t.source, 0, false}, {t.source, 0, false}, 1};
    const Tile a = tile_at<m>(t, first), b = tile_at<m>(t, minimum(t.tiles, first + count) - 1);
    const int64_t s0 = a.n * t.SH + maximum(0, minimum(t.SH, a.y - t.pad_h)),
                  s1 = b.n * t.SH + maximum(0, minimum(t.SH, b.y - t.pad_h + A));
    const int64_t d0 = a.n * t.DH + a.y, d1 = b.n * t.DH + minimum(t.DH, b.y + m);
    return {{t.source + s0 * t.SW * t.SC, (s1 - s0) * t.SW * t.SC, false},
            {t.destination + d0 * t.DW * t.DC, (d1 - d0) * t.DW * t.DC, writes},
            calls};
}

// Where the pixels of a tile lie: evenly spaced inside a map, else one by one, [column][row], so that pixels outside
// can point at zeros.
struct EvenPixels {
    const float* first;
    int64_t row, column;
    PYNET_INLINE const float* at(int i, int j) const { return first + i * row + j * column; }
    PYNET_INLINE EvenPixels from(int64_t channel) const { return {first + channel, row, column}; }
};
template <int kRows>
struct ListedPixels {
    const float* const* list;
    int64_t channel;
    PYNET_INLINE const float* at(int i, int j) const { return list[j * kRows + i] + channel; }
    PYNET_INLINE ListedPixels from(int64_t c) const { return {list, channel + c}; }
};

// Lists the pixels of a tile of kRows x kColumns from row y and column x of an image on.
template <int kRows, int kColumns>
PYNET_INLINE void list_pixels(const float* image, int64_t H, int64_t W, int64_t channels, int64_t y, int64_t x,
                              const float* zeros, const float** list) {
    const float* at[kRows];
    int64_t step[kRows];
    for (int i = 0; i < kRows; ++i) {
        const bool exists = y + i >= 0 && y + i < H;
        at[i] = exists ? image + ((y + i) * W + x) * channels : zeros;
        step[i] = exists ? channels : 0;
    }
    for (int j = 0; j < kColumns; ++j) {
        const bool exists = x + j >= 0 && x + j < W;
        for (int i = 0; i < kRows; ++i) {
            list[j * kRows + i] = exists ? at[i] : zeros;
            at[i] += step[i];
        }
    }
}

// The rows of B^T d B whose bit is set in kRows, for kLanes channels (or the first `lanes`) of one tile. Not inlined
// into loops: all addresses would be computed before them and kept in memory.
template <int m, int kRows, bool kWhole, class Pixels>
PYNET_NOINLINE void transform_input_rows(Pixels pixels, int64_t lanes, float* v, int64_t stride) {
    constexpr int A = Winograd<m>::kIn;
    vfloat rows[A][A];
    PYNET_UNROLL
    for (int j = 0; j < A; ++j) {
        vfloat d[A], o[A];
        PYNET_UNROLL
        for (int i = 0; i < A; ++i) d[i] = kWhole ? load(pixels.at(i, j)) : load_partial(pixels.at(i, j), lanes);
        Winograd<m>::input(d, o);
        PYNET_UNROLL
        for (int i = 0; i < A; ++i) rows[i][j] = o[i];
    }
    PYNET_UNROLL
    for (int i = 0; i < A; ++i) {
        if (!(kRows >> i & 1)) continue;
        vfloat o[A];
        Winograd<m>::input(rows[i], o);
        PYNET_UNROLL
        for (int j = 0; j < A; ++j) store(v + (i * A + j) * stride, o[j]);
    }
}

// B^T d B of one block of channels. With 36 positions the rows come in two groups, since registers do not hold all of
// B^T d: reading the pixels twice is cheaper than keeping it in memory.
template <int m, bool kWhole, class Pixels>
PYNET_INLINE void transform_input_block(const Pixels& pixels, int64_t lanes, float* v, int64_t stride) {
    if constexpr (m == 2) {
        transform_input_rows<m, 0b1111, kWhole>(pixels, lanes, v, stride);
    } else {
        transform_input_rows<m, 0b011110, kWhole>(pixels, lanes, v, stride);
        transform_input_rows<m, 0b100001, kWhole>(pixels, lanes, v, stride);
    }
}

template <int m, class Pixels>
PYNET_INLINE void transform_input_pixels(const Pixels& pixels, int64_t first, int64_t channels, float* v,
                                         int64_t stride) {
    int64_t c = 0;
    for (; c + kLanes <= channels; c += kLanes)
        transform_input_block<m, true>(pixels.from(first + c), kLanes, v + c, stride);
    if (c < channels) transform_input_block<m, false>(pixels.from(first + c), channels - c, v + c, stride);
}

// Every `block` channels go `v_block` floats further.
template <int m>
PYNET_INLINE void transform_input(const Maps& t, const Tile& at, const float* zeros, float* v, int64_t stride,
                                  int64_t block, int64_t v_block) {
    constexpr int A = Winograd<m>::kIn;
    const int64_t y = at.y - t.pad_h, x = at.x - t.pad_w;
    const float* image = t.source + at.n * t.SH * t.SW * t.SC;
    if (y >= 0 && y + A <= t.SH && x >= 0 && x + A <= t.SW) {
        const EvenPixels pixels = {image + (y * t.SW + x) * t.SC, t.SW * t.SC, t.SC};
        for (int64_t c = 0; c < t.SC; c += block, v += v_block)
            transform_input_pixels<m>(pixels, c, minimum(block, t.SC - c), v, stride);
    } else {
        const float* list[A * A];
        list_pixels<A, A>(image, t.SH, t.SW, t.SC, y, x, zeros, list);
        for (int64_t c = 0; c < t.SC; c += block, v += v_block)
            transform_input_pixels<m>(ListedPixels<A>{list, 0}, c, minimum(block, t.SC - c), v, stride);
    }
}

template <int m>
PYNET_INLINE void transform_input(const Maps& t, const Tile& at, const float* zeros, float* v, int64_t stride) {
    transform_input<m>(t, at, zeros, v, stride, t.SC, 0);
}

// A^T p A for kLanes channels (or the first `lanes`) of a tile of which `rows` x `columns` pixels exist.
template <int m, bool kWhole>
PYNET_NOINLINE void transform_output_block(const float* p, int64_t stride, float* to, int64_t row, int64_t column,
                                           int64_t rows, int64_t columns, int64_t lanes, const float* bias,
                                           const Finish& finish) {
    constexpr int A = Winograd<m>::kIn;
    vfloat half[m][A];
    PYNET_UNROLL
    for (int x = 0; x < A; ++x) {
        vfloat d[A], o[m];
        PYNET_UNROLL
        for (int y = 0; y < A; ++y) d[y] = load(p + (y * A + x) * stride);
        Winograd<m>::output(d, o);
        PYNET_UNROLL
        for (int y = 0; y < m; ++y) half[y][x] = o[y];
    }
    const vfloat add = !bias ? vfloat{} : load_lanes(bias, lanes);
    PYNET_UNROLL
    for (int y = 0; y < m; ++y) {
        if (!kWhole && y >= rows) break;
        vfloat o[m];
        Winograd<m>::output(half[y], o);
        PYNET_UNROLL
        for (int x = 0; x < m; ++x) o[x] += add;
        activate(o, finish.activation, finish.alpha);
        PYNET_UNROLL
        for (int x = 0; x < m; ++x) {
            if (kWhole)
                store(to + x * column, o[x]);
            else if (x < columns)
                store_lanes(to + x * column, o[x], lanes);
        }
        to += row;
    }
}

// A^T p A of one tile for `channels` outputs from channel f on.
template <int m>
PYNET_INLINE void transform_output(const Maps& t, const Tile& at, const float* p, int64_t stride, int64_t f,
                                   int64_t channels, const Finish& finish) {
    const int64_t rows = minimum(m, t.DH - at.y), columns = minimum(m, t.DW - at.x);
    float* to = t.destination + ((at.n * t.DH + at.y) * t.DW + at.x) * t.DC + f;
    for (int64_t c = 0; c < channels; c += kLanes) {
        const float* bias = finish.bias ? finish.bias + f + c : nullptr;
        const bool whole = rows == m && columns == m && channels - c >= kLanes;
        (whole ? transform_output_block<m, true> : transform_output_block<m, false>)(p + c, stride, to + c, t.DW * t.DC,
                                                                                     t.DC, rows, columns, channels - c,
                                                                                     bias, finish);
    }
}

// Adds what transform_output wrote to the statistics of a part.
template <int m>
PYNET_INLINE void add_output(const Maps& t, const Tile& at, int64_t f, Part& part) {
    const int64_t rows = minimum(m, t.DH - at.y), columns = minimum(m, t.DW - at.x), row = t.DW * t.DC;
    const float* from = t.destination + (at.n * t.DH + at.y) * row + at.x * t.DC + f;
    if (rows == m && columns == m) {
        part.add<m * m>([=](int i) { return from + i / m * row + i % m * t.DC; });
        return;
    }
    for (int64_t y = 0; y < rows; ++y)
        for (int64_t x = 0; x < columns; ++x) part.add<1>([=](int) { return from + y * row + x * t.DC; });
}

// A dout A^T, the adjoint of transform_output, for kLanes channels (or the first `lanes`) of one tile.
template <int m, bool kWhole, class Pixels>
PYNET_NOINLINE void transform_gradient_block(Pixels pixels, int64_t lanes, float* d, int64_t stride) {
    constexpr int A = Winograd<m>::kIn;
    vfloat half[A][m];
    PYNET_UNROLL
    for (int j = 0; j < m; ++j) {
        vfloat y[m], o[A];
        PYNET_UNROLL
        for (int i = 0; i < m; ++i) y[i] = kWhole ? load(pixels.at(i, j)) : load_partial(pixels.at(i, j), lanes);
        Winograd<m>::output_adjoint(y, o);
        PYNET_UNROLL
        for (int i = 0; i < A; ++i) half[i][j] = o[i];
    }
    PYNET_UNROLL
    for (int i = 0; i < A; ++i) {
        vfloat o[A];
        Winograd<m>::output_adjoint(half[i], o);
        PYNET_UNROLL
        for (int j = 0; j < A; ++j) store(d + (i * A + j) * stride, o[j]);
    }
}

template <int m, class Pixels>
PYNET_INLINE void transform_gradient_pixels(const Pixels& pixels, int64_t first, int64_t channels, float* d,
                                            int64_t stride) {
    int64_t f = 0;
    for (; f + kLanes <= channels; f += kLanes)
        transform_gradient_block<m, true>(pixels.from(first + f), kLanes, d + f, stride);
    if (f < channels) transform_gradient_block<m, false>(pixels.from(first + f), channels - f, d + f, stride);
}

// Pixels that do not exist count as zero. Every `block` channels go `d_block` floats further.
template <int m>
PYNET_INLINE void transform_gradient(const Maps& t, const float* dout, const Tile& at, const float* zeros, float* d,
                                     int64_t stride, int64_t block, int64_t d_block) {
    const float* image = dout + at.n * t.DH * t.DW * t.DC;
    if (at.y + m <= t.DH && at.x + m <= t.DW) {
        const EvenPixels pixels = {image + (at.y * t.DW + at.x) * t.DC, t.DW * t.DC, t.DC};
        for (int64_t f = 0; f < t.DC; f += block, d += d_block)
            transform_gradient_pixels<m>(pixels, f, minimum(block, t.DC - f), d, stride);
    } else {
        const float* list[m * m];
        list_pixels<m, m>(image, t.DH, t.DW, t.DC, at.y, at.x, zeros, list);
        for (int64_t f = 0; f < t.DC; f += block, d += d_block)
            transform_gradient_pixels<m>(ListedPixels<m>{list, 0}, f, minimum(block, t.DC - f), d, stride);
    }
}

template <int m>
PYNET_INLINE void transform_gradient(const Maps& t, const float* dout, const Tile& at, const float* zeros, float* d,
                                     int64_t stride) {
    transform_gradient<m>(t, dout, at, zeros, d, stride, t.DC, 0);
}

}  // namespace PYNET_LEVEL
}  // namespace pynet
