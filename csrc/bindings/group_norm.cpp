// Group normalisation over (N, C, H, W).
#include "arrays.h"

namespace pynet {
namespace {

struct Checked {
    py::array x;
    OptionalArray weight, bias;
    GroupNorm norm;
};

Checked checked(const py::array& x_in, int64_t groups, const OptionalArray& weight, const OptionalArray& bias,
                double eps) {
    Checked a{input(x_in, 4, Order::nhwc, "x"), {}, {}, {}};
    const int64_t C = a.x.shape(1);
    require(groups >= 1 && C % groups == 0,
            "group_norm: groups=" + std::to_string(groups) + " does not divide " + std::to_string(C) + " channels");
    if (weight) a.weight = input(*weight, 1, Order::c, "weight");
    if (bias) a.bias = input(*bias, 1, Order::c, "bias");
    if (a.weight) require_shape(*a.weight, {C}, "group_norm: weight");
    if (a.bias) require_shape(*a.bias, {C}, "group_norm: bias");
    a.norm = GroupNorm{a.x.shape(0),   a.x.shape(2) * a.x.shape(3), C, groups, floats(a.x), floats(a.weight),
                       floats(a.bias), static_cast<float>(eps)};
    return a;
}

template <class Body>
void run(const GroupNorm& norm, Body body) {
    call(
        static_cast<double>(norm.N * norm.rows) * static_cast<double>(norm.C) * 4,
        [&](int threads) { return dispatch::kernels().group_norm_workspace(norm, threads); }, body);
}

std::tuple<py::array, py::array, py::array> group_norm_forward(const py::array& x, int64_t groups,
                                                               const OptionalArray& weight, const OptionalArray& bias,
                                                               double eps) {
    const Checked a = checked(x, groups, weight, bias, eps);
    const py::array out = new_array(shape_of(a.x), Order::nhwc), mean = new_array({a.norm.N, groups}),
                    rstd = new_array({a.norm.N, groups});
    run(a.norm, [&](const Context& context) {
        dispatch::kernels().group_norm_forward(context, a.norm, mutable_floats(out), mutable_floats(mean),
                                               mutable_floats(rstd));
    });
    return {out, mean, rstd};
}

std::tuple<py::array, py::array, py::array> group_norm_backward(const py::array& dout_in, const py::array& x,
                                                                const py::array& mean_in, const py::array& rstd_in,
                                                                int64_t groups, const OptionalArray& weight) {
    const Checked a = checked(x, groups, weight, {}, 0.0);
    const py::array dout = input(dout_in, 4, Order::nhwc, "dout"), mean = input(mean_in, 2, Order::c, "mean"),
                    rstd = input(rstd_in, 2, Order::c, "rstd");
    require_shape(dout, shape_of(a.x), "group_norm backward: dout");
    require_shape(mean, {a.norm.N, groups}, "group_norm backward: mean");
    require_shape(rstd, {a.norm.N, groups}, "group_norm backward: rstd");
    const py::array dx = new_array(shape_of(a.x), Order::nhwc), dweight = new_array({a.norm.C}),
                    dbias = new_array({a.norm.C});
    run(a.norm, [&](const Context& context) {
        dispatch::kernels().group_norm_backward(context, a.norm, floats(dout), floats(mean), floats(rstd),
                                                mutable_floats(dx), mutable_floats(dweight), mutable_floats(dbias));
    });
    return {dx, dweight, dbias};
}

}  // namespace

void bind_group_norm(Module& m) {
    m.def("group_norm_forward", &group_norm_forward);
    m.def("group_norm_backward", &group_norm_backward);
}

}  // namespace pynet
