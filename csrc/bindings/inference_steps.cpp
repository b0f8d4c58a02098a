// The steps of a plan: each checks its places and sizes, prepares its argument struct once, and adds a call.
#include <algorithm>

#include "geometry.h"
#include "inference.h"

namespace pynet {
namespace {

PYNET_INLINE float* at(const std::vector<float*>& bases, Place place) {
    return bases[static_cast<size_t>(place.first)] + place.second;
}

bool is_fused(Activation activation) { return activation <= Activation::leaky_relu; }

template <class Op>
Op op_of(const std::string& name, std::initializer_list<std::pair<const char*, Op>> known) {
    for (const auto& [listed, op] : known)
        if (name == listed) return op;
    throw py::value_error("InferencePlan: no operation is called \"" + name + "\"");
}

// The level's own choice, but where a few pixels meet many weights: there an algorithm that prepares its weights at
// every call does little else, and one that packs them once wins.
int choose(const Kernels& k, Conv2d conv) {
    const Conv2dShape& s = conv.shape;
    const int preferred = conv.algorithm = k.conv2d_choose(conv);
    const bool few = s.N * s.OH() * s.OW() <= 48 && s.KH * s.KW * s.Cg() * s.F >= 64 * 1024;
    if (!few || k.conv2d_packed_bytes(conv) > 0) return preferred;
    int found = preferred;
    for (int i = 0; k.conv2d_algorithm_name(i); ++i) {
        conv.algorithm = i;
        if (k.conv2d_can(conv, i) && k.conv2d_packed_bytes(conv) > 0) found = i;
    }
    return found;
}

// The smallest count of floats that holds every element reached by these sizes and strides.
int64_t extent(const Sizes& sizes, const Sizes& strides) {
    require(sizes.size() == strides.size() && sizes.size() <= 64, "InferencePlan: sizes and strides differ in rank");
    if (count_of(sizes) == 0) return 0;
    int64_t last = 0, step = 0;
    for (size_t i = 0; i < sizes.size(); ++i)
        require(strides[i] >= 0 && !__builtin_mul_overflow(sizes[i] - 1, strides[i], &step) &&
                    !__builtin_add_overflow(last, step, &last) && last < (int64_t{1} << 60),
                "InferencePlan: a stride is out of range");
    return last + 1;
}

// Right-aligned in at least two axes, as the kernel wants them.
Broadcast broadcast_of(const Sizes& sizes, const Sizes& a, const Sizes& b) {
    Broadcast s;
    s.rank = static_cast<int>(std::max<size_t>(2, sizes.size()));
    const size_t lead = static_cast<size_t>(s.rank) - sizes.size();
    for (size_t i = 0; i < static_cast<size_t>(s.rank); ++i) {
        s.size[i] = i < lead ? 1 : sizes[i - lead];
        s.a_stride[i] = i < lead ? 0 : a[i - lead];
        s.b_stride[i] = i < lead ? 0 : b[i - lead];
    }
    return s;
}

}  // namespace

void InferencePlan::add_conv2d(Place x, const Sizes& x_shape, const py::array& weight_in, const OptionalArray& bias_in,
                               Pair stride, Pair padding, Pair dilation, int64_t groups,
                               const std::string& activation_name, float alpha, Place out) {
    const Activation activation = activation_of(activation_name);
    const py::array weight = input(weight_in, 4, Order::hwio, "conv2d: weight");
    const Conv2dShape s = conv2d_shape(x_shape, shape_of(weight), stride, padding, dilation, groups);
    Conv2d conv{s,
                ConvPass::forward,
                -1,
                nullptr,
                mutable_floats(weight),
                nullptr,
                nullptr,
                is_fused(activation) ? activation : Activation::none,
                alpha};
    if (bias_in) {
        const py::array bias = keep(input(*bias_in, 1, Order::c, "conv2d: bias"));
        require_shape(bias, {s.F}, "conv2d: bias");
        conv.bias = floats(bias);
    }
    const int64_t count = s.N * s.OH() * s.OW() * s.F;
    check(x, count_of(x_shape));
    check(out, count);
    conv.algorithm = choose(kernels_, conv);
    float* packed = pack(kernels_.conv2d_packed_bytes(conv));
    if (packed) kernels_.conv2d_pack(Context{1, nullptr}, conv, packed);
    conv.packed = packed;
    if (!packed) keep(weight);
    const Kernels& k = kernels_;
    add(
        conv2d_work(s),
        [conv, x, out, &k](const Context& context, Bases bases) {
            Conv2d call = conv;
            call.x = at(bases, x);
            call.out = at(bases, out);
            k.conv2d(context, call);
        },
        [conv, &k](int threads) { return k.conv2d_workspace(conv, threads); });
    if (!is_fused(activation)) add_activation(out, count, activation_name, alpha, out);
}

void InferencePlan::add_linear(Place x, int64_t rows, const py::array& weight_in, const OptionalArray& bias_in,
                               const std::string& activation_name, float alpha, Place out) {
    const Activation activation = activation_of(activation_name);
    const py::array weight = input(weight_in, 2, Order::io, "linear: weight");
    const int64_t N = weight.shape(0), K = weight.shape(1);
    const float* bias = nullptr;
    if (bias_in) {
        const py::array b = keep(input(*bias_in, 1, Order::c, "linear: bias"));
        require_shape(b, {N}, "linear: bias");
        bias = floats(b);
    }
    check(x, count_of({rows, K}));
    check(out, count_of({rows, N}));
    Gemm gemm{rows,
              N,
              K,
              nullptr,
              K,
              1,
              floats(weight),
              N,
              1,
              nullptr,
              N,
              bias,
              is_fused(activation) ? activation : Activation::none,
              alpha};
    float* packed = pack(kernels_.gemm_packed_bytes(gemm));
    if (packed) kernels_.gemm_pack(Context{1, nullptr}, gemm, packed);
    gemm.packed_b = packed;
    const Kernels& k = kernels_;
    add(
        static_cast<double>(rows * N) * static_cast<double>(K),
        [gemm, x, out, &k](const Context& context, Bases bases) {
            Gemm call = gemm;
            call.a = at(bases, x);
            call.c = at(bases, out);
            k.gemm(context, call);
        },
        [gemm, &k](int threads) { return k.gemm_workspace(gemm, threads); });
    if (!is_fused(activation)) add_activation(out, rows * N, activation_name, alpha, out);
}

void InferencePlan::add_affine(Place x, int64_t rows, int64_t C, const OptionalArray& mean, const OptionalArray& var,
                               const OptionalArray& weight, const OptionalArray& bias, double eps,
                               std::optional<Place> residual, const std::string& activation_name, float alpha,
                               Place out) {
    const Activation activation = activation_of(activation_name);
    const int64_t count = count_of({rows, C});
    const auto channels = [&](const OptionalArray& a, float otherwise) {
        py::array values;
        if (a) {
            values = input(*a, 1, Order::c, "affine");
            require_shape(values, {C}, "affine");
        } else {
            values = new_array({C});
            std::fill_n(mutable_floats(values), C, otherwise);
        }
        return floats(keep(values));
    };
    check(x, count);
    check(out, count);
    if (residual) check(*residual, count);
    const BatchNorm norm{rows,
                         C,
                         nullptr,
                         channels(mean, 0.0f),
                         channels(var, 1.0f),
                         channels(weight, 1.0f),
                         channels(bias, 0.0f),
                         nullptr,
                         static_cast<float>(eps),
                         activation,
                         alpha};
    const Kernels& k = kernels_;
    add(
        static_cast<double>(count) * 2,
        [norm, x, residual, out, &k](const Context& context, Bases bases) {
            BatchNorm call = norm;
            call.x = at(bases, x);
            call.residual = residual ? at(bases, *residual) : nullptr;
            k.batch_norm_forward(context, call, at(bases, out));
        },
        [rows, C, &k](int) { return k.batch_norm_workspace(rows, C); });
}

void InferencePlan::add_group_norm(Place x, int64_t N, int64_t rows, int64_t C, int64_t groups,
                                   const OptionalArray& weight, const OptionalArray& bias, double eps, Place out) {
    require(groups >= 1 && C % groups == 0, "group_norm: groups do not divide the channels");
    const auto channels = [&](const OptionalArray& a) -> const float* {
        if (!a) return nullptr;
        const py::array values = keep(input(*a, 1, Order::c, "group_norm"));
        require_shape(values, {C}, "group_norm");
        return floats(values);
    };
    const int64_t count = count_of({N, rows, C}), statistics = aligned(N * groups);
    check(x, count);
    check(out, count);
    const GroupNorm norm{N, rows, C, groups, nullptr, channels(weight), channels(bias), static_cast<float>(eps)};
    const Kernels& k = kernels_;
    const size_t bytes = static_cast<size_t>(2 * statistics) * sizeof(float);  // mean and deviation, for no one
    add(
        static_cast<double>(count) * 4,
        [=, &k](const Context& context, Bases bases) {
            GroupNorm call = norm;
            call.x = at(bases, x);
            float* mean = reinterpret_cast<float*>(context.workspace);
            k.group_norm_forward(Context{context.threads, context.workspace + bytes}, call, at(bases, out), mean,
                                 mean + statistics);
        },
        [=, &k](int threads) { return bytes + k.group_norm_workspace(norm, threads); });
}

void InferencePlan::add_max_pool2d(Place x, const Sizes& x_shape, Pair kernel, Pair stride, Pair padding, Pair dilation,
                                   bool ceil_mode, Place out) {
    require(x_shape.size() == 4, "max_pool2d: x must be (N, C, H, W), got " + shape_text(x_shape));
    const Pool2dShape s = pool2d_shape("max_pool2d", x_shape, kernel, stride, padding, dilation, ceil_mode);
    check(x, count_of(x_shape));
    check(out, count_of({s.N, s.C, s.OH, s.OW}));
    const Kernels& k = kernels_;
    add(static_cast<double>(count_of(x_shape)) * 2, [s, x, out, &k](const Context& context, Bases bases) {
        k.max_pool2d_forward(context, s, at(bases, x), at(bases, out), nullptr);
    });
}

void InferencePlan::add_avg_pool2d(Place x, const Sizes& x_shape, Pair kernel, Pair stride, Pair padding,
                                   bool ceil_mode, bool count_include_pad, int64_t divisor, Place out) {
    require(x_shape.size() == 4, "avg_pool2d: x must be (N, C, H, W), got " + shape_text(x_shape));
    const AveragePool2d pool{pool2d_shape("avg_pool2d", x_shape, kernel, stride, padding, {1, 1}, ceil_mode),
                             count_include_pad, false, divisor};
    check(x, count_of(x_shape));
    check(out, count_of({pool.shape.N, pool.shape.C, pool.shape.OH, pool.shape.OW}));
    const Kernels& k = kernels_;
    add(static_cast<double>(count_of(x_shape)) * 2, [pool, x, out, &k](const Context& context, Bases bases) {
        k.avg_pool2d_forward(context, pool, at(bases, x), at(bases, out));
    });
}

void InferencePlan::add_adaptive_avg_pool2d(Place x, const Sizes& x_shape, Pair output_size, Place out) {
    require(x_shape.size() == 4, "adaptive_avg_pool2d: x must be (N, C, H, W), got " + shape_text(x_shape));
    const AveragePool2d pool = adaptive_pool2d(x_shape, output_size);
    check(x, count_of(x_shape));
    check(out, count_of({pool.shape.N, pool.shape.C, pool.shape.OH, pool.shape.OW}));
    const Kernels& k = kernels_;
    add(static_cast<double>(count_of(x_shape)) * 2, [pool, x, out, &k](const Context& context, Bases bases) {
        k.avg_pool2d_forward(context, pool, at(bases, x), at(bases, out));
    });
}

void InferencePlan::add_conv_transpose2d(Place x, const Sizes& out_shape, const py::array& weight_in, Pair stride,
                                         Pair padding, Pair dilation, int64_t groups, Place out) {
    const py::array weight = keep(input(weight_in, 4, Order::hwio, "conv_transpose2d: weight"));
    const Conv2dShape s = conv2d_shape(out_shape, shape_of(weight), stride, padding, dilation, groups);
    Conv2d conv{s, ConvPass::backward_data, -1, nullptr, mutable_floats(weight), nullptr, nullptr, Activation::none, 0};
    check(x, count_of({s.N, s.F, s.OH(), s.OW()}));
    check(out, count_of(out_shape));
    conv.algorithm = kernels_.conv2d_choose(conv);
    float* packed = pack(kernels_.conv2d_packed_bytes(conv));
    if (packed) kernels_.conv2d_pack(Context{1, nullptr}, conv, packed);
    conv.packed = packed;
    const Kernels& k = kernels_;
    add(
        conv2d_work(s),
        [conv, x, out, &k](const Context& context, Bases bases) {
            Conv2d call = conv;
            call.x = at(bases, out);
            call.out = at(bases, x);
            k.conv2d(context, call);
        },
        [conv, &k](int threads) { return k.conv2d_workspace(conv, threads); });
}

void InferencePlan::add_resample(Place x, const Sizes& x_shape, const TapArrays& down_in, const TapArrays& across_in,
                                 Place out) {
    require(x_shape.size() == 4, "resample: x must be (N, C, H, W), got " + shape_text(x_shape));
    const TapArrays down = checked_taps(down_in, x_shape[2]), across = checked_taps(across_in, x_shape[3]);
    for (const TapArrays* a : {&down, &across}) {
        keep(std::get<0>(*a));
        keep(std::get<1>(*a));
        keep(std::get<2>(*a));
    }
    const Resample s = resample_of(x_shape, down, across);
    check(x, count_of(x_shape));
    check(out, count_of({s.N, s.C, s.OH, s.OW}));
    const Kernels& k = kernels_;
    add(
        resample_work(s),
        [s, x, out, &k](const Context& context, Bases bases) { k.resample(context, s, at(bases, x), at(bases, out)); },
        [s, &k](int threads) { return k.resample_workspace(s, threads); });
}

void InferencePlan::add_activation(Place x, int64_t count, const std::string& activation_name, float alpha, Place out) {
    const Activation activation = activation_of(activation_name);
    check(x, count);
    check(out, count);
    const Kernels& k = kernels_;
    const double weight = is_fused(activation) ? 1 : 8;
    add(static_cast<double>(count) * weight, [=, &k](const Context& context, Bases bases) {
        k.activation_forward(context, count, at(bases, x), at(bases, out), activation, alpha);
    });
}

void InferencePlan::add_curve(Place x, int64_t count, const std::string& curve_name, float alpha, float beta,
                              Place out) {
    const Curve curve = curve_of(curve_name);
    check(x, count);
    check(out, count);
    const Kernels& k = kernels_;
    add(static_cast<double>(count) * 8, [=, &k](const Context& context, Bases bases) {
        k.curve_forward(context, count, at(bases, x), at(bases, out), curve, alpha, beta);
    });
}

void InferencePlan::add_unary(const std::string& name, Place x, int64_t count, Place out) {
    const UnaryOp op = op_of<UnaryOp>(name, {{"negative", UnaryOp::negative},
                                             {"exp", UnaryOp::exp},
                                             {"log", UnaryOp::log},
                                             {"sqrt", UnaryOp::sqrt},
                                             {"abs", UnaryOp::abs},
                                             {"square", UnaryOp::square},
                                             {"reciprocal", UnaryOp::reciprocal},
                                             {"sin", UnaryOp::sin},
                                             {"cos", UnaryOp::cos}});
    check(x, count);
    check(out, count);
    const Kernels& k = kernels_;
    add(static_cast<double>(count) * 8,
        [=, &k](const Context& context, Bases bases) { k.unary(context, count, at(bases, x), at(bases, out), op); });
}

void InferencePlan::add_binary(const std::string& name, const Sizes& sizes, Place a, const Sizes& a_strides, Place b,
                               const Sizes& b_strides, Place out) {
    const BinaryOp op = op_of<BinaryOp>(name, {{"add", BinaryOp::add},
                                               {"subtract", BinaryOp::subtract},
                                               {"multiply", BinaryOp::multiply},
                                               {"divide", BinaryOp::divide},
                                               {"maximum", BinaryOp::maximum},
                                               {"minimum", BinaryOp::minimum},
                                               {"power", BinaryOp::power}});
    check(a, extent(sizes, a_strides));
    check(b, extent(sizes, b_strides));
    check(out, count_of(sizes));
    const Broadcast s = broadcast_of(sizes, a_strides, b_strides);
    const auto shared = std::make_shared<const Broadcast>(s);  // a kilobyte
    const Kernels& k = kernels_;
    const double weight = op == BinaryOp::power ? 16 : 2;
    add(static_cast<double>(count_of(sizes)) * weight, [=, &k](const Context& context, Bases bases) {
        k.binary(context, *shared, at(bases, a), at(bases, b), at(bases, out), op);
    });
}

void InferencePlan::add_softmax(Place x, int64_t rows, int64_t C, bool logarithm, Place out) {
    check(x, count_of({rows, C}));
    check(out, count_of({rows, C}));
    const auto kernel = logarithm ? kernels_.log_softmax_forward : kernels_.softmax_forward;
    add(static_cast<double>(rows * C) * 8,
        [=](const Context& context, Bases bases) { kernel(context, rows, C, at(bases, x), at(bases, out)); });
}

void InferencePlan::add_transpose(Place x, int64_t count, int64_t R, int64_t C, Place out) {
    check(x, count_of({count, R, C}));
    check(out, count_of({count, R, C}));
    const Kernels& k = kernels_;
    add(static_cast<double>(count * R * C) * 2, [=, &k](const Context& context, Bases bases) {
        k.transpose_matrices(context, count, R, C, at(bases, x), at(bases, out));
    });
}

void InferencePlan::add_copy_rows(Place x, int64_t x_stride, int64_t rows, int64_t width, Place out,
                                  int64_t out_stride) {
    check(x, extent({rows, width}, {x_stride, 1}));
    check(out, extent({rows, width}, {out_stride, 1}));
    add(static_cast<double>(rows * width), [=](const Context&, Bases bases) {
        const float* from = at(bases, x);
        float* to = at(bases, out);
        for (int64_t r = 0; r < rows; ++r) std::copy_n(from + r * x_stride, width, to + r * out_stride);
    });
}

}  // namespace pynet
