// Products with one or a few rows or columns whose operands both lie contiguous along K: matrix times vector,
// x @ weight.T for a batch of one. C = A B as dot products, with bias and activation.
//
// Structure: vectors run along K, so that every element of the large operand is loaded once and nothing is
// packed; kFew x kMany sums stay in registers and are added up at the end.
// Threads: chunks of the longer of M and N; the order of sums depends on the shape alone.
// Aliasing: C must not overlap A or B. Workspace: none.
#include "gemm.h"
#include "parallel.h"

namespace pynet {
namespace PYNET_LEVEL {
namespace {

constexpr int kFew = 4;
constexpr int kMany = kLanes == 16 ? 4 : 2;  // kFew * kMany sums, and kMany vectors, in registers
constexpr int64_t kChunkProducts = 64 * 1024;

// Both operands as rows along K: `few` of one, `many` of the other; c[i * c_few + j * c_many].
struct Dots {
    int64_t K, few, many;
    const float* a;
    int64_t a_step;
    const float* b;
    int64_t b_step;
    float* c;
    int64_t c_few, c_many;
};

PYNET_INLINE float total(vfloat v) {
    float lane[kLanes];
    store(lane, v);
    for (int half = kLanes / 2; half > 0; half /= 2)
        for (int i = 0; i < half; ++i) lane[i] += lane[i + half];
    return lane[0];
}

template <int Few, int Many>
PYNET_NOINLINE void dot_tile(const Dots& d, int64_t j0) {
    vfloat sum[Few][Many] = {};
    const float* b = d.b + j0 * d.b_step;
    const auto add = [&](int64_t k, auto load_at) {
        vfloat other[Many];
        PYNET_UNROLL
        for (int j = 0; j < Many; ++j) other[j] = load_at(b + j * d.b_step + k);
        PYNET_UNROLL
        for (int i = 0; i < Few; ++i) {
            const vfloat own = load_at(d.a + i * d.a_step + k);
            PYNET_UNROLL
            for (int j = 0; j < Many; ++j) sum[i][j] += own * other[j];
        }
    };
    int64_t k = 0;
    for (; k + kLanes <= d.K; k += kLanes) add(k, [](const float* p) { return load(p); });
    if (k < d.K) add(k, [&](const float* p) { return load_partial(p, d.K - k); });
    for (int i = 0; i < Few; ++i)
        for (int j = 0; j < Many; ++j) d.c[i * d.c_few + (j0 + j) * d.c_many] = total(sum[i][j]);
}

template <int Many>
PYNET_INLINE void dot_tile_for(const Dots& d, int64_t j0) {
    if (d.few == 1) return dot_tile<1, Many>(d, j0);
    if (d.few == 2) return dot_tile<2, Many>(d, j0);
    if (d.few == 3) return dot_tile<3, Many>(d, j0);
    dot_tile<kFew, Many>(d, j0);
}

}  // namespace

bool gemm_is_dots(const Gemm& g) {
    return !g.packed_b && !g.b_sums && g.a_col == 1 && g.b_row == 1 && g.K >= 4 * kLanes &&
           (g.M <= kFew || g.N <= kFew);
}

void gemm_dots(const Context& context, const Gemm& g) {
    const bool few_rows = g.M <= kFew;
    const Dots d = few_rows ? Dots{g.K, g.M, g.N, g.a, g.a_row, g.b, g.b_col, g.c, g.c_row, 1}
                            : Dots{g.K, g.N, g.M, g.b, g.b_col, g.a, g.a_row, g.c, 1, g.c_row};
    const int64_t step = round_up(maximum(1, kChunkProducts / (d.K * d.few)), kMany);
    parallel_for(context, ceil_div(d.many, step), [&](int64_t chunk, int) {
        const int64_t j0 = chunk * step, j1 = minimum(d.many, j0 + step);
        int64_t j = j0;
        for (; j + kMany <= j1; j += kMany) dot_tile_for<kMany>(d, j);
        for (; j < j1; ++j) dot_tile_for<1>(d, j);
        if (few_rows)
            finish_tile(g.c + j0, g.c_row, g.M, j1 - j0, g.bias ? g.bias + j0 : nullptr, g.activation, g.alpha);
        else
            finish_tile(g.c + j0 * g.c_row, g.c_row, j1 - j0, g.N, g.bias, g.activation, g.alpha);
    });
}

}  // namespace PYNET_LEVEL
}  // namespace pynet
