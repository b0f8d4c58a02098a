// Tiles of maps under Winograd's transforms: where a tile lies, and the way of its pixels into the transformed space
// and back. Position xi = i * (m + 2) + j of a tile lies `stride` floats from the next; channels are contiguous, whole
// vectors of them are written. Tiles at the edge read zeros and write what exists.
#pragma once
#include "conv2d.h"
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

// B^T d B of one tile whose pixel (i, j) starts at pixel(i, j). The rows of the result come in groups that fit the
// registers; reading the pixels once more is cheaper than keeping all of B^T d.
template <int m, class Pixel>
PYNET_INLINE void transform_pixels(int64_t channels, Pixel pixel, float* v, int64_t stride) {
    constexpr int A = Winograd<m>::kIn;
    for (int64_t c = 0; c < channels; c += kLanes) {
        const int64_t lanes = channels - c;
        PYNET_UNROLL
        for (const int group : Winograd<m>::kInputGroups) {
            vfloat rows[A][A];
            PYNET_UNROLL
            for (int j = 0; j < A; ++j) {
                vfloat d[A], o[A];
                PYNET_UNROLL
                for (int i = 0; i < A; ++i) d[i] = load_lanes(pixel(i, j) + c, lanes);
                Winograd<m>::input(d, o);
                PYNET_UNROLL
                for (int i = 0; i < A; ++i) rows[i][j] = o[i];
            }
            PYNET_UNROLL
            for (int i = 0; i < A; ++i) {
                if (!(group >> i & 1)) continue;
                vfloat o[A];
                Winograd<m>::input(rows[i], o);
                PYNET_UNROLL
                for (int j = 0; j < A; ++j) store(v + (i * A + j) * stride + c, o[j]);
            }
        }
    }
}

template <int m>
PYNET_NOINLINE void transform_input(const Maps& t, const Tile& at, const float* zeros, float* v, int64_t stride) {
    constexpr int A = Winograd<m>::kIn;
    const int64_t y0 = at.y - t.pad_h, x0 = at.x - t.pad_w;
    const int64_t row = t.SW * t.SC, column = t.SC;
    const float* first = t.source + at.n * t.SH * row + y0 * row + x0 * column;
    if (y0 >= 0 && y0 + A <= t.SH && x0 >= 0 && x0 + A <= t.SW) {
        transform_pixels<m>(t.SC, [=](int i, int j) { return first + i * row + j * column; }, v, stride);
        return;
    }
    const float* pixel[A * A];
    for (int64_t i = 0; i < A; ++i) {
        const bool row_exists = y0 + i >= 0 && y0 + i < t.SH;
        for (int64_t j = 0; j < A; ++j)
            pixel[i * A + j] = row_exists && x0 + j >= 0 && x0 + j < t.SW ? first + i * row + j * column : zeros;
    }
    transform_pixels<m>(t.SC, [&](int i, int j) { return pixel[i * A + j]; }, v, stride);
}

// A^T p A of one tile for `columns` outputs from channel f on, with bias and activation.
template <int m>
PYNET_NOINLINE void transform_output(const Maps& t, const Tile& at, const float* p, int64_t stride, int64_t f,
                                     int64_t columns, const float* bias, Activation activation, float alpha) {
    constexpr int A = Winograd<m>::kIn;
    const int64_t rows_left = minimum(m, t.DH - at.y), columns_left = minimum(m, t.DW - at.x);
    float* destination = t.destination + ((at.n * t.DH + at.y) * t.DW + at.x) * t.DC + f;
    for (int64_t j = 0; j < columns; j += kLanes) {
        const int64_t lanes = columns - j;
        vfloat half[m][A];
        PYNET_UNROLL
        for (int x = 0; x < A; ++x) {
            vfloat d[A], o[m];
            PYNET_UNROLL
            for (int y = 0; y < A; ++y) d[y] = load(p + (y * A + x) * stride + j);
            Winograd<m>::output(d, o);
            PYNET_UNROLL
            for (int y = 0; y < m; ++y) half[y][x] = o[y];
        }
        const vfloat add = bias ? load_lanes(bias + f + j, lanes) : vfloat{};
        PYNET_UNROLL
        for (int y = 0; y < m; ++y) {
            if (y >= rows_left) break;
            vfloat o[m];
            Winograd<m>::output(half[y], o);
            float* to = destination + y * t.DW * t.DC + j;
            PYNET_UNROLL
            for (int x = 0; x < m; ++x)
                if (x < columns_left) store_lanes(to + x * t.DC, activate(o[x] + add, activation, alpha), lanes);
        }
    }
}

// A dout A^T of one tile, the adjoint of transform_output; destination pixels that do not exist count as zero.
template <int m>
PYNET_NOINLINE void transform_gradient(const Maps& t, const float* dout, const Tile& at, const float* zeros, float* d,
                                       int64_t stride) {
    constexpr int A = Winograd<m>::kIn;
    const float* pixel[m * m];
    for (int64_t i = 0; i < m; ++i)
        for (int64_t j = 0; j < m; ++j) {
            const bool inside = at.y + i < t.DH && at.x + j < t.DW;
            pixel[i * m + j] = inside ? dout + ((at.n * t.DH + at.y + i) * t.DW + at.x + j) * t.DC : zeros;
        }
    for (int64_t f = 0; f < t.DC; f += kLanes) {
        const int64_t lanes = t.DC - f;
        vfloat half[A][m];
        PYNET_UNROLL
        for (int j = 0; j < m; ++j) {
            vfloat y[m], o[A];
            PYNET_UNROLL
            for (int i = 0; i < m; ++i) y[i] = load_lanes(pixel[i * m + j] + f, lanes);
            Winograd<m>::output_adjoint(y, o);
            PYNET_UNROLL
            for (int i = 0; i < A; ++i) half[i][j] = o[i];
        }
        PYNET_UNROLL
        for (int i = 0; i < A; ++i) {
            vfloat o[A];
            Winograd<m>::output_adjoint(half[i], o);
            PYNET_UNROLL
            for (int j = 0; j < A; ++j) store(d + (i * A + j) * stride + f, o[j]);
        }
    }
}

}  // namespace PYNET_LEVEL
}  // namespace pynet
