// The micro-kernel under GEMM and convolution, the only code here that is tuned per ISA level: a block of
// `rows` x `NV` vectors of C stays in registers while K runs. Everything around it (loops, packing, edges)
// is written once. kTileRows and kTileVectors are what the level's register file holds without spilling.
#pragma once
#include "prefetch.h"
#include "simd.h"
#include "stream.h"

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
constexpr int kWidest = 3;                         // vectors of a last panel: one alone is mostly loads
constexpr int64_t kPanel = kTileVectors * kLanes;  // columns of one packed panel of B

PYNET_INLINE vfloat activate(vfloat v, Activation activation, float alpha) {
    if (activation == Activation::relu) return select(v < 0.0f, vfloat{}, v);  // NaN stays NaN
    if (activation == Activation::leaky_relu) return select(v < 0.0f, v * alpha, v);
    return v;
}

// The same for many: which activation it is, is asked once.
template <int Count>
PYNET_INLINE void activate(vfloat (&v)[Count], Activation activation, float alpha) {
    if (activation == Activation::relu) {
        PYNET_UNROLL
        for (int i = 0; i < Count; ++i) v[i] = activate(v[i], Activation::relu, alpha);
    } else if (activation == Activation::leaky_relu) {
        PYNET_UNROLL
        for (int i = 0; i < Count; ++i) v[i] = activate(v[i], Activation::leaky_relu, alpha);
    }
}
template <int Rows, int NV>
PYNET_INLINE void activate(vfloat (&v)[Rows][NV], Activation activation, float alpha) {
    if (activation == Activation::none) return;
    PYNET_UNROLL
    for (int i = 0; i < Rows; ++i) activate(v[i], activation, alpha);
}

// Stores row i at to(i); of the last vector `last` columns.
template <int Rows, int NV, class To>
PYNET_INLINE void store_rows(const vfloat (&v)[Rows][NV], int64_t last, To to) {
    if (last >= kLanes) {
        PYNET_UNROLL
        for (int i = 0; i < Rows; ++i) {
            PYNET_UNROLL
            for (int j = 0; j < NV; ++j) store(to(i) + j * kLanes, v[i][j]);
        }
        return;
    }
    PYNET_UNROLL
    for (int i = 0; i < Rows; ++i) {
        PYNET_UNROLL
        for (int j = 0; j < NV - 1; ++j) store(to(i) + j * kLanes, v[i][j]);
        store_partial(to(i) + (NV - 1) * kLanes, v[i][NV - 1], last);
    }
}

// What a product ends with: a bias (or null) and an activation.
struct Finish {
    const float* bias;
    Activation activation;
    float alpha;
};

// Tiles of C one below the other, `count` of them: C[i][j] (+)= sum over k < K of A[i][k] B[k][j].
struct Tiles {
    int64_t count, K;
    const float* a;
    int64_t lda, a_step;  // by rows: A[i][k] = a[i * lda + k], else a[k * lda + i]; from one tile to the next
    const float* b;
    int64_t ldb;
    float* c;
    int64_t ldc;
    int64_t last = kLanes;  // columns of the last vector that exist
    bool accumulate = false;
    const Finish* finish = nullptr;
    Ahead* ahead = nullptr;  // what is fetched meanwhile, a share with every tile; or null
    bool past = false;       // whether C goes past the caches: whole cache lines, see stream.h
};

// Tiles of Rows rows and NV vectors. One of few accumulators keeps several of each, for every kWays-th k, added at the
// end: one sum alone would wait for its last multiply-add. A run of tiles is one call: where K is short, a call and
// what a loop needs before it starts would take as long as the arithmetic. Not inlined: beside other code the compiler
// spills the accumulators.
template <int Rows, int NV, bool kByRows>
PYNET_NOINLINE void run_tiles(const Tiles& tiles) {
    constexpr int kWays = 8 / (Rows * NV) > 1 ? 8 / (Rows * NV) : 1;
    const int64_t K = tiles.K, lda = tiles.lda, ldb = tiles.ldb, ldc = tiles.ldc, last = tiles.last;
    const float* first = tiles.a;
    float* c = tiles.c;
    for (int64_t count = tiles.count; count > 0; --count, first += tiles.a_step, c += Rows * ldc) {
        const float *a = first, *b = tiles.b;
        if (tiles.ahead) tiles.ahead->share();
        vfloat sums[kWays][Rows][NV] = {};
        auto& sum = sums[0];
        if (tiles.accumulate) {
            PYNET_UNROLL
            for (int i = 0; i < Rows; ++i) {
                PYNET_UNROLL
                for (int j = 0; j < NV * kLanes; j += kLine) __builtin_prefetch(c + i * ldc + j, 1);
            }
        }
        const float* quad[(Rows + 3) / 4];  // every fourth row: the others are reached from there without a register
        PYNET_UNROLL
        for (int i = 0; i < Rows; i += 4) quad[i / 4] = a + i * lda;
        int64_t k = 0;
        if (kWays > 1) {
            for (; k + kWays <= K; k += kWays) {
                PYNET_UNROLL
                for (int way = 0; way < kWays; ++way) {
                    PYNET_UNROLL
                    for (int i = 0; i < Rows; ++i) {
                        const float aik = kByRows ? quad[i / 4][i % 4 * lda + way] : a[i];
                        PYNET_UNROLL
                        for (int j = 0; j < NV; ++j) sums[way][i][j] += aik * load(b + j * kLanes);
                    }
                    b += ldb;
                    if (!kByRows) a += lda;
                }
                PYNET_UNROLL
                for (int i = 0; i < Rows; i += 4) quad[i / 4] += kWays;
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
                const float aik = kByRows ? quad[i / 4][i % 4 * lda] : a[i];
                PYNET_UNROLL
                for (int j = 0; j < NV; ++j) sum[i][j] += aik * bk[j];
            }
            b += ldb;
            if (!kByRows) a += lda;
            PYNET_UNROLL
            for (int i = 0; i < Rows; i += 4) ++quad[i / 4];
        }
        if (tiles.accumulate) {
            PYNET_UNROLL
            for (int i = 0; i < Rows; ++i) {
                PYNET_UNROLL
                for (int j = 0; j < NV; ++j)
                    sum[i][j] +=
                        j < NV - 1 ? load(c + i * ldc + j * kLanes) : load_lanes(c + i * ldc + j * kLanes, last);
            }
        }
        if (const Finish* finish = tiles.finish) {
            PYNET_UNROLL
            for (int j = 0; j < NV; ++j) {
                vfloat add = {};
                if (finish->bias)
                    add = j < NV - 1 ? load(finish->bias + j * kLanes) : load_lanes(finish->bias + j * kLanes, last);
                PYNET_UNROLL
                for (int i = 0; i < Rows; ++i) sum[i][j] += add;
            }
            activate(sum, finish->activation, finish->alpha);
        }
        if (tiles.past) {
            PYNET_UNROLL
            for (int i = 0; i < Rows; ++i) {
                PYNET_UNROLL
                for (int j = 0; j < NV; ++j) store_past(c + i * ldc + j * kLanes, sum[i][j]);
            }
            continue;
        }
        store_rows(sum, last, [&](int i) { return c + i * ldc; });
    }
}

typedef void (*TilesFunction)(const Tiles& tiles);

// How many rows the registers hold of a panel of `vectors`, beside those of B.
PYNET_INLINE constexpr int64_t tallest_tile(int vectors) {
    if (vectors == kWidest) return kLanes == 16 ? kTileRows : 2 * kTileRows / kWidest;
    return vectors == 1 ? 2 * kTileRows : kTileRows;
}

// Tiles of `rows` rows (1 .. tallest_tile) and `vectors` (1 .. kWidest).
template <bool kByRows, int Rows = 2 * kTileRows>
PYNET_INLINE TilesFunction tiles_of(int64_t rows, int vectors) {
    if constexpr (Rows == 1) {
        return vectors == 1   ? run_tiles<1, 1, kByRows>
               : vectors == 2 ? run_tiles<1, 2, kByRows>
                              : run_tiles<1, kWidest, kByRows>;
    } else {
        if (rows < Rows) return tiles_of<kByRows, Rows - 1>(rows, vectors);
        if constexpr (Rows <= tallest_tile(kWidest)) {
            if (vectors == kWidest) return run_tiles<Rows, kWidest, kByRows>;
        }
        if constexpr (Rows <= kTileRows) {
            if (vectors == 2) return run_tiles<Rows, 2, kByRows>;
        }
        return run_tiles<Rows, 1, kByRows>;
    }
}

// `rows` rows of a panel in tiles as equal as can be. Count, step and place of `tiles` are filled in.
template <bool kByRows>
PYNET_INLINE void run_panel(int64_t rows, int vectors, Tiles tiles) {
    const auto run = [&](int64_t height, int64_t count) {
        tiles.count = count;
        tiles.a_step = height * (kByRows ? tiles.lda : 1);
        tiles_of<kByRows>(height, vectors)(tiles);
        tiles.a += count * tiles.a_step;
        tiles.c += count * height * tiles.ldc;
    };
    // Divisors that the compiler knows: a product may be as short as some divisions.
    const int64_t number = vectors == 1   ? ceil_div(rows, tallest_tile(1))
                           : vectors == 2 ? ceil_div(rows, tallest_tile(2))
                                          : ceil_div(rows, tallest_tile(kWidest));
    if (rows == number * tallest_tile(vectors)) return run(tallest_tile(vectors), number);
    const int64_t least = rows / number, higher = rows - least * number;
    if (higher > 0) run(least + 1, higher);
    run(least, number - higher);
}

// Panels of N columns: two vectors each, three the last of an odd number (one or two in the direct algorithm and in
// weight gradients, whose tiles are others). How many there are, the columns of the first where `left` are left, and
// the vectors of such a panel.
PYNET_INLINE int64_t panels_of(int64_t N) { return N > 0 ? maximum(1, ceil_div(N, kLanes) / kTileVectors) : 0; }
PYNET_INLINE int64_t panel_columns(int64_t left) { return left <= kWidest * kLanes ? left : kPanel; }
PYNET_INLINE int panel_vectors(int64_t columns) { return static_cast<int>(maximum(1, ceil_div(columns, kLanes))); }

// The width of the widest, and of all panels of N columns together.
PYNET_INLINE int64_t widest_panel(int64_t N) {
    const int64_t vectors = panel_vectors(N);
    return (vectors % 2 ? minimum(vectors, kWidest) : kTileVectors) * kLanes;
}
PYNET_INLINE int64_t packed_panels_width(int64_t N) { return round_up(N, kLanes); }

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
