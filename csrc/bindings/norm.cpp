// Batch normalisation over (N, C, H, W).
#include "arrays.h"

namespace pynet {
namespace {

// The arguments that forward and backward share, converted and checked.
struct Checked {
    py::array x, mean, var;
    OptionalArray weight, bias;
    BatchNorm norm;
};

py::array channels_input(const py::array& a, int64_t C, const char* name) {
    py::array v = input(a, 1, Order::c, name);
    require_shape(v, {C}, name);
    return v;
}

Checked checked(const py::array& x_in, const py::array& mean, const py::array& var, const OptionalArray& weight,
                const OptionalArray& bias, double eps, const std::string& activation, float alpha) {
    const py::array x = input(x_in, 4, Order::nhwc, "x");
    const int64_t C = x.shape(1);
    Checked a{x, channels_input(mean, C, "batch_norm: mean"), channels_input(var, C, "batch_norm: var"), {}, {}, {}};
    if (weight) a.weight = channels_input(*weight, C, "batch_norm: weight");
    if (bias) a.bias = channels_input(*bias, C, "batch_norm: bias");
    a.norm = BatchNorm{x.shape(0) * x.shape(2) * x.shape(3),
                       C,
                       floats(a.x),
                       floats(a.mean),
                       floats(a.var),
                       floats(a.weight),
                       floats(a.bias),
                       nullptr,
                       static_cast<float>(eps),
                       activation_of(activation),
                       alpha};
    return a;
}

py::array activation_input(const py::array& a, const py::array& x, const char* name) {
    py::array v = input(a, 4, Order::nhwc, name);
    require_shape(v, shape_of(x), name);
    return v;
}

template <class Body>
void run(int64_t rows, int64_t C, Body body) {
    call(
        static_cast<double>(rows) * static_cast<double>(C) * 2,
        [&](int) { return dispatch::kernels().batch_norm_workspace(rows, C); }, body);
}

std::tuple<py::array, py::array> batch_norm_statistics(const py::array& x_in) {
    const py::array x = input(x_in, 4, Order::nhwc, "x");
    const int64_t C = x.shape(1), rows = x.shape(0) * x.shape(2) * x.shape(3);
    const py::array mean = new_array({C}), var = new_array({C});
    run(rows, C, [&](const Context& context) {
        dispatch::kernels().batch_norm_statistics(context, rows, C, floats(x), mutable_floats(mean),
                                                  mutable_floats(var));
    });
    return {mean, var};
}

py::array batch_norm_forward(const py::array& x, const py::array& mean, const py::array& var,
                             const OptionalArray& weight, const OptionalArray& bias, double eps,
                             const OptionalArray& residual_in, const std::string& activation, float alpha) {
    Checked a = checked(x, mean, var, weight, bias, eps, activation, alpha);
    OptionalArray residual;
    if (residual_in) residual = activation_input(*residual_in, a.x, "batch_norm: residual");
    a.norm.residual = floats(residual);
    const py::array out = new_array(shape_of(a.x), Order::nhwc);
    run(a.norm.rows, a.norm.C,
        [&](const Context& context) { dispatch::kernels().batch_norm_forward(context, a.norm, mutable_floats(out)); });
    return out;
}

std::tuple<py::array, py::array, py::array, OptionalArray> batch_norm_backward(
    const py::array& dout_in, const OptionalArray& dout2_in, const py::array& x, const OptionalArray& out_in,
    const py::array& mean, const py::array& var, const OptionalArray& weight, const OptionalArray& bias, double eps,
    const std::string& activation, float alpha, bool training, bool needs_residual) {
    const Checked a = checked(x, mean, var, weight, bias, eps, activation, alpha);
    const py::array dout = activation_input(dout_in, a.x, "batch_norm backward: dout");
    OptionalArray dout2, out;
    if (dout2_in) dout2 = activation_input(*dout2_in, a.x, "batch_norm backward: dout2");
    if (out_in) out = activation_input(*out_in, a.x, "batch_norm backward: out");
    const py::array dx = new_array(shape_of(a.x), Order::nhwc), dweight = new_array({a.norm.C}),
                    dbias = new_array({a.norm.C});
    OptionalArray dresidual;
    if (needs_residual) dresidual = new_array(shape_of(a.x), Order::nhwc);
    const BatchNormGradients gradients{floats(dout),
                                       floats(dout2),
                                       floats(out),
                                       mutable_floats(dx),
                                       mutable_floats(dweight),
                                       mutable_floats(dbias),
                                       dresidual ? mutable_floats(*dresidual) : nullptr,
                                       training};
    run(a.norm.rows, a.norm.C,
        [&](const Context& context) { dispatch::kernels().batch_norm_backward(context, a.norm, gradients); });
    return {dx, dweight, dbias, dresidual};
}

}  // namespace

void bind_norm(Module& m) {
    m.def("batch_norm_statistics", &batch_norm_statistics);
    m.def("batch_norm_forward", &batch_norm_forward);
    m.def("batch_norm_backward", &batch_norm_backward);
}

}  // namespace pynet
