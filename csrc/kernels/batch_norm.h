// How the batch normalisation kernels walk their maps, and the coefficients that both directions share.
//
// x is (rows, C). Several rows are read as one "wide" row so that a wide row is whole vectors; per-channel coefficients
// are repeated accordingly, and the few rows left over are a flat tail. Threads take fixed blocks of wide rows.
#pragma once
#include "channels.h"
#include "kernels.h"
#include "reduce.h"

namespace pynet {
namespace PYNET_LEVEL {

constexpr int64_t kWidest = 1024;  // floats of a wide row up to which rows are joined
constexpr int64_t kRun = 32;       // wide rows that are summed before their sums go to the block's
constexpr int kCoefficients = 5;

struct Wide {
    int64_t group, rows, columns, rest, blocks;  // rest: floats of the flat tail, fewer than `columns`
    int64_t at_once;                             // rows that a pass takes before it goes to the next columns
};

inline Wide wide_of(int64_t rows, int64_t C) {
    int64_t a = C, b = kLanes;
    while (b) {
        const int64_t r = a % b;
        a = b;
        b = r;
    }
    int64_t group = kLanes / maximum(a, 1);
    while (C > 0 && group * C < 4 * kLanes) group *= 2;
    if (group * C > kWidest) group = 1;
    Wide w{group, rows / group, group * C, rows % group * C, 0, 0};
    w.blocks = row_blocks(w.rows, w.columns);
    // One after the other in memory, or the hardware would not foresee what comes next. Only where all columns are one
    // step of for_channels may the rows come first, so that coefficients and sums stay in registers.
    w.at_once = w.columns <= 4 * kLanes ? kRun : 1;
    return w;
}

struct Workspace {
    double* total[2];    // columns each
    float* partial[2];   // (blocks + 1) * columns each; the last row is for the tail
    float* run[2];       // blocks * columns each: sums of a run of rows
    float* coefficient;  // kCoefficients * columns

    Workspace(const Context& context, const Wide& w) {
        total[0] = reinterpret_cast<double*>(context.workspace);
        total[1] = total[0] + w.columns;
        partial[0] = reinterpret_cast<float*>(total[1] + w.columns);
        partial[1] = partial[0] + (w.blocks + 1) * w.columns;
        run[0] = partial[1] + (w.blocks + 1) * w.columns;
        run[1] = run[0] + w.blocks * w.columns;
        coefficient = run[1] + w.blocks * w.columns;
    }
};

PYNET_INLINE int64_t block_start(const Wide& w, int64_t block) { return w.rows * block / w.blocks; }

// The vectors of the flat tail: visit(offset, lanes that count).
template <class Visit>
PYNET_INLINE void for_tail(const Wide& w, Visit visit) {
    for (int64_t i = 0; i < w.rest; i += kLanes) visit(i, minimum(kLanes, w.rest - i));
}

// Keeps the old lanes of a sum that an overlapping vector has already counted.
PYNET_INLINE void update(float* at, vfloat fresh, vfloat old, int32_t repeated) {
    store(at, repeated ? select(lane_numbers() < repeated, old, fresh) : fresh);
}

PYNET_INLINE double inverse_deviation(const BatchNorm& b, int64_t c) {
    return 1.0 / __builtin_sqrt(static_cast<double>(b.var[c]) + static_cast<double>(b.eps));
}

PYNET_INLINE double scale_of(const BatchNorm& b, int64_t c) {
    return inverse_deviation(b, c) * (b.weight ? static_cast<double>(b.weight[c]) : 1.0);
}

// What the activation is applied to, but for the residual. Forward and backward share it: the bits decide the slope.
PYNET_INLINE vfloat affine(vfloat x, vfloat mean, vfloat scale, vfloat bias) { return (x - mean) * scale + bias; }

// Fills row i of the coefficients, once for every pixel of a wide row.
template <class Value>
PYNET_INLINE void repeat(const Wide& w, int64_t C, float* row, Value value) {
    for (int64_t c = 0; c < C; ++c) row[c] = value(c);
    for (int64_t k = 1; k < w.group; ++k)
        for (int64_t c = 0; c < C; ++c) row[k * C + c] = row[c];
}

}  // namespace PYNET_LEVEL
}  // namespace pynet
