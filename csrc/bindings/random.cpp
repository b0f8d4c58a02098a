// Random arrays and dropout. Elements are numbered as they lie in memory: NHWC for four axes, C order else.
#include "arrays.h"

namespace pynet {
namespace {

constexpr double kWeight = 2.0;  // cost of an element beside a multiply-add

const Kernels& kernels() { return dispatch::kernels(); }

// Any Python integer, modulo 2^64.
uint64_t word(const py::int_& value) {
    const uint64_t bits = PyLong_AsUnsignedLongLongMask(value.ptr());
    if (PyErr_Occurred()) throw py::error_already_set();
    return bits;
}

RandomDraw draw_of(const py::int_& seed, const py::int_& offset) { return {word(seed), word(offset)}; }

py::array random_uniform(const Sizes& shape, double low, double high, const py::int_& seed, const py::int_& offset) {
    const RandomDraw draw = draw_of(seed, offset);
    const py::array out = new_array(shape, Order::nhwc);
    call(static_cast<double>(out.size()) * kWeight, [&](const Context& context) {
        kernels().random_uniform(context, out.size(), low, high, draw, mutable_floats(out));
    });
    return out;
}

py::array random_normal(const Sizes& shape, double mean, double std, const py::int_& seed, const py::int_& offset) {
    const RandomDraw draw = draw_of(seed, offset);
    const py::array out = new_array(shape, Order::nhwc);
    call(static_cast<double>(out.size()) * 2 * kWeight, [&](const Context& context) {
        kernels().random_normal(context, out.size(), static_cast<float>(mean), static_cast<float>(std), draw,
                                mutable_floats(out));
    });
    return out;
}

py::array dropout(const py::array& x_in, double p, const py::int_& seed, const py::int_& offset) {
    require(p >= 0 && p <= 1, "dropout: p must be from 0 to 1, got " + std::to_string(p));
    const RandomDraw draw = draw_of(seed, offset);
    const py::array x = input(x_in, -1, Order::nhwc, "dropout: x"), out = new_array(shape_of(x), Order::nhwc);
    const double scale = p < 1 ? 1 / (1 - p) : 0;
    call(static_cast<double>(x.size()) * kWeight, [&](const Context& context) {
        kernels().dropout(context, x.size(), static_cast<float>(p), static_cast<float>(scale), draw, floats(x),
                          mutable_floats(out));
    });
    return out;
}

}  // namespace

void bind_random(Module& m) {
    m.def("random_uniform", &random_uniform);
    m.def("random_normal", &random_normal);
    m.def("dropout_forward", &dropout);
    m.def("dropout_backward", &dropout);  // dropout is linear: the same mask and scale
}

}  // namespace pynet
