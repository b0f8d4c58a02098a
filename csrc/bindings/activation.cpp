// Activations and Maxout: any shape; results keep the memory order of their operand.
#include "arrays.h"

namespace pynet {
namespace {

const Kernels& kernels() { return dispatch::kernels(); }

// Rough cost of one element: sigmoid and its like take an exponential.
double weight_of(Activation activation) { return activation <= Activation::leaky_relu ? 0.5 : 2.0; }

// Dense and in the order of `like`, whose shape it must have.
py::array in_order_of(const py::array& like, const py::array& a, const char* name) {
    py::array dense = input_any_order(a, name);
    require_shape(dense, shape_of(like), name);
    if (same_strides(dense, like)) return dense;
    py::array copy = new_like(like);
    py::module_::import("numpy").attr("copyto")(copy, dense);
    return copy;
}

py::array activation_forward(const py::array& x_in, const std::string& name, float alpha) {
    const Activation activation = activation_of(name);
    const py::array x = input_any_order(x_in, "activation: x"), out = new_like(x);
    call(static_cast<double>(x.size()) * weight_of(activation), [&](const Context& context) {
        kernels().activation_forward(context, x.size(), floats(x), mutable_floats(out), activation, alpha);
    });
    return out;
}

py::array activation_backward(const py::array& dout_in, const py::array& out_in, const std::string& name, float alpha) {
    const Activation activation = activation_of(name);
    const py::array out = input_any_order(out_in, "activation backward: out");
    const py::array dout = in_order_of(out, dout_in, "activation backward: dout"), dx = new_like(out);
    call(static_cast<double>(out.size()), [&](const Context& context) {
        kernels().activation_backward(context, out.size(), floats(dout), floats(out), mutable_floats(dx), activation,
                                      alpha);
    });
    return dx;
}

// Of arrays (N, C * pieces, ...) in kernel order, from the smaller shape (N, C, ...).
MaxoutShape maxout_shape(const Sizes& shape, int pieces) {
    MaxoutShape s{shape[0] * shape[1], 1, pieces};
    for (size_t i = 2; i < shape.size(); ++i) (shape.size() == 4 ? s.outer : s.inner) *= shape[i];
    return s;
}

void require_pieces(int64_t pieces) {
    require(pieces >= 1 && pieces <= 256, "maxout: pieces is " + std::to_string(pieces) + ", expected 1 to 256");
}

std::tuple<py::array, py::array> maxout_forward(const py::array& x_in, int64_t pieces) {
    require_pieces(pieces);
    const py::array x = input(x_in, -1, Order::nhwc, "maxout: x");
    Sizes shape = shape_of(x);
    require(shape.size() >= 2 && shape[1] % pieces == 0,
            "maxout: x of shape " + shape_text(shape) +
                " has no channels (axis 1) in a multiple of pieces=" + std::to_string(pieces));
    shape[1] /= pieces;
    const py::array out = new_array(shape, Order::nhwc),
                    indices = new_array(shape, Order::nhwc, py::dtype::of<uint8_t>());
    const MaxoutShape s = maxout_shape(shape, static_cast<int>(pieces));
    call(static_cast<double>(x.size()), [&](const Context& context) {
        kernels().maxout_forward(context, s, floats(x), mutable_floats(out),
                                 static_cast<uint8_t*>(const_cast<void*>(indices.data())));
    });
    return {out, indices};
}

py::array maxout_backward(const py::array& dout_in, const py::array& indices_in, int64_t pieces) {
    require_pieces(pieces);
    const py::array dout = input(dout_in, -1, Order::nhwc, "maxout backward: dout");
    const py::array indices = input(indices_in, -1, Order::nhwc, "maxout backward: indices", py::dtype::of<uint8_t>());
    Sizes shape = shape_of(dout);
    require(shape.size() >= 2, "maxout backward: dout of shape " + shape_text(shape) + " has no channels (axis 1)");
    require_shape(indices, shape, "maxout backward: indices");
    const MaxoutShape s = maxout_shape(shape, static_cast<int>(pieces));
    require(!__builtin_mul_overflow(shape[1], pieces, &shape[1]), "maxout backward: too many channels");
    const py::array dx = new_array(shape, Order::nhwc);
    bool valid = true;
    call(static_cast<double>(dx.size()), [&](const Context& context) {
        valid = kernels().maxout_backward(context, s, floats(dout), static_cast<const uint8_t*>(indices.data()),
                                          mutable_floats(dx));
    });
    if (!valid) throw py::index_error("maxout backward: an index is not below pieces=" + std::to_string(pieces));
    return dx;
}

}  // namespace

void bind_activation(Module& m) {
    m.def("activation_forward", &activation_forward);
    m.def("activation_backward", &activation_backward);
    m.def("maxout_forward", &maxout_forward);
    m.def("maxout_backward", &maxout_backward);
}

}  // namespace pynet
