// Cross-entropy, multi-class margin, mean squared error, binary cross-entropy with logits.
#include <algorithm>

#include "arrays.h"

namespace pynet {
namespace {

py::array scalar(double value) {
    py::array out = new_array({});
    *mutable_floats(out) = static_cast<float>(value);
    return out;
}

// Arrays that a loss keeps alive beside its arguments struct.
struct Labelled {
    py::array x, target;
    OptionalArray weight;
    LabelLoss loss;
};

// Whether all int64 labels, dense or not, number a class or are to be ignored.
bool labels_fit(const py::array& labels_in, int64_t classes, std::optional<int64_t> ignored) {
    const py::array labels = input(labels_in, -1, Order::c, "labels", py::dtype::of<int64_t>());
    const auto* label = static_cast<const int64_t*>(labels.data());
    return std::all_of(label, label + labels.size(),
                       [&](int64_t l) { return (l >= 0 && l < classes) || (ignored && l == *ignored); });
}

// Labels are checked here whatever Python says: the kernels index with them.
void check_labels(const std::string& op, const LabelLoss& l, bool may_ignore) {
    for (int64_t r = 0; r < l.M; ++r) {
        const int64_t label = l.target[r];
        if ((label >= 0 && label < l.C) || (may_ignore && label == l.ignore_index)) continue;
        throw py::index_error(op + ": target[" + std::to_string(r) + "] is " + std::to_string(label) + ", but x has " +
                              std::to_string(l.C) + " classes, numbered from 0");
    }
}

Labelled labelled(const std::string& op, const py::array& x_in, const py::array& target_in, const OptionalArray& weight,
                  const std::string& reduction) {
    Labelled a{
        input(x_in, 2, Order::c, "x"), input(target_in, 1, Order::c, "target", py::dtype::of<int64_t>()), {}, {}};
    const int64_t M = a.x.shape(0), C = a.x.shape(1);
    require(C >= 1, op + ": x is " + shape_text(shape_of(a.x)) + ", at least one class is needed");
    require_shape(a.target, {M}, (op + ": target").c_str());
    if (weight) {
        a.weight = input(*weight, 1, Order::c, "weight");
        require_shape(*a.weight, {C}, (op + ": weight").c_str());
    }
    a.loss = LabelLoss{M,
                       C,
                       floats(a.x),
                       static_cast<const int64_t*>(a.target.data()),
                       floats(a.weight),
                       0,
                       0,
                       0,
                       1,
                       reduction_of(reduction)};
    return a;
}

Labelled cross_entropy(const py::array& x, const py::array& target, const OptionalArray& weight, int64_t ignore_index,
                       double label_smoothing, const std::string& reduction) {
    Labelled a = labelled("cross_entropy", x, target, weight, reduction);
    require(label_smoothing >= 0 && label_smoothing <= 1,
            "cross_entropy: label_smoothing is " + std::to_string(label_smoothing) + ", it must lie in 0 .. 1");
    a.loss.ignore_index = ignore_index;
    a.loss.smoothing = static_cast<float>(label_smoothing);
    check_labels("cross_entropy", a.loss, true);
    return a;
}

Labelled multi_margin(const py::array& x, const py::array& target, int p, double margin, const OptionalArray& weight,
                      const std::string& reduction) {
    Labelled a = labelled("multi_margin", x, target, weight, reduction);
    require(p == 1 || p == 2, "multi_margin: p is " + std::to_string(p) + ", it must be 1 or 2");
    a.loss.power = p;
    a.loss.margin = static_cast<float>(margin);
    check_labels("multi_margin", a.loss, false);
    return a;
}

template <class Body>
void run(const LabelLoss& l, Body body) {
    call(
        static_cast<double>(l.M) * static_cast<double>(l.C) * 8,
        [&](int) { return dispatch::kernels().label_loss_workspace(l.M, l.C); }, body);
}

// The gradient of the loss: one number, or one for every loss.
py::array loss_gradient(const std::string& op, const py::array& dout_in, Reduction reduction, const Sizes& each) {
    py::array dout = input(dout_in, -1, Order::c, "dout");
    require_shape(dout, reduction == Reduction::none ? each : Sizes{}, (op + " backward: dout").c_str());
    return dout;
}

std::tuple<py::array, py::array, double> cross_entropy_forward(const py::array& x, const py::array& target,
                                                               const OptionalArray& weight, int64_t ignore_index,
                                                               double label_smoothing, const std::string& reduction) {
    const Labelled a = cross_entropy(x, target, weight, ignore_index, label_smoothing, reduction);
    const py::array lse = new_array({a.loss.M});
    OptionalArray losses;
    if (a.loss.reduction == Reduction::none) losses = new_array({a.loss.M});
    double totals[2];
    run(a.loss, [&](const Context& context) {
        dispatch::kernels().cross_entropy_forward(context, a.loss, losses ? mutable_floats(*losses) : nullptr,
                                                  mutable_floats(lse), totals);
    });
    const double divisor = a.loss.reduction == Reduction::mean ? totals[1] : 1.0;
    return {losses ? *losses : scalar(totals[0] / divisor), lse, totals[1]};
}

py::array cross_entropy_backward(const py::array& dout_in, const py::array& x, const py::array& lse_in,
                                 const py::array& target, const OptionalArray& weight, int64_t ignore_index,
                                 double label_smoothing, const std::string& reduction, double total_weight) {
    const Labelled a = cross_entropy(x, target, weight, ignore_index, label_smoothing, reduction);
    const py::array dout = loss_gradient("cross_entropy", dout_in, a.loss.reduction, {a.loss.M});
    const py::array lse = input(lse_in, 1, Order::c, "lse");
    require_shape(lse, {a.loss.M}, "cross_entropy backward: lse");
    const py::array dx = new_array(shape_of(a.x));
    run(a.loss, [&](const Context& context) {
        dispatch::kernels().cross_entropy_backward(context, a.loss, floats(dout), floats(lse), total_weight,
                                                   mutable_floats(dx));
    });
    return dx;
}

py::array multi_margin_forward(const py::array& x, const py::array& target, int p, double margin,
                               const OptionalArray& weight, const std::string& reduction) {
    const Labelled a = multi_margin(x, target, p, margin, weight, reduction);
    OptionalArray losses;
    if (a.loss.reduction == Reduction::none) losses = new_array({a.loss.M});
    double totals[2];
    run(a.loss, [&](const Context& context) {
        dispatch::kernels().multi_margin_forward(context, a.loss, losses ? mutable_floats(*losses) : nullptr, totals);
    });
    const double divisor = a.loss.reduction == Reduction::mean ? static_cast<double>(a.loss.M) : 1.0;
    return losses ? *losses : scalar(totals[0] / divisor);
}

py::array multi_margin_backward(const py::array& dout_in, const py::array& x, const py::array& target, int p,
                                double margin, const OptionalArray& weight, const std::string& reduction) {
    const Labelled a = multi_margin(x, target, p, margin, weight, reduction);
    const py::array dout = loss_gradient("multi_margin", dout_in, a.loss.reduction, {a.loss.M});
    const py::array dx = new_array(shape_of(a.x));
    run(a.loss, [&](const Context& context) {
        dispatch::kernels().multi_margin_backward(context, a.loss, floats(dout), mutable_floats(dx));
    });
    return dx;
}

// Elementwise losses: x in whatever dense order it has, everything else in the same order.
struct Elementwise {
    py::array x, target;
    OptionalArray weight, pos_weight;
    ElementLoss loss;
};

py::array in_order_of(const py::array& x, const py::array& a, const std::string& name) {
    const py::array dense = input_any_order(a, name.c_str());
    require_shape(dense, shape_of(x), name.c_str());
    if (same_strides(dense, x)) return dense;
    const py::array copy = new_like(x);
    py::module_::import("numpy").attr("copyto")(copy, dense);
    return copy;
}

Elementwise elementwise(const std::string& op, const py::array& x, const py::array& target, const OptionalArray& weight,
                        const OptionalArray& pos_weight, const std::string& reduction) {
    Elementwise a{input_any_order(x, "x"), {}, {}, {}, {}};
    a.target = in_order_of(a.x, target, op + ": target");
    if (weight) a.weight = in_order_of(a.x, *weight, op + ": weight");
    if (pos_weight) a.pos_weight = in_order_of(a.x, *pos_weight, op + ": pos_weight");
    a.loss = ElementLoss{a.x.size(),       floats(a.x),          floats(a.target),
                         floats(a.weight), floats(a.pos_weight), reduction_of(reduction)};
    return a;
}

using ForwardKernel = void (*)(const Context&, const ElementLoss&, float*, double*);
using BackwardKernel = void (*)(const Context&, const ElementLoss&, const float*, float*);

py::array forward(const Elementwise& a, ForwardKernel kernel, double work) {
    OptionalArray losses;
    if (a.loss.reduction == Reduction::none) losses = new_like(a.x);
    double total = 0;
    call(
        work * static_cast<double>(a.loss.count),
        [&](int) { return dispatch::kernels().element_loss_workspace(a.loss.count); },
        [&](const Context& context) { kernel(context, a.loss, losses ? mutable_floats(*losses) : nullptr, &total); });
    const double divisor = a.loss.reduction == Reduction::mean ? static_cast<double>(a.loss.count) : 1.0;
    return losses ? *losses : scalar(total / divisor);
}

py::array backward(const std::string& op, const py::array& dout_in, const Elementwise& a, BackwardKernel kernel,
                   double work) {
    const py::array dout = a.loss.reduction == Reduction::none ? in_order_of(a.x, dout_in, op + " backward: dout")
                                                               : loss_gradient(op, dout_in, a.loss.reduction, {});
    const py::array dx = new_like(a.x);
    call(work * static_cast<double>(a.loss.count),
         [&](const Context& context) { kernel(context, a.loss, floats(dout), mutable_floats(dx)); });
    return dx;
}

py::array mse_forward(const py::array& x, const py::array& target, const std::string& reduction) {
    return forward(elementwise("mse", x, target, {}, {}, reduction), dispatch::kernels().mse_forward, 1);
}

py::array mse_backward(const py::array& dout, const py::array& x, const py::array& target,
                       const std::string& reduction) {
    return backward("mse", dout, elementwise("mse", x, target, {}, {}, reduction), dispatch::kernels().mse_backward, 1);
}

py::array bce_with_logits_forward(const py::array& x, const py::array& target, const OptionalArray& weight,
                                  const OptionalArray& pos_weight, const std::string& reduction) {
    return forward(elementwise("bce_with_logits", x, target, weight, pos_weight, reduction),
                   dispatch::kernels().bce_with_logits_forward, 8);
}

py::array bce_with_logits_backward(const py::array& dout, const py::array& x, const py::array& target,
                                   const OptionalArray& weight, const OptionalArray& pos_weight,
                                   const std::string& reduction) {
    return backward("bce_with_logits", dout, elementwise("bce_with_logits", x, target, weight, pos_weight, reduction),
                    dispatch::kernels().bce_with_logits_backward, 8);
}

}  // namespace

void bind_loss(Module& m) {
    static_cast<py::module_&>(m).def("_labels_fit", &labels_fit);  // a question is not recorded
    m.def("cross_entropy_forward", &cross_entropy_forward);
    m.def("cross_entropy_backward", &cross_entropy_backward);
    m.def("multi_margin_forward", &multi_margin_forward);
    m.def("multi_margin_backward", &multi_margin_backward);
    m.def("mse_forward", &mse_forward);
    m.def("mse_backward", &mse_backward);
    m.def("bce_with_logits_forward", &bce_with_logits_forward);
    m.def("bce_with_logits_backward", &bce_with_logits_backward);
}

}  // namespace pynet
