// Strips: some rows of one image and one group of channels, copied side by side with the padding written out, so that
// the inputs of a row of taps are one piece of memory and no tile meets an edge. Shared by the passes of the algorithm
// "strip" (conv2d_strip.cpp, conv2d_strip_weight.cpp).
#pragma once
#include "conv2d.h"

namespace pynet {
namespace PYNET_LEVEL {

struct Strip {
    int64_t H, W, C;   // the map that is copied
    int64_t channels;  // of one group
    int64_t x0;        // column of the map that the strip starts with; negative where it is padding
    int64_t row;       // floats of a row of the strip
};

// Rows [y0, y0 + rows) of a map, from its group's first channel on, with zeros for what lies outside.
PYNET_INLINE void write_strip(const Strip& s, const float* image, int64_t y0, int64_t rows, float* strip) {
    const int64_t left = minimum(s.row, maximum(0, -s.x0) * s.channels),
                  right = maximum(left, minimum(s.row, (s.W - s.x0) * s.channels));
    for (int64_t r = 0; r < rows; ++r) {
        float* to = strip + r * s.row;
        const int64_t y = y0 + r;
        const bool inside = y >= 0 && y < s.H;
        const int64_t first = inside ? left : s.row, last = inside ? right : s.row;
        for (int64_t i = 0; i < first; i += kLanes) store_lanes(to + i, vfloat{}, first - i);
        const float* from = image + (y * s.W + maximum(0, s.x0)) * s.C;
        if (s.channels == s.C) {
            for (int64_t i = first; i < last; i += kLanes)
                store_lanes(to + i, load_lanes(from + i - first, last - i), last - i);
        } else {
            for (int64_t i = first; i < last; i += s.channels, from += s.C)
                for (int64_t c = 0; c < s.channels; c += kLanes)
                    store_lanes(to + i + c, load_lanes(from + c, s.channels - c), s.channels - c);
        }
        for (int64_t i = last; i < s.row; i += kLanes) store_lanes(to + i, vfloat{}, s.row - i);
    }
}

size_t strip_weight_workspace(const Conv2dShape& s, int threads);
void strip_weight(const Context& context, const Conv2d& c);

}  // namespace PYNET_LEVEL
}  // namespace pynet
