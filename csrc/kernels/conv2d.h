// What an algorithm for 2-D convolution has to offer, and the pieces that several of them share.
#pragma once
#include "../context.h"
#include "tile.h"

namespace pynet {
namespace PYNET_LEVEL {

struct ConvAlgorithm {
    const char* name;
    bool (*can)(const Conv2d& conv);                       // computes this shape and pass correctly
    bool (*prefer)(const Conv2d& conv);                    // and is the one to take; shape and level alone decide
    size_t (*workspace)(const Conv2d& conv, int threads);  // bytes
    void (*run)(const Context& context, const Conv2d& conv);
    bool sums_bias = false;  // run writes conv.dbias itself, at less than a pass over the gradient
    // The weights in the order that run wants them, for callers that use them again and again: bytes, and filling
    // them. Null where run reads the weights as they are.
    size_t (*packed_bytes)(const Conv2d& conv) = nullptr;
    void (*pack)(const Context& context, const Conv2d& conv, float* packed) = nullptr;
    // Forward: of how many parts of out (statistics.h) run leaves mean and variance in conv.parts, where that is not
    // null. Null where it takes none: out is then read once more.
    int64_t (*parts)(const Conv2d& conv) = nullptr;
};

extern const ConvAlgorithm kConvFft, kConvDepthwise, kConvNarrow, kConvStrip, kConvWinograd4, kConvWinograd2,
    kConvIm2col, kConvDirect;

// Output positions [first, last) whose input position position * stride + offset lies inside [0, size).
PYNET_INLINE void valid_range(int64_t count, int64_t stride, int64_t offset, int64_t size, int64_t* first,
                              int64_t* last) {
    *first = offset >= 0 ? 0 : minimum(count, ceil_div(-offset, stride));
    *last = size <= offset ? 0 : minimum(count, ceil_div(size - offset, stride));
    if (*last < *first) *last = *first;
}

// Weight gradients are summed in partial arrays laid out panel by panel: [panel][row][width], rows = KH * KW * Cg,
// so that every tile is stored whole. Floats of one partial of one group:
PYNET_INLINE int64_t partial_size(int64_t rows, int64_t Fg) { return packed_panels_width(Fg) * rows; }

// dw = the partials of each group in order, brought to (KH, KW, Cg, F). `partials` is [group][part][partial_size].
void reduce_weight_partials(const Context& context, const Conv2dShape& s, const float* partials, int64_t parts,
                            float* dw);

}  // namespace PYNET_LEVEL
}  // namespace pynet
