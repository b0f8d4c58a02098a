// Activations whose gradient follows from the input: any shape; results keep the memory order of their operand.
#include "arrays.h"

namespace pynet {

Curve curve_of(const std::string& name) {
    static const std::array<const char*, 16> names{
        "gelu",     "gelu_tanh",   "silu",      "mish",        "softplus",   "softsign",   "selu",       "celu",
        "hardtanh", "hardsigmoid", "hardswish", "log_sigmoid", "tanhshrink", "hardshrink", "softshrink", "threshold"};
    std::string known;
    for (size_t i = 0; i < names.size(); ++i) {
        if (name == names[i]) return static_cast<Curve>(i);
        known += (i ? ", " : "") + std::string(names[i]);
    }
    throw py::value_error("curve \"" + name + "\" is none of " + known);
}

namespace {

py::array curve_forward(const py::array& x_in, const std::string& name, float alpha, float beta) {
    const Curve curve = curve_of(name);
    const py::array x = input_any_order(x_in, "curve: x"), out = new_like(x);
    call(static_cast<double>(x.size()) * 2, [&](const Context& context) {
        dispatch::kernels().curve_forward(context, x.size(), floats(x), mutable_floats(out), curve, alpha, beta);
    });
    return out;
}

py::array curve_backward(const py::array& dout_in, const py::array& x_in, const std::string& name, float alpha,
                         float beta) {
    const Curve curve = curve_of(name);
    const py::array x = input_any_order(x_in, "curve backward: x");
    py::array dout = input_any_order(dout_in, "curve backward: dout");
    require_shape(dout, shape_of(x), "curve backward: dout");
    if (!same_strides(dout, x)) {
        const py::array copy = new_like(x);
        py::module_::import("numpy").attr("copyto")(copy, dout);
        dout = copy;
    }
    const py::array dx = new_like(x);
    call(static_cast<double>(x.size()) * 2, [&](const Context& context) {
        dispatch::kernels().curve_backward(context, x.size(), floats(dout), floats(x), mutable_floats(dx), curve, alpha,
                                           beta);
    });
    return dx;
}

}  // namespace

void bind_curve(Module& m) {
    m.def("curve_forward", &curve_forward);
    m.def("curve_backward", &curve_backward);
}

}  // namespace pynet
