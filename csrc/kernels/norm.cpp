// Batch normalisation over all pixels of each channel: statistics and the fused forward pass
// act((x - mean) / sqrt(var + eps) * weight + bias + residual). The gradients are in norm_backward.cpp.
//
// Layout: x (rows, C), rows = N * H * W, read as batch_norm.h says.
// Statistics: mean and sum of squared differences of short runs of rows, two passes while they lie in L1,
// merged pairwise (Chan, Golub & LeVeque 1979): accurate for any mean, one read of memory.
// Threads: fixed blocks of wide rows; partial results are merged in block order, in double precision.
// Aliasing: none allowed. Workspace: batch_norm_workspace() bytes.
// Source: Ioffe & Szegedy 2015.
#include "activation.h"
#include "batch_norm.h"
#include "parallel.h"
#include "statistics.h"

namespace pynet {
namespace PYNET_LEVEL {
namespace {

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

template <Activation kActivation, bool kResidual>
void forward(const Context& context, const BatchNorm& b, const Wide& w, const float* mean, const float* scale,
             const float* bias, float* out) {
    parallel_for(context, w.blocks, [&](int64_t chunk, int) {
        const int64_t block = w.blocks - 1 - chunk;  // the caches hold the end of what was made last
        const int64_t end = block_start(w, block + 1);
        for (int64_t run = block_start(w, block); run < end; run += w.at_once) {
            const int64_t run_end = minimum(end, run + w.at_once);
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

}  // namespace

size_t batch_norm_workspace(int64_t rows, int64_t C) {
    const Wide w = wide_of(rows, C);
    return static_cast<size_t>(w.columns) *
           (2 * sizeof(double) +
            static_cast<size_t>(2 * (w.blocks + 1) + 2 * w.blocks + kCoefficients) * sizeof(float));
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

}  // namespace PYNET_LEVEL
}  // namespace pynet
