// Optimizer steps, bounds on gradients, averages of parameters: lists of arrays updated in place. Checks them and cuts
// them into segments for one parallel region; the scalars stay double until PyTorch's expressions of them are formed.
#include <cmath>

#include "arrays.h"

namespace pynet {
namespace {

using Arrays = std::vector<py::array>;
using OptionalArrays = std::optional<Arrays>;

constexpr int64_t kSegment = 8192;  // elements: large against a hand-out, small against a thread's share

// The segments, and the converted gradients that they point into.
struct Segments {
    std::vector<StepSegment> list;
    Arrays converted;
    double elements = 0;

    void add(const StepSegment& whole, int64_t size) {
        elements += static_cast<double>(size);
        for (int64_t start = 0; start < size; start += kSegment) {
            StepSegment part = whole;
            part.param += start;
            if (part.grad) part.grad += start;
            for (float*& data : part.state)
                if (data) data += start;
            part.count = std::min(kSegment, size - start);
            list.push_back(part);
        }
    }
};

// The gradient in the parameter's memory order.
py::array aligned_gradient(const char* op, const py::array& grad, const py::array& param, size_t i, Arrays& converted) {
    const py::array g = input_any_order(grad, Name(op, "grads", i));
    if (same_strides(g, param)) {
        if (g.ptr() != grad.ptr()) converted.push_back(g);
        return g;
    }
    require_shape(g, shape_of(param), Name(op, "grads", i));
    const py::array copy = new_like(param);
    py::module_::import("numpy").attr("copyto")(copy, g);
    converted.push_back(copy);
    return copy;
}

struct State {
    const char* name;
    const Arrays* arrays;  // null: this optimizer keeps none
};

Segments segments_of(const char* op, const Arrays& params, const Arrays& grads, std::initializer_list<State> states) {
    const auto check_length = [&](const char* name, size_t length) {
        require(length == params.size(), std::string(op) + ": " + std::to_string(params.size()) + " params but " +
                                             std::to_string(length) + " " + name);
    };
    check_length("grads", grads.size());
    for (const State& state : states)
        if (state.arrays) check_length(state.name, state.arrays->size());
    Segments out;
    out.list.reserve(2 * params.size());
    for (size_t i = 0; i < params.size(); ++i) {
        const py::array param = in_place(params[i], Name(op, "params", i));
        StepSegment whole{
            mutable_floats(param), floats(aligned_gradient(op, grads[i], param, i, out.converted)), {}, 0};
        int position = 0;
        for (const State& state : states) {
            if (!state.arrays) continue;
            const Name name(op, state.name, i);
            const py::array a = in_place((*state.arrays)[i], name);
            if (!same_strides(a, param)) require_shape(a, shape_of(param), name);
            require(same_strides(a, param), name.str() +
                                                " has another memory order than its parameter; create it with the "
                                                "parameter's strides");
            whole.state[position++] = mutable_floats(a);
        }
        out.add(whole, param.size());
    }
    return out;
}

// Arrays of any layout, each as `param`: what is not dense is worked on in a copy.
struct Updated {
    Segments segments;
    std::vector<std::pair<py::array, py::array>> copies;  // (array, its dense copy)

    Updated(const char* op, const Arrays& arrays) {
        for (size_t i = 0; i < arrays.size(); ++i) {
            const py::array a = input_any_order(arrays[i], Name(op, "arrays", i));
            if (a.ptr() != arrays[i].ptr()) copies.emplace_back(arrays[i], a);
            segments.add(StepSegment{mutable_floats(a), nullptr, {}, 0}, a.size());
        }
    }
    int64_t count() const { return static_cast<int64_t>(segments.list.size()); }
    void copy_back() const {
        for (const auto& [array, copy] : copies) py::module_::import("numpy").attr("copyto")(array, copy);
    }
};

void require_writeable(const char* op, const Arrays& arrays) {
    for (size_t i = 0; i < arrays.size(); ++i)
        require(arrays[i].writeable(), Name(op, "arrays", i).str() + " is read-only and cannot be updated in place");
}

template <class Kernel, class Step>
void run(const Segments& segments, Kernel kernel, const Step& step) {
    call(segments.elements * 2, [&](const Context& context) {
        kernel(context, static_cast<int64_t>(segments.list.size()), segments.list.data(), step);
    });
}

const Arrays* pointer(const OptionalArrays& arrays) { return arrays ? &*arrays : nullptr; }
float single(double x) { return static_cast<float>(x); }
float sign_of(bool maximize) { return maximize ? -1.0f : 1.0f; }

void sgd_step(const Arrays& params, const Arrays& grads, const OptionalArrays& momentum_buffers, double lr,
              double momentum, double dampening, double weight_decay, bool nesterov, bool maximize, bool first) {
    require(momentum == 0 || momentum_buffers, "sgd_step: momentum needs momentum_buffers");
    const Segments s = segments_of("sgd_step", params, grads, {{"momentum_buffers", pointer(momentum_buffers)}});
    run(s, dispatch::kernels().sgd_step,
        SgdStep{single(lr), single(momentum), single(1 - dampening), single(weight_decay), sign_of(maximize), nesterov,
                first});
}

void adagrad_step(const Arrays& params, const Arrays& grads, const Arrays& sums, double step_lr, double weight_decay,
                  double eps, bool maximize) {
    const Segments s = segments_of("adagrad_step", params, grads, {{"sums", &sums}});
    run(s, dispatch::kernels().adagrad_step,
        AdagradStep{single(step_lr), single(weight_decay), single(eps), sign_of(maximize)});
}

void rmsprop_step(const Arrays& params, const Arrays& grads, const Arrays& square_avgs, const OptionalArrays& grad_avgs,
                  const OptionalArrays& momentum_buffers, double lr, double alpha, double eps, double weight_decay,
                  double momentum, bool maximize) {
    require(momentum == 0 || momentum_buffers, "rmsprop_step: momentum needs momentum_buffers");
    const Segments s = segments_of("rmsprop_step", params, grads,
                                   {{"square_avgs", &square_avgs},
                                    {"grad_avgs", pointer(grad_avgs)},
                                    {"momentum_buffers", momentum == 0 ? nullptr : pointer(momentum_buffers)}});
    run(s, dispatch::kernels().rmsprop_step,
        RmspropStep{single(lr), single(alpha), single(1 - alpha), single(eps), single(weight_decay), single(momentum),
                    sign_of(maximize), grad_avgs.has_value()});
}

void adam_step(const Arrays& params, const Arrays& grads, const Arrays& exp_avgs, const Arrays& exp_avg_sqs,
               const OptionalArrays& max_exp_avg_sqs, int64_t step, double lr, double beta1, double beta2, double eps,
               double weight_decay, bool decoupled, bool maximize) {
    require(step >= 1, "adam_step: step counts from 1, got " + std::to_string(step));
    const Segments s = segments_of(
        "adam_step", params, grads,
        {{"exp_avgs", &exp_avgs}, {"exp_avg_sqs", &exp_avg_sqs}, {"max_exp_avg_sqs", pointer(max_exp_avg_sqs)}});
    const double t = static_cast<double>(step), root_correction = std::sqrt(1 - std::pow(beta2, t));
    run(s, dispatch::kernels().adam_step,
        AdamStep{single(root_correction * lr / (1 - std::pow(beta1, t))), single(beta1), single(1 - beta1),
                 single(beta2), single(1 - beta2), single(root_correction * eps), single(decoupled ? 0 : weight_decay),
                 single(decoupled ? 1 - lr * weight_decay : 1), sign_of(maximize), max_exp_avg_sqs.has_value()});
}

void adadelta_step(const Arrays& params, const Arrays& grads, const Arrays& square_avgs, const Arrays& acc_deltas,
                   double lr, double rho, double eps, double weight_decay, bool maximize) {
    const Segments s =
        segments_of("adadelta_step", params, grads, {{"square_avgs", &square_avgs}, {"acc_deltas", &acc_deltas}});
    run(s, dispatch::kernels().adadelta_step,
        AdadeltaStep{single(lr), single(rho), single(1 - rho), single(eps), single(weight_decay), sign_of(maximize)});
}

void adamax_step(const Arrays& params, const Arrays& grads, const Arrays& exp_avgs, const Arrays& exp_infs,
                 double step_size, double beta1, double beta2, double eps, double weight_decay, bool maximize) {
    const Segments s = segments_of("adamax_step", params, grads, {{"exp_avgs", &exp_avgs}, {"exp_infs", &exp_infs}});
    run(s, dispatch::kernels().adamax_step,
        AdamaxStep{single(step_size), single(beta1), single(1 - beta1), single(beta2), single(eps),
                   single(weight_decay), sign_of(maximize)});
}

void nadam_step(const Arrays& params, const Arrays& grads, const Arrays& exp_avgs, const Arrays& exp_avg_sqs,
                double grad_size, double average_size, double root_correction, double beta1, double beta2, double eps,
                double weight_decay, double shrink, bool maximize) {
    const Segments s =
        segments_of("nadam_step", params, grads, {{"exp_avgs", &exp_avgs}, {"exp_avg_sqs", &exp_avg_sqs}});
    run(s, dispatch::kernels().nadam_step,
        NadamStep{single(root_correction * grad_size), single(root_correction * average_size), single(beta1),
                  single(1 - beta1), single(beta2), single(1 - beta2), single(root_correction * eps),
                  single(weight_decay), single(shrink), sign_of(maximize)});
}

void radam_step(const Arrays& params, const Arrays& grads, const Arrays& exp_avgs, const Arrays& exp_avg_sqs,
                double step_size, double beta1, double beta2, double eps, double weight_decay, double shrink,
                bool rectified, bool maximize) {
    const Segments s =
        segments_of("radam_step", params, grads, {{"exp_avgs", &exp_avgs}, {"exp_avg_sqs", &exp_avg_sqs}});
    run(s, dispatch::kernels().radam_step,
        RadamStep{single(step_size), single(beta1), single(1 - beta1), single(beta2), single(1 - beta2), single(eps),
                  single(weight_decay), single(shrink), sign_of(maximize), rectified});
}

void lion_step(const Arrays& params, const Arrays& grads, const Arrays& exp_avgs, double lr, double beta1, double beta2,
               double weight_decay, bool maximize) {
    const Segments s = segments_of("lion_step", params, grads, {{"exp_avgs", &exp_avgs}});
    run(s, dispatch::kernels().lion_step,
        LionStep{single(lr), single(beta1), single(1 - beta1), single(beta2), single(1 - beta2), 0,
                 single(1 - lr * weight_decay), sign_of(maximize)});
}

// The 2-norms of `count` arrays, whose segments follow one another.
std::vector<double> norms_of(const std::vector<StepSegment>& segments, const Arrays& arrays, double elements) {
    std::vector<double> parts(segments.size()), norms;
    call(elements, [&](const Context& context) {
        dispatch::kernels().norm_parts(context, static_cast<int64_t>(segments.size()), segments.data(), 2,
                                       parts.data());
    });
    size_t next = 0;
    for (const py::array& array : arrays) {
        double sum = 0;
        for (int64_t start = 0; start < array.size(); start += kSegment) sum += parts[next++];
        norms.push_back(std::sqrt(sum));
    }
    return norms;
}

void lars_step(const Arrays& params, const Arrays& grads, const OptionalArrays& momentum_buffers, double lr,
               double momentum, double dampening, double weight_decay, bool nesterov, double trust_coefficient,
               double eps, bool maximize, bool first) {
    require(momentum == 0 || momentum_buffers, "lars_step: momentum needs momentum_buffers");
    const Segments s = segments_of("lars_step", params, grads, {{"momentum_buffers", pointer(momentum_buffers)}});
    std::vector<StepSegment> gradients = s.list;
    for (StepSegment& segment : gradients) segment.param = const_cast<float*>(segment.grad);  // only read
    const std::vector<double> sizes = norms_of(s.list, params, s.elements);
    const std::vector<double> slopes = norms_of(gradients, params, s.elements);
    std::vector<float> ratios;
    for (size_t i = 0; i < params.size(); ++i) {
        const bool adapts = sizes[i] != 0 && slopes[i] != 0;
        const double ratio = adapts ? trust_coefficient * sizes[i] / (slopes[i] + weight_decay * sizes[i] + eps) : 1;
        for (int64_t start = 0; start < params[i].size(); start += kSegment) ratios.push_back(single(ratio));
    }
    const SgdStep step{
        single(lr), single(momentum), single(1 - dampening), single(weight_decay), sign_of(maximize), nesterov, first};
    call(s.elements * 2, [&](const Context& context) {
        dispatch::kernels().lars_step(context, static_cast<int64_t>(s.list.size()), s.list.data(), step, ratios.data());
    });
}

void lerp(const Arrays& arrays, const Arrays& targets, double weight) {
    const Segments s = segments_of("lerp", arrays, targets, {});
    call(s.elements, [&](const Context& context) {
        dispatch::kernels().lerp_segments(context, static_cast<int64_t>(s.list.size()), s.list.data(), single(weight),
                                          single(1 - weight));
    });
}

void soft_threshold(const Arrays& arrays, float threshold) {
    require_writeable("soft_threshold", arrays);
    require(threshold >= 0, "soft_threshold: threshold is " + std::to_string(threshold) + ", it must not be negative");
    const Updated u("soft_threshold", arrays);
    call(u.segments.elements, [&](const Context& context) {
        dispatch::kernels().threshold_segments(context, u.count(), u.segments.list.data(), threshold);
    });
    u.copy_back();
}

double gradient_norm(const Arrays& arrays, double order) {
    require(order > 0, "gradient_norm: order is " + std::to_string(order) + ", it must be positive");
    const Updated u("gradient_norm", arrays);
    std::vector<double> parts(u.segments.list.size());
    call(u.segments.elements, [&](const Context& context) {
        dispatch::kernels().norm_parts(context, u.count(), u.segments.list.data(), order, parts.data());
    });
    double total = 0;
    for (const double part : parts) {
        if (!std::isinf(order))
            total += part;
        else if (part > total || std::isnan(part))
            total = part;
    }
    return std::isinf(order) || order == 1 ? total : order == 2 ? std::sqrt(total) : std::pow(total, 1 / order);
}

void scale_gradients(const Arrays& arrays, float factor) {
    require_writeable("scale_gradients", arrays);
    const Updated u("scale_gradients", arrays);
    call(u.segments.elements, [&](const Context& context) {
        dispatch::kernels().scale_segments(context, u.count(), u.segments.list.data(), factor);
    });
    u.copy_back();
}

void clamp_gradients(const Arrays& arrays, float low, float high) {
    require_writeable("clamp_gradients", arrays);
    const Updated u("clamp_gradients", arrays);
    call(u.segments.elements, [&](const Context& context) {
        dispatch::kernels().clamp_segments(context, u.count(), u.segments.list.data(), low, high);
    });
    u.copy_back();
}

}  // namespace

void bind_optim(Module& m) {
    m.def("sgd_step", &sgd_step);
    m.def("adagrad_step", &adagrad_step);
    m.def("rmsprop_step", &rmsprop_step);
    m.def("adam_step", &adam_step);
    m.def("adadelta_step", &adadelta_step);
    m.def("adamax_step", &adamax_step);
    m.def("nadam_step", &nadam_step);
    m.def("radam_step", &radam_step);
    m.def("lion_step", &lion_step);
    m.def("lars_step", &lars_step);
    m.def("lerp", &lerp);
    m.def("soft_threshold", &soft_threshold);
    m.def("gradient_norm", &gradient_norm);
    m.def("scale_gradients", &scale_gradients);
    m.def("clamp_gradients", &clamp_gradients);
}

}  // namespace pynet
