// General matrix product C = A B with bias and activation, A and B in any two strides (so all four
// transpositions), C by rows.
//
// Structure (Goto & van de Geijn 2008, BLIS): a chunk is a block of rows x panels of kPanel columns and runs K in
// blocks of about kBlockK. Panels of B are read where they lie when their rows are contiguous and used once or B is
// small; else each is packed: by the chunk that uses it, ahead of all chunks where several do, or long before by
// gemm_pack. The rows of A are packed in slivers of kTileRows when they are used often enough. A product with few
// tiles and long K (weight gradients) is also split along K into partial results, added in order. Matrix times vector
// is a matter of dot products (gemm_dot.cpp).
// Threads: chunks, split and order of sums depend on the shape alone. Aliasing: C must not overlap A or B.
// Workspace: gemm_workspace() bytes.
#include "gemm.h"

#include "kernels.h"
#include "parallel.h"

namespace pynet {
namespace PYNET_LEVEL {
namespace {

constexpr int64_t kBlockK = 384;                // a sliver of A and a panel of B stay in L1 / L2
constexpr int64_t kChunkProducts = 128 * 1024;  // smaller chunks cost more in hand-outs than they balance
constexpr int64_t kEnoughChunks = 32, kEnoughPanels = 8;
constexpr int64_t kWholeRows = 128;         // up to which one chunk may take all rows, and pack the panels it uses
constexpr int64_t kUnpackedB = 256 * 1024;  // elements of B up to which strided rows stay in L2

struct Plan {
    int64_t rows, panels;  // of one chunk
    int64_t row_blocks, panel_blocks, splits, split_k;
    int64_t all_panels, packed_from;  // panels from this one on are packed,
    bool packs_ahead;                 // before the chunks that use them run, or by them
    int64_t block_k;
    bool pack_a;
};

Plan plan_of(const Gemm& g) {
    Plan p;
    p.all_panels = ceil_div(g.N, kPanel);
    const bool read_in_place =
        !g.packed_b && g.b_col == 1 && (g.M <= kTileRows || g.K * g.N <= kUnpackedB || g.b_row <= 256);
    p.packed_from = read_in_place ? g.N / kPanel : 0;
    p.rows = round_up(kWholeRows, kTileRows);
    p.panels = 64;
    // A region for packing costs more than it saves where the panels alone make enough chunks.
    const bool whole_rows = !read_in_place && !g.packed_b && g.M <= kWholeRows &&
                            (p.all_panels >= kEnoughPanels || g.M * g.N * g.K <= kEnoughPanels * kChunkProducts);
    // A small product over a long K is cut along K first: both operands are then read once.
    p.splits =
        g.M * g.N <= 256 * 256 && g.K >= 8 * maximum(g.M, g.N) ? maximum(1, minimum(kEnoughChunks, g.K / 512)) : 1;
    for (;;) {
        p.row_blocks = maximum(1, ceil_div(g.M, p.rows));  // no rows at all may still leave the sums of B to do
        p.panel_blocks = ceil_div(p.all_panels, p.panels);
        const int64_t chunks = p.row_blocks * p.panel_blocks * p.splits;
        const int64_t products = minimum(p.rows, g.M) * minimum(p.panels * kPanel, g.N) * (g.K / p.splits);
        if (chunks >= kEnoughChunks || products <= kChunkProducts) break;
        p.panels = minimum(p.panels, p.all_panels);
        p.rows = minimum(p.rows, round_up(g.M, kTileRows));
        // Rows first: every chunk packs its rows of A anew for each block of panels.
        if (!whole_rows && (p.rows > 4 * kTileRows || (p.panels == 1 && p.rows > kTileRows)))
            p.rows = round_up(p.rows / 2, kTileRows);
        else if (p.panels > 1)
            p.panels = ceil_div(p.panels, 2);
        else
            break;
    }
    p.split_k = maximum(8, round_up(ceil_div(g.K, p.splits), 8));
    p.splits = maximum(1, ceil_div(g.K, p.split_k));
    p.panels = minimum(p.panels, p.all_panels);
    p.packs_ahead = !g.packed_b && p.row_blocks > 1;
    // Blocks of K of equal length: a short last one would pay for its tiles' loads and stores.
    const int64_t k_blocks = maximum(1, (p.split_k + kBlockK / 2) / kBlockK);
    p.block_k = round_up(ceil_div(p.split_k, k_blocks), 8);
    // Packing A repays where several panels use a sliver, or where rows lie a power of two apart and would evict
    // each other from L1.
    const bool unit_stride = g.a_row == 1 || g.a_col == 1, conflicts = g.a_row % 512 == 0 && g.K >= 128;
    const bool often = g.K >= 32 && g.M > kTileRows / 2;
    p.pack_a = !unit_stride || (often && (p.panels >= 4 || (g.a_col == 1 && conflicts)));
    return p;
}

struct Layout {  // byte-free offsets into the workspace, in floats
    int64_t packed_b, partials, per_thread;
    int64_t panel, slivers, thread_floats;  // of one thread: an edge tile first, then these
    int64_t total;
};

// Floats of one split's partial product; the row after it holds the sums of B.
int64_t partial_floats(const Gemm& g) { return (g.M + (g.b_sums ? 1 : 0)) * g.N; }

Layout layout_of(const Gemm& g, const Plan& p, int threads) {
    Layout l;
    l.packed_b = 0;
    l.partials = p.packs_ahead ? round_up(g.K * (p.all_panels - p.packed_from) * kPanel, 16) : 0;
    l.per_thread = l.partials + (p.splits > 1 ? round_up(p.splits * partial_floats(g), 16) : 0);
    l.panel = kTileRows * kPanel;
    l.slivers = l.panel + (p.packs_ahead || g.packed_b ? 0 : kPanel * p.block_k);
    l.thread_floats = l.slivers + (p.pack_a ? round_up(p.rows, kTileRows) * p.block_k : 0);
    l.total = l.per_thread + l.thread_floats * threads;
    return l;
}

typedef float vfloat4 __attribute__((vector_size(16)));
typedef float vfloat4_unaligned __attribute__((vector_size(16), aligned(4), may_alias));
typedef int32_t vint4 __attribute__((vector_size(16)));

PYNET_INLINE vfloat4 shuffle4(vfloat4 a, vfloat4 b, vint4 lanes) {
#ifdef __clang__
    vfloat4 out;
    for (int i = 0; i < 4; ++i) out[i] = lanes[i] < 4 ? a[lanes[i]] : b[lanes[i] - 4];
    return out;
#else
    return __builtin_shuffle(a, b, lanes);
#endif
}

// Four floats of each of four rows, transposed.
PYNET_INLINE void transpose4(const float* from, int64_t from_row, float* to, int64_t to_row) {
    vfloat4 row[4];
    PYNET_UNROLL
    for (int i = 0; i < 4; ++i) row[i] = *reinterpret_cast<const vfloat4_unaligned*>(from + i * from_row);
    const vfloat4 low01 = shuffle4(row[0], row[1], vint4{0, 4, 1, 5}),
                  high01 = shuffle4(row[0], row[1], vint4{2, 6, 3, 7});
    const vfloat4 low23 = shuffle4(row[2], row[3], vint4{0, 4, 1, 5}),
                  high23 = shuffle4(row[2], row[3], vint4{2, 6, 3, 7});
    const vfloat4 column[4] = {shuffle4(low01, low23, vint4{0, 1, 4, 5}), shuffle4(low01, low23, vint4{2, 3, 6, 7}),
                               shuffle4(high01, high23, vint4{0, 1, 4, 5}),
                               shuffle4(high01, high23, vint4{2, 3, 6, 7})};
    PYNET_UNROLL
    for (int i = 0; i < 4; ++i) *reinterpret_cast<vfloat4_unaligned*>(to + i * to_row) = column[i];
}

// kTileRows rows of A (fewer: zero rows), K columns from `a`, into dst[k * kTileRows + i].
void pack_sliver(const float* a, int64_t a_row, int64_t a_col, int64_t K, int64_t rows, float* dst) {
    int64_t k = 0;
    if (a_row == 1 && rows == kTileRows) {
        for (; k < K; ++k) {
            PYNET_UNROLL
            for (int i = 0; i < kTileRows; ++i) dst[k * kTileRows + i] = a[k * a_col + i];
        }
        return;
    }
    if (a_col == 1 && rows == kTileRows) {
        for (; k + 4 <= K; k += 4) {
            // 4 x 4 transposes in registers
            PYNET_UNROLL
            for (int i = 0; i + 4 <= kTileRows; i += 4)
                transpose4(a + i * a_row + k, a_row, dst + k * kTileRows + i, kTileRows);
            PYNET_UNROLL
            for (int i = kTileRows / 4 * 4; i < kTileRows; ++i)
                for (int kk = 0; kk < 4; ++kk) dst[(k + kk) * kTileRows + i] = a[i * a_row + k + kk];
        }
    }
    for (; k < K; ++k)
        for (int64_t i = 0; i < kTileRows; ++i) dst[k * kTileRows + i] = i < rows ? a[i * a_row + k * a_col] : 0.0f;
}

// sums[j] (+)= the sum of column j over K rows; four partial sums, since one would wait for each addition.
template <int NV>
void sum_columns(int64_t K, const float* b, int64_t ldb, int64_t columns, float* sums, bool accumulate) {
    vfloat part[4][NV] = {};
    int64_t k = 0;
    for (; k + 4 <= K; k += 4, b += 4 * ldb) {
        PYNET_UNROLL
        for (int way = 0; way < 4; ++way) {
            PYNET_UNROLL
            for (int j = 0; j < NV; ++j) part[way][j] += load(b + way * ldb + j * kLanes);
        }
    }
    for (; k < K; ++k, b += ldb) {
        PYNET_UNROLL
        for (int j = 0; j < NV; ++j) part[0][j] += load(b + j * kLanes);
    }
    for (int j = 0; j < NV; ++j) {
        const int64_t lanes = columns - j * kLanes;
        vfloat sum = (part[0][j] + part[1][j]) + (part[2][j] + part[3][j]);
        if (accumulate) sum += load_lanes(sums + j * kLanes, lanes);
        store_lanes(sums + j * kLanes, sum, lanes);
    }
}

struct Chunk {
    int64_t m0, m1, n0, n1, k0, k1;
    float* c;
    int64_t ldc;
    float* b_sums;  // or null: another chunk sums these columns
};

// One block of rows x panels over [k0, k1); `packed_b` is null where the chunk packs for itself.
void run_chunk(const Gemm& g, const Plan& p, const Layout& l, const Chunk& chunk, const float* packed_b,
               float* scratch) {
    float* edge = scratch;  // a tile whose columns do not fill its vectors
    float* panel = scratch + l.panel;
    float* slivers = scratch + l.slivers;
    for (int64_t kb = chunk.k0; kb < chunk.k1; kb += p.block_k) {
        const int64_t kc = minimum(p.block_k, chunk.k1 - kb);
        if (p.pack_a)
            for (int64_t m = chunk.m0; m < chunk.m1; m += kTileRows)
                pack_sliver(g.a + m * g.a_row + kb * g.a_col, g.a_row, g.a_col, kc, minimum(kTileRows, chunk.m1 - m),
                            slivers + (m - chunk.m0) * kc);
        for (int64_t n = chunk.n0; n < chunk.n1; n += kPanel) {
            const int64_t columns = minimum(kPanel, g.N - n);
            const int vectors = panel_vectors(columns);
            const int64_t width = vectors * kLanes;
            const float* b = g.b + n * g.b_col + kb * g.b_row;
            int64_t ldb = g.b_row;
            if (n / kPanel >= p.packed_from) {
                if (!packed_b) pack_columns(b, g.b_row, g.b_col, kc, columns, width, panel);
                b = packed_b ? packed_b + (n - p.packed_from * kPanel) * g.K + kb * width : panel;
                ldb = width;
            }
            if (chunk.b_sums)
                (vectors == 1 ? sum_columns<1> : sum_columns<2>)(kc, b, ldb, columns, chunk.b_sums + n, kb > chunk.k0);
            for (int64_t m = chunk.m0; m < chunk.m1; m += kTileRows) {
                const int64_t rows = minimum(kTileRows, chunk.m1 - m);
                float* c = chunk.c + m * chunk.ldc + n;
                const bool whole = columns == width;
                float* target = whole ? c : edge;
                const int64_t ldt = whole ? chunk.ldc : width;
                const bool more = kb > chunk.k0;
                if (!whole && more)
                    for (int64_t i = 0; i < rows; ++i)
                        for (int64_t j = 0; j < width; j += kLanes)
                            store(edge + i * width + j, load_lanes(c + i * chunk.ldc + j, columns - j));
                if (p.pack_a)
                    tile_for<false>(rows, vectors)(kc, slivers + (m - chunk.m0) * kc, kTileRows, b, ldb, target, ldt,
                                                   more);
                else if (g.a_col == 1)
                    tile_for<true>(rows, vectors)(kc, g.a + m * g.a_row + kb, g.a_row, b, ldb, target, ldt, more);
                else
                    tile_for<false>(rows, vectors)(kc, g.a + m + kb * g.a_col, g.a_col, b, ldb, target, ldt, more);
                if (!whole) store_edge(edge, width, c, chunk.ldc, rows, columns);
                if (p.splits == 1 && kb + kc == chunk.k1)
                    finish_tile(c, chunk.ldc, rows, columns, g.bias ? g.bias + n : nullptr, g.activation, g.alpha);
            }
        }
    }
}

// C = the partial products in order of K, then bias and activation; likewise the sums of B.
void add_partials(const Context& context, const Gemm& g, const float* partials, int64_t splits) {
    const int64_t rows = maximum(1, 4096 / maximum(1, g.N)), all_rows = g.M + (g.b_sums ? 1 : 0);
    const int64_t step = partial_floats(g);
    parallel_for(context, ceil_div(all_rows, rows), [&](int64_t chunk, int) {
        const int64_t m0 = chunk * rows, m1 = minimum(all_rows, m0 + rows);
        for (int64_t m = m0; m < m1; ++m) {
            const float* from = partials + m * g.N;
            float* c = m < g.M ? g.c + m * g.c_row : g.b_sums;
            int64_t n = 0;
            for (; n + kLanes <= g.N; n += kLanes) {
                vfloat sum = load(from + n);
                for (int64_t s = 1; s < splits; ++s) sum += load(from + s * step + n);
                store(c + n, sum);
            }
            for (; n < g.N; ++n) {
                float sum = from[n];
                for (int64_t s = 1; s < splits; ++s) sum += from[s * step + n];
                c[n] = sum;
            }
            if (m < g.M) finish_tile(c, g.c_row, 1, g.N, g.bias, g.activation, g.alpha);
        }
    });
}

}  // namespace

void pack_columns(const float* b, int64_t b_row, int64_t b_col, int64_t K, int64_t columns, int64_t width, float* dst) {
    for (int64_t j0 = 0; j0 < width; j0 += kLanes) {
        const int64_t lanes = minimum(kLanes, columns - j0);
        const float* from = b + j0 * b_col;
        float* to = dst + j0;
        int64_t k = 0;
        if (b_col == 1) {
            for (; k < K; ++k) {
                __builtin_prefetch(from + (k + 12) * b_row);  // rows may lie pages apart, out of the hardware's sight
                store(to + k * width, load_lanes(from + k * b_row, lanes));
            }
        } else if (lanes == kLanes && b_row == 1) {
            for (; k + kLanes <= K; k += kLanes) {
                vfloat row[kLanes];
                PYNET_UNROLL
                for (int i = 0; i < kLanes; ++i) row[i] = load(from + i * b_col + k);
                transpose(row);
                PYNET_UNROLL
                for (int i = 0; i < kLanes; ++i) store(to + (k + i) * width, row[i]);
            }
        }
        for (; k < K; ++k)
            for (int64_t j = 0; j < kLanes; ++j) to[k * width + j] = j < lanes ? from[k * b_row + j * b_col] : 0.0f;
    }
}

void gemm_packed(int64_t M, int64_t N, int64_t K, const float* a, int64_t lda, const float* packed_b, float* c,
                 int64_t ldc, const float* bias, Activation activation, float alpha) {
    float edge[kTileRows * kPanel];
    for (int64_t n = 0; n < N; n += kPanel) {
        const int64_t columns = minimum(kPanel, N - n);
        const int vectors = panel_vectors(columns);
        const int64_t width = vectors * kLanes;
        for (int64_t m = 0; m < M; m += kTileRows) {
            const int64_t rows = minimum(kTileRows, M - m);
            float* to = c + m * ldc + n;
            if (columns == width) {
                tile_for<true>(rows, vectors)(K, a + m * lda, lda, packed_b + n * K, width, to, ldc, false);
            } else {
                tile_for<true>(rows, vectors)(K, a + m * lda, lda, packed_b + n * K, width, edge, width, false);
                store_edge(edge, width, to, ldc, rows, columns);
            }
            finish_tile(to, ldc, rows, columns, bias ? bias + n : nullptr, activation, alpha);
        }
    }
}

size_t gemm_workspace(const Gemm& g, int threads) {
    if (gemm_is_dots(g)) return 0;
    return static_cast<size_t>(layout_of(g, plan_of(g), threads).total) * sizeof(float);
}

size_t gemm_packed_bytes(const Gemm& g) { return static_cast<size_t>(g.K * packed_panels_width(g.N)) * sizeof(float); }

void gemm_pack(const Context& context, const Gemm& g, float* packed) {
    parallel_for(context, ceil_div(g.N, kPanel), [&](int64_t panel, int) {
        const int64_t n = panel * kPanel, columns = minimum(kPanel, g.N - n);
        pack_columns(g.b + n * g.b_col, g.b_row, g.b_col, g.K, columns, panel_vectors(columns) * kLanes,
                     packed + n * g.K);
    });
}

void gemm(const Context& context, const Gemm& g) {
    if (g.N == 0 || (g.M == 0 && !g.b_sums)) return;
    if (g.K == 0) {  // empty sums
        if (g.b_sums)
            for (int64_t n = 0; n < g.N; ++n) g.b_sums[n] = 0.0f;
        parallel_for(context, g.M, [&](int64_t m, int) {
            float* c = g.c + m * g.c_row;
            for (int64_t n = 0; n < g.N; ++n) c[n] = 0.0f;
            finish_tile(c, g.c_row, 1, g.N, g.bias, g.activation, g.alpha);
        });
        return;
    }
    if (gemm_is_dots(g)) return gemm_dots(context, g);
    const Plan p = plan_of(g);
    const Layout l = layout_of(g, p, context.threads);
    float* workspace = reinterpret_cast<float*>(context.workspace);
    float* ahead = workspace + l.packed_b;
    float* partials = workspace + l.partials;
    if (p.packs_ahead)
        parallel_for(context, p.all_panels - p.packed_from, [&](int64_t chunk, int) {
            const int64_t n = (p.packed_from + chunk) * kPanel, columns = minimum(kPanel, g.N - n);
            pack_columns(g.b + n * g.b_col, g.b_row, g.b_col, g.K, columns, panel_vectors(columns) * kLanes,
                         ahead + chunk * kPanel * g.K);
        });
    const float* packed_b = p.packs_ahead ? ahead : g.packed_b;
    parallel_for(context, p.row_blocks * p.panel_blocks * p.splits, [&](int64_t chunk, int thread) {
        const int64_t split = chunk % p.splits, block = chunk / p.splits;
        const int64_t m0 = block % p.row_blocks * p.rows, n0 = block / p.row_blocks * p.panels * kPanel;
        float* split_c = p.splits > 1 ? partials + split * partial_floats(g) : g.c;
        const Chunk part{m0,
                         minimum(g.M, m0 + p.rows),
                         n0,
                         minimum(g.N, n0 + p.panels * kPanel),
                         split * p.split_k,
                         minimum(g.K, (split + 1) * p.split_k),
                         split_c,
                         p.splits > 1 ? g.N : g.c_row,
                         m0 > 0 || !g.b_sums ? nullptr : (p.splits > 1 ? split_c + g.M * g.N : g.b_sums)};
        run_chunk(g, p, l, part, packed_b, workspace + l.per_thread + thread * l.thread_floats);
    });
    if (p.splits > 1) add_partials(context, g, partials, p.splits);
}

// Register-only multiply-adds: the machine's peak, the yardstick of `make bench`. Returns nothing; the caller
// counts 2 * 16 * kLanes * iterations operations a thread.
void peak_loop(const Context& context, int64_t iterations, float* sink) {
    parallel_for(context, context.threads, [&](int64_t chunk, int) {
        constexpr int kChains = kLanes == 16 ? 16 : 10;
        vfloat sum[kChains];
        for (int i = 0; i < kChains; ++i) sum[i] = splat(static_cast<float>(i));
        vfloat x = splat(0.999f), y = splat(1e-3f);
        PYNET_OPAQUE(x);
        PYNET_OPAQUE(y);
        for (int64_t n = 0; n < iterations; ++n) {
            PYNET_UNROLL
            for (int i = 0; i < kChains; ++i) sum[i] = sum[i] * x + y;
        }
        for (int i = 1; i < kChains; ++i) sum[0] += sum[i];
        store_partial(sink + chunk, sum[0], 1);
    });
}

int peak_flops_per_iteration() { return 2 * (kLanes == 16 ? 16 : 10) * kLanes; }

}  // namespace PYNET_LEVEL
}  // namespace pynet
