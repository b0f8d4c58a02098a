// out[o][i] = sum over r of x[o][r][i], or the product, the largest or the smallest: one step of a reduction over axes.
// A NaN wins over every number.
//
// Layout: x (outer, reduced, inner) and out (outer, inner), both dense.
// Threads: the reduced axis is cut into fixed pieces, by the shape alone; each piece is reduced on its own and the
// pieces of one output are joined in order, in double precision. Short pieces also keep rounding errors small.
// Aliasing: none allowed. Workspace: reduce_workspace() bytes, one float for each piece of each output.
#include "flat.h"
#include "kernels.h"
#include "rows.h"

namespace pynet {
namespace PYNET_LEVEL {
namespace {

constexpr int64_t kWidth = 4096;  // columns of x reduced at a time: their results stay in L1
constexpr int kNarrow = 4 * kLanes;
constexpr int64_t kCombined = 256;            // columns whose pieces are joined at a time
constexpr int64_t kFewColumns = 16 * kLanes;  // rows so short that they are read one after the other

// What two values become, and what changes none.
struct Sum {
    static constexpr float kNothing = 0.0f;
    template <class T>
    PYNET_INLINE static T join(T a, T b) {
        return a + b;
    }
};
struct Product {
    static constexpr float kNothing = 1.0f;
    template <class T>
    PYNET_INLINE static T join(T a, T b) {
        return a * b;
    }
};
struct Largest {
    static constexpr float kNothing = -__builtin_inff();
    PYNET_INLINE static vfloat join(vfloat a, vfloat b) { return select(b != b, b, max(b, a)); }
    PYNET_INLINE static double join(double a, double b) { return b > a || b != b ? b : a; }
};
struct Smallest {
    static constexpr float kNothing = __builtin_inff();
    PYNET_INLINE static vfloat join(vfloat a, vfloat b) { return select(b != b, b, min(b, a)); }
    PYNET_INLINE static double join(double a, double b) { return b < a || b != b ? b : a; }
};

struct Plan {
    int64_t length, pieces, segments;  // rows of a piece; pieces of an output; segments of `inner`
};

// Rows that are no whole vectors and so short that it matters.
PYNET_INLINE bool is_narrow(const ReduceShape& s) { return s.inner < kNarrow && s.inner % kLanes != 0; }

Plan plan_of(const ReduceShape& s) {
    // No sum in a register takes more than 128 additions.
    const int64_t most = is_narrow(s) ? 2048 : 512;
    const int64_t longest = s.inner == 1 ? 512 * kLanes : minimum(most, maximum(64, kChunk / maximum(1, s.inner)));
    Plan p;
    p.pieces = maximum(1, ceil_div(s.reduced, longest));
    p.length = ceil_div(s.reduced, p.pieces);
    p.segments = ceil_div(s.inner, kWidth);
    return p;
}

// kCount vectors joined pairwise.
template <class Op, int kCount>
PYNET_INLINE vfloat join_all(vfloat (&v)[kCount]) {
    PYNET_UNROLL
    for (int step = 1; step < kCount; step *= 2) {
        PYNET_UNROLL
        for (int j = 0; j + step < kCount; j += 2 * step) v[j] = Op::join(v[j], v[j + step]);
    }
    return v[0];
}

// A vector whose lanes together are a row's result.
template <class Op>
PYNET_INLINE vfloat reduce_lanes(const float* x, int64_t count) {
    constexpr int kSums = 8;
    int64_t i = 0;
    vfloat first = splat(Op::kNothing);
    if (count >= kSums * kLanes) {
        vfloat sum[kSums];
        PYNET_UNROLL
        for (int j = 0; j < kSums; ++j) sum[j] = splat(Op::kNothing);
        for (; i + kSums * kLanes <= count; i += kSums * kLanes) {
            PYNET_UNROLL
            for (int j = 0; j < kSums; ++j) sum[j] = Op::join(sum[j], load(x + i + j * kLanes));
        }
        first = join_all<Op, kSums>(sum);
    }
    for (; i + kLanes <= count; i += kLanes) first = Op::join(first, load(x + i));
    return i < count ? Op::join(first, load_filled(x + i, count - i, Op::kNothing)) : first;
}

// out[r] for kLanes rows of `count`: a transpose instead of kLanes reductions across lanes.
template <class Op>
PYNET_NOINLINE void reduce_row_block(const float* x, int64_t count, float* out) {
    vfloat lanes[kLanes];
    for (int r = 0; r < kLanes; ++r) lanes[r] = reduce_lanes<Op>(x + r * count, count);
    transpose(lanes);
    store(out, join_all<Op, kLanes>(lanes));
}

template <class Op>
float reduce_row(const float* x, int64_t count) {
    float lane[kLanes];
    store(lane, reduce_lanes<Op>(x, count));
    for (int step = 1; step < kLanes; step *= 2)
        for (int j = 0; j < kLanes; j += 2 * step)
            lane[j] = static_cast<float>(Op::join(static_cast<double>(lane[j]), static_cast<double>(lane[j + step])));
    return lane[0];
}

// out[c] (joined with out[c]): kRows rows.
template <class Op, int kRows, bool kFirst>
PYNET_INLINE void join_rows(const float* x, int64_t stride, int64_t columns, float* out) {
    for_row(columns, [=](int64_t c, int64_t n) {
        vfloat v[kRows];
        PYNET_UNROLL
        for (int r = 0; r < kRows; ++r) v[r] = load_lanes(x + r * stride + c, n);
        const vfloat joined = join_all<Op, kRows>(v);
        store_lanes(out + c, kFirst ? joined : Op::join(load_lanes(out + c, n), joined), n);
    });
}

// Rows of many columns: several side by side, each of which is a stream of memory.
template <class Op>
void reduce_wide(const float* x, int64_t stride, int64_t rows, int64_t columns, float* out) {
    constexpr int kRows = 8;
    int64_t r = 0;
    if (rows >= kRows) {
        join_rows<Op, kRows, true>(x, stride, columns, out);
        for (r = kRows; r + kRows <= rows; r += kRows)
            join_rows<Op, kRows, false>(x + r * stride, stride, columns, out);
    } else {
        join_rows<Op, 1, true>(x, stride, columns, out);
        r = 1;
    }
    for (; r < rows; ++r) join_rows<Op, 1, false>(x + r * stride, stride, columns, out);
}

// Rows of few columns: a block of columns stays in registers while the rows pass by.
template <class Op>
void reduce_short(const float* x, int64_t stride, int64_t rows, int64_t columns, float* out) {
    constexpr int kSums = 8;
    for_blocks(columns, [&](int64_t c, auto vectors, int64_t n) {
        constexpr int NV = decltype(vectors)::value, kRows = kSums / NV;
        vfloat sum[kSums];
        PYNET_UNROLL
        for (int j = 0; j < kSums; ++j) sum[j] = splat(Op::kNothing);
        const float* from = x + c;
        int64_t r = 0;
        for (; r + kRows <= rows; r += kRows, from += kRows * stride) {
            PYNET_UNROLL
            for (int j = 0; j < kSums; ++j)
                sum[j] = Op::join(sum[j], load_lanes(from + j / NV * stride + j % NV * kLanes, n));
        }
        for (; r < rows; ++r, from += stride) {
            PYNET_UNROLL
            for (int j = 0; j < NV; ++j) sum[j] = Op::join(sum[j], load_lanes(from + j * kLanes, n));
        }
        PYNET_UNROLL
        for (int step = NV; step < kSums; step *= 2) {
            PYNET_UNROLL
            for (int j = 0; j < kSums; ++j)
                if (j + step < kSums && j / NV % (2 * step / NV) == 0) sum[j] = Op::join(sum[j], sum[j + step]);
        }
        PYNET_UNROLL
        for (int j = 0; j < NV; ++j) store_lanes(out + c + j * kLanes, sum[j], n);
    });
}

template <class Op>
void reduce_columns(const float* x, int64_t stride, int64_t rows, int64_t columns, float* out) {
    (columns <= kFewColumns ? reduce_short<Op> : reduce_wide<Op>)(x, stride, rows, columns, out);
}

// Few columns: `joined` rows are one row of whole vectors, whose results are folded at the end, in double precision.
template <class Op>
void reduce_narrow(const float* x, int64_t rows, int64_t columns, float* out) {
    float wide[kNarrow * kLanes];
    double folded[kNarrow];
    for (int64_t c = 0; c < columns; ++c) folded[c] = static_cast<double>(Op::kNothing);
    const int64_t joined = columns >= kLanes ? kLanes : kNarrow, width = joined * columns, whole = rows / joined;
    const auto fold = [&](const float* from, int64_t count) {
        for (int64_t k = 0; k < count; ++k)
            for (int64_t c = 0; c < columns; ++c)
                folded[c] = Op::join(folded[c], static_cast<double>(from[k * columns + c]));
    };
    if (whole >= 2) reduce_columns<Op>(x, width, whole, width, wide);
    const int64_t done = whole >= 2 ? whole * joined : 0;
    if (done) fold(wide, joined);
    fold(x + done * columns, rows - done);
    for (int64_t c = 0; c < columns; ++c) out[c] = static_cast<float>(folded[c]);
}

// One piece of one segment of one outer index.
template <class Op>
PYNET_INLINE void reduce_piece(const ReduceShape& s, const Plan& p, const float* x, int64_t unit, float* to) {
    const int64_t c = unit % p.segments * kWidth, place = unit / p.segments;
    const int64_t outer = place / p.pieces, begin = place % p.pieces * p.length;
    const int64_t rows = minimum(p.length, s.reduced - begin), columns = minimum(kWidth, s.inner - c);
    const float* from = x + (outer * s.reduced + begin) * s.inner + c;
    float* out = to + place * s.inner + c;
    if (rows <= 0) {
        for (int64_t i = 0; i < columns; ++i) out[i] = Op::kNothing;
    } else if (s.inner == 1) {
        *out = reduce_row<Op>(from, rows);
    } else if (is_narrow(s)) {
        reduce_narrow<Op>(from, rows, columns, out);
    } else {
        reduce_columns<Op>(from, s.inner, rows, columns, out);
    }
}

template <class Op>
void reduce_by(const Context& context, const ReduceShape& s, const float* x, float* out) {
    const Plan p = plan_of(s);
    float* partial = p.pieces == 1 ? out : reinterpret_cast<float*>(context.workspace);
    const int64_t units = s.outer * p.pieces * p.segments;
    const int64_t run = maximum(1, kChunk / maximum(1, p.length * minimum(s.inner, kWidth)));
    parallel_for(context, ceil_div(units, run), [&](int64_t chunk, int) {
        const int64_t end = minimum(units, (chunk + 1) * run);
        int64_t unit = chunk * run;
        if (s.inner == 1 && p.pieces == 1)
            for (; unit + kLanes <= end; unit += kLanes)
                reduce_row_block<Op>(x + unit * s.reduced, s.reduced, out + unit);
        for (; unit < end; ++unit) reduce_piece<Op>(s, p, x, unit, partial);
    });
    if (p.pieces == 1) return;
    const int64_t blocks = ceil_div(s.inner, kCombined);
    parallel_for(context, s.outer * blocks, [&](int64_t chunk, int) {
        const int64_t outer = chunk / blocks, c = chunk % blocks * kCombined, n = minimum(kCombined, s.inner - c);
        double joined[kCombined];
        for (int64_t i = 0; i < n; ++i) joined[i] = static_cast<double>(Op::kNothing);
        for (int64_t piece = 0; piece < p.pieces; ++piece) {
            const float* from = partial + (outer * p.pieces + piece) * s.inner + c;
            for (int64_t i = 0; i < n; ++i) joined[i] = Op::join(joined[i], static_cast<double>(from[i]));
        }
        for (int64_t i = 0; i < n; ++i) out[outer * s.inner + c + i] = static_cast<float>(joined[i]);
    });
}

}  // namespace

size_t reduce_workspace(const ReduceShape& s) {
    const Plan p = plan_of(s);
    return p.pieces == 1 ? 0 : static_cast<size_t>(s.outer * p.pieces * s.inner) * sizeof(float);
}

void reduce(const Context& context, const ReduceShape& s, const float* x, float* out, ReduceOp op) {
    if (s.outer == 0 || s.inner == 0) return;
    switch (op) {
        case ReduceOp::sum:
            return reduce_by<Sum>(context, s, x, out);
        case ReduceOp::product:
            return reduce_by<Product>(context, s, x, out);
        case ReduceOp::largest:
            return reduce_by<Largest>(context, s, x, out);
        case ReduceOp::smallest:
            return reduce_by<Smallest>(context, s, x, out);
    }
}

}  // namespace PYNET_LEVEL
}  // namespace pynet
