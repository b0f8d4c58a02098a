// Softmax and log-softmax of the rows of x (M, C), forward and backward. The row's maximum is subtracted first,
// so that huge logits do not overflow; a row of -inf alone, or with +inf, gives NaN.
//
// Threads: fixed blocks of rows. Aliasing: none allowed. Workspace: none.
#include "kernels.h"
#include "rows.h"

namespace pynet {
namespace PYNET_LEVEL {
namespace {

// visit(offset of the row) for all rows.
template <class Visit>
PYNET_INLINE void for_rows(const Context& context, int64_t M, int64_t C, Visit visit) {
    for_row_chunks(context, M, C, [&](int64_t begin, int64_t end) {
        for (int64_t r = begin; r < end; ++r) visit(r * C);
    });
}

}  // namespace

void softmax_forward(const Context& context, int64_t M, int64_t C, const float* x, float* out) {
    for_rows(context, M, C, [&](int64_t at) {
        const float largest = row_max(x + at, C);
        vfloat sum = {};
        for_row(C, [&](int64_t c, int64_t n) {
            const vfloat e = exp(load_filled(x + at + c, n, -kInfinity) - largest);
            sum += keep_lanes(e, n);
            store_lanes(out + at + c, e, n);
        });
        const float scale = 1.0f / sum_lanes(sum);
        for_row(C, [&](int64_t c, int64_t n) { store_lanes(out + at + c, load_lanes(out + at + c, n) * scale, n); });
    });
}

void softmax_backward(const Context& context, int64_t M, int64_t C, const float* dout, const float* out, float* dx) {
    for_rows(context, M, C, [&](int64_t at) {
        vfloat products = {};
        for_row(C,
                [&](int64_t c, int64_t n) { products += load_lanes(dout + at + c, n) * load_lanes(out + at + c, n); });
        const float sum = sum_lanes(products);
        for_row(C, [&](int64_t c, int64_t n) {
            const vfloat g = load_lanes(dout + at + c, n), y = load_lanes(out + at + c, n);
            store_lanes(dx + at + c, y * (g - sum), n);
        });
    });
}

void log_softmax_forward(const Context& context, int64_t M, int64_t C, const float* x, float* out) {
    for_rows(context, M, C, [&](int64_t at) {
        const float largest = row_max(x + at, C);
        vfloat sum = {};
        for_row(C, [&](int64_t c, int64_t n) {
            sum += keep_lanes(exp(load_filled(x + at + c, n, -kInfinity) - largest), n);
        });
        const float log_sum = __builtin_logf(sum_lanes(sum));
        for_row(C, [&](int64_t c, int64_t n) {
            store_lanes(out + at + c, load_lanes(x + at + c, n) - largest - log_sum, n);
        });
    });
}

void log_softmax_backward(const Context& context, int64_t M, int64_t C, const float* dout, const float* out,
                          float* dx) {
    for_rows(context, M, C, [&](int64_t at) {
        vfloat total = {};
        for_row(C, [&](int64_t c, int64_t n) { total += load_lanes(dout + at + c, n); });
        const float sum = sum_lanes(total);
        for_row(C, [&](int64_t c, int64_t n) {
            const vfloat g = load_lanes(dout + at + c, n), y = load_lanes(out + at + c, n);
            store_lanes(dx + at + c, g - exp(y) * sum, n);
        });
    });
}

}  // namespace PYNET_LEVEL
}  // namespace pynet
