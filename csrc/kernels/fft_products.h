// The product in the middle of a convolution by FFT: at one position, complex numbers summed over channels or tiles,
// C[row][column] (+)= sum_k A[row][k] conj(B[k][column]), kLanes columns wide.
#pragma once
#include "tile.h"

namespace pynet {
namespace PYNET_LEVEL {

// A[i][k] = a[i * lda + k] (kByRows) or a[k * lda + i], its imaginary part `imaginary` floats further; rows of B and C
// are a vector of real and a vector of imaginary parts, one row behind the other.
template <int Rows, bool kByRows>
PYNET_NOINLINE void complex_tile(int64_t K, const float* __restrict a, int64_t lda, int64_t imaginary,
                                 const float* __restrict b, float* __restrict c, bool accumulate) {
    vfloat re[Rows], im[Rows];
    PYNET_UNROLL
    for (int i = 0; i < Rows; ++i) {
        re[i] = accumulate ? load(c + i * 2 * kLanes) : vfloat{};
        im[i] = accumulate ? load(c + i * 2 * kLanes + kLanes) : vfloat{};
    }
    for (int64_t k = 0; k < K; ++k) {
        const vfloat br = load(b), bi = load(b + kLanes);
        PYNET_UNROLL
        for (int i = 0; i < Rows; ++i) {
            const float* at = kByRows ? a + i * lda : a + i;
            const float ar = at[0], ai = at[imaginary];
            re[i] += ar * br;
            im[i] -= ar * bi;
            re[i] += ai * bi;
            im[i] += ai * br;
        }
        a += kByRows ? 1 : lda;
        b += 2 * kLanes;
    }
    PYNET_UNROLL
    for (int i = 0; i < Rows; ++i) {
        store(c + i * 2 * kLanes, re[i]);
        store(c + i * 2 * kLanes + kLanes, im[i]);
    }
}

typedef void (*ComplexTile)(int64_t K, const float* a, int64_t lda, int64_t imaginary, const float* b, float* c,
                            bool accumulate);

template <bool kByRows, int Rows = kTileRows>
PYNET_INLINE ComplexTile complex_tile_for(int64_t rows) {
    if constexpr (Rows == 1)
        return complex_tile<1, kByRows>;
    else
        return rows == Rows ? complex_tile<Rows, kByRows> : complex_tile_for<kByRows, Rows - 1>(rows);
}

template <bool kByRows>
PYNET_INLINE void multiply_complex(int64_t rows, int64_t K, const float* a, int64_t lda, int64_t imaginary,
                                   const float* b, float* c, bool accumulate, Ahead* ahead = nullptr) {
    for (int64_t i = 0; i < rows; i += kTileRows) {
        if (ahead) ahead->share();
        complex_tile_for<kByRows>(minimum(kTileRows, rows - i))(K, a + (kByRows ? i * lda : i), lda, imaginary, b,
                                                                c + i * 2 * kLanes, accumulate);
    }
}

}  // namespace PYNET_LEVEL
}  // namespace pynet
