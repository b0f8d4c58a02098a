// Elementwise arithmetic with NumPy's broadcasting, sums over axes, and addition in place.
//
// A result lies in memory as the operand of its shape does, NHWC first where both have it; sums are in C order.
#include <algorithm>

#include "arrays.h"

namespace pynet {
namespace {

using AxisList = std::vector<int>;

const Kernels& kernels() { return dispatch::kernels(); }

int rank_of(const py::array& a) { return static_cast<int>(a.ndim()); }

// Native aligned float32 with strides of whole floats, in any order; other arrays get the usual errors.
py::array strided_input(const py::array& a, const char* name) {
    const auto* proxy = py::detail::array_proxy(a.ptr());
    const py::dtype type = a.dtype();
    const bool walkable = type.num() == py::detail::npy_api::NPY_FLOAT_ && type.byteorder() != '>' &&
                          (proxy->flags & py::detail::npy_api::NPY_ARRAY_ALIGNED_);
    return walkable ? a : input_any_order(a, name);
}

// --- one operand ---

template <UnaryOp kOp>
py::array unary(const py::array& x_in) {
    constexpr bool kCheap = kOp == UnaryOp::negative || kOp == UnaryOp::abs || kOp == UnaryOp::square;
    const py::array x = input_any_order(x_in, "x"), out = new_like(x);
    call(static_cast<double>(x.size()) * (kCheap ? 0.5 : 2.0),
         [&](const Context& context) { kernels().unary(context, x.size(), floats(x), mutable_floats(out), kOp); });
    return out;
}

// --- two operands ---

// Stride in elements along the result's axis; 0 where the operand is broadcast.
int64_t stride_along(const py::array& a, int axis, int rank) {
    const int own = axis - (rank - rank_of(a));
    return own < 0 || a.shape(own) == 1 ? 0 : a.strides(own) / static_cast<int64_t>(sizeof(float));
}

Sizes broadcast_shape(const char* name, const py::array& a, const py::array& b) {
    const int rank = std::max(rank_of(a), rank_of(b));
    Sizes shape(static_cast<size_t>(rank));
    for (int axis = 0; axis < rank; ++axis) {
        const int in_a = axis - (rank - rank_of(a)), in_b = axis - (rank - rank_of(b));
        const int64_t sa = in_a < 0 ? 1 : a.shape(in_a), sb = in_b < 0 ? 1 : b.shape(in_b);
        if (sa != sb && sa != 1 && sb != 1)
            throw py::value_error(std::string(name) + ": shapes " + shape_text(shape_of(a)) + " and " +
                                  shape_text(shape_of(b)) + " do not broadcast; make the sizes equal or 1");
        shape[static_cast<size_t>(axis)] = sa == 1 ? sb : sa;
    }
    return shape;
}

bool has_shape(const py::array& a, const Sizes& shape) {
    return a.ndim() == static_cast<py::ssize_t>(shape.size()) && std::equal(shape.begin(), shape.end(), a.shape());
}

// The order of the operand that has the result's shape and is dense; NHWC before others, and where there is none.
py::array new_result(const Sizes& shape, const py::array& a, const py::array& b) {
    const bool a_full = has_shape(a, shape), b_full = has_shape(b, shape);
    if (shape.size() == 4 && ((a_full && is_dense(a, Order::nhwc)) || (b_full && is_dense(b, Order::nhwc))))
        return new_array(shape, Order::nhwc);
    if (a_full && is_dense_in_any_order(a)) return new_like(a);
    if (b_full && is_dense_in_any_order(b)) return new_like(b);
    return new_array(shape, Order::nhwc);
}

// The result's axes in memory order, neighbours joined where both operands allow it.
Broadcast broadcast_of(const py::array& a, const py::array& b, const py::array& out) {
    const int rank = rank_of(out);
    int axes[64], count = 0;
    for (int axis = 0; axis < rank; ++axis)
        if (out.shape(axis) != 1) axes[count++] = axis;
    std::sort(axes, axes + count, [&](int i, int j) { return out.strides(i) > out.strides(j); });
    Broadcast s;
    s.rank = 0;
    for (int k = 0; k < count; ++k) {
        const int64_t size = out.shape(axes[k]);
        const int64_t a_stride = stride_along(a, axes[k], rank), b_stride = stride_along(b, axes[k], rank);
        const int last = s.rank - 1;
        if (last >= 0 && s.a_stride[last] == a_stride * size && s.b_stride[last] == b_stride * size) {
            s.size[last] *= size;
            s.a_stride[last] = a_stride;
            s.b_stride[last] = b_stride;
            continue;
        }
        s.size[s.rank] = size;
        s.a_stride[s.rank] = a_stride;
        s.b_stride[s.rank] = b_stride;
        ++s.rank;
    }
    for (; s.rank < 2; ++s.rank) {  // the kernel walks rows and columns
        for (int k = s.rank; k > 0; --k) {
            s.size[k] = s.size[k - 1];
            s.a_stride[k] = s.a_stride[k - 1];
            s.b_stride[k] = s.b_stride[k - 1];
        }
        s.size[0] = 1;
        s.a_stride[0] = s.b_stride[0] = 0;
    }
    return s;
}

void run_binary(const Broadcast& s, const py::array& a, const py::array& b, const py::array& out, BinaryOp op) {
    const double weight = op == BinaryOp::power ? 8.0 : 0.5;
    call(static_cast<double>(out.size()) * weight,
         [&](const Context& context) { kernels().binary(context, s, floats(a), floats(b), mutable_floats(out), op); });
}

Broadcast flat(int64_t count, bool b_is_scalar) {
    Broadcast s;
    s.rank = 2;
    s.size[0] = 1;
    s.size[1] = count;
    s.a_stride[0] = s.b_stride[0] = 0;
    s.a_stride[1] = 1;
    s.b_stride[1] = b_is_scalar ? 0 : 1;
    return s;
}

template <BinaryOp kOp>
py::array binary(const char* name, const py::array& a_in, const py::array& b_in) {
    const py::array a = strided_input(a_in, "a"), b = strided_input(b_in, "b");
    const bool b_is_scalar = b.size() == 1 && b.ndim() <= a.ndim();
    if ((b_is_scalar || same_strides(a, b)) && is_dense_in_any_order(a)) {  // by far the most frequent
        const py::array out = new_like(a);
        run_binary(flat(a.size(), b_is_scalar), a, b, out, kOp);
        return out;
    }
    const py::array out = new_result(broadcast_shape(name, a, b), a, b);
    run_binary(broadcast_of(a, b, out), a, b, out, kOp);
    return out;
}

void accumulate(const py::array& a_in, const py::array& b_in) {
    const py::array a = in_place(a_in, "accumulate: a"), b = strided_input(b_in, "accumulate: b");
    require_shape(b, shape_of(a), "accumulate: b");
    run_binary(same_strides(a, b) ? flat(a.size(), false) : broadcast_of(a, b, a), a, b, a, BinaryOp::add);
}

// --- reductions ---

// Reduces a dense x over the flags that are set, one run of neighbouring axes in memory at a time, innermost first.
// `sizes` and `reduced` are in memory order, without unit axes.
py::array reduce_groups(py::array x, Sizes sizes, std::vector<bool> reduced, int64_t count, ReduceOp op) {
    for (;;) {
        size_t end = sizes.size();
        while (end > 0 && !reduced[end - 1]) --end;
        if (end == 0) return x;
        size_t begin = end;
        while (begin > 0 && reduced[begin - 1]) --begin;
        ReduceShape s{1, 1, 1};
        for (size_t i = 0; i < begin; ++i) s.outer *= sizes[i];
        for (size_t i = begin; i < end; ++i) s.reduced *= sizes[i];
        for (size_t i = end; i < sizes.size(); ++i) s.inner *= sizes[i];
        py::array out = new_array({s.outer * s.inner});
        call(
            static_cast<double>(count) * 0.5, [&](int) { return kernels().reduce_workspace(s); },
            [&](const Context& context) { kernels().reduce(context, s, floats(x), mutable_floats(out), op); });
        x = out;
        count = s.outer * s.inner;
        sizes.erase(sizes.begin() + static_cast<int64_t>(begin), sizes.begin() + static_cast<int64_t>(end));
        reduced.erase(reduced.begin() + static_cast<int64_t>(begin), reduced.begin() + static_cast<int64_t>(end));
    }
}

std::vector<bool> reduced_axes(const std::string& name, const Sizes& axes, int rank) {
    std::vector<bool> reduced(static_cast<size_t>(rank));
    for (const int64_t axis : axes) {
        if (axis < -rank || axis >= rank)
            throw py::index_error(name + ": axis " + std::to_string(axis) + " is out of range for " +
                                  std::to_string(rank) + " axes");
        const size_t at = static_cast<size_t>(axis < 0 ? axis + rank : axis);
        require(!reduced[at], name + ": axis " + std::to_string(axis) + " is named twice");
        reduced[at] = true;
    }
    return reduced;
}

// A view of dense `data` with this shape, whose axes lie in memory in the given order.
py::array viewed(const py::array& data, const Sizes& shape, const AxisList& memory_order) {
    Sizes strides(shape.size());
    int64_t step = sizeof(float);
    for (size_t i = memory_order.size(); i-- > 0;) {
        const size_t axis = static_cast<size_t>(memory_order[i]);
        strides[axis] = step;
        step *= std::max<int64_t>(1, shape[axis]);
    }
    return py::array(py::dtype::of<float>(), shape, strides, data.data(), data);
}

py::array reduce(const std::string& name, ReduceOp op, const py::array& x_in, const Sizes& axes, bool keepdims) {
    const py::array x = input_any_order(x_in, name.c_str());
    const int rank = rank_of(x);
    const std::vector<bool> reduced = reduced_axes(name, axes, rank);
    AxisList order(static_cast<size_t>(rank)), kept;  // `kept`: the result's axes in memory order
    for (int i = 0; i < rank; ++i) order[static_cast<size_t>(i)] = i;
    // Unit axes have arbitrary strides: they go first, where they do not come between others.
    std::stable_sort(order.begin(), order.end(), [&](int i, int j) {
        const bool unit_i = x.shape(i) == 1, unit_j = x.shape(j) == 1;
        return unit_i || unit_j ? unit_i && !unit_j : x.size() > 0 && x.strides(i) > x.strides(j);
    });
    Sizes sizes, shape;
    std::vector<bool> flags;
    std::vector<int> position(static_cast<size_t>(rank));
    for (int axis = 0; axis < rank; ++axis) {
        const bool gone = reduced[static_cast<size_t>(axis)];
        position[static_cast<size_t>(axis)] = static_cast<int>(shape.size());
        if (!gone || keepdims) shape.push_back(gone ? 1 : x.shape(axis));
    }
    for (const int axis : order) {
        const bool gone = reduced[static_cast<size_t>(axis)];
        if (!gone || keepdims) kept.push_back(position[static_cast<size_t>(axis)]);
        if (x.shape(axis) == 1) continue;
        sizes.push_back(x.shape(axis));
        flags.push_back(gone);
    }
    const py::array results = reduce_groups(x, sizes, flags, x.size(), op);
    const py::array seen = viewed(results, shape, kept);
    if (results.ptr() != x.ptr() && is_dense(seen, Order::c)) return seen;
    const py::array out = new_array(shape);
    py::module_::import("numpy").attr("copyto")(out, seen);
    return out;
}

}  // namespace

void bind_elementwise(Module& m) {
#define UNARY(name) m.def(#name, &unary<UnaryOp::name>)
    UNARY(negative);
    UNARY(exp);
    UNARY(log);
    UNARY(sqrt);
    UNARY(abs);
    UNARY(square);
    UNARY(reciprocal);
    UNARY(sin);
    UNARY(cos);
#undef UNARY
#define BINARY(name) \
    m.def(#name, [](const py::array& a, const py::array& b) { return binary<BinaryOp::name>(#name, a, b); })
    BINARY(add);
    BINARY(subtract);
    BINARY(multiply);
    BINARY(divide);
    BINARY(maximum);
    BINARY(minimum);
    BINARY(power);
#undef BINARY
#define REDUCE(name, op)                                                    \
    m.def(#name, [](const py::array& x, const Sizes& axes, bool keepdims) { \
        return reduce(#name, ReduceOp::op, x, axes, keepdims);              \
    })
    REDUCE(sum, sum);
    REDUCE(prod, product);
    REDUCE(amax, largest);
    REDUCE(amin, smallest);
#undef REDUCE
    m.def("accumulate", &accumulate);
}

}  // namespace pynet
