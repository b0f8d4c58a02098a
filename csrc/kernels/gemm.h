// GEMM for kernels that need one inside a chunk of their own (im2col), and the packing that they share.
#pragma once
#include "../context.h"
#include "tile.h"

namespace pynet {
namespace PYNET_LEVEL {

// Columns [n0, n0 + columns) of B, K rows, into dst[k * width + j], zero beyond `columns`; element (k, j) of B
// lies at b[k * b_row + j * b_col]; width is a multiple of kLanes.
void pack_columns(const float* b, int64_t b_row, int64_t b_col, int64_t K, int64_t columns, int64_t width, float* dst);

// All panels of B (K, N), see panels_of: panel p starts at p * kPanel * K. K * packed_panels_width(N) floats.
PYNET_INLINE void pack_panels(const float* b, int64_t b_row, int64_t b_col, int64_t K, int64_t N, float* dst) {
    for (int64_t n = 0, columns; n < N; n += columns) {
        columns = panel_columns(N - n);
        pack_columns(b + n * b_col, b_row, b_col, K, columns, panel_vectors(columns) * kLanes, dst + n * K);
    }
}

// Products of a few rows or columns that gemm() leaves to dot products (gemm_dot.cpp); they need no workspace.
bool gemm_is_dots(const Gemm& g);
void gemm_dots(const Context& context, const Gemm& g);

// How many blocks of rows gemm() takes statistics of (statistics.h); 0 where it takes none.
int64_t gemm_parts(const Gemm& g);

// One thread, B already packed panel by panel (pack_panels).
// C (M, N) = A B, A by rows; then bias and activation.
void gemm_packed(int64_t M, int64_t N, int64_t K, const float* a, int64_t lda, const float* packed_b, float* c,
                 int64_t ldc, const float* bias, Activation activation, float alpha);

}  // namespace PYNET_LEVEL
}  // namespace pynet
