// Tiles of maps under a convolution by FFT: where a tile lies, what it reads and what it yields.
#pragma once
#include "conv2d.h"
#include "fft.h"

namespace pynet {
namespace PYNET_LEVEL {

// The source map is cut into tiles. Forward and backward-data write the destination map; backward-weight reads it as
// the gradient. `pad` may be negative, where backward-data meets more padding than the kernel reaches.
struct FftMaps {
    const float* source;
    float* destination;
    int64_t SH, SW, SC, DH, DW, DC, pad_h, pad_w;   // SC, DC: channels of all groups
    int64_t out_h, out_w, tiles_h, tiles_w, tiles;  // pixels that a tile yields
};

PYNET_INLINE FftMaps fft_maps(const Conv2d& c, int64_t T) {
    const Conv2dShape& s = c.shape;
    const bool back = c.pass == ConvPass::backward_data;
    FftMaps m;
    m.source = back ? c.out : c.x, m.destination = back ? c.x : c.out;
    m.SH = back ? s.OH() : s.H, m.SW = back ? s.OW() : s.W, m.SC = back ? s.F : s.C;
    m.DH = back ? s.H : s.OH(), m.DW = back ? s.W : s.OW(), m.DC = back ? s.C : s.F;
    m.pad_h = back ? s.KH - 1 - s.pad_h : s.pad_h, m.pad_w = back ? s.KW - 1 - s.pad_w : s.pad_w;
    m.out_h = T - s.KH + 1, m.out_w = T - s.KW + 1;
    m.tiles_h = ceil_div(m.DH, m.out_h), m.tiles_w = ceil_div(m.DW, m.out_w), m.tiles = s.N * m.tiles_h * m.tiles_w;
    return m;
}

struct FftTile {
    int64_t n, y, x;  // image, first destination row and column
};

PYNET_INLINE FftTile tile_at(const FftMaps& m, int64_t index) {
    return {index / (m.tiles_h * m.tiles_w), index / m.tiles_w % m.tiles_h * m.out_h, index % m.tiles_w * m.out_w};
}

// The T x T source pixels, from channel c on, of which `lanes` exist.
PYNET_INLINE Window source_window(const FftMaps& m, int64_t T, const FftTile& t, int64_t c, int64_t lanes) {
    const int64_t y = t.y - m.pad_h, x = t.x - m.pad_w;
    return {m.source + ((t.n * m.SH + y) * m.SW + x) * m.SC + c,
            m.SW * m.SC,
            m.SC,
            maximum(0, -y),
            minimum(T, m.SH - y),
            maximum(0, -x),
            minimum(T, m.SW - x),
            lanes};
}

// The destination pixels that the tile yields, read as a gradient.
PYNET_INLINE Window gradient_window(const FftMaps& m, const FftTile& t, int64_t c, int64_t lanes) {
    return {m.destination + ((t.n * m.DH + t.y) * m.DW + t.x) * m.DC + c,
            m.DW * m.DC,
            m.DC,
            0,
            minimum(m.out_h, m.DH - t.y),
            0,
            minimum(m.out_w, m.DW - t.x),
            lanes};
}

// The same pixels, written: forward with bias and activation.
PYNET_INLINE Target destination_target(const FftMaps& m, int64_t T, const Conv2d& conv, const FftTile& t, int64_t c,
                                       int64_t lanes) {
    const bool back = conv.pass == ConvPass::backward_data;
    return {m.destination + ((t.n * m.DH + t.y) * m.DW + t.x) * m.DC + c,
            m.DW * m.DC,
            m.DC,
            minimum(m.out_h, m.DH - t.y),
            minimum(m.out_w, m.DW - t.x),
            lanes,
            0.25f / static_cast<float>(T * T),
            back || !conv.bias ? nullptr : conv.bias + c,
            back ? Activation::none : conv.activation,
            conv.alpha};
}

// A KH x KW gradient of the weights, taps `step` floats apart.
PYNET_INLINE Target weight_target(const Conv2dShape& s, int64_t T, float* base, int64_t step, int64_t lanes) {
    return {base,    s.KW * step,      step, s.KH, s.KW, lanes, 0.25f / static_cast<float>(T * T),
            nullptr, Activation::none, 0.0f};
}

// Depthwise convolution by tiles of T = 16, 32 or 64: values are multiplied one by one (conv2d_fft_depthwise.cpp).
PYNET_INLINE bool is_depthwise(const Conv2dShape& s) { return s.groups == s.C && s.F == s.C; }
size_t fft_depthwise_workspace(const Conv2d& c, int64_t T, int threads);
void fft_depthwise(const Context& context, const Conv2d& c, int64_t T);

}  // namespace PYNET_LEVEL
}  // namespace pynet
