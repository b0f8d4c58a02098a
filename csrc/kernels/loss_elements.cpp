// Elementwise losses: mean squared error and binary cross-entropy with logits, forward and backward.
//
// Layout: any dense order that all arrays share. Threads: fixed blocks of elements, each with a partial sum;
// the partials are added in order, in double precision. Aliasing: none allowed.
// Workspace: element_loss_workspace() bytes.
#include "flat.h"
#include "kernels.h"
#include "rows.h"

namespace pynet {
namespace PYNET_LEVEL {
namespace {

// visit(offset, lanes that count) for the vectors of [begin, end).
template <class Visit>
PYNET_INLINE void for_vectors(int64_t begin, int64_t end, Visit visit) {
    for_row(end - begin, [&](int64_t i, int64_t n) { visit(begin + i, n); });
}

// loss(offset, n) is a vector of losses.
template <class Loss>
PYNET_INLINE void forward(const Context& context, const ElementLoss& l, float* losses, double* total, Loss loss) {
    double* partial = reinterpret_cast<double*>(context.workspace);
    for_chunks(context, l.count, [&](int64_t begin, int64_t end) {
        vfloat sum = {};
        for_vectors(begin, end, [&](int64_t i, int64_t n) {
            const vfloat v = loss(i, n);
            sum += keep_lanes(v, n);
            if (losses) store_lanes(losses + i, v, n);
        });
        partial[begin / kChunk] = static_cast<double>(sum_lanes(sum));
    });
    *total = 0.0;
    for (int64_t chunk = 0; chunk < ceil_div(l.count, kChunk); ++chunk) *total += partial[chunk];
}

// derivative(offset, n) is a vector of derivatives by x.
template <class Derivative>
PYNET_INLINE void backward(const Context& context, const ElementLoss& l, const float* dout, float* dx,
                           Derivative derivative) {
    const bool each = l.reduction == Reduction::none;
    const double share = l.reduction == Reduction::mean ? 1.0 / static_cast<double>(l.count) : 1.0;
    const float scale = each ? 1.0f : static_cast<float>(static_cast<double>(dout[0]) * share);
    for_chunks(context, l.count, [&](int64_t begin, int64_t end) {
        for_vectors(begin, end, [&](int64_t i, int64_t n) {
            const vfloat g = each ? load_lanes(dout + i, n) : splat(scale);
            store_lanes(dx + i, derivative(i, n) * g, n);
        });
    });
}

}  // namespace

size_t element_loss_workspace(int64_t count) { return static_cast<size_t>(ceil_div(count, kChunk)) * sizeof(double); }

void mse_forward(const Context& context, const ElementLoss& l, float* losses, double* total) {
    forward(context, l, losses, total, [&](int64_t i, int64_t n) {
        const vfloat d = load_lanes(l.x + i, n) - load_lanes(l.target + i, n);
        return d * d;
    });
}

void mse_backward(const Context& context, const ElementLoss& l, const float* dout, float* dx) {
    backward(context, l, dout, dx,
             [&](int64_t i, int64_t n) { return 2.0f * (load_lanes(l.x + i, n) - load_lanes(l.target + i, n)); });
}

void bce_with_logits_forward(const Context& context, const ElementLoss& l, float* losses, double* total) {
    forward(context, l, losses, total, [&](int64_t i, int64_t n) {
        const vfloat x = load_lanes(l.x + i, n), t = load_lanes(l.target + i, n);
        // -log(sigmoid(x)) and -log(1 - sigmoid(x)), so that no term is negative and nothing cancels
        const vfloat rest = log_one_plus(exp(-abs(x)));
        vfloat positive = (rest + select(x > 0.0f, vfloat{}, -x)) * t;
        if (l.pos_weight) positive *= load_lanes(l.pos_weight + i, n);
        const vfloat loss = positive + (rest + select(x < 0.0f, vfloat{}, x)) * (1.0f - t);
        return l.weight ? loss * load_lanes(l.weight + i, n) : loss;
    });
}

void bce_with_logits_backward(const Context& context, const ElementLoss& l, const float* dout, float* dx) {
    backward(context, l, dout, dx, [&](int64_t i, int64_t n) {
        const vfloat x = load_lanes(l.x + i, n), t = load_lanes(l.target + i, n);
        const vfloat e = exp(-abs(x)), sigmoid = select(x < 0.0f, e, splat(1.0f)) / (1.0f + e);
        const vfloat positive = l.pos_weight ? t * load_lanes(l.pos_weight + i, n) : t;
        const vfloat d = l.pos_weight ? (positive + (1.0f - t)) * sigmoid - positive : sigmoid - t;
        return l.weight ? d * load_lanes(l.weight + i, n) : d;
    });
}

}  // namespace PYNET_LEVEL
}  // namespace pynet
