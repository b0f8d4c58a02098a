// The tile under weight gradients that read activations where they lie, or a copy of them: some inputs of a tap times
// one panel of outputs stay in registers while pixels pass.
#pragma once
#include "prefetch.h"
#include "tile.h"

namespace pynet {
namespace PYNET_LEVEL {

// c[i][j] (+)= sum over images, rows, columns of x[i] * dout[j]; x and dout step by their own strides.
struct PixelWalk {
    int64_t images, rows, columns;
    int64_t a_image, a_row, a_column, b_image, b_row, b_column;
    Ahead* ahead;  // a share is fetched with every row

    // Rows and images that follow each other without a gap are one row.
    PYNET_INLINE void join() {
        if (a_row == columns * a_column && b_row == columns * b_column) columns *= rows, rows = 1;
        if (rows == 1 && a_image == columns * a_column && b_image == columns * b_column) columns *= images, images = 1;
    }
};

template <int Rows, int NV>
PYNET_NOINLINE void tile_pixels(const PixelWalk& walk, const float* a_base, const float* b_base, float* c, int64_t ldc,
                                bool accumulate) {
    vfloat sum[Rows][NV];
    PYNET_UNROLL
    for (int i = 0; i < Rows; ++i) {
        PYNET_UNROLL
        for (int j = 0; j < NV; ++j) sum[i][j] = accumulate ? load(c + i * ldc + j * kLanes) : vfloat{};
    }
    const int64_t columns = walk.columns, a_step = walk.a_column, b_step = walk.b_column;
    for (int64_t n = 0; n < walk.images; ++n) {
        for (int64_t r = 0; r < walk.rows; ++r) {
            const float* a = a_base + n * walk.a_image + r * walk.a_row;
            const float* b = b_base + n * walk.b_image + r * walk.b_row;
            walk.ahead->share();
            for (int64_t k = 0; k < columns; ++k) {
                vfloat v[NV];
                PYNET_UNROLL
                for (int j = 0; j < NV; ++j) v[j] = load(b + j * kLanes);
                PYNET_UNROLL
                for (int i = 0; i < Rows; ++i) {
                    const float s = a[i];
                    PYNET_UNROLL
                    for (int j = 0; j < NV; ++j) sum[i][j] += s * v[j];
                }
                a += a_step;
                b += b_step;
            }
        }
    }
    PYNET_UNROLL
    for (int i = 0; i < Rows; ++i) {
        PYNET_UNROLL
        for (int j = 0; j < NV; ++j) store(c + i * ldc + j * kLanes, sum[i][j]);
    }
}

typedef void (*PixelsFunction)(const PixelWalk&, const float*, const float*, float*, int64_t, bool);

// The tallest tiles one, respectively two vectors wide.
constexpr int kOneWide = 2 * kTileRows, kTwoWide = kLanes == 16 ? 12 : kTileRows;

// Tiles of `rows` rows and `vectors` (1 .. kTileVectors).
template <int Rows = kOneWide>
PYNET_INLINE PixelsFunction pixels_for(int64_t rows, int vectors) {
    if constexpr (Rows == 1) {
        return vectors == 1 ? tile_pixels<1, 1> : tile_pixels<1, 2>;
    } else {
        if (rows < Rows) return pixels_for<Rows - 1>(rows, vectors);
        if constexpr (Rows <= kTwoWide) {
            if (vectors == 2) return tile_pixels<Rows, 2>;
        }
        return tile_pixels<Rows, 1>;
    }
}

}  // namespace PYNET_LEVEL
}  // namespace pynet
