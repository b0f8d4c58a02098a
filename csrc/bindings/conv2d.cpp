// 2-D convolution: (N, C, H, W) activations in NHWC memory, (F, C / groups, KH, KW) weights in HWIO memory.
#include <algorithm>

#include "arrays.h"
#include "geometry.h"

namespace pynet {

namespace {

// At most 2^62, however large the factors.
int64_t bounded_product(int64_t a, int64_t b) {
    const int64_t most = int64_t{1} << 62;
    int64_t product;
    return __builtin_mul_overflow(a, b, &product) ? most : std::min(product, most);
}

}  // namespace

Conv2dShape conv2d_shape(const Sizes& x, const Sizes& weight, Pair stride, Pair padding, Pair dilation,
                         int64_t groups) {
    require(x.size() == 4 && weight.size() == 4,
            "conv2d: expected x (N, C, H, W) or (C, H, W) and weight (F, C // groups, KH, KW); x is " + shape_text(x) +
                ", weight " + shape_text(weight));
    const int64_t limit = int64_t{1} << 40;
    for (const Sizes* sizes : {&x, &weight})
        for (const int64_t size : *sizes)
            require(size >= 0 && size < limit, "conv2d: a size is out of range in " + shape_text(*sizes));
    require(groups >= 1 && weight[0] % groups == 0,
            "conv2d: groups=" + std::to_string(groups) + " must be at least 1 and divide the " +
                std::to_string(weight[0]) + " filters; weight is " + shape_text(weight));
    require(x[1] % groups == 0 && x[1] / groups == weight[1],
            "conv2d: x has " + std::to_string(x[1]) + " channels but weight expects " +
                std::to_string(bounded_product(weight[1], groups)) +
                (groups == 1 ? "" : " in " + std::to_string(groups) + " groups") + "; x is " + shape_text(x) +
                ", weight " + shape_text(weight));
    for (size_t i = 0; i < 2; ++i) {
        require(stride[i] >= 1 && dilation[i] >= 1 && padding[i] >= 0 && stride[i] < limit && dilation[i] < limit &&
                    padding[i] < limit,
                "conv2d: stride and dilation must be at least 1 and padding at least 0");
        require(weight[i + 2] >= 1,
                "conv2d: the kernel needs at least one tap each way; weight is " + shape_text(weight));
        const int64_t kernel = bounded_product(dilation[i], weight[i + 2] - 1) + 1, size = x[i + 2] + 2 * padding[i];
        require(kernel <= size, "conv2d: the kernel (dilated size " + std::to_string(kernel) +
                                    ") exceeds the padded input (size " + std::to_string(size) + "); x is " +
                                    shape_text(x) + ", weight " + shape_text(weight) + ", padding " +
                                    shape_text({padding[0], padding[1]}) + "; pad more or use a smaller kernel");
    }
    return Conv2dShape{x[0],      x[1],      x[2],       x[3],       weight[0],   weight[2],   weight[3],
                       stride[0], stride[1], padding[0], padding[1], dilation[0], dilation[1], groups};
}

double conv2d_work(const Conv2dShape& s) {
    return static_cast<double>(s.N * s.OH() * s.OW() * s.F) * static_cast<double>(s.KH * s.KW * s.Cg());
}

namespace {

int algorithm_of(const std::string& name, const Conv2d& conv) {
    if (name == "auto") return -1;
    const Kernels& k = dispatch::kernels();
    std::string known = "auto";
    for (int i = 0; const char* listed = k.conv2d_algorithm_name(i); ++i) {
        if (name == listed) {
            require(k.conv2d_can(conv, i),
                    "conv2d: algorithm \"" + name + "\" cannot compute this shape; use \"auto\"");
            return i;
        }
        known += std::string(", ") + listed;
    }
    throw py::value_error("conv2d: algorithm \"" + name + "\" is none of " + known);
}

void run(const Conv2d& conv) {
    const Kernels& k = dispatch::kernels();
    if (profile::Frame* frame = profile::current())
        frame->add_work(2 * conv2d_work(conv.shape), k.conv2d_algorithm_name(k.conv2d_choose(conv)));
    call(
        conv2d_work(conv.shape), [&](int threads) { return k.conv2d_workspace(conv, threads); },
        [&](const Context& context) { k.conv2d(context, conv); });
}

// Mean and var: (F,) for the statistics of each channel of the result, or null.
py::array forward(const py::array& x_in, const py::array& weight_in, const OptionalArray& bias_in, Pair stride,
                  Pair padding, Pair dilation, int64_t groups, const std::string& activation_name, float alpha,
                  const std::string& algorithm, OptionalArray* mean = nullptr, OptionalArray* var = nullptr) {
    const py::array x = input(x_in, 4, Order::nhwc, "x"), weight = input(weight_in, 4, Order::hwio, "weight");
    const Conv2dShape s = conv2d_shape(shape_of(x), shape_of(weight), stride, padding, dilation, groups);
    OptionalArray bias;
    if (bias_in) {
        bias = input(*bias_in, 1, Order::c, "bias");
        require_shape(*bias, {s.F}, "conv2d: bias");
    }
    const Activation activation = activation_of(activation_name);
    const bool fused =
        activation == Activation::none || activation == Activation::relu || activation == Activation::leaky_relu;
    py::array out = new_array({s.N, s.F, s.OH(), s.OW()}, Order::nhwc);
    Conv2d conv{s,
                ConvPass::forward,
                -1,
                const_cast<float*>(floats(x)),
                const_cast<float*>(floats(weight)),
                floats(bias),
                mutable_floats(out),
                fused ? activation : Activation::none,
                alpha};
    conv.algorithm = algorithm_of(algorithm, conv);
    if (mean) {
        conv.mean = mutable_floats(*(*mean = new_array({s.F})));
        conv.var = mutable_floats(*(*var = new_array({s.F})));
    }
    run(conv);
    if (!fused) apply_activation(mutable_floats(out), static_cast<int64_t>(out.size()), activation, alpha);
    return out;
}

py::array conv2d_forward(const py::array& x, const py::array& weight, const OptionalArray& bias, Pair stride,
                         Pair padding, Pair dilation, int64_t groups, const std::string& activation, float alpha,
                         const std::string& algorithm) {
    return forward(x, weight, bias, stride, padding, dilation, groups, activation, alpha, algorithm);
}

std::tuple<py::array, OptionalArray, OptionalArray> conv2d_forward_statistics(
    const py::array& x, const py::array& weight, const OptionalArray& bias, Pair stride, Pair padding, Pair dilation,
    int64_t groups, const std::string& algorithm) {
    OptionalArray mean, var;
    const py::array out =
        forward(x, weight, bias, stride, padding, dilation, groups, "none", 0.0f, algorithm, &mean, &var);
    return {out, mean, var};
}

py::array conv2d_backward_data(const py::array& dout_in, const py::array& weight_in, const Sizes& x_shape, Pair stride,
                               Pair padding, Pair dilation, int64_t groups, const std::string& algorithm) {
    const py::array dout = input(dout_in, 4, Order::nhwc, "dout"), weight = input(weight_in, 4, Order::hwio, "weight");
    const Conv2dShape s = conv2d_shape(x_shape, shape_of(weight), stride, padding, dilation, groups);
    require_shape(dout, {s.N, s.F, s.OH(), s.OW()}, "conv2d backward: dout");
    py::array dx = new_array(x_shape, Order::nhwc);
    Conv2d conv{s,
                ConvPass::backward_data,
                -1,
                mutable_floats(dx),
                const_cast<float*>(floats(weight)),
                nullptr,
                const_cast<float*>(floats(dout)),
                Activation::none,
                0};
    conv.algorithm = algorithm_of(algorithm, conv);
    run(conv);
    return dx;
}

std::tuple<py::array, OptionalArray> conv2d_backward_weight(const py::array& dout_in, const py::array& x_in,
                                                            const Sizes& weight_shape, Pair stride, Pair padding,
                                                            Pair dilation, int64_t groups, bool needs_bias,
                                                            const std::string& algorithm) {
    const py::array dout = input(dout_in, 4, Order::nhwc, "dout"), x = input(x_in, 4, Order::nhwc, "x");
    const Conv2dShape s = conv2d_shape(shape_of(x), weight_shape, stride, padding, dilation, groups);
    require_shape(dout, {s.N, s.F, s.OH(), s.OW()}, "conv2d backward: dout");
    py::array dweight = new_array(weight_shape, Order::hwio);
    OptionalArray dbias;
    if (needs_bias) dbias = new_array({s.F});
    Conv2d conv{s,
                ConvPass::backward_weight,
                -1,
                const_cast<float*>(floats(x)),
                mutable_floats(dweight),
                nullptr,
                const_cast<float*>(floats(dout)),
                Activation::none,
                0};
    conv.algorithm = algorithm_of(algorithm, conv);
    if (dbias) conv.dbias = mutable_floats(*dbias);
    run(conv);
    return {dweight, dbias};
}

// How many windows there are, down and across; refuses what is no convolution.
Pair conv2d_windows(const Sizes& x_shape, const Sizes& weight_shape, Pair stride, Pair padding, Pair dilation,
                    int64_t groups) {
    const Conv2dShape s = conv2d_shape(x_shape, weight_shape, stride, padding, dilation, groups);
    return {s.OH(), s.OW()};
}

// Bytes of scratch memory that the three passes would take, at the present number of threads.
std::tuple<size_t, size_t, size_t> conv2d_scratch(const Sizes& x_shape, const Sizes& weight_shape, Pair stride,
                                                  Pair padding, Pair dilation, int64_t groups,
                                                  const std::string& algorithm) {
    Conv2d conv{};
    conv.shape = conv2d_shape(x_shape, weight_shape, stride, padding, dilation, groups);
    const auto bytes = [&](ConvPass pass) {
        conv.pass = pass;
        conv.algorithm = -1;
        conv.algorithm = algorithm_of(algorithm, conv);
        return dispatch::kernels().conv2d_workspace(conv, conv2d_work(conv.shape) < kSerialWork ? 1 : threads::count());
    };
    return {bytes(ConvPass::forward), bytes(ConvPass::backward_data), bytes(ConvPass::backward_weight)};
}

std::vector<std::string> conv2d_algorithms() {
    std::vector<std::string> names{"auto"};
    for (int i = 0; const char* listed = dispatch::kernels().conv2d_algorithm_name(i); ++i) names.emplace_back(listed);
    return names;
}

}  // namespace

void bind_conv2d(Module& m) {
    m.def("conv2d_forward", &conv2d_forward);
    m.def("conv2d_forward_statistics", &conv2d_forward_statistics);
    m.def("conv2d_backward_data", &conv2d_backward_data);
    m.def("conv2d_backward_weight", &conv2d_backward_weight);
    static_cast<py::module_&>(m).def("_conv2d_windows", &conv2d_windows);  // no kernel, so not recorded
    m.def("conv2d_scratch", &conv2d_scratch);
    m.def("conv2d_algorithms", &conv2d_algorithms);
}

}  // namespace pynet
