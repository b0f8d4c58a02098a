// The micro-kernel under GEMM and convolution, the only code here that is tuned per ISA level: a block of
// `rows` x `NV` vectors of C stays in registers while K runs. Everything around it (loops, packing, edges)
// is written once. kTileRows and kTileVectors are what the level's register file holds without spilling.
#pragma once
#include "simd.h"

namespace pynet {
namespace PYNET_LEVEL {

#if PYNET_LANES == 16
constexpr int kTileRows = 8;  // 32 registers: 16 accumulators, 2 of B, the rest hides latency
#elif PYNET_LANES == 8
constexpr int kTileRows = 6;  // 16 registers: 12 accumulators, 2 of B, one broadcast
#elif defined(__x86_64__)
constexpr int kTileRows = 4;  // 16 registers and no fused multiply-add: products need registers too
#else
constexpr int kTileRows = 8;
#endif
constexpr int kTileVectors = 2;
constexpr int64_t kPanel = kTileVectors * kLanes;  // columns of one packed panel of B

// C[i][j] (+)= sum_k A[i][k] B[k][j] for i < Rows and j < NV * kLanes; B rows are ldb apart, C rows ldc.
// kByRows: A[i][k] = a[i * lda + k] (rows contiguous in k), else a[k * lda + i].
// A tile of few accumulators keeps several of each, for every kWays-th k, added at the end: one sum alone would wait
// for its last multiply-add.
// Not inlined: beside other code the compiler spills the accumulators.
template <int Rows, int NV, bool kByRows>
PYNET_NOINLINE void tile(int64_t K, const float* __restrict a, int64_t lda, const float* __restrict b, int64_t ldb,
                         float* __restrict c, int64_t ldc, bool accumulate) {
    constexpr int kWays = 8 / (Rows * NV) > 1 ? 8 / (Rows * NV) : 1;
    vfloat sums[kWays][Rows][NV] = {};
    auto& sum = sums[0];
    PYNET_UNROLL
    for (int i = 0; i < Rows; ++i) {
        PYNET_UNROLL
        for (int j = 0; j < NV; ++j) sum[i][j] = accumulate ? load(c + i * ldc + j * kLanes) : vfloat{};
    }
    const float* row[Rows];
    PYNET_UNROLL
    for (int i = 0; i < Rows; ++i) row[i] = a + i * lda;
    int64_t k = 0;
    if (kWays > 1) {
        for (; k + kWays <= K; k += kWays) {
            PYNET_UNROLL
            for (int way = 0; way < kWays; ++way) {
                PYNET_UNROLL
                for (int i = 0; i < Rows; ++i) {
                    const float aik = kByRows ? row[i][k + way] : a[i];
                    PYNET_UNROLL
                    for (int j = 0; j < NV; ++j) sums[way][i][j] += aik * load(b + j * kLanes);
                }
                b += ldb;
                if (!kByRows) a += lda;
            }
        }
        PYNET_UNROLL
        for (int way = 1; way < kWays; ++way) {
            PYNET_UNROLL
            for (int i = 0; i < Rows; ++i) {
                PYNET_UNROLL
                for (int j = 0; j < NV; ++j) sum[i][j] += sums[way][i][j];
            }
        }
    }
    for (; k < K; ++k) {
        vfloat bk[NV];
        PYNET_UNROLL
        for (int j = 0; j < NV; ++j) bk[j] = load(b + j * kLanes);
        PYNET_UNROLL
        for (int i = 0; i < Rows; ++i) {
            const float aik = kByRows ? row[i][k] : a[i];
            PYNET_UNROLL
            for (int j = 0; j < NV; ++j) sum[i][j] += aik * bk[j];
        }
        b += ldb;
        if (!kByRows) a += lda;
    }
    PYNET_UNROLL
    for (int i = 0; i < Rows; ++i) {
        PYNET_UNROLL
        for (int j = 0; j < NV; ++j) store(c + i * ldc + j * kLanes, sum[i][j]);
    }
}

typedef void (*TileFunction)(int64_t K, const float* a, int64_t lda, const float* b, int64_t ldb, float* c, int64_t ldc,
                             bool accumulate);

// The tile for a given number of rows (1 .. kTileRows) and vectors (1 .. kTileVectors).
template <bool kByRows, int Rows = kTileRows>
PYNET_INLINE TileFunction tile_for(int64_t rows, int vectors) {
    if constexpr (Rows == 1) {
        return vectors == 1 ? tile<1, 1, kByRows> : tile<1, 2, kByRows>;
    } else {
        if (rows == Rows) return vectors == 1 ? tile<Rows, 1, kByRows> : tile<Rows, 2, kByRows>;
        return tile_for<kByRows, Rows - 1>(rows, vectors);
    }
}

// How many vectors a panel with `columns` columns left is wide.
PYNET_INLINE int panel_vectors(int64_t columns) { return columns > kLanes ? 2 : 1; }

// The width of all panels of N columns together: whole panels, then one or two vectors.
PYNET_INLINE int64_t packed_panels_width(int64_t N) {
    const int64_t full = N / kPanel * kPanel, rest = N - full;
    return full + (rest ? panel_vectors(rest) * kLanes : 0);
}

PYNET_INLINE vfloat activate(vfloat v, Activation activation, float alpha) {
    if (activation == Activation::relu) return select(v < 0.0f, vfloat{}, v);  // NaN stays NaN
    if (activation == Activation::leaky_relu) return select(v < 0.0f, v * alpha, v);
    return v;
}

// The first `columns` of each row of a tile whose last vector is not whole, to where they belong. In pieces: a masked
// store costs AMD's cores tens of operations.
PYNET_INLINE void store_edge(const float* edge, int64_t width, float* c, int64_t ldc, int64_t rows, int64_t columns) {
    for (int64_t i = 0; i < rows; ++i, edge += width, c += ldc) {
        int64_t j = 0;
        for (; j + kLanes <= columns; j += kLanes) store(c + j, load(edge + j));
        for (int64_t piece = kLanes / 2; piece > 0; piece /= 2) {
            if (!((columns - j) & piece)) continue;
            __builtin_memcpy(c + j, edge + j, static_cast<size_t>(piece) * sizeof(float));
            j += piece;
        }
    }
}

// rows x columns of C, in place: add the bias, apply ReLU or leaky ReLU (what the tiles fuse).
PYNET_INLINE void finish_tile(float* c, int64_t ldc, int64_t rows, int64_t columns, const float* bias,
                              Activation activation, float alpha) {
    if (!bias && activation == Activation::none) return;
    int64_t j = 0;
    for (; j + kLanes <= columns; j += kLanes) {
        const vfloat add = bias ? load(bias + j) : vfloat{};
        for (int64_t i = 0; i < rows; ++i)
            store(c + i * ldc + j, activate(load(c + i * ldc + j) + add, activation, alpha));
    }
    if (j == columns) return;
    const vfloat add = bias ? load_partial(bias + j, columns - j) : vfloat{};
    for (int64_t i = 0; i < rows; ++i) {
        const vfloat v = activate(load_partial(c + i * ldc + j, columns - j) + add, activation, alpha);
        store_partial(c + i * ldc + j, v, columns - j);
    }
}

}  // namespace PYNET_LEVEL
}  // namespace pynet
