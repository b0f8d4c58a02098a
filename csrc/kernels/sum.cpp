// out[o][i] = sum over r of x[o][r][i]: one step of a sum over axes.
//
// Layout: x (outer, reduced, inner) and out (outer, inner), both dense.
// Threads: the reduced axis is cut into fixed pieces, by the shape alone; each piece is summed on its own and the
// pieces of one output are added in order, in double precision. Short pieces also keep rounding errors small.
// Aliasing: none allowed. Workspace: sum_workspace() bytes, one float for each piece of each output.
#include "flat.h"
#include "kernels.h"

namespace pynet {
namespace PYNET_LEVEL {
namespace {

constexpr int64_t kWidth = 4096;  // columns of x summed at a time: their sums stay in L1
constexpr int kNarrow = 4 * kLanes;
constexpr int64_t kCombined = 256;  // columns whose pieces are added at a time

struct Plan {
    int64_t length, pieces, segments;  // rows of a piece; pieces of an output; segments of `inner`
};

// Rows that are no whole vectors and so short that it matters.
PYNET_INLINE bool is_narrow(const SumShape& s) { return s.inner < kNarrow && s.inner % kLanes != 0; }

Plan plan_of(const SumShape& s) {
    // No sum in a register takes more than 64 additions.
    const int64_t most = is_narrow(s) ? 2048 : 512;
    const int64_t longest = s.inner == 1 ? 512 * kLanes : minimum(most, maximum(64, kChunk / maximum(1, s.inner)));
    Plan p;
    p.pieces = maximum(1, ceil_div(s.reduced, longest));
    p.length = ceil_div(s.reduced, p.pieces);
    p.segments = ceil_div(s.inner, kWidth);
    return p;
}

// A vector whose lanes add up to the sum of a row.
PYNET_INLINE vfloat lane_sums(const float* x, int64_t count) {
    constexpr int kSums = 8;
    int64_t i = 0;
    vfloat first = {};
    if (count >= kSums * kLanes) {
        vfloat sum[kSums] = {};
        for (; i + kSums * kLanes <= count; i += kSums * kLanes) {
            PYNET_UNROLL
            for (int j = 0; j < kSums; ++j) sum[j] += load(x + i + j * kLanes);
        }
        PYNET_UNROLL
        for (int step = 1; step < kSums; step *= 2) {
            PYNET_UNROLL
            for (int j = 0; j < kSums; j += 2 * step) sum[j] += sum[j + step];
        }
        first = sum[0];
    }
    for (; i + kLanes <= count; i += kLanes) first += load(x + i);
    return i < count ? first + load_partial(x + i, count - i) : first;
}

// sums[r] for kLanes rows of `count`: a transpose instead of kLanes sums across lanes.
PYNET_NOINLINE void sum_row_block(const float* x, int64_t count, float* sums) {
    vfloat lanes[kLanes];
    for (int r = 0; r < kLanes; ++r) lanes[r] = lane_sums(x + r * count, count);
    transpose(lanes);
    PYNET_UNROLL
    for (int step = 1; step < kLanes; step *= 2) {
        PYNET_UNROLL
        for (int j = 0; j < kLanes; j += 2 * step) lanes[j] += lanes[j + step];
    }
    store(sums, lanes[0]);
}

float sum_row(const float* x, int64_t count) {
    float lane[kLanes];
    store(lane, lane_sums(x, count));
    for (int step = 1; step < kLanes; step *= 2)
        for (int j = 0; j < kLanes; j += 2 * step) lane[j] += lane[j + step];
    return lane[0];
}

// sums[c] (+)= the sum of kRows rows.
template <int kRows, bool kFirst>
PYNET_INLINE void add_rows(const float* x, int64_t stride, int64_t columns, float* sums) {
    const auto add = [=](int64_t c, int64_t n) {
        vfloat v[kRows];
        PYNET_UNROLL
        for (int r = 0; r < kRows; ++r) v[r] = load_lanes(x + r * stride + c, n);
        PYNET_UNROLL
        for (int step = 1; step < kRows; step *= 2) {
            PYNET_UNROLL
            for (int r = 0; r + step < kRows; r += 2 * step) v[r] += v[r + step];
        }
        store_lanes(sums + c, kFirst ? v[0] : load_lanes(sums + c, n) + v[0], n);
    };
    int64_t c = 0;
    for (; c + kLanes <= columns; c += kLanes) add(c, kLanes);
    if (c < columns) add(c, columns - c);
}

void sum_columns(const float* x, int64_t stride, int64_t rows, int64_t columns, float* sums) {
    constexpr int kRows = 8;
    int64_t r = 0;
    if (rows >= kRows) {
        add_rows<kRows, true>(x, stride, columns, sums);
        for (r = kRows; r + kRows <= rows; r += kRows) add_rows<kRows, false>(x + r * stride, stride, columns, sums);
    } else {
        add_rows<1, true>(x, stride, columns, sums);
        r = 1;
    }
    for (; r < rows; ++r) add_rows<1, false>(x + r * stride, stride, columns, sums);
}

// Few columns: `joined` rows are one row of whole vectors, whose sums are folded at the end, in double precision.
void sum_narrow(const float* x, int64_t rows, int64_t columns, float* sums) {
    float wide[kNarrow * kLanes];
    double folded[kNarrow] = {};
    const int64_t joined = columns >= kLanes ? kLanes : kNarrow, width = joined * columns, whole = rows / joined;
    const auto fold = [&](const float* from, int64_t count) {
        for (int64_t k = 0; k < count; ++k)
            for (int64_t c = 0; c < columns; ++c) folded[c] += static_cast<double>(from[k * columns + c]);
    };
    if (whole >= 2) sum_columns(x, width, whole, width, wide);
    const int64_t done = whole >= 2 ? whole * joined : 0;
    if (done) fold(wide, joined);
    fold(x + done * columns, rows - done);
    for (int64_t c = 0; c < columns; ++c) sums[c] = static_cast<float>(folded[c]);
}

// One piece of one segment of one outer index.
PYNET_INLINE void sum_piece(const SumShape& s, const Plan& p, const float* x, int64_t unit, float* to) {
    const int64_t c = unit % p.segments * kWidth, place = unit / p.segments;
    const int64_t outer = place / p.pieces, begin = place % p.pieces * p.length;
    const int64_t rows = minimum(p.length, s.reduced - begin), columns = minimum(kWidth, s.inner - c);
    const float* from = x + (outer * s.reduced + begin) * s.inner + c;
    float* sums = to + place * s.inner + c;
    if (rows <= 0) {
        for (int64_t i = 0; i < columns; ++i) sums[i] = 0.0f;
    } else if (s.inner == 1) {
        *sums = sum_row(from, rows);
    } else if (is_narrow(s)) {
        sum_narrow(from, rows, columns, sums);
    } else {
        sum_columns(from, s.inner, rows, columns, sums);
    }
}

}  // namespace

size_t sum_workspace(const SumShape& s) {
    const Plan p = plan_of(s);
    return p.pieces == 1 ? 0 : static_cast<size_t>(s.outer * p.pieces * s.inner) * sizeof(float);
}

void sum(const Context& context, const SumShape& s, const float* x, float* out) {
    if (s.outer == 0 || s.inner == 0) return;
    const Plan p = plan_of(s);
    float* partial = p.pieces == 1 ? out : reinterpret_cast<float*>(context.workspace);
    const int64_t units = s.outer * p.pieces * p.segments;
    const int64_t run = maximum(1, kChunk / maximum(1, p.length * minimum(s.inner, kWidth)));
    parallel_for(context, ceil_div(units, run), [&](int64_t chunk, int) {
        const int64_t end = minimum(units, (chunk + 1) * run);
        int64_t unit = chunk * run;
        if (s.inner == 1 && p.pieces == 1)
            for (; unit + kLanes <= end; unit += kLanes) sum_row_block(x + unit * s.reduced, s.reduced, out + unit);
        for (; unit < end; ++unit) sum_piece(s, p, x, unit, partial);
    });
    if (p.pieces == 1) return;
    const int64_t blocks = ceil_div(s.inner, kCombined);
    parallel_for(context, s.outer * blocks, [&](int64_t chunk, int) {
        const int64_t outer = chunk / blocks, c = chunk % blocks * kCombined, n = minimum(kCombined, s.inner - c);
        double sums[kCombined];
        for (int64_t i = 0; i < n; ++i) sums[i] = 0.0;
        for (int64_t piece = 0; piece < p.pieces; ++piece) {
            const float* from = partial + (outer * p.pieces + piece) * s.inner + c;
            for (int64_t i = 0; i < n; ++i) sums[i] += static_cast<double>(from[i]);
        }
        for (int64_t i = 0; i < n; ++i) out[outer * s.inner + c + i] = static_cast<float>(sums[i]);
    });
}

}  // namespace PYNET_LEVEL
}  // namespace pynet
