// Augmentation of uint8 images (N, H, W, C), C-dense: one affine warp, colour, blur, and the numbers that rule them.
// Integer arithmetic throughout (16.16 fixed point), so that every compiler, ISA level and thread count gives the same
// bits. Compiled once: the warp reads four bytes a channel wherever it points, which wider vectors do not speed up.
// One chunk is one image; `in` and `out` must not overlap, but colour works in place.
#pragma once
#include <stdint.h>

#include "context.h"

namespace pynet::augment {

struct Images {
    int64_t n, h, w, c;
};

// out[i, j] = the j-th number in [0, 1) of sample indices[i]: Philox4x32-10 (Salmon et al. 2011) with key `seed` and
// counter (first / 4 + j / 4, epoch, index). `first` is a multiple of 4.
void uniform(const Context&, int64_t samples, int64_t count, uint64_t seed, uint32_t epoch, uint32_t first,
             const int64_t* indices, double* out);

// Output pixel (y, x) is read bilinearly at (m[0] x + m[1] y + m[2], m[3] x + m[4] y + m[5]) = (column, row), 16.16,
// pixel centres at integers, weights in 1/256. Outside: the nearest edge pixel, or `fill`, one byte a channel.
void warp(const Context&, const Images& shape, int64_t out_h, int64_t out_w, const uint8_t* in, const int64_t* matrices,
          const uint8_t* fill, bool edge, uint8_t* out);

// In the order of `order` (N, 4): 0 brightness, 1 contrast, 2 saturation (factors, 16.16), 3 hue (24576 is one turn).
void color(const Context&, const Images& shape, const int32_t* factors, const int32_t* order, uint8_t* images);

// Separable, `taps` weights (N, taps) that add up to 65536, odd; borders mirror without repeating the edge.
// Scratch: h * w * c uint16 a thread.
void blur(const Context&, const Images& shape, int64_t taps, const uint8_t* in, const int32_t* weights, uint8_t* out);

}  // namespace pynet::augment
