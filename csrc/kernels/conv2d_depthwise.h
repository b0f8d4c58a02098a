// What the passes of convolution in narrow groups share: the map that vectors walk, bands of its rows, and rows of
// the other map spread to its lanes.
#pragma once
#include "channels.h"
#include "conv2d.h"
#include "prefetch.h"

namespace pynet {
namespace PYNET_LEVEL {

alignas(64) constexpr float kZeros[kLanes] = {};

// A convolution of one pass, seen from the map that is walked in vectors: source -> lanes.
struct View {
    int64_t N, KH, KW, stride_h, stride_w, pad_h, pad_w, dilation_h, dilation_w;
    int64_t SH, SW, SC;  // the source's map
    int64_t DH, DW, DC;  // the map in lanes: out, or dx
    int64_t Sg, Dg, groups;
    bool backward;  // data
    bool spread;
    int64_t blocks;  // vectors of DC
};

View view_of(const Conv2d& c);

PYNET_INLINE int64_t first_channel(const View& v, int64_t block) {
    return v.DC < kLanes ? 0 : minimum(block * kLanes, v.DC - kLanes);
}

// Source rows [first, last) that destination rows [h0, h1) read, whatever the tap.
PYNET_INLINE void source_rows(const View& v, int64_t h0, int64_t h1, int64_t* first, int64_t* last) {
    const int64_t reach = (v.KH - 1) * v.dilation_h;
    if (v.backward) {
        *first = maximum(0, h0 + v.pad_h - reach) / v.stride_h;
        *last = minimum(v.SH, (h1 - 1 + v.pad_h) / v.stride_h + 1);
    } else {
        *first = maximum(0, h0 * v.stride_h - v.pad_h);
        *last = minimum(v.SH, (h1 - 1) * v.stride_h - v.pad_h + reach + 1);
    }
    *first = minimum(*first, v.SH);
    *last = maximum(*last, *first);
}

struct Bands {
    int64_t rows, count;           // of one band, of one image
    int64_t blocks, block_groups;  // vectors of channels of one chunk
    int64_t spread_floats;
};

// Channels are split too where there are few bands.
void split_blocks(const View& v, int64_t bands, Bands* b);

// Bands of whole rows stay in L2, so that each row is fetched once, and for weight gradients one vector of channels of
// a band stays in L1 while all kernel rows meet it.
Bands bands_of(const View& v, bool weights);

// Rows [y0, y1) of an image, spread for the vector of channels from `channel` on: [row][c < Sg][column][lane].
void spread_rows(const View& v, const float* image, int64_t channel, int64_t y0, int64_t y1, float* to);

// Whether rows should be fetched ahead of their use.
PYNET_INLINE bool fetches_ahead(const View& v, const Bands& b) {
    return !v.spread && b.block_groups == 1 && v.N * (v.SH * v.SW * v.SC + v.DH * v.DW * v.DC) * 4 > kPrefetchFrom;
}

template <bool kWhole>
PYNET_INLINE vfloat load_block(const float* p, int64_t lanes) {
    return kWhole ? load(p) : load_partial(p, lanes);
}

// The weight gradient.
size_t depthwise_weight_workspace(const Conv2d& c, int threads);
void depthwise_weight(const Context& context, const Conv2d& c);

}  // namespace PYNET_LEVEL
}  // namespace pynet
