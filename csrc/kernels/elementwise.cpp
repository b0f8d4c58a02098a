// Elementwise functions of one operand, and of two with broadcasting.
//
// Layout: out is dense; its axes come in memory order, with the operands' strides along them. The last two axes
// are walked as (rows, columns): an operand whose columns are neither neighbours nor one value is gathered first,
// block by block, and a short row that every row shares is repeated so that several rows make one run.
// Threads: fixed runs of rows, or of columns where a row is long. Aliasing: out may be an operand itself.
// Workspace: none.
#include "flat.h"
#include "kernels.h"
#include "math.h"

namespace pynet {
namespace PYNET_LEVEL {
namespace {

// --- functions of one operand ---

template <UnaryOp kOp>
PYNET_INLINE vfloat apply(vfloat x) {
    switch (kOp) {
        case UnaryOp::negative:
            return -x;
        case UnaryOp::exp:
            return exp(x);
        case UnaryOp::log:
            return log(x);
        case UnaryOp::sqrt:
            return sqrt(x);
        case UnaryOp::abs:
            return abs(x);
        case UnaryOp::square:
            return x * x;
        case UnaryOp::reciprocal:
            return 1.0f / x;
        case UnaryOp::sin:
            return sin(x);
        case UnaryOp::cos:
            return cos(x);
    }
    return x;
}

template <UnaryOp kOp, int kUnroll>
void unary_chunks(const Context& context, int64_t count, const float* x, float* out) {
    for_chunks(context, count, [=](int64_t begin, int64_t end) {
        map_run<kUnroll>(begin, end, out, [=](auto at) { return apply<kOp>(at(x)); });
    });
}

// --- functions of two operands: on vectors, then on runs ---

struct Add {
    static PYNET_INLINE vfloat of(vfloat a, vfloat b) { return a + b; }
};
struct Subtract {
    static PYNET_INLINE vfloat of(vfloat a, vfloat b) { return a - b; }
};
struct Multiply {
    static PYNET_INLINE vfloat of(vfloat a, vfloat b) { return a * b; }
};
struct Divide {
    static PYNET_INLINE vfloat of(vfloat a, vfloat b) { return a / b; }
};
struct Maximum {  // NaN of either wins
    static PYNET_INLINE vfloat of(vfloat a, vfloat b) { return select((a > b) | (a != a), a, b); }
};
struct Minimum {
    static PYNET_INLINE vfloat of(vfloat a, vfloat b) { return select((a < b) | (a != a), a, b); }
};
struct Power {
    static PYNET_INLINE vfloat of(vfloat a, vfloat b) {
        float base[kLanes], exponent[kLanes];
        store(base, a);
        store(exponent, b);
        for (int i = 0; i < kLanes; ++i) base[i] = __builtin_powf(base[i], exponent[i]);
        return load(base);
    }
};
// One exponent for all; b is not looked at. As in NumPy, 0.5 is the square root, with NaN for -infinity.
struct PowerOne {
    static PYNET_INLINE vfloat of(vfloat a, vfloat) { return a; }
};
struct PowerTwo {
    static PYNET_INLINE vfloat of(vfloat a, vfloat) { return a * a; }
};
struct PowerThree {
    static PYNET_INLINE vfloat of(vfloat a, vfloat) { return a * a * a; }
};
struct PowerMinusOne {
    static PYNET_INLINE vfloat of(vfloat a, vfloat) { return 1.0f / a; }
};
struct PowerHalf {
    static PYNET_INLINE vfloat of(vfloat a, vfloat) { return sqrt(a); }
};

// One run; k*Run: that operand has a value for each element, else one for all.
typedef void (*RunFunction)(int64_t count, const float* a, const float* b, float* out);

template <class Op, bool kARun, bool kBRun>
void run(int64_t count, const float* a, const float* b, float* out) {
    const vfloat a0 = kARun ? vfloat{} : splat(*a), b0 = kBRun ? vfloat{} : splat(*b);
    map_run<4>(0, count, out, [=](auto at) { return Op::of(kARun ? at(a) : a0, kBRun ? at(b) : b0); });
}

struct Runs {
    RunFunction both, a_only, b_only;
};

template <class Op>
constexpr Runs kRuns = {run<Op, true, true>, run<Op, true, false>, run<Op, false, true>};

Runs power_runs(float exponent) {
    if (exponent == 1.0f) return kRuns<PowerOne>;
    if (exponent == 2.0f) return kRuns<PowerTwo>;
    if (exponent == 3.0f) return kRuns<PowerThree>;
    if (exponent == -1.0f) return kRuns<PowerMinusOne>;
    if (exponent == 0.5f) return kRuns<PowerHalf>;
    return kRuns<Power>;
}

Runs runs_of(const Broadcast& s, const float* b, BinaryOp op) {
    switch (op) {
        case BinaryOp::add:
            return kRuns<Add>;
        case BinaryOp::subtract:
            return kRuns<Subtract>;
        case BinaryOp::multiply:
            return kRuns<Multiply>;
        case BinaryOp::divide:
            return kRuns<Divide>;
        case BinaryOp::maximum:
            return kRuns<Maximum>;
        case BinaryOp::minimum:
            return kRuns<Minimum>;
        case BinaryOp::power:
            break;
    }
    for (int axis = 0; axis < s.rank; ++axis)
        if (s.b_stride[axis] != 0) return kRuns<Power>;
    return power_runs(*b);
}

// --- blocks of rows ---

constexpr int64_t kRepeated = 1024;  // floats of a repeated row
constexpr int64_t kGathered = 128;   // columns that are gathered at a time, for kLanes rows

struct Operand {
    const float* data;
    int64_t row, column;  // strides

    PYNET_INLINE bool is_shared_row() const { return row == 0 && column == 1; }
    PYNET_INLINE bool is_dense(int64_t columns) const { return row == columns && column == 1; }
    PYNET_INLINE Operand from(int64_t r, int64_t c) const { return {data + r * row + c * column, row, column}; }
};

// rows (at most kLanes) x columns (at most kGathered) into `to`, kGathered apart.
void gather(const Operand& from, int64_t rows, int64_t columns, float* to) {
    int64_t c = 0;
    if (from.row == 1 && rows == kLanes) {
        for (; c + kLanes <= columns; c += kLanes) {
            vfloat tile[kLanes];
            PYNET_UNROLL
            for (int i = 0; i < kLanes; ++i) tile[i] = load(from.data + (c + i) * from.column);
            transpose(tile);
            PYNET_UNROLL
            for (int i = 0; i < kLanes; ++i) store(to + i * kGathered + c, tile[i]);
        }
    }
    for (int64_t r = 0; r < rows; ++r)
        for (int64_t i = c; i < columns; ++i) to[r * kGathered + i] = from.data[r * from.row + i * from.column];
}

// The operand itself when its columns are neighbours or, if allowed, one value; else gathered into `space`.
PYNET_INLINE Operand walkable(const Operand& x, bool may_be_scalar, int64_t rows, int64_t columns, float* space) {
    if (x.column == 1 || (x.column == 0 && may_be_scalar)) return x;
    gather(x, rows, columns, space);
    return {space, kGathered, 1};
}

void walk_rows(const Runs& runs, int64_t rows, int64_t columns, const Operand& a, const Operand& b, int64_t out_row,
               float* out) {
    const RunFunction run = a.column && b.column ? runs.both : a.column ? runs.a_only : runs.b_only;
    for (int64_t r = 0; r < rows; ++r) run(columns, a.data + r * a.row, b.data + r * b.row, out + r * out_row);
}

void gather_and_walk(const Runs& runs, int64_t rows, int64_t columns, const Operand& a, const Operand& b,
                     int64_t out_row, float* out) {
    float a_space[kLanes * kGathered], b_space[kLanes * kGathered];
    for (int64_t r = 0; r < rows; r += kLanes) {
        const int64_t height = minimum(kLanes, rows - r);
        for (int64_t c = 0; c < columns; c += kGathered) {
            const int64_t width = minimum(kGathered, columns - c);
            const Operand left = walkable(a.from(r, c), true, height, width, a_space);
            const Operand right = walkable(b.from(r, c), left.column != 0, height, width, b_space);
            walk_rows(runs, height, width, left, right, out_row, out + r * out_row + c);
        }
    }
}

// Several rows as one run, the shared row repeated.
void walk_joined(const Runs& runs, int64_t rows, int64_t columns, const Operand& a, const Operand& b, float* out) {
    float repeated[kRepeated];
    const bool a_shared = a.is_shared_row();
    const float* shared = a_shared ? a.data : b.data;
    const int64_t joined = minimum(rows, kRepeated / columns);
    for (int64_t i = 0; i < joined; ++i)
        for (int64_t c = 0; c < columns; ++c) repeated[i * columns + c] = shared[c];
    for (int64_t r = 0; r < rows; r += joined) {
        const int64_t at = r * columns, count = minimum(joined, rows - r) * columns;
        runs.both(count, a_shared ? repeated : a.data + at, a_shared ? b.data + at : repeated, out + at);
    }
}

void walk_block(const Runs& runs, int64_t rows, int64_t columns, const Operand& a, const Operand& b, int64_t out_row,
                float* out) {
    const auto plain = [](const Operand& x) { return x.column == 0 || x.column == 1; };
    if (!plain(a) || !plain(b) || (a.column == 0 && b.column == 0))
        return gather_and_walk(runs, rows, columns, a, b, out_row, out);
    const bool joinable = rows > 1 && columns <= kRepeated / 4 && out_row == columns;
    if (joinable && ((a.is_shared_row() && b.is_dense(columns)) || (b.is_shared_row() && a.is_dense(columns))))
        return walk_joined(runs, rows, columns, a, b, out);
    walk_rows(runs, rows, columns, a, b, out_row, out);
}

}  // namespace

void unary(const Context& context, int64_t count, const float* x, float* out, UnaryOp op) {
    switch (op) {
        case UnaryOp::negative:
            return unary_chunks<UnaryOp::negative, 4>(context, count, x, out);
        case UnaryOp::exp:
            return unary_chunks<UnaryOp::exp, 2>(context, count, x, out);
        case UnaryOp::log:
            return unary_chunks<UnaryOp::log, 2>(context, count, x, out);
        case UnaryOp::sqrt:
            return unary_chunks<UnaryOp::sqrt, 4>(context, count, x, out);
        case UnaryOp::abs:
            return unary_chunks<UnaryOp::abs, 4>(context, count, x, out);
        case UnaryOp::square:
            return unary_chunks<UnaryOp::square, 4>(context, count, x, out);
        case UnaryOp::reciprocal:
            return unary_chunks<UnaryOp::reciprocal, 4>(context, count, x, out);
        case UnaryOp::sin:
            return unary_chunks<UnaryOp::sin, 1>(context, count, x, out);
        case UnaryOp::cos:
            return unary_chunks<UnaryOp::cos, 1>(context, count, x, out);
    }
}

void binary(const Context& context, const Broadcast& s, const float* a, const float* b, float* out, BinaryOp op) {
    const int row_axis = s.rank - 2, column_axis = s.rank - 1;
    const int64_t rows = s.size[row_axis], columns = s.size[column_axis];
    int64_t all_rows = rows;
    for (int axis = 0; axis < row_axis; ++axis) all_rows *= s.size[axis];
    if (all_rows == 0 || columns == 0) return;
    const Runs runs = runs_of(s, b, op);
    const int64_t height = maximum(1, kChunk / columns), width = minimum(columns, kChunk);
    const int64_t segments = ceil_div(columns, width);
    parallel_for(context, ceil_div(all_rows, height) * segments, [&](int64_t chunk, int) {
        const int64_t begin = chunk / segments * height, end = minimum(all_rows, begin + height);
        const int64_t c = chunk % segments * width, count = minimum(width, columns - c);
        for (int64_t r = begin; r < end;) {
            int64_t outer = r / rows;
            const int64_t row = r - outer * rows, block = minimum(rows - row, end - r);
            const float *a_at = a, *b_at = b;
            for (int axis = row_axis - 1; axis >= 0; --axis) {
                const int64_t index = outer % s.size[axis];
                outer /= s.size[axis];
                a_at += index * s.a_stride[axis];
                b_at += index * s.b_stride[axis];
            }
            const Operand left{a_at, s.a_stride[row_axis], s.a_stride[column_axis]};
            const Operand right{b_at, s.b_stride[row_axis], s.b_stride[column_axis]};
            walk_block(runs, block, count, left.from(row, c), right.from(row, c), columns, out + r * columns + c);
            r += block;
        }
    });
}

}  // namespace PYNET_LEVEL
}  // namespace pynet
