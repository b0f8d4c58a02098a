// The gradients of batch normalisation, through the activation and the sum with a residual that the forward pass fuses.
//
// Two passes over the maps: the sums of d and of d * (x - mean), where d is the gradient before the activation, then
// dx = scale * d - constant - slope * (x - mean). d is computed in both rather than stored; the activation's slope
// follows from the output, or from x by the forward pass's own expression, which spares reading the output.
//
// Layout: x (rows, C), rows = N * H * W, read as batch_norm.h says.
// Threads: fixed blocks of wide rows; partial sums of short runs of rows, then of a block, then of all blocks in order
// and in double precision. Aliasing: none allowed. Workspace: batch_norm_workspace() bytes.
// Source: Ioffe & Szegedy 2015.
#include "activation.h"
#include "batch_norm.h"
#include "parallel.h"

namespace pynet {
namespace PYNET_LEVEL {
namespace {

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

// One value for each column of a wide row; the first backward pass leaves them to the second.
struct Coefficients {
    float *mean, *scale, *bias;
    float* constant;  // for dx, as is the slope
    float* slope;

    Coefficients(const Workspace& space, const Wide& w)
        : mean(space.coefficient),
          scale(mean + w.columns),
          bias(scale + w.columns),
          constant(bias + w.columns),
          slope(constant + w.columns) {}
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

// Adds d and d * (x - mean) of rows [first, last) to the sums of the columns, and stores d where it is asked for: it is
// the residual's gradient too.
template <Activation kActivation, bool kFromX>
PYNET_INLINE void add_rows(const BatchNorm& b, const BatchNormGradients& g, const Wide& w, const Coefficients& k,
                           int64_t first, int64_t last, float* sums, float* products) {
    for_channels(w.columns, [&](int64_t c, auto vectors, int32_t repeated) {
        constexpr int NV = decltype(vectors)::value;
        vfloat m[NV], s[NV], o[NV], sum[NV] = {}, product[NV] = {};
        PYNET_UNROLL
        for (int j = 0; j < NV; ++j) {
            m[j] = load(k.mean + c + j * kLanes);
            s[j] = load(k.scale + c + j * kLanes);
            o[j] = load(k.bias + c + j * kLanes);
        }
        for (int64_t r = first; r < last; ++r) {
            PYNET_UNROLL
            for (int j = 0; j < NV; ++j) {
                const int64_t at = r * w.columns + c + j * kLanes;
                const vfloat d =
                    gated<kActivation, kFromX>(b, g, m[j], s[j], o[j], [=](const float* p) { return load(p + at); });
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
            update(to_product, old_product + product[j], old_product, repeated);
        }
    });
}

// Partial sums of d and of d * (x - mean).
template <Activation kActivation, bool kFromX>
void backward_sums(const Context& context, const BatchNorm& b, const BatchNormGradients& g, const Wide& w,
                   const Workspace& space, const Coefficients& k) {
    parallel_for(context, w.blocks, [&](int64_t block, int) {
        const int64_t start = block_start(w, block), end = block_start(w, block + 1);
        float* sums = space.partial[0] + block * w.columns;
        float* products = space.partial[1] + block * w.columns;
        float* run_sums = space.run[0] + block * w.columns;
        float* run_products = space.run[1] + block * w.columns;
        for (int64_t c = 0; c < w.columns; ++c) sums[c] = products[c] = 0.0f;
        for (int64_t run = start; run < end; run += kRun) {
            for (int64_t c = 0; c < w.columns; ++c) run_sums[c] = run_products[c] = 0.0f;
            const int64_t run_end = minimum(end, run + kRun);
            for (int64_t first = run; first < run_end; first += w.at_once)
                add_rows<kActivation, kFromX>(b, g, w, k, first, minimum(run_end, first + w.at_once), run_sums,
                                              run_products);
            for (int64_t c = 0; c < w.columns; ++c) {
                sums[c] += run_sums[c];
                products[c] += run_products[c];
            }
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
        store_partial(products + i, d * (load_partial(b.x + tail + i, n) - m), n);
    });
}

// dx = scale * d - constant - slope * (x - mean); the last two terms only in training.
template <Activation kActivation, bool kFromX, bool kTraining>
void backward_apply(const Context& context, const BatchNorm& b, const BatchNormGradients& g, const Wide& w,
                    const Coefficients& k) {
    parallel_for(context, w.blocks, [&](int64_t chunk, int) {
        const int64_t block = w.blocks - 1 - chunk;  // the caches hold what the sums have read last
        const int64_t end = block_start(w, block + 1);
        for (int64_t run = block_start(w, block); run < end; run += w.at_once) {
            const int64_t run_end = minimum(end, run + w.at_once);
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

void batch_norm_backward_sums(const Context& context, const BatchNorm& b, const BatchNormGradients& g) {
    const Wide w = wide_of(b.rows, b.C);
    const Workspace space(context, w);
    const Coefficients k(space, w);
    repeat(w, b.C, k.mean, [&](int64_t c) { return b.mean[c]; });
    repeat(w, b.C, k.scale, [&](int64_t c) { return static_cast<float>(scale_of(b, c)); });
    repeat(w, b.C, k.bias, [&](int64_t c) { return b.bias ? b.bias[c] : 0.0f; });
    with_gate(b.activation, g.out, [&](auto tag, auto from_x) {
        backward_sums<decltype(tag)::value, decltype(from_x)::value == 1>(context, b, g, w, space, k);
    });
    add_partials(w, b.C, space);
    const double* dbias = space.total[0];
    double* dweight = space.total[1];
    for (int64_t c = 0; c < b.C; ++c) {
        dweight[c] *= inverse_deviation(b, c);
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
