// General matrix product C = A B with bias and activation, A and B in any two strides (so all four
// transpositions), C by rows.
//
// Structure (Goto & van de Geijn 2008, BLIS): C is cut into tiles of rows, as equal as can be, and panels of columns; a
// chunk is a block of both and runs K in blocks of about kBlockK. Panels of B are packed: by the chunk that uses them,
// ahead of all chunks where several do, or long before by gemm_pack; they are read where they lie when few rows use
// them or they are nearly all of B. Rows of A are read where they lie; where its columns are contiguous and are used
// often, or neither are, all of A is packed ahead. A product with few tiles and long K (weight gradients) is also split
// along K into partial results, added in order. Products with a vector are dot products (gemm_dot.cpp).
//
// Threads: chunks, split and order of sums depend on the shape alone. Aliasing: C must not overlap A or B.
// Workspace: gemm_workspace() bytes.
#include "gemm.h"

#include "kernels.h"
#include "parallel.h"
#include "prefetch.h"
#include "statistics.h"
#include "stream.h"

namespace pynet {
namespace PYNET_LEVEL {
namespace {

constexpr int64_t kBlockK = 384;         // longer blocks gain nothing, shorter ones pay for their tiles' stores
constexpr int64_t kChunkRows = 128;      // a block of A, kBlockK wide, that stays in the second-level cache
constexpr int64_t kLongChunkRows = 512;  // where rows are passed once: a long way for the hardware to foresee
constexpr int64_t kManyChunks = 64;
constexpr int64_t kChunkProducts = 128 * 1024;  // smaller chunks cost more in hand-outs than they balance
constexpr int64_t kEnoughChunks = 16, kEnoughPanels = 8;
constexpr int64_t kSplitK = 512;                // least length of K that is worth a partial result
constexpr int64_t kOften = 192;                 // columns of C from which packing A repays
constexpr int64_t kFirstLevel = 4096;           // floats of B that leave room for rows of A and C
constexpr int64_t kCallSteps = 256;             // of K that tiles of one call take together
constexpr int64_t kPackedAtOnce = 8;            // tiles of A
constexpr int64_t kStreamedRows = 48;           // at least, of one chunk: B is read again for each
constexpr int64_t kStreamedBytes = 128 * 1024;  // of a buffer for rows of C: part of the second-level cache

struct Plan {
    int64_t all_tiles, all_panels;
    int64_t least_rows, taller_tiles;  // of a tile; so many tiles have one more
    int64_t tiles, panels;             // of one chunk
    int64_t tiles_at_once;             // in one call: where K is short
    int64_t row_blocks, panel_blocks, splits, split_k, block_k;
    int64_t packed_from;  // panels from this one on are packed,
    bool packs_ahead;     // before the chunks that use them run, or by them
    bool pack_a;          // before the chunks run
    bool streams;         // C may go past the caches, from tiles or from a buffer for a chunk's rows
};

int64_t c_bytes(const Gemm& g) { return g.M * g.N * 4; }

Plan plan_of(const Gemm& g) {
    Plan p;
    p.all_tiles = maximum(1, ceil_div(g.M, kTileRows));
    p.least_rows = g.M / p.all_tiles;
    p.taller_tiles = g.M % p.all_tiles;
    p.all_panels = maximum(1, panels_of(g.N));
    // Rows of B some cache lines apart would evict each other while a panel waits for the next rows of A.
    const bool read_in_place = !g.packed_b && g.b_col == 1 && (g.M <= kTileRows || g.b_row <= 2 * kPanel);
    p.packed_from = read_in_place ? p.all_panels - (g.N % kLanes ? 1 : 0) : 0;
    // Where its columns are contiguous, all of A lies so: packed where many columns of C use it.
    const bool scattered = g.a_row == 1 && g.N >= kOften && g.K >= 32 && g.M > kTileRows;
    p.pack_a = scattered || (g.a_row != 1 && g.a_col != 1);
    // Chunks may pack the panels they use, which spares the region for packing alone: they take all rows or, where
    // there is but one panel, a good part of them.
    const bool packs_b = !g.packed_b && p.packed_from < p.all_panels;
    const bool packs_own = packs_b && !p.pack_a && g.M <= kChunkRows &&
                           (p.all_panels >= kEnoughPanels || g.M * g.N * g.K <= kEnoughPanels * kChunkProducts);
    // A small product over a long K is cut along K first: both operands are then read once.
    p.splits =
        g.M * g.N <= 256 * 256 && g.K >= 8 * maximum(g.M, g.N) ? maximum(1, minimum(kEnoughChunks, g.K / kSplitK)) : 1;
    const int64_t chunk_rows =
        g.K * g.N <= kFirstLevel ? maximum(kChunkRows, minimum(kLongChunkRows, g.M / kManyChunks)) : kChunkRows;
    p.row_blocks = ceil_div(p.all_tiles, ceil_div(chunk_rows, kTileRows));
    p.panel_blocks = 1;
    for (;;) {
        p.tiles = ceil_div(p.all_tiles, p.row_blocks);
        p.panels = ceil_div(p.all_panels, p.panel_blocks);
        if (p.row_blocks * p.panel_blocks * p.splits >= kEnoughChunks) break;
        const int64_t rows = p.tiles * kTileRows, columns = p.panels * kPanel;
        if (minimum(g.M, rows) * columns * (g.K / p.splits) <= kChunkProducts) break;
        if (p.panels > 1 && (packs_own || p.tiles < 4 || columns >= rows))
            p.panel_blocks *= 2;
        else if (p.tiles > 1 && (!packs_own || (p.all_panels == 1 && p.tiles >= 8)))
            p.row_blocks *= 2;
        else
            break;
    }
    // Of long sums the stores are a small part, and C is read again for each block of K. A buffer costs a pass.
    p.streams = kStoresPast && p.panel_blocks == 1 && p.splits == 1 && g.c_row == g.N &&
                c_bytes(g) >= (g.N % kLine == 0 ? 1 : 2) * kStreamFrom && g.K <= kBlockK &&
                kStreamedRows * g.N * 4 <= kStreamedBytes;
    if (p.streams) p.tiles = minimum(p.tiles, kStreamedBytes / (kTileRows * g.N * 4));
    p.row_blocks = ceil_div(p.all_tiles, p.tiles);
    p.panel_blocks = ceil_div(p.all_panels, p.panels);
    p.split_k = maximum(8, round_up(ceil_div(g.K, p.splits), 8));
    p.splits = maximum(1, ceil_div(g.K, p.split_k));
    p.packs_ahead = packs_b && !packs_own && (p.row_blocks > 1 || p.pack_a);
    // Blocks of K of equal length: a short last one would pay for its tiles' loads and stores.
    const int64_t k_blocks = maximum(1, (p.split_k + kBlockK / 2) / kBlockK);
    p.block_k = round_up(ceil_div(p.split_k, k_blocks), 8);
    p.tiles_at_once = maximum(1, minimum(4, kCallSteps / maximum(1, p.block_k)));
    return p;
}

PYNET_INLINE int64_t rows_of(const Plan& p, int64_t tile) { return p.least_rows + (tile < p.taller_tiles ? 1 : 0); }
PYNET_INLINE int64_t first_row(const Plan& p, int64_t tile) {
    return tile * p.least_rows + minimum(tile, p.taller_tiles);
}

struct Layout {  // byte-free offsets into the workspace, in floats
    int64_t packed_a, packed_b, partials, per_thread;
    int64_t rows, thread_floats;  // of one thread: a panel first, then rows of C
    int64_t total;
};

// Floats of one split's partial product; the row after it holds the sums of B.
int64_t partial_floats(const Gemm& g) { return (g.M + (g.b_sums ? 1 : 0)) * g.N; }

Layout layout_of(const Gemm& g, const Plan& p, int threads) {
    Layout l;
    l.packed_a = 0;
    l.packed_b = p.pack_a ? round_up(p.all_tiles * kTileRows * g.K, 16) : 0;
    l.partials =
        l.packed_b + (p.packs_ahead ? round_up((packed_panels_width(g.N) - p.packed_from * kPanel) * g.K, 16) : 0);
    l.per_thread = l.partials + (p.splits > 1 ? round_up(p.splits * partial_floats(g), 16) : 0);
    l.rows = p.packs_ahead || g.packed_b ? 0 : widest_panel(g.N) * p.block_k;
    l.thread_floats = l.rows + (p.streams ? p.tiles * kTileRows * g.N : 0);
    l.total = l.per_thread + l.thread_floats * threads;
    return l;
}

// kTileRows rows of A (fewer: zero rows), K columns from `a`, into dst[k * kTileRows + i].
void pack_sliver(const float* a, int64_t a_row, int64_t a_col, int64_t K, int64_t rows, float* dst) {
    if (a_row == 1 && rows == kTileRows) {
        for (int64_t k = 0; k < K; ++k) {
            __builtin_prefetch(a + (k + 16) * a_col);
            __builtin_memcpy(dst + k * kTileRows, a + k * a_col, kTileRows * sizeof(float));
        }
        return;
    }
    for (int64_t k = 0; k < K; ++k)
        for (int64_t i = 0; i < kTileRows; ++i) dst[k * kTileRows + i] = i < rows ? a[i * a_row + k * a_col] : 0.0f;
}

// kPackedAtOnce tiles of A from `tile`, each a sliver of all K. Where columns are contiguous, a few of them are cut
// into all slivers in turn: what one sliver needs of each is less than a cache line, and the next would find the rest
// evicted.
void pack_tiles(const Gemm& g, const Plan& p, int64_t tile, float* packed) {
    const int64_t last = minimum(p.all_tiles, tile + kPackedAtOnce), step = g.a_row == 1 ? 16 : g.K;
    for (int64_t k = 0; k < g.K; k += step)
        for (int64_t t = tile; t < last; ++t) {
            const int64_t m = first_row(p, t);
            pack_sliver(g.a + m * g.a_row + k * g.a_col, g.a_row, g.a_col, minimum(step, g.K - k),
                        minimum(kTileRows, g.M - m), packed + (t * g.K + k) * kTileRows);
        }
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
    int64_t t0, t1, n0, n1, k0, k1;
    float* c;
    int64_t ldc;
    float* b_sums;  // or null: another chunk sums these columns
    bool ahead;     // the rows of A and C after these are worth fetching
    bool past;      // tiles are stored past the caches,
    bool buffered;  // or will be from the buffer where C lies
};

// Whether A and C are read and written from end to end, and too large for the caches: then each chunk fetches what the
// next one needs.
bool fetches_ahead(const Gemm& g, const Plan& p) {
    return g.a_row == g.K && g.a_col == 1 && g.c_row == g.N && p.panel_blocks == 1 && p.splits == 1 &&
           g.M * (g.K + g.N) * 4 > kPrefetchFrom;
}

// The rows of B that the chunk packs or reads next, fetched some at a time while tiles compute: unpacked, they lie
// pages apart, out of the hardware's sight.
struct NextRows {
    const float* at;
    int64_t step, left, each;

    PYNET_INLINE void share() {
        for (int64_t rows = minimum(each, left); rows > 0; --rows, --left, at += step) {
            PYNET_UNROLL
            for (int j = 0; j < kPanel; j += 16) __builtin_prefetch(at + j, 0, 2);
        }
    }
};

// One block of tiles x panels over [k0, k1); `packed_a` is null where A is read in place, `packed_b` where the chunk
// packs for itself.
void run_chunk(const Gemm& g, const Plan& p, const Chunk& chunk, const float* packed_a, const float* packed_b,
               float* panel) {
    const bool by_rows = !packed_a && g.a_col == 1;
    const int64_t lda = packed_a ? kTileRows : by_rows ? g.a_row : g.a_col;
    const int64_t after = first_row(p, chunk.t1), rows_ahead = chunk.ahead ? after - first_row(p, chunk.t0) : 0,
                  runs = ceil_div(chunk.t1 - chunk.t0, p.tiles_at_once),
                  shares = (chunk.t1 - chunk.t0) * ceil_div(chunk.n1 - chunk.n0, kPanel) *
                           ceil_div(chunk.k1 - chunk.k0, p.block_k);
    Ahead ahead({g.a + after * g.a_row, rows_ahead * g.a_row, false},
                {chunk.c + after * chunk.ldc, chunk.past || chunk.buffered ? 0 : rows_ahead * chunk.ldc, true}, shares);
    for (int64_t kb = chunk.k0; kb < chunk.k1; kb += p.block_k) {
        const int64_t kc = minimum(p.block_k, chunk.k1 - kb);
        for (int64_t n = chunk.n0, columns; n < chunk.n1; n += columns) {
            columns = panel_columns(g.N - n);
            const int vectors = panel_vectors(columns);
            const int64_t width = vectors * kLanes;
            const float* b = g.b + n * g.b_col + kb * g.b_row;
            int64_t ldb = g.b_row;
            NextRows next_b{nullptr, g.b_row, 0, 0};
            if (n / kPanel >= p.packed_from) {
                const bool last = n + columns >= chunk.n1;
                if (!packed_b) {
                    pack_columns(b, g.b_row, g.b_col, kc, columns, width, panel);
                    if (g.b_col == 1) {
                        next_b.at = last ? g.b + chunk.n0 + (kb + kc) * g.b_row : b + kPanel;
                        next_b.left = last ? minimum(kc, chunk.k1 - kb - kc) : kc;
                    }
                } else if (!last) {
                    const int64_t next = n + columns, step = panel_vectors(panel_columns(g.N - next)) * kLanes;
                    next_b = {packed_b + (next - p.packed_from * kPanel) * g.K + kb * step, step, kc, 0};
                }
                next_b.each = ceil_div(next_b.left, maximum(1, runs));
                b = packed_b ? packed_b + (n - p.packed_from * kPanel) * g.K + kb * width : panel;
                ldb = width;
            }
            if (chunk.b_sums)
                (vectors == 1   ? sum_columns<1>
                 : vectors == 2 ? sum_columns<2>
                                : sum_columns<kWidest>)(kc, b, ldb, columns, chunk.b_sums + n, kb > chunk.k0);
            const Finish finish{g.bias ? g.bias + n : nullptr, g.activation, g.alpha};
            Tiles tiles{0, kc, nullptr, lda, 0, b, ldb, nullptr, chunk.ldc, columns - (vectors - 1) * kLanes};
            tiles.accumulate = kb > chunk.k0;
            tiles.past = chunk.past;
            tiles.ahead = &ahead;
            if (p.splits == 1 && kb + kc == chunk.k1 && (g.bias || g.activation != Activation::none))
                tiles.finish = &finish;
            for (int64_t t = chunk.t0, count; t < chunk.t1; t += count) {
                const bool taller = t < p.taller_tiles;
                const int64_t rows = rows_of(p, t), m = first_row(p, t);
                count = minimum(p.tiles_at_once, (taller ? minimum(p.taller_tiles, chunk.t1) : chunk.t1) - t);
                tiles.a = packed_a ? packed_a + (t * g.K + kb) * kTileRows : g.a + m * g.a_row + kb * g.a_col;
                tiles.c = chunk.c + m * chunk.ldc + n;
                next_b.share();
                if (!packed_a) {
                    (by_rows ? run_panel<true> : run_panel<false>)(count * rows, vectors, tiles);
                } else if (rows <= tallest_tile(vectors)) {
                    tiles.count = count;
                    tiles.a_step = g.K * kTileRows;
                    tiles_of<false>(rows, vectors)(tiles);
                } else {  // each packed tile in two
                    for (int64_t i = 0; i < count; ++i, tiles.a += g.K * kTileRows, tiles.c += rows * chunk.ldc)
                        run_panel<false>(rows, vectors, tiles);
                }
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
    if (b_col == 1) {
        for (int64_t k = 0; k < K; ++k, b += b_row) {
            __builtin_prefetch(b + 12 * b_row);  // rows may lie pages apart, out of the hardware's sight
            int64_t j = 0;
            for (; j + kLanes <= columns; j += kLanes) store(dst + k * width + j, load(b + j));
            if (j < columns) store(dst + k * width + j, load_partial(b + j, columns - j));
        }
        return;
    }
    for (int64_t j0 = 0; j0 < width; j0 += kLanes) {
        const int64_t lanes = minimum(kLanes, columns - j0);
        const float* from = b + j0 * b_col;
        float* to = dst + j0;
        int64_t k = 0;
        if (lanes == kLanes && b_row == 1) {
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
    for (int64_t n = 0, columns; n < N; n += columns) {
        columns = panel_columns(N - n);
        const int vectors = panel_vectors(columns);
        const Finish finish{bias ? bias + n : nullptr, activation, alpha};
        Tiles tiles{0, K, a, lda, 0, packed_b + n * K, vectors * kLanes, c + n, ldc};
        tiles.last = columns - (vectors - 1) * kLanes;
        tiles.finish = bias || activation != Activation::none ? &finish : nullptr;
        run_panel<true>(M, vectors, tiles);
    }
}

size_t gemm_workspace(const Gemm& g, int threads) {
    if (gemm_is_dots(g)) return 0;
    return static_cast<size_t>(layout_of(g, plan_of(g), threads).total) * sizeof(float);
}

int64_t gemm_parts(const Gemm& g) {
    if (g.M == 0 || g.K == 0 || gemm_is_dots(g)) return 0;
    const Plan p = plan_of(g);
    return p.splits == 1 ? p.row_blocks : 0;
}

size_t gemm_packed_bytes(const Gemm& g) { return static_cast<size_t>(g.K * packed_panels_width(g.N)) * sizeof(float); }

void gemm_pack(const Context& context, const Gemm& g, float* packed) {
    parallel_for(context, panels_of(g.N), [&](int64_t panel, int) {
        const int64_t n = panel * kPanel, columns = panel_columns(g.N - n);
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
    float* a_ahead = workspace + l.packed_a;
    float* b_ahead = workspace + l.packed_b;
    float* partials = workspace + l.partials;
    const int64_t ahead_a = p.pack_a ? ceil_div(p.all_tiles, kPackedAtOnce) : 0,
                  ahead_b = p.packs_ahead ? p.all_panels - p.packed_from : 0;
    parallel_for(context, ahead_a + ahead_b, [&](int64_t chunk, int) {
        if (chunk < ahead_a) return pack_tiles(g, p, chunk * kPackedAtOnce, a_ahead);
        const int64_t n = (p.packed_from + chunk - ahead_a) * kPanel, columns = panel_columns(g.N - n);
        pack_columns(g.b + n * g.b_col, g.b_row, g.b_col, g.K, columns, panel_vectors(columns) * kLanes,
                     b_ahead + (chunk - ahead_a) * kPanel * g.K);
    });
    const float* packed_a = p.pack_a ? a_ahead : nullptr;
    const float* packed_b = p.packs_ahead ? b_ahead : g.packed_b;
    const bool ahead = fetches_ahead(g, p);
    // Where all of B stays in the first-level cache, a few tiles meet all panels before the next ones: their rows of A
    // and C are then passed once.
    const bool rows_first = p.all_panels > 1 && !packed_a && !g.b_sums && p.splits == 1 && g.K <= p.block_k &&
                            g.K * g.N <= kFirstLevel && (packed_b || p.packed_from == p.all_panels);
    // Tiles that are no whole cache lines, or are read again for the statistics, wait in a buffer.
    const bool past = p.streams && g.N % kLine == 0 && !g.parts && reinterpret_cast<uintptr_t>(g.c) % (4 * kLine) == 0;
    const bool buffered = p.streams && !past && c_bytes(g) >= 2 * kStreamFrom;
    parallel_for(context, p.row_blocks * p.panel_blocks * p.splits, [&](int64_t chunk, int thread) {
        const int64_t split = chunk % p.splits, block = chunk / p.splits;
        const int64_t t0 = block / p.panel_blocks * p.tiles, from = block % p.panel_blocks * p.panels,
                      n0 = from * kPanel, n1 = from + p.panels < p.all_panels ? n0 + p.panels * kPanel : g.N;
        const int64_t t1 = g.M == 0 ? 0 : minimum(p.all_tiles, t0 + p.tiles);  // without M the sums of B are asked for
        const int64_t m0 = first_row(p, t0), rows = first_row(p, t1) - m0;
        float* scratch = workspace + l.per_thread + thread * l.thread_floats;
        float* buffer = scratch + l.rows;
        float* split_c = p.splits > 1 ? partials + split * partial_floats(g) : buffered ? buffer - m0 * g.N : g.c;
        Chunk part{t0,
                   t1,
                   n0,
                   n1,
                   split * p.split_k,
                   minimum(g.K, (split + 1) * p.split_k),
                   split_c,
                   p.splits > 1 ? g.N : g.c_row,
                   t0 > 0 || !g.b_sums ? nullptr : (p.splits > 1 ? split_c + g.M * g.N : g.b_sums),
                   ahead,
                   past,
                   buffered};
        if (rows_first) {
            for (int64_t t = t0; t < t1; t += 2 * p.tiles_at_once) {
                part.t0 = t, part.t1 = minimum(t1, t + 2 * p.tiles_at_once);
                run_chunk(g, p, part, packed_a, packed_b, scratch);
            }
        } else {
            run_chunk(g, p, part, packed_a, packed_b, scratch);
        }
        if (g.parts)
            take_part(g.parts, block / p.panel_blocks, g.N, n0, part.n1 - n0, rows,
                      [&](int64_t m) { return split_c + (m0 + m) * g.c_row; });
        if (past) end_of_stores_past();
        if (buffered) stream(g.c + m0 * g.N, buffer, rows * g.N);
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
