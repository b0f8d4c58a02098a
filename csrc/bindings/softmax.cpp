// Softmax and log-softmax of rows.
#include "arrays.h"

namespace pynet {
namespace {

using Forward = void (*)(const Context&, int64_t, int64_t, const float*, float*);
using Backward = void (*)(const Context&, int64_t, int64_t, const float*, const float*, float*);

double work(const py::array& a) { return static_cast<double>(a.size()) * 8; }

py::array forward(const py::array& x_in, Forward kernel) {
    const py::array x = input(x_in, 2, Order::c, "x");
    const py::array out = new_array(shape_of(x));
    call(work(x),
         [&](const Context& context) { kernel(context, x.shape(0), x.shape(1), floats(x), mutable_floats(out)); });
    return out;
}

py::array backward(const py::array& dout_in, const py::array& out_in, Backward kernel) {
    const py::array out = input(out_in, 2, Order::c, "out"), dout = input(dout_in, 2, Order::c, "dout");
    require_shape(dout, shape_of(out), "dout");
    const py::array dx = new_array(shape_of(out));
    call(work(out), [&](const Context& context) {
        kernel(context, out.shape(0), out.shape(1), floats(dout), floats(out), mutable_floats(dx));
    });
    return dx;
}

}  // namespace

void bind_softmax(Module& m) {
    m.def("softmax_forward", [](const py::array& x) { return forward(x, dispatch::kernels().softmax_forward); });
    m.def("softmax_backward", [](const py::array& dout, const py::array& out) {
        return backward(dout, out, dispatch::kernels().softmax_backward);
    });
    m.def("log_softmax_forward",
          [](const py::array& x) { return forward(x, dispatch::kernels().log_softmax_forward); });
    m.def("log_softmax_backward", [](const py::array& dout, const py::array& out) {
        return backward(dout, out, dispatch::kernels().log_softmax_backward);
    });
}

}  // namespace pynet
