// Batch normalisation over all pixels of each channel: statistics and the fused forward pass
// act((x - mean) / sqrt(var + eps) * weight + bias + residual). The gradients are in norm_backward.cpp.
//
// Layout: x (rows, C), rows = N * H * W, read as batch_norm.h says.
// Statistics: of short runs of rows, merged in order (statistics.h): accurate for any mean, one read of memory.
// Threads: fixed runs or blocks of wide rows.
// Aliasing: none allowed. Workspace: batch_norm_workspace() bytes.
// Source: Ioffe & Szegedy 2015.
#include "activation.h"
#include "batch_norm.h"
#include "parallel.h"
#include "statistics.h"

namespace pynet {
namespace PYNET_LEVEL {
namespace {

// Wide rows of a part of the statistics.
PYNET_INLINE int64_t part_rows(const Wide& w) { return maximum(8, 16384 / maximum(1, w.columns)); }

// Bytes of the statistics of all parts, and of those of the columns of a wide row.
size_t statistics_workspace(const Wide& w) {
    const int64_t parts = ceil_div(w.rows, part_rows(w));
    return static_cast<size_t>(w.columns) * 2 * sizeof(double) +
           static_cast<size_t>(parts * part_size(w.columns)) * sizeof(float);
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
    const size_t passes =
        static_cast<size_t>(w.columns) *
        (2 * sizeof(double) + static_cast<size_t>(2 * (w.blocks + 1) + 2 * w.blocks + kCoefficients) * sizeof(float));
    const size_t statistics = statistics_workspace(w);
    return statistics > passes ? statistics : passes;
}

void batch_norm_statistics(const Context& context, int64_t rows, int64_t C, const float* x, float* mean, float* var) {
    const Wide w = wide_of(rows, C);
    const int64_t each = part_rows(w), count = ceil_div(w.rows, each);
    double* total = reinterpret_cast<double*>(context.workspace);
    double* squares = total + w.columns;
    float* parts = reinterpret_cast<float*>(squares + w.columns);
    parallel_for(context, count, [&](int64_t index, int) {
        const float* first = x + index * each * w.columns;
        Part part(parts, index, w.columns, 0, w.columns, first);
        part.add_run(first, w.columns, minimum(each, w.rows - index * each));
        part.finish();
    });
    merge_parts(context, parts, count, w.columns, [&](int64_t c, double of_parts, double squares_of_parts) {
        total[c] = of_parts, squares[c] = squares_of_parts;
    });
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
