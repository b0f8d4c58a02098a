// The product in the middle of a convolution by transforms (Winograd, FFT): for one position of the transformed
// tiles, C[tile][column] (+)= sum over channels A[tile][channel] B[channel][column]. Channels are few (16 to some
// hundred) and tiles a few dozen, so both operands come from the caches and what counts is how many loads, stores and
// calls stand beside the multiplications.
#pragma once
#include "tile.h"

namespace pynet {
namespace PYNET_LEVEL {

// Rows of A one vector long times kLanes x kLanes of B: all of B stays in registers, each row is read once.
#if PYNET_LANES == 16 && defined(__AVX512F__)
constexpr bool kHoldsB = true;

template <int Rows>
PYNET_INLINE void held_rows(const float* __restrict a, const vfloat* b, float* __restrict c, int64_t ldc) {
    vfloat sum[Rows];
    PYNET_UNROLL
    for (int i = 0; i < Rows; ++i) sum[i] = a[i * kLanes] * b[0];
    PYNET_UNROLL
    for (int k = 1; k < kLanes; ++k) {
        PYNET_UNROLL
        for (int i = 0; i < Rows; ++i) sum[i] += a[i * kLanes + k] * b[k];
    }
    PYNET_UNROLL
    for (int i = 0; i < Rows; ++i) store(c + i * ldc, sum[i]);
}

PYNET_NOINLINE inline void multiply_held(int64_t rows, const float* a, const float* b, float* c, int64_t ldc,
                                         Ahead* ahead) {
    vfloat held[kLanes];
    PYNET_UNROLL
    for (int k = 0; k < kLanes; ++k) held[k] = load(b + k * kLanes);
    int64_t i = 0;
    for (; i + 8 <= rows; i += 8) {
        if (ahead) ahead->share();
        held_rows<8>(a + i * kLanes, held, c + i * ldc, ldc);
    }
    for (; i < rows; ++i) held_rows<1>(a + i * kLanes, held, c + i * ldc, ldc);
}
#else
constexpr bool kHoldsB = false;
PYNET_INLINE void multiply_held(int64_t, const float*, const float*, float*, int64_t, Ahead*) {}
#endif

// Shares of what is fetched ahead in a product of `rows` rows and `width` columns.
PYNET_INLINE int64_t shares_of(int64_t rows, int64_t width) {
    int64_t shares = 0;
    for (int64_t f = 0, columns; f < width; f += columns) {
        columns = panel_columns(width - f);
        shares += ceil_div(rows, tallest_tile(panel_vectors(columns)));
    }
    return shares;
}

// C (rows, one panel of `vectors`) (+)= A (rows, K) B, B packed with K rows as wide as the panel.
PYNET_INLINE void multiply_panel(int64_t rows, int64_t K, int vectors, const float* a, int64_t lda, const float* b,
                                 float* c, int64_t ldc, bool accumulate, Ahead* ahead = nullptr) {
    if (kHoldsB && K == kLanes && vectors == 1 && lda == kLanes && !accumulate) {
        multiply_held(rows, a, b, c, ldc, ahead);
        return;
    }
    run_panel<true>(rows, vectors, {0, K, a, lda, 0, b, vectors * kLanes, c, ldc, kLanes, accumulate, nullptr, ahead});
}

// C (M, width) (+)= A^T B: sums over K tiles of a[tile * lda + row] * b[tile * ldb + column], columns in whole vectors.
PYNET_INLINE void multiply_transposed(int64_t M, int64_t width, int64_t K, const float* a, int64_t lda, const float* b,
                                      int64_t ldb, float* c, int64_t ldc, bool accumulate, Ahead* ahead = nullptr) {
    for (int64_t f = 0, columns; f < width; f += columns) {
        columns = panel_columns(width - f);
        run_panel<false>(M, panel_vectors(columns),
                         {0, K, a, lda, 0, b + f, ldb, c + f, ldc, kLanes, accumulate, nullptr, ahead});
    }
}

}  // namespace PYNET_LEVEL
}  // namespace pynet
