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

// The gradient of the output: an array, or a list of two summands. The list is emptied, so that nobody but the caller
// holds them.
std::vector<py::array> summands(const py::object& dout, const py::array& x) {
    std::vector<py::array> found;
    if (!py::isinstance<py::list>(dout)) {
        found.push_back(activation_input(dout.cast<py::array>(), x, "batch_norm backward: dout"));
        return found;
    }
    require(py::len(dout) == 2, "batch_norm backward: dout is a list of " + std::to_string(py::len(dout)) +
                                    " arrays, expected an array or two summands");
    for (const py::handle summand : dout)
        found.push_back(activation_input(summand.cast<py::array>(), x, "batch_norm backward: a summand of dout"));
    dout.attr("clear")();
    return found;
}

std::tuple<py::array, py::array, py::array, OptionalArray> batch_norm_backward(
    const py::object& dout_in, const py::array& x, const OptionalArray& out_in, const py::array& mean,
    const py::array& var, const OptionalArray& weight, const OptionalArray& bias, double eps,
    const std::string& activation, float alpha, bool training, bool needs_residual) {
    const Checked a = checked(x, mean, var, weight, bias, eps, activation, alpha);
    std::vector<py::array> dout = summands(dout_in, a.x);
    OptionalArray out;
    if (out_in) out = activation_input(*out_in, a.x, "batch_norm backward: out");
    const py::array dweight = new_array({a.norm.C}), dbias = new_array({a.norm.C});
    OptionalArray dx, dresidual;
    if (needs_residual) dresidual = new_array(shape_of(a.x), Order::nhwc);
    BatchNormGradients g{floats(dout[0]),
                         dout.size() > 1 ? floats(dout[1]) : nullptr,
                         floats(out),
                         nullptr,
                         mutable_floats(dweight),
                         mutable_floats(dbias),
                         dresidual ? mutable_floats(*dresidual) : nullptr,
                         training};
    const bool sum_is_stored = dout.size() > 1 && needs_residual;
    const auto allocate = [&] {
        dx = new_array(shape_of(a.x), Order::nhwc);
        g.dx = mutable_floats(*dx);
    };
    if (!sum_is_stored) allocate();
    run(a.norm.rows, a.norm.C, [&](const Context& context) {
        dispatch::kernels().batch_norm_backward_sums(context, a.norm, g);
        if (sum_is_stored) {  // dx may have the memory of a summand
            const py::gil_scoped_acquire gil;
            dout.clear();
            allocate();
        }
        dispatch::kernels().batch_norm_backward_apply(context, a.norm, g);
    });
    return {*dx, dweight, dbias, dresidual};
}

// Values of an array (C,), whatever their distance.
struct Channels {
    float* first;
    int64_t step;
    float& operator[](int64_t i) const { return first[i * step]; }
};

Channels channels_in_place(const py::array& a, int64_t C, const char* name) {
    if (!a.dtype().is(py::dtype::of<float>())) throw py::type_error(std::string(name) + " must be float32");
    require_shape(a, {C}, name);
    require(a.writeable(), std::string(name) + " is read-only");
    require(a.strides(0) % static_cast<py::ssize_t>(sizeof(float)) == 0, std::string(name) + " is not aligned");
    return {mutable_floats(a), a.strides(0) / static_cast<py::ssize_t>(sizeof(float))};
}

void batch_norm_running(const py::array& running_mean, const py::array& running_var, const py::array& mean_in,
                        const py::array& var_in, int64_t count, double momentum) {
    const py::array mean = input(mean_in, 1, Order::c, "batch_norm: mean");
    const int64_t C = mean.shape(0);
    const py::array var = channels_input(var_in, C, "batch_norm: var");
    const Channels to_mean = channels_in_place(running_mean, C, "batch_norm: running_mean"),
                   to_var = channels_in_place(running_var, C, "batch_norm: running_var");
    const float kept = static_cast<float>(1 - momentum), share = static_cast<float>(momentum),
                unbiased = static_cast<float>(static_cast<double>(count) / static_cast<double>(count - 1));
    for (int64_t i = 0; i < C; ++i) {
        to_mean[i] = to_mean[i] * kept + floats(mean)[i] * share;
        to_var[i] = to_var[i] * kept + floats(var)[i] * unbiased * share;
    }
}

}  // namespace

void bind_norm(Module& m) {
    m.def("batch_norm_statistics", &batch_norm_statistics);
    m.def("batch_norm_running", &batch_norm_running);
    m.def("batch_norm_forward", &batch_norm_forward);
    m.def("batch_norm_backward", &batch_norm_backward);
}

}  // namespace pynet
