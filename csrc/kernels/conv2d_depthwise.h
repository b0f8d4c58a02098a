// What the passes of convolution in narrow groups share: the map that vectors walk, bands of its rows, rows of the
// other map spread to its lanes, and which of its columns meet which taps.
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

struct Bands {
    int64_t rows, count;           // of one band, of one image
    int64_t blocks, block_groups;  // vectors of channels of one chunk
    int64_t spread_floats;
};

constexpr int64_t kFewChunks = 8;

// Channels are split too where there are few bands.
void split_blocks(const View& v, int64_t bands, Bands* b);

// Bands of whole rows; what is spread of one stays in L2.
Bands bands_of(const View& v);

// Rows [y0, ...) of a map's image, or of what was spread of it for one vector of channels.
struct Source {
    const float* at;
    int64_t y0;
};

// What destination rows [h0, h1) of the vectors of channels from `block` on read.
Source source_of(const View& v, const float* image, int64_t h0, int64_t h1, int64_t block, float* spread);

// Neighbouring taps of a kernel row for one channel of a group. Columns are counted in steps from the one that the
// first tap reads at column 0 of the destination's grid; those in [first, last) exist.
struct Line {
    int64_t source, weight;  // floats from their starts to column 0 and to the first tap
    int64_t first, last;
};

// How the rows of the kernel meet one phase of the destination's columns.
struct Kernel {
    int64_t phase, columns;
    int64_t runs, taps, stride;  // runs of neighbouring taps; with stride 0, columns are counted by the grid
    int64_t step;                // floats from a column of the source to the next
    int64_t weight_step;         // floats from a tap to the next; what follows too
    int64_t tap, channel;        // of the weights, and of a group's channels
    Line* row;                   // a line for each run
    Line* lines;
};

// `memory` has lines_floats(v) floats.
int64_t lines_floats(const View& v);
Kernel meet(const View& v, int64_t phase, int64_t tap, int64_t channel, float* memory);

// All lines of one destination row, from a source whose first row is y0.
struct Lines {
    const Line* at;
    int64_t count, columns, step;
};
Lines lines_of(const View& v, const Kernel& kernel, int64_t h, int64_t y0);

constexpr int kPixels = 8;  // columns at a time

// The vectors of channels of a row, and what is fetched while they pass: the rows that the next row adds, and that row.
struct Blocks {
    int64_t first, last;
    int64_t channels;
    bool spread;
    Ahead ahead;
};

// Whether rows should be fetched ahead of their use.
PYNET_INLINE bool fetches_ahead(const View& v, const Bands& b) {
    return !v.spread && b.block_groups == 1 && v.N * (v.SH * v.SW * v.SC + v.DH * v.DW * v.DC) * 4 > kPrefetchFrom;
}

// Fetches for the next `rows` rows in `calls` shares.
Blocks blocks_of(const View& v, const Bands& b, int64_t first, int64_t last, const float* source_image,
                 const float* destination_image, int64_t h, int64_t rows, int64_t calls);

// visit(first channel, the same in the source, lanes)
template <bool kWhole, class Visit>
PYNET_INLINE void for_blocks(const Blocks& blocks, Visit visit) {
    for (int64_t block = blocks.first; block < blocks.last; ++block) {
        const int64_t channel = kWhole ? minimum(block * kLanes, blocks.channels - kLanes) : 0;
        visit(channel, blocks.spread ? 0 : channel, kWhole ? kLanes : blocks.channels);
    }
}

template <bool kWhole>
PYNET_INLINE vfloat load_block(const float* p, int64_t lanes) {
    return kWhole ? load(p) : load_partial(p, lanes);
}

// visit(q, column at + q of a line) for kColumns columns; those that do not exist are zero.
template <int kColumns, bool kWhole, class Visit>
PYNET_INLINE void for_columns(const Line& line, int64_t at, int64_t step, const float* source, int64_t lanes,
                              Visit visit) {
    const float* x = source + line.source + at * step;
    if (line.first <= at && at + kColumns <= line.last) {
        PYNET_UNROLL
        for (int q = 0; q < kColumns; ++q) visit(q, load_block<kWhole>(x + q * step, lanes));
    } else {
        PYNET_UNROLL
        for (int q = 0; q < kColumns; ++q) {
            const bool exists = line.first <= at + q && at + q < line.last;
            visit(q, load_block<kWhole>(exists ? x + q * step : kZeros, lanes));
        }
    }
}

// The weight gradient.
size_t depthwise_weight_workspace(const Conv2d& c, int threads);
void depthwise_weight(const Context& context, const Conv2d& c);

}  // namespace PYNET_LEVEL
}  // namespace pynet
