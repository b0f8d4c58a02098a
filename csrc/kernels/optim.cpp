// One optimizer step over all parameters in place: SGD, LARS, Adagrad, Adadelta, RMSprop, Adam and its relatives, Lion.
// Beside it what is done to all gradients before a step (their norm, scaling, bounds) and to all parameters after it
// (soft threshold, running averages).
//
// Layout: elementwise, so that any dense order will do as long as parameter, gradient and state share it. A segment's
// state arrays stand in the order of the rule's arguments; those that an option switches off are left out.
// Threads: one parallel region; a chunk is a segment, cut by the caller from the shapes alone.
// Aliasing: the arrays of a segment must not overlap. Workspace: none.
// Source: PyTorch's torch.optim formulas in its order of operations; Kingma & Ba 2015 (Adam, with the corrections
// taken together as at the end of section 2; Adamax), Dozat 2016 (NAdam), Liu et al. 2020 (RAdam), Duchi et al. 2011
// (Adagrad), Zeiler 2012 (Adadelta), Graves 2013 eq. 38-45 (RMSprop, centered), Chen et al. 2023 (Lion),
// You et al. 2017 (LARS).
#include "kernels.h"
#include "parallel.h"

namespace pynet {
namespace PYNET_LEVEL {
namespace {

// The loops are plain so that the compiler vectorises them with its own square roots and tails. A rule says what one
// element does; which state arrays there are is known at compile time, so that no loop holds a branch.

PYNET_INLINE float root(float x) { return __builtin_sqrtf(x); }

// (1 - weight) * from + weight * to, in the form that is exact at the nearer end.
PYNET_INLINE float interpolate(float from, float to, float weight, float rest) {
    return weight < 0.5f ? from + weight * (to - from) : to - (to - from) * rest;
}

PYNET_INLINE float larger(float a, float b) { return a > b || a != a ? a : b; }  // NaN stays, as in torch.maximum

// rule(p, g, state...) for every element, where g = sign * gradient + weight_decay * p.
template <bool kDecay, int kStates, class Rule>
PYNET_INLINE void update(const StepSegment& s, float weight_decay, float sign, Rule rule) {
    float* __restrict param = s.param;
    const float* __restrict grad = s.grad;
    float* __restrict a = s.state[0];
    float* __restrict b = s.state[1];
    float* __restrict c = s.state[2];
#pragma GCC ivdep
    for (int64_t i = 0; i < s.count; ++i) {
        float p = param[i], x = kStates > 0 ? a[i] : 0, y = kStates > 1 ? b[i] : 0, z = kStates > 2 ? c[i] : 0;
        const float g = kDecay ? sign * grad[i] + weight_decay * p : sign * grad[i];
        if constexpr (kStates == 0) rule(p, g);
        if constexpr (kStates == 1) rule(p, g, x);
        if constexpr (kStates == 2) rule(p, g, x, y);
        if constexpr (kStates == 3) rule(p, g, x, y, z);
        param[i] = p;
        if constexpr (kStates > 0) a[i] = x;
        if constexpr (kStates > 1) b[i] = y;
        if constexpr (kStates > 2) c[i] = z;
    }
}

// One region over all segments. `rule` is made for a segment by rule_of(i).
template <int kStates, class Step, class RuleOf>
PYNET_INLINE void each_of(const Context& context, int64_t count, const StepSegment* segments, const Step& step,
                          RuleOf rule_of) {
    const float decay = step.weight_decay, sign = step.sign;
    parallel_for(context, count, [&](int64_t i, int) {
        if (decay != 0.0f)
            update<true, kStates>(segments[i], decay, sign, rule_of(i));
        else
            update<false, kStates>(segments[i], decay, sign, rule_of(i));
    });
}

template <int kStates, class Step, class Rule>
PYNET_INLINE void each(const Context& context, int64_t count, const StepSegment* segments, const Step& step,
                       Rule rule) {
    each_of<kStates>(context, count, segments, step, [=](int64_t) { return rule; });
}

// A step of momentum: v = momentum * v + keep * g; the first v is the gradient itself, nothing old is kept (a fresh
// buffer may hold anything, NaN included), and nothing is dampened.
PYNET_INLINE void momentum_rule(const SgdStep& step, float& p, float g, float& v) {
    v = step.first ? g : v * step.momentum + step.keep * g;
    p -= step.lr * (step.nesterov ? g + step.momentum * v : v);
}

// The sum of term(x) in double precision, kLanes sums side by side that are added in order.
template <class Term>
PYNET_INLINE double sum_of(const StepSegment& s, Term term) {
    double part[kLanes] = {};
    int64_t i = 0;
    for (; i + kLanes <= s.count; i += kLanes)
        for (int j = 0; j < kLanes; ++j) part[j] += term(static_cast<double>(s.param[i + j]));
    for (int j = 0; i < s.count; ++i, ++j) part[j] += term(static_cast<double>(s.param[i]));
    double sum = 0;
    for (int j = 0; j < kLanes; ++j) sum += part[j];
    return sum;
}

double largest_of(const StepSegment& s) {
    float part[kLanes] = {};
    int64_t i = 0;
    for (; i + kLanes <= s.count; i += kLanes)
        for (int j = 0; j < kLanes; ++j) part[j] = larger(__builtin_fabsf(s.param[i + j]), part[j]);
    for (int j = 0; i < s.count; ++i, ++j) part[j] = larger(__builtin_fabsf(s.param[i]), part[j]);
    float most = 0;
    for (int j = 0; j < kLanes; ++j) most = larger(part[j], most);
    return most;
}

}  // namespace

// parts[i]: the sum of |x|^order over segment i, or its largest |x| where order is infinite.
void norm_parts(const Context& context, int64_t count, const StepSegment* segments, double order, double* parts) {
    parallel_for(context, count, [&](int64_t i, int) {
        const StepSegment& s = segments[i];
        if (__builtin_isinf(order))
            parts[i] = largest_of(s);
        else if (order == 2)
            parts[i] = sum_of(s, [](double x) { return x * x; });
        else if (order == 1)
            parts[i] = sum_of(s, [](double x) { return __builtin_fabs(x); });
        else
            parts[i] = sum_of(s, [order](double x) { return __builtin_pow(__builtin_fabs(x), order); });
    });
}

void scale_segments(const Context& context, int64_t count, const StepSegment* segments, float factor) {
    parallel_for(context, count, [&](int64_t i, int) {
        float* x = segments[i].param;
        for (int64_t n = segments[i].count, k = 0; k < n; ++k) x[k] *= factor;
    });
}

void clamp_segments(const Context& context, int64_t count, const StepSegment* segments, float low, float high) {
    parallel_for(context, count, [&](int64_t i, int) {
        float* x = segments[i].param;
        for (int64_t n = segments[i].count, k = 0; k < n; ++k)
            x[k] = x[k] < low ? low : x[k] > high ? high : x[k];  // NaN stays
    });
}

// |x| less threshold, not below 0, with x's sign: the proximal operator of threshold * |x|.
void threshold_segments(const Context& context, int64_t count, const StepSegment* segments, float threshold) {
    parallel_for(context, count, [&](int64_t i, int) {
        float* x = segments[i].param;
        const float t = threshold;
        for (int64_t n = segments[i].count, k = 0; k < n; ++k)
            x[k] = x[k] > t ? x[k] - t : x[k] < -t ? x[k] + t : x[k] * 0.0f;  // NaN stays
    });
}

void lerp_segments(const Context& context, int64_t count, const StepSegment* segments, float weight, float rest) {
    parallel_for(context, count, [&](int64_t i, int) {
        update<false, 0>(segments[i], 0, 1, [=](float& p, float to) { p = interpolate(p, to, weight, rest); });
    });
}

void sgd_step(const Context& context, int64_t count, const StepSegment* segments, const SgdStep& step) {
    if (step.momentum != 0.0f)
        each<1>(context, count, segments, step, [=](float& p, float g, float& v) { momentum_rule(step, p, g, v); });
    else
        each<0>(context, count, segments, step, [=](float& p, float g) { p -= step.lr * g; });
}

// ratios[i]: by which the gradient of segment i, decay included, is scaled.
void lars_step(const Context& context, int64_t count, const StepSegment* segments, const SgdStep& step,
               const float* ratios) {
    if (step.momentum != 0.0f)
        each_of<1>(context, count, segments, step, [=](int64_t i) {
            return [=, ratio = ratios[i]](float& p, float g, float& v) { momentum_rule(step, p, ratio * g, v); };
        });
    else
        each_of<0>(context, count, segments, step, [=](int64_t i) {
            return [=, ratio = ratios[i]](float& p, float g) { p -= step.lr * (ratio * g); };
        });
}

void adagrad_step(const Context& context, int64_t count, const StepSegment* segments, const AdagradStep& step) {
    each<1>(context, count, segments, step, [=](float& p, float g, float& sum) {
        const float total = sum + g * g;
        sum = total;
        p -= step.lr * g / (root(total) + step.eps);
    });
}

void adadelta_step(const Context& context, int64_t count, const StepSegment* segments, const AdadeltaStep& step) {
    each<2>(context, count, segments, step, [=](float& p, float g, float& square, float& moved) {
        const float v = square * step.rho + step.keep * g * g;
        const float delta = root(moved + step.eps) / root(v + step.eps) * g;
        square = v;
        moved = moved * step.rho + step.keep * delta * delta;
        p -= step.lr * delta;
    });
}

void rmsprop_step(const Context& context, int64_t count, const StepSegment* segments, const RmspropStep& step) {
    const auto rule = [=](float& p, float g, float& square, float* average, float* buffer) {
        const float v = square * step.alpha + step.keep * g * g;
        square = v;
        float variance = v;
        if (average) {
            const float m = interpolate(*average, g, step.keep, step.alpha);
            *average = m;
            variance = v - m * m;
        }
        const float scale = root(variance) + step.eps;
        if (buffer) {
            const float b = *buffer * step.momentum + g / scale;
            *buffer = b;
            p -= step.lr * b;
        } else {
            p -= step.lr * g / scale;
        }
    };
    const bool momentum = step.momentum != 0.0f;
    if (step.centered && momentum)
        each<3>(context, count, segments, step,
                [=](float& p, float g, float& v, float& m, float& b) { rule(p, g, v, &m, &b); });
    else if (step.centered)
        each<2>(context, count, segments, step,
                [=](float& p, float g, float& v, float& m) { rule(p, g, v, &m, nullptr); });
    else if (momentum)
        each<2>(context, count, segments, step,
                [=](float& p, float g, float& v, float& b) { rule(p, g, v, nullptr, &b); });
    else
        each<1>(context, count, segments, step, [=](float& p, float g, float& v) { rule(p, g, v, nullptr, nullptr); });
}

void adam_step(const Context& context, int64_t count, const StepSegment* segments, const AdamStep& step) {
    const auto rule = [=](float& p, float g, float& first, float& second, float* largest) {
        const float m = interpolate(first, g, step.keep1, step.beta1);
        float v = second * step.beta2 + step.keep2 * g * g;
        first = m;
        second = v;
        if (largest) *largest = v = larger(*largest, v);
        p = p * step.shrink - step.step_size * m / (root(v) + step.eps);
    };
    if (step.amsgrad)
        each<3>(context, count, segments, step,
                [=](float& p, float g, float& m, float& v, float& most) { rule(p, g, m, v, &most); });
    else
        each<2>(context, count, segments, step,
                [=](float& p, float g, float& m, float& v) { rule(p, g, m, v, nullptr); });
}

void adamax_step(const Context& context, int64_t count, const StepSegment* segments, const AdamaxStep& step) {
    each<2>(context, count, segments, step, [=](float& p, float g, float& first, float& infinity) {
        const float m = interpolate(first, g, step.keep1, step.beta1);
        const float u = larger(infinity * step.beta2, __builtin_fabsf(g) + step.eps);
        first = m;
        infinity = u;
        p -= step.step_size * m / u;
    });
}

void nadam_step(const Context& context, int64_t count, const StepSegment* segments, const NadamStep& step) {
    each<2>(context, count, segments, step, [=](float& p, float g, float& first, float& second) {
        const float m = interpolate(first, g, step.keep1, step.beta1);
        const float v = second * step.beta2 + step.keep2 * g * g;
        first = m;
        second = v;
        p = p * step.shrink - (step.grad_size * g + step.average_size * m) / (root(v) + step.eps);
    });
}

void radam_step(const Context& context, int64_t count, const StepSegment* segments, const RadamStep& step) {
    each<2>(context, count, segments, step, [=](float& p, float g, float& first, float& second) {
        const float m = interpolate(first, g, step.keep1, step.beta1);
        const float v = second * step.beta2 + step.keep2 * g * g;
        first = m;
        second = v;
        const float move = step.step_size * m;
        p = p * step.shrink - (step.rectified ? move / (root(v) + step.eps) : move);
    });
}

void lion_step(const Context& context, int64_t count, const StepSegment* segments, const LionStep& step) {
    each<1>(context, count, segments, step, [=](float& p, float g, float& average) {
        const float c = interpolate(average, g, step.keep1, step.beta1);
        average = interpolate(average, g, step.keep2, step.beta2);
        const float move = c > 0.0f ? step.lr : c < 0.0f ? -step.lr : c;  // 0 and NaN stay
        p = p * step.shrink - move;
    });
}

}  // namespace PYNET_LEVEL
}  // namespace pynet
