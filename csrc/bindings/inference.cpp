#include "inference.h"

#include <algorithm>

#include "geometry.h"

namespace pynet {

// Below this many multiply-adds a parallel region costs more than it saves: steps follow each other without a pause,
// and their operands are warm.
constexpr double kSerialStep = 150e3;

namespace {

int64_t count_of(const Sizes& shape) {
    int64_t count = 1;
    for (const int64_t size : shape) {
        require(size >= 0, "InferencePlan: a size is negative in " + shape_text(shape));
        require(!__builtin_mul_overflow(count, size, &count), "InferencePlan: too large: " + shape_text(shape));
    }
    return count;
}

int64_t aligned(int64_t floats) { return (floats + 15) / 16 * 16; }

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
    int64_t last = 0;
    for (size_t i = 0; i < sizes.size(); ++i) {
        require(strides[i] >= 0 && strides[i] < (int64_t{1} << 40), "InferencePlan: a stride is out of range");
        last += (sizes[i] - 1) * strides[i];
    }
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

// --- making a plan ---

InferencePlan::InferencePlan(int64_t arena, std::vector<Sizes> inputs, std::vector<Sizes> outputs)
    : kernels_(dispatch::kernels()), arena_(arena), inputs_(std::move(inputs)), outputs_(std::move(outputs)) {
    require(arena >= 0 && arena < (int64_t{1} << 50), "InferencePlan: the arena's size is out of range");
    sizes_.push_back(arena);
    for (const Sizes& shape : inputs_) {
        sizes_.push_back(count_of(shape));
        input_copies_ += aligned(sizes_.back());
    }
    for (const Sizes& shape : outputs_) sizes_.push_back(count_of(shape));
}

void InferencePlan::check(Place place, int64_t count) const {
    require(place.buffer >= 0 && place.buffer < static_cast<int>(sizes_.size()), "InferencePlan: no such buffer");
    const int64_t size = sizes_[static_cast<size_t>(place.buffer)];
    require(place.offset >= 0 && count >= 0 && place.offset <= size && count <= size - place.offset,
            "InferencePlan: " + std::to_string(count) + " floats at " + std::to_string(place.offset) +
                " do not fit into buffer " + std::to_string(place.buffer) + " of " + std::to_string(size));
}

namespace {
PYNET_INLINE float* at(const std::vector<float*>& bases, Place place) {
    return bases[static_cast<size_t>(place.buffer)] + place.offset;
}
}  // namespace

void InferencePlan::add(double work, std::function<void(const Context&, Bases)> run,
                        std::function<size_t(int)> workspace) {
    steps_.push_back({work, std::move(workspace), std::move(run)});
    work_ += work;
    const std::lock_guard<std::mutex> lock(mutex_);
    idle_.clear();  // their scratch memory may be too small now
}

// The plan's own reference to an array that nobody else writes.
py::array InferencePlan::keep(py::array a) {
    kept_.push_back(a);
    return a;
}

// Memory for packed weights; null for none.
float* InferencePlan::pack(size_t bytes) {
    if (!bytes) return nullptr;
    packed_.push_back(std::make_unique<pool::Scratch>(bytes));
    if (packed_.back()->failed()) throw std::bad_alloc();
    packed_bytes_ += static_cast<int64_t>(bytes);
    return reinterpret_cast<float*>(packed_.back()->data());
}

int InferencePlan::add_constant(const py::array& a) {
    const py::array kept = keep(input_any_order(a, "InferencePlan: constant"));
    constants_.push_back(mutable_floats(kept));
    sizes_.push_back(kept.size());
    return static_cast<int>(sizes_.size()) - 1;
}

void InferencePlan::add_conv2d(Place x, const Sizes& x_shape, const py::array& weight_in, const OptionalArray& bias_in,
                               Pair stride, Pair padding, Pair dilation, int64_t groups, Activation activation,
                               float alpha, Place out) {
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
    if (!is_fused(activation)) add_activation(out, count, activation, alpha, out);
}

void InferencePlan::add_linear(Place x, int64_t rows, const py::array& weight_in, const OptionalArray& bias_in,
                               Activation activation, float alpha, Place out) {
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
    if (!is_fused(activation)) add_activation(out, rows * N, activation, alpha, out);
}

void InferencePlan::add_affine(Place x, int64_t rows, int64_t C, const OptionalArray& mean, const OptionalArray& var,
                               const OptionalArray& weight, const OptionalArray& bias, double eps,
                               std::optional<Place> residual, Activation activation, float alpha, Place out) {
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
                                   bool ceil_mode, bool count_include_pad, Place out) {
    require(x_shape.size() == 4, "avg_pool2d: x must be (N, C, H, W), got " + shape_text(x_shape));
    const AveragePool2d pool{pool2d_shape("avg_pool2d", x_shape, kernel, stride, padding, {1, 1}, ceil_mode),
                             count_include_pad, false};
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

void InferencePlan::add_activation(Place x, int64_t count, Activation activation, float alpha, Place out) {
    check(x, count);
    check(out, count);
    const Kernels& k = kernels_;
    const double weight = is_fused(activation) ? 1 : 8;
    add(static_cast<double>(count) * weight, [=, &k](const Context& context, Bases bases) {
        k.activation_forward(context, count, at(bases, x), at(bases, out), activation, alpha);
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

// --- running it ---

InferencePlan::State::State(const InferencePlan& plan, int thread_count)
    : threads(thread_count),
      memory([&] {
          size_t scratch = 0;
          for (const Step& step : plan.steps_)
              if (step.workspace) scratch = std::max(scratch, step.workspace(thread_count));
          const int64_t floats = aligned(plan.arena_) + plan.input_copies_;
          return static_cast<size_t>(floats) * sizeof(float) + scratch;
      }()),
      bases(plan.sizes_.size()) {
    if (memory.failed()) throw std::bad_alloc();
    bases[0] = reinterpret_cast<float*>(memory.data());
    workspace = memory.data() + static_cast<size_t>(aligned(plan.arena_) + plan.input_copies_) * sizeof(float);
    std::copy(plan.constants_.begin(), plan.constants_.end(),
              bases.end() - static_cast<int64_t>(plan.constants_.size()));
}

std::unique_ptr<InferencePlan::State> InferencePlan::acquire() {
    const int count = threads::count();
    {
        const std::lock_guard<std::mutex> lock(mutex_);
        while (!idle_.empty()) {
            std::unique_ptr<State> state = std::move(idle_.back());
            idle_.pop_back();
            if (state->threads == count) return state;
        }
    }
    return std::make_unique<State>(*this, count);
}

// An input in any memory order, dense in kernel order in `to`.
void InferencePlan::convert(const Context& context, const py::array& a, float* to) const {
    const Sizes shape = shape_of(a);
    if (shape.size() == 4 && is_dense(a, Order::c)) {
        kernels_.transpose_matrices(context, shape[0], shape[1], shape[2] * shape[3], floats(a), to);
        return;
    }
    const py::array dense = new_array(shape, Order::nhwc);
    py::module_::import("numpy").attr("copyto")(dense, a);
    std::copy_n(floats(dense), dense.size(), to);
}

py::list InferencePlan::run(const std::vector<py::array>& inputs) {
    require(inputs.size() == inputs_.size(),
            "InferencePlan: " + std::to_string(inputs.size()) + " inputs, expected " + std::to_string(inputs_.size()));
    std::unique_ptr<State> state = acquire();
    const Context context{work_ < kSerialStep ? 1 : state->threads, state->workspace};
    float* copy = state->bases[0] + aligned(arena_);
    for (size_t i = 0; i < inputs.size(); ++i) {
        const py::array a = inputs[i];
        require_shape(a, inputs_[i], "InferencePlan: input");
        if (a.dtype().num() != py::dtype::of<float>().num() || a.dtype().byteorder() == '>')
            throw py::type_error("InferencePlan: an input is not float32");
        if (is_dense(a, Order::nhwc) && reinterpret_cast<uintptr_t>(a.data()) % sizeof(float) == 0) {
            state->bases[i + 1] = mutable_floats(a);
        } else {
            if (context.threads > 1) threads::mark_region_used();
            convert(context, a, copy);
            state->bases[i + 1] = copy;
        }
        copy += aligned(a.size());
    }
    py::list results;
    for (size_t i = 0; i < outputs_.size(); ++i) {
        const py::array out = new_array(outputs_[i], Order::nhwc);
        state->bases[1 + inputs.size() + i] = mutable_floats(out);
        results.append(out);
    }
    const auto steps = [&] {
        for (const Step& step : steps_)
            step.run(Context{step.work < kSerialStep ? 1 : state->threads, state->workspace}, state->bases);
    };
    if (work_ < kSerialWork) {
        const profile::KernelTime time;
        steps();
    } else {
        if (context.threads > 1) threads::mark_region_used();
        py::gil_scoped_release release;
        const profile::KernelTime time;
        steps();
    }
    const std::lock_guard<std::mutex> lock(mutex_);
    idle_.push_back(std::move(state));
    return results;
}

// --- Python ---

namespace {

using PlaceTuple = std::pair<int, int64_t>;

Place place(const PlaceTuple& at) { return {at.first, at.second}; }

}  // namespace

void bind_inference(Module& m) {
    using P = InferencePlan;
    py::class_<P>(m, "InferencePlan")
        .def(py::init<int64_t, std::vector<Sizes>, std::vector<Sizes>>(), py::arg("arena"), py::arg("inputs"),
             py::arg("outputs"))
        .def("add_constant", &P::add_constant)
        .def("add_conv2d",
             [](P& p, PlaceTuple x, const Sizes& x_shape, const py::array& weight, const OptionalArray& bias,
                Pair stride, Pair padding, Pair dilation, int64_t groups, const std::string& activation, float alpha,
                PlaceTuple out) {
                 p.add_conv2d(place(x), x_shape, weight, bias, stride, padding, dilation, groups,
                              activation_of(activation), alpha, place(out));
             })
        .def("add_linear",
             [](P& p, PlaceTuple x, int64_t rows, const py::array& weight, const OptionalArray& bias,
                const std::string& activation, float alpha, PlaceTuple out) {
                 p.add_linear(place(x), rows, weight, bias, activation_of(activation), alpha, place(out));
             })
        .def("add_affine",
             [](P& p, PlaceTuple x, int64_t rows, int64_t C, const OptionalArray& mean, const OptionalArray& var,
                const OptionalArray& weight, const OptionalArray& bias, double eps,
                const std::optional<PlaceTuple>& residual, const std::string& activation, float alpha, PlaceTuple out) {
                 p.add_affine(place(x), rows, C, mean, var, weight, bias, eps,
                              residual ? std::optional<Place>(place(*residual)) : std::nullopt,
                              activation_of(activation), alpha, place(out));
             })
        .def("add_max_pool2d",
             [](P& p, PlaceTuple x, const Sizes& x_shape, Pair kernel, Pair stride, Pair padding, Pair dilation,
                bool ceil_mode, PlaceTuple out) {
                 p.add_max_pool2d(place(x), x_shape, kernel, stride, padding, dilation, ceil_mode, place(out));
             })
        .def("add_avg_pool2d",
             [](P& p, PlaceTuple x, const Sizes& x_shape, Pair kernel, Pair stride, Pair padding, bool ceil_mode,
                bool count_include_pad, PlaceTuple out) {
                 p.add_avg_pool2d(place(x), x_shape, kernel, stride, padding, ceil_mode, count_include_pad, place(out));
             })
        .def("add_adaptive_avg_pool2d",
             [](P& p, PlaceTuple x, const Sizes& x_shape, Pair output_size, PlaceTuple out) {
                 p.add_adaptive_avg_pool2d(place(x), x_shape, output_size, place(out));
             })
        .def("add_activation",
             [](P& p, PlaceTuple x, int64_t count, const std::string& activation, float alpha, PlaceTuple out) {
                 p.add_activation(place(x), count, activation_of(activation), alpha, place(out));
             })
        .def("add_unary", [](P& p, const std::string& op, PlaceTuple x, int64_t count,
                             PlaceTuple out) { p.add_unary(op, place(x), count, place(out)); })
        .def("add_binary",
             [](P& p, const std::string& op, const Sizes& sizes, PlaceTuple a, const Sizes& a_strides, PlaceTuple b,
                const Sizes& b_strides,
                PlaceTuple out) { p.add_binary(op, sizes, place(a), a_strides, place(b), b_strides, place(out)); })
        .def("add_softmax", [](P& p, PlaceTuple x, int64_t rows, int64_t C, bool logarithm,
                               PlaceTuple out) { p.add_softmax(place(x), rows, C, logarithm, place(out)); })
        .def("add_transpose", [](P& p, PlaceTuple x, int64_t count, int64_t R, int64_t C,
                                 PlaceTuple out) { p.add_transpose(place(x), count, R, C, place(out)); })
        .def("add_copy_rows",
             [](P& p, PlaceTuple x, int64_t x_stride, int64_t rows, int64_t width, PlaceTuple out, int64_t out_stride) {
                 p.add_copy_rows(place(x), x_stride, rows, width, place(out), out_stride);
             })
        .def("run", &P::run)
        .def_property_readonly("arena_bytes", &P::arena_bytes)
        .def_property_readonly("packed_bytes", &P::packed_bytes);
}

}  // namespace pynet
