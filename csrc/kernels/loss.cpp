// Losses over logits x (M, C) with one label a row: cross-entropy (class weights, ignored rows, label
// smoothing) and the multi-class margin loss, forward and backward.
//
// Labels have been checked by the caller. Threads: fixed blocks of rows, each with a partial sum in double
// precision; the partials are added in order. Aliasing: none allowed. Workspace: label_loss_workspace() bytes.
// Source: Szegedy et al. 2016, section 7 (label smoothing); Weston & Watkins 1999 (multi-class margin).
#include "kernels.h"
#include "rows.h"

namespace pynet {
namespace PYNET_LEVEL {
namespace {

// row(r, partial sums of this chunk) in chunks; totals[0 .. 1] are the sums over all chunks.
template <class Row>
PYNET_INLINE void sum_over_rows(const Context& context, const LabelLoss& l, double* totals, Row row) {
    double* partial = reinterpret_cast<double*>(context.workspace);
    const int64_t step = rows_of_chunk(l.C), chunks = ceil_div(l.M, step);
    parallel_for(context, chunks, [&](int64_t chunk, int) {
        double sums[2] = {0.0, 0.0};
        for (int64_t r = chunk * step; r < minimum(l.M, (chunk + 1) * step); ++r) row(r, sums);
        partial[2 * chunk] = sums[0];
        partial[2 * chunk + 1] = sums[1];
    });
    totals[0] = totals[1] = 0.0;
    for (int64_t chunk = 0; chunk < chunks; ++chunk) {
        totals[0] += partial[2 * chunk];
        totals[1] += partial[2 * chunk + 1];
    }
}

PYNET_INLINE float label_weight(const LabelLoss& l, int64_t label) { return l.weight ? l.weight[label] : 1.0f; }

// The sum of the class weights; C without weights.
float whole_weight(const LabelLoss& l) {
    if (!l.weight) return static_cast<float>(l.C);
    double sum = 0.0;
    for (int64_t c = 0; c < l.C; ++c) sum += static_cast<double>(l.weight[c]);
    return static_cast<float>(sum);
}

PYNET_INLINE vfloat class_weights(const LabelLoss& l, int64_t c, int64_t n) {
    return l.weight ? load_lanes(l.weight + c, n) : keep_lanes(splat(1.0f), n);
}

// What reaches the loss of row r.
PYNET_INLINE float row_gradient(const LabelLoss& l, const float* dout, int64_t r, double divisor) {
    if (l.reduction == Reduction::none) return dout[r];
    return l.reduction == Reduction::mean ? static_cast<float>(static_cast<double>(dout[0]) / divisor) : dout[0];
}

PYNET_INLINE vint lanes_at(int64_t c) { return lane_numbers() + static_cast<int32_t>(c); }

// By how much the classes at [c, c + n) violate the margin; the label itself does not.
PYNET_INLINE vfloat violations(const LabelLoss& l, const float* row, int64_t c, int64_t n, int64_t label, float own) {
    const vfloat z = l.margin - own + load_filled(row + c, n, -kInfinity);
    const vint counts = (z > 0.0f) & (lanes_at(c) != static_cast<int32_t>(label));
    return select(counts, z, vfloat{});
}

}  // namespace

size_t label_loss_workspace(int64_t M, int64_t C) {
    return static_cast<size_t>(2 * ceil_div(M, rows_of_chunk(C))) * sizeof(double);
}

void cross_entropy_forward(const Context& context, const LabelLoss& l, float* losses, float* lse, double* totals) {
    const float even = l.smoothing / static_cast<float>(l.C), all = whole_weight(l);
    sum_over_rows(context, l, totals, [&](int64_t r, double* sums) {
        const float* row = l.x + r * l.C;
        const int64_t label = l.target[r];
        const float largest = row_max(row, l.C);
        vfloat sum = {}, below = {};  // below: the weighted distances from the largest logit
        for_row(l.C, [&](int64_t c, int64_t n) {
            const vfloat d = load_filled(row + c, n, -kInfinity) - largest;
            sum += keep_lanes(exp(d), n);
            if (l.smoothing > 0.0f) below -= keep_lanes(d * class_weights(l, c, n), n);
        });
        // Differences from the maximum keep the digits that the log-sum-exp of huge logits has lost.
        const float log_sum = __builtin_logf(sum_lanes(sum));
        lse[r] = largest + log_sum;
        if (losses) losses[r] = 0.0f;
        if (label == l.ignore_index) return;
        const float weight = label_weight(l, label);
        float loss = (largest - row[label] + log_sum) * weight;
        if (l.smoothing > 0.0f) loss = (1.0f - l.smoothing) * loss + even * (sum_lanes(below) + log_sum * all);
        if (losses) losses[r] = loss;
        sums[0] += static_cast<double>(loss);
        sums[1] += static_cast<double>(weight);
    });
}

void cross_entropy_backward(const Context& context, const LabelLoss& l, const float* dout, const float* lse,
                            double total_weight, float* dx) {
    const float even = l.smoothing / static_cast<float>(l.C), all = whole_weight(l);
    for_row_chunks(context, l.M, l.C, [&](int64_t begin, int64_t end) {
        for (int64_t r = begin; r < end; ++r) {
            const float* row = l.x + r * l.C;
            float* to = dx + r * l.C;
            const int64_t label = l.target[r];
            if (label == l.ignore_index) {
                for (int64_t c = 0; c < l.C; ++c) to[c] = 0.0f;
                continue;
            }
            const float g = row_gradient(l, dout, r, total_weight);
            const float sharp = (1.0f - l.smoothing) * label_weight(l, label) * g;
            const float spread = l.smoothing > 0.0f ? even * g : 0.0f;
            vfloat sum = {};
            for_row(l.C, [&](int64_t c, int64_t n) {
                const vfloat e = exp(load_filled(row + c, n, -kInfinity) - lse[r]);
                sum += keep_lanes(e, n);
                store_lanes(to + c, e, n);
            });
            // Dividing by the sum takes out the rounding of lse.
            const float scale = (sharp + spread * all) / sum_lanes(sum);
            for_row(l.C, [&](int64_t c, int64_t n) {
                vfloat d = load_lanes(to + c, n) * scale;
                if (l.smoothing > 0.0f) d -= class_weights(l, c, n) * spread;
                store_lanes(to + c, d, n);
            });
            to[label] -= sharp;
        }
    });
}

void multi_margin_forward(const Context& context, const LabelLoss& l, float* losses, double* totals) {
    sum_over_rows(context, l, totals, [&](int64_t r, double* sums) {
        const float* row = l.x + r * l.C;
        const int64_t label = l.target[r];
        vfloat sum = {};
        for_row(l.C, [&](int64_t c, int64_t n) {
            const vfloat z = violations(l, row, c, n, label, row[label]);
            sum += l.power == 1 ? z : z * z;
        });
        const float loss = sum_lanes(sum) * label_weight(l, label) / static_cast<float>(l.C);
        if (losses) losses[r] = loss;
        sums[0] += static_cast<double>(loss);
    });
}

void multi_margin_backward(const Context& context, const LabelLoss& l, const float* dout, float* dx) {
    for_row_chunks(context, l.M, l.C, [&](int64_t begin, int64_t end) {
        for (int64_t r = begin; r < end; ++r) {
            const float* row = l.x + r * l.C;
            float* to = dx + r * l.C;
            const int64_t label = l.target[r];
            const float g = row_gradient(l, dout, r, static_cast<double>(l.M));
            const float factor = g * label_weight(l, label) / static_cast<float>(l.C);
            vfloat sum = {};
            for_row(l.C, [&](int64_t c, int64_t n) {
                const vfloat z = violations(l, row, c, n, label, row[label]);
                const vfloat d = select(z > 0.0f, (l.power == 1 ? splat(1.0f) : 2.0f * z) * factor, vfloat{});
                sum += d;
                store_lanes(to + c, d, n);
            });
            to[label] = -sum_lanes(sum);
        }
    });
}

}  // namespace PYNET_LEVEL
}  // namespace pynet
