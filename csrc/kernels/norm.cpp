// Batch normalisation over all pixels of each channel: statistics, the fused forward pass
// act((x - mean) / sqrt(var + eps) * weight + bias + residual), and both backward modes.
//
// Layout: x (rows, C), rows = N * H * W. Several rows are read as one "wide" row so that a wide row is whole
// vectors; per-channel coefficients are repeated accordingly, and the few rows left over are a flat tail.
// Statistics: mean and sum of squared differences of short runs of rows, two passes while they lie in L1,
// merged pairwise (Chan, Golub & LeVeque 1979): accurate for any mean, one read of memory.
// The gradient before the activation is computed in both backward passes rather than stored; the activation's slope
// follows from the output, or from x by the forward pass's own expression, which spares reading the output.
// Threads: fixed blocks of wide rows; partial results are merged in block order, in double precision.
// Aliasing: none allowed. Workspace: batch_norm_workspace() bytes.
// Source: Ioffe & Szegedy 2015.
#include "activation.h"
#include "channels.h"
#include "kernels.h"
#include "parallel.h"
#include "reduce.h"

namespace pynet {
namespace PYNET_LEVEL {
namespace {

constexpr int64_t kWidest = 1024;  // floats of a wide row up to which rows are joined
constexpr int64_t kRun = 32;       // wide rows that are summed in registers at a time
constexpr int kCoefficients = 5;

struct Wide {
    int64_t group, rows, columns, rest, blocks;  // rest: floats of the flat tail, fewer than `columns`
};

Wide wide_of(int64_t rows, int64_t C) {
    int64_t a = C, b = kLanes;
    while (b) {
        const int64_t r = a % b;
        a = b;
        b = r;
    }
    int64_t group = kLanes / maximum(a, 1);
    while (C > 0 && group * C < 4 * kLanes) group *= 2;
    if (group * C > kWidest) group = 1;
    Wide w{group, rows / group, group * C, rows % group * C, 0};
    w.blocks = row_blocks(w.rows, w.columns);
    return w;
}

struct Workspace {
    double* total[2];    // columns each
    float* partial[2];   // (blocks + 1) * columns each; the last row is for the tail
    float* coefficient;  // kCoefficients * columns

    Workspace(const Context& context, const Wide& w) {
        total[0] = reinterpret_cast<double*>(context.workspace);
        total[1] = total[0] + w.columns;
        partial[0] = reinterpret_cast<float*>(total[1] + w.columns);
        partial[1] = partial[0] + (w.blocks + 1) * w.columns;
        coefficient = partial[1] + (w.blocks + 1) * w.columns;
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

// Merges rows [r0, r1) of x into (mean, squares) of `before` rows.
void merge_run(const float* x, int64_t columns, int64_t r0, int64_t r1, int64_t before, float* mean, float* squares) {
    const float count = static_cast<float>(r1 - r0), all = static_cast<float>(before + r1 - r0);
    const float share = count / all, weight = static_cast<float>(before) * share, scale = 1.0f / count;
    for_channels(columns, [&](int64_t c, auto vectors, int32_t repeated) {
        constexpr int NV = decltype(vectors)::value;
        vfloat sum[NV] = {}, square[NV] = {}, m[NV];
        for (int64_t r = r0; r < r1; ++r) {
            PYNET_UNROLL
            for (int j = 0; j < NV; ++j) sum[j] += load(x + r * columns + c + j * kLanes);
        }
        PYNET_UNROLL
        for (int j = 0; j < NV; ++j) m[j] = sum[j] * scale;
        for (int64_t r = r0; r < r1; ++r) {
            PYNET_UNROLL
            for (int j = 0; j < NV; ++j) {
                const vfloat d = load(x + r * columns + c + j * kLanes) - m[j];
                square[j] += d * d;
            }
        }
        PYNET_UNROLL
        for (int j = 0; j < NV; ++j) {
            float* to_mean = mean + c + j * kLanes;
            float* to_squares = squares + c + j * kLanes;
            const vfloat old = load(to_mean), old_squares = load(to_squares), delta = m[j] - old;
            update(to_mean, before ? old + delta * share : m[j], old, repeated);
            update(to_squares, before ? old_squares + square[j] + delta * delta * weight : square[j], old_squares,
                   repeated);
        }
    });
}

// Merges another mean and sum of squares, of `count` values, into (mean, squares) of `before` values.
PYNET_INLINE void merge(double before, double count, double other_mean, double other_squares, double& mean,
                        double& squares) {
    const double share = count / (before + count), delta = other_mean - mean;
    mean += delta * share;
    squares += other_squares + delta * delta * before * share;
}

// Sums of the columns of both partials over all blocks and the groups of a wide row: total[i][c], c < C.
void add_partials(const Wide& w, int64_t C, const Workspace& space) {
    for (int i = 0; i < 2; ++i) {
        double* total = space.total[i];
        for (int64_t c = 0; c < w.columns; ++c) total[c] = 0.0;
        for (int64_t block = 0; block <= w.blocks; ++block) {
            const float* partial = space.partial[i] + block * w.columns;
            for (int64_t c = 0; c < w.columns; ++c) total[c] += static_cast<double>(partial[c]);
        }
        for (int64_t k = 1; k < w.group; ++k)
            for (int64_t c = 0; c < C; ++c) total[c] += total[k * C + c];
    }
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

template <Activation kActivation, bool kResidual>
void forward(const Context& context, const BatchNorm& b, const Wide& w, const float* mean, const float* scale,
             const float* bias, float* out) {
    parallel_for(context, w.blocks, [&](int64_t block, int) {
        const int64_t end = block_start(w, block + 1);
        for (int64_t run = block_start(w, block); run < end; run += kRun) {
            const int64_t run_end = minimum(end, run + kRun);
            for_channels(w.columns, [&](int64_t c, auto vectors, int32_t) {
                constexpr int NV = decltype(vectors)::value;
                vfloat m[NV], s[NV], o[NV];
                PYNET_UNROLL
                for (int j = 0; j < NV; ++j) {
                    m[j] = load(mean + c + j * kLanes);
                    s[j] = load(scale + c + j * kLanes);
                    o[j] = load(bias + c + j * kLanes);
                }
                for (int64_t r = run; r < run_end; ++r) {
                    const int64_t at = r * w.columns + c;
                    PYNET_UNROLL
                    for (int j = 0; j < NV; ++j) {
                        vfloat v = affine(load(b.x + at + j * kLanes), m[j], s[j], o[j]);
                        if (kResidual) v += load(b.residual + at + j * kLanes);
                        store(out + at + j * kLanes, activation_value<kActivation>(v, b.alpha));
                    }
                }
            });
        }
    });
    const int64_t tail = w.rows * w.columns;
    for_tail(w, [&](int64_t i, int64_t n) {
        vfloat v = affine(load_partial(b.x + tail + i, n), load(mean + i), load(scale + i), load(bias + i));
        if (kResidual) v += load_partial(b.residual + tail + i, n);
        store_partial(out + tail + i, activation_value<kActivation>(v, b.alpha), n);
    });
}

// One value for each column of a wide row; the first backward pass leaves them to the second.
struct Coefficients {
    float *mean, *scale, *bias;
    float* constant;  // for dx, as is the slope
    float* slope;
    float* inverse;  // of the deviation, for the sums; in the constant's place

    Coefficients(const Workspace& space, const Wide& w)
        : mean(space.coefficient),
          scale(mean + w.columns),
          bias(scale + w.columns),
          constant(bias + w.columns),
          slope(constant + w.columns),
          inverse(constant) {}
};

// The gradient before the activation: the summands of dout, times the activation's slope. read(p) gives the vector of
// an array that is wanted. kFromX: without a residual, so that the output may be computed anew.
template <Activation kActivation, bool kFromX, class Read>
PYNET_INLINE vfloat gated(const BatchNorm& b, const BatchNormGradients& g, vfloat mean, vfloat scale, vfloat bias,
                          Read read) {
    vfloat d = read(g.dout);
    if (g.dout2) d += read(g.dout2);
    if (kActivation == Activation::none) return d;
    const vfloat out =
        kFromX ? activation_value<kActivation>(affine(read(b.x), mean, scale, bias), b.alpha) : read(g.out);
    return activation_gradient<kActivation>(d, out, b.alpha);
}

// Partial sums of d and of d * xhat, where d is the gradient before the activation; d is the residual's gradient too.
template <Activation kActivation, bool kFromX>
void backward_sums(const Context& context, const BatchNorm& b, const BatchNormGradients& g, const Wide& w,
                   const Workspace& space, const Coefficients& k) {
    parallel_for(context, w.blocks, [&](int64_t block, int) {
        const int64_t start = block_start(w, block), end = block_start(w, block + 1);
        float* sums = space.partial[0] + block * w.columns;
        float* products = space.partial[1] + block * w.columns;
        for (int64_t c = 0; c < w.columns; ++c) sums[c] = products[c] = 0.0f;
        for (int64_t run = start; run < end; run += kRun) {
            const int64_t run_end = minimum(end, run + kRun);
            for_channels(w.columns, [&](int64_t c, auto vectors, int32_t repeated) {
                constexpr int NV = decltype(vectors)::value;
                vfloat m[NV], s[NV], o[NV], sum[NV] = {}, product[NV] = {};
                PYNET_UNROLL
                for (int j = 0; j < NV; ++j) {
                    m[j] = load(k.mean + c + j * kLanes);
                    s[j] = load(k.scale + c + j * kLanes);
                    o[j] = load(k.bias + c + j * kLanes);
                }
                for (int64_t r = run; r < run_end; ++r) {
                    PYNET_UNROLL
                    for (int j = 0; j < NV; ++j) {
                        const int64_t at = r * w.columns + c + j * kLanes;
                        const vfloat d = gated<kActivation, kFromX>(b, g, m[j], s[j], o[j],
                                                                    [=](const float* p) { return load(p + at); });
                        if (g.dresidual) store(g.dresidual + at, d);
                        sum[j] += d;
                        product[j] += d * (load(b.x + at) - m[j]);
                    }
                }
                PYNET_UNROLL
                for (int j = 0; j < NV; ++j) {
                    float* to_sum = sums + c + j * kLanes;
                    float* to_product = products + c + j * kLanes;
                    const vfloat old = load(to_sum), old_product = load(to_product);
                    update(to_sum, old + sum[j], old, repeated);
                    update(to_product, old_product + product[j] * load(k.inverse + c + j * kLanes), old_product,
                           repeated);
                }
            });
        }
    });
    const int64_t tail = w.rows * w.columns;
    float* sums = space.partial[0] + w.blocks * w.columns;
    float* products = space.partial[1] + w.blocks * w.columns;
    for (int64_t c = 0; c < w.columns; ++c) sums[c] = products[c] = 0.0f;
    for_tail(w, [&](int64_t i, int64_t n) {
        const vfloat m = load(k.mean + i);
        const vfloat d = gated<kActivation, kFromX>(b, g, m, load(k.scale + i), load(k.bias + i),
                                                    [=](const float* p) { return load_partial(p + tail + i, n); });
        if (g.dresidual) store_partial(g.dresidual + tail + i, d, n);
        store_partial(sums + i, d, n);
        store_partial(products + i, d * (load_partial(b.x + tail + i, n) - m) * load(k.inverse + i), n);
    });
}

// dx = scale * d - constant - slope * (x - mean); the last two terms only in training.
template <Activation kActivation, bool kFromX, bool kTraining>
void backward_apply(const Context& context, const BatchNorm& b, const BatchNormGradients& g, const Wide& w,
                    const Coefficients& k) {
    parallel_for(context, w.blocks, [&](int64_t block, int) {
        const int64_t end = block_start(w, block + 1);
        for (int64_t run = block_start(w, block); run < end; run += kRun) {
            const int64_t run_end = minimum(end, run + kRun);
            for_channels(w.columns, [&](int64_t c, auto vectors, int32_t) {
                constexpr int NV = decltype(vectors)::value;
                vfloat m[NV], s[NV], o[NV], k0[NV], k1[NV];
                PYNET_UNROLL
                for (int j = 0; j < NV; ++j) {
                    m[j] = load(k.mean + c + j * kLanes);
                    s[j] = load(k.scale + c + j * kLanes);
                    o[j] = load(k.bias + c + j * kLanes);
                    k0[j] = load(k.constant + c + j * kLanes);
                    k1[j] = load(k.slope + c + j * kLanes);
                }
                for (int64_t r = run; r < run_end; ++r) {
                    PYNET_UNROLL
                    for (int j = 0; j < NV; ++j) {
                        const int64_t at = r * w.columns + c + j * kLanes;
                        vfloat d = gated<kActivation, kFromX>(b, g, m[j], s[j], o[j],
                                                              [=](const float* p) { return load(p + at); });
                        d *= s[j];
                        if (kTraining) d -= (load(b.x + at) - m[j]) * k1[j] + k0[j];
                        store(g.dx + at, d);
                    }
                }
            });
        }
    });
    const int64_t tail = w.rows * w.columns;
    for_tail(w, [&](int64_t i, int64_t n) {
        const vfloat m = load(k.mean + i), s = load(k.scale + i);
        vfloat d = gated<kActivation, kFromX>(b, g, m, s, load(k.bias + i),
                                              [=](const float* p) { return load_partial(p + tail + i, n); });
        d *= s;
        if (kTraining) d -= (load_partial(b.x + tail + i, n) - m) * load(k.slope + i) + load(k.constant + i);
        store_partial(g.dx + tail + i, d, n);
    });
}

// run(ActivationTag, Count<from x>): what the gradient before the activation is computed from.
template <class Run>
PYNET_INLINE void with_gate(Activation activation, const float* out, Run run) {
    with_activation(activation, [&](auto tag) {
        if (decltype(tag)::value == Activation::none || out)
            run(tag, Count<0>{});
        else
            run(tag, Count<1>{});
    });
}

}  // namespace

size_t batch_norm_workspace(int64_t rows, int64_t C) {
    const Wide w = wide_of(rows, C);
    return static_cast<size_t>(w.columns) *
           (2 * sizeof(double) + static_cast<size_t>(2 * (w.blocks + 1) + kCoefficients) * sizeof(float));
}

void batch_norm_statistics(const Context& context, int64_t rows, int64_t C, const float* x, float* mean, float* var) {
    const Wide w = wide_of(rows, C);
    const Workspace space(context, w);
    parallel_for(context, w.blocks, [&](int64_t block, int) {
        const int64_t start = block_start(w, block), end = block_start(w, block + 1);
        for (int64_t r = start; r < end; r += kRun)
            merge_run(x, w.columns, r, minimum(end, r + kRun), r - start, space.partial[0] + block * w.columns,
                      space.partial[1] + block * w.columns);
    });
    double* total = space.total[0];
    double* squares = space.total[1];
    for (int64_t c = 0; c < w.columns; ++c) total[c] = squares[c] = 0.0;
    for (int64_t block = 0; w.rows > 0 && block < w.blocks; ++block) {
        const double before = static_cast<double>(block_start(w, block));
        const double count = static_cast<double>(block_start(w, block + 1)) - before;
        const float* block_mean = space.partial[0] + block * w.columns;
        const float* block_squares = space.partial[1] + block * w.columns;
        for (int64_t c = 0; c < w.columns; ++c)
            merge(before, count, static_cast<double>(block_mean[c]), static_cast<double>(block_squares[c]), total[c],
                  squares[c]);
    }
    const double wide_rows = static_cast<double>(w.rows);
    for (int64_t c = 0; c < C; ++c) {
        double seen = wide_rows, m = total[c], s = squares[c];
        for (int64_t k = 1; k < w.group && w.rows > 0; ++k, seen += wide_rows)
            merge(seen, wide_rows, total[k * C + c], squares[k * C + c], m, s);
        for (int64_t i = c; i < w.rest; i += C, seen += 1.0)
            merge(seen, 1.0, static_cast<double>(x[w.rows * w.columns + i]), 0.0, m, s);
        mean[c] = static_cast<float>(m);
        var[c] = static_cast<float>(s / static_cast<double>(maximum(1, rows)));
    }
}

void batch_norm_forward(const Context& context, const BatchNorm& b, float* out) {
    const Wide w = wide_of(b.rows, b.C);
    float* mean = Workspace(context, w).coefficient;
    float* scale = mean + w.columns;
    float* bias = scale + w.columns;
    repeat(w, b.C, mean, [&](int64_t c) { return b.mean[c]; });
    repeat(w, b.C, scale, [&](int64_t c) { return static_cast<float>(scale_of(b, c)); });
    repeat(w, b.C, bias, [&](int64_t c) { return b.bias ? b.bias[c] : 0.0f; });
    with_activation(b.activation, [&](auto tag) {
        constexpr Activation kActivation = decltype(tag)::value;
        (b.residual ? forward<kActivation, true> : forward<kActivation, false>)(context, b, w, mean, scale, bias, out);
    });
}

void batch_norm_backward_sums(const Context& context, const BatchNorm& b, const BatchNormGradients& g) {
    const Wide w = wide_of(b.rows, b.C);
    const Workspace space(context, w);
    const Coefficients k(space, w);
    repeat(w, b.C, k.mean, [&](int64_t c) { return b.mean[c]; });
    repeat(w, b.C, k.scale, [&](int64_t c) { return static_cast<float>(scale_of(b, c)); });
    repeat(w, b.C, k.bias, [&](int64_t c) { return b.bias ? b.bias[c] : 0.0f; });
    repeat(w, b.C, k.inverse, [&](int64_t c) { return static_cast<float>(inverse_deviation(b, c)); });
    with_gate(b.activation, g.out, [&](auto tag, auto from_x) {
        backward_sums<decltype(tag)::value, decltype(from_x)::value == 1>(context, b, g, w, space, k);
    });
    add_partials(w, b.C, space);
    const double* dbias = space.total[0];
    const double* dweight = space.total[1];
    for (int64_t c = 0; c < b.C; ++c) {
        g.dbias[c] = static_cast<float>(dbias[c]);
        g.dweight[c] = static_cast<float>(dweight[c]);
    }
    const double share = 1.0 / static_cast<double>(maximum(1, b.rows));
    repeat(w, b.C, k.constant, [&](int64_t c) { return static_cast<float>(scale_of(b, c) * dbias[c] * share); });
    repeat(w, b.C, k.slope, [&](int64_t c) {
        return static_cast<float>(scale_of(b, c) * inverse_deviation(b, c) * dweight[c] * share);
    });
}

void batch_norm_backward_apply(const Context& context, const BatchNorm& b, const BatchNormGradients& gradients) {
    const Wide w = wide_of(b.rows, b.C);
    const Coefficients k(Workspace(context, w), w);
    BatchNormGradients g = gradients;
    if (g.dresidual) {  // sum and slope are in it
        g.dout = g.dresidual;
        g.dout2 = nullptr;
    }
    with_gate(g.dresidual ? Activation::none : b.activation, g.out, [&](auto tag, auto from_x) {
        constexpr Activation kActivation = decltype(tag)::value;
        constexpr bool kFromX = decltype(from_x)::value == 1;
        const auto apply =
            g.training ? backward_apply<kActivation, kFromX, true> : backward_apply<kActivation, kFromX, false>;
        apply(context, b, g, w, k);
    });
}

}  // namespace PYNET_LEVEL
}  // namespace pynet
