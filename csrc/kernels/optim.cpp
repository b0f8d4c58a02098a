// One optimizer step over all parameters in place: SGD with momentum, Adagrad, RMSprop, Adam and AdamW. Beside it what
// is done to all gradients before a step: their norm, scaling, bounds.
//
// Layout: elementwise, so that any dense order will do as long as parameter, gradient and state share it.
// Threads: one parallel region; a chunk is a segment, cut by the caller from the shapes alone.
// Aliasing: the arrays of a segment must not overlap. Workspace: none.
// Source: PyTorch's torch.optim formulas in its order of operations; Kingma & Ba 2015 (Adam, with the corrections
// taken together as at the end of section 2), Loshchilov & Hutter 2019 (AdamW), Duchi et al. 2011 (Adagrad),
// Graves 2013 eq. 38-45 (RMSprop, centered).
#include "kernels.h"
#include "parallel.h"

namespace pynet {
namespace PYNET_LEVEL {
namespace {

// The loops below are plain so that the compiler vectorises them with its own square roots and tails;
// what a parameter set switches on is a template argument, so that no loop holds a branch.

template <bool kDecay>
PYNET_INLINE float gradient(float grad, float param, float sign, float weight_decay) {
    const float g = sign * grad;
    return kDecay ? g + weight_decay * param : g;
}

PYNET_INLINE float root(float x) { return __builtin_sqrtf(x); }

// (1 - weight) * from + weight * to, in the form that is exact at the nearer end.
PYNET_INLINE float interpolate(float from, float to, float weight, float rest) {
    return weight < 0.5f ? from + weight * (to - from) : to - (to - from) * rest;
}

template <bool kDecay, bool kMomentum>
void sgd_segment(const StepSegment& s, const SgdStep& step) {
    float* __restrict param = s.param;
    const float* __restrict grad = s.grad;
    float* __restrict buffer = s.state[0];
    const float lr = step.lr, momentum = step.momentum, decay = step.weight_decay, sign = step.sign;
    // The first buffer is the gradient itself: nothing old is kept, and nothing is dampened.
    const float old = step.first ? 0.0f : momentum, keep = step.first ? 1.0f : step.keep;
    const bool first = step.first, nesterov = step.nesterov;
    for (int64_t i = 0; i < s.count; ++i) {
        float g = gradient<kDecay>(grad[i], param[i], sign, decay);
        if (kMomentum) {
            // a fresh buffer may hold anything, NaN included
            const float b = (first ? 0.0f : buffer[i] * old) + keep * g;
            buffer[i] = b;
            g = nesterov ? g + momentum * b : b;
        }
        param[i] -= lr * g;
    }
}

template <bool kDecay>
void adagrad_segment(const StepSegment& s, const AdagradStep& step) {
    float* __restrict param = s.param;
    const float* __restrict grad = s.grad;
    float* __restrict sum = s.state[0];
    const float lr = step.lr, eps = step.eps, decay = step.weight_decay, sign = step.sign;
    for (int64_t i = 0; i < s.count; ++i) {
        const float g = gradient<kDecay>(grad[i], param[i], sign, decay);
        const float total = sum[i] + g * g;
        sum[i] = total;
        param[i] -= lr * g / (root(total) + eps);
    }
}

template <bool kDecay, bool kCentered, bool kMomentum>
void rmsprop_segment(const StepSegment& s, const RmspropStep& step) {
    float* __restrict param = s.param;
    const float* __restrict grad = s.grad;
    float* __restrict square = s.state[0];
    float* __restrict average = s.state[1];
    float* __restrict buffer = s.state[2];
    const float lr = step.lr, alpha = step.alpha, keep = step.keep, eps = step.eps, decay = step.weight_decay;
    const float momentum = step.momentum, sign = step.sign;
    for (int64_t i = 0; i < s.count; ++i) {
        const float g = gradient<kDecay>(grad[i], param[i], sign, decay);
        const float v = square[i] * alpha + keep * g * g;
        square[i] = v;
        float variance = v;
        if (kCentered) {
            const float m = interpolate(average[i], g, keep, alpha);
            average[i] = m;
            variance = v - m * m;
        }
        const float scale = root(variance) + eps;
        if (kMomentum) {
            const float b = buffer[i] * momentum + g / scale;
            buffer[i] = b;
            param[i] -= lr * b;
        } else {
            param[i] -= lr * g / scale;
        }
    }
}

template <bool kDecay, bool kLargest>
void adam_segment(const StepSegment& s, const AdamStep& step) {
    float* __restrict param = s.param;
    const float* __restrict grad = s.grad;
    float* __restrict first = s.state[0];
    float* __restrict second = s.state[1];
    float* __restrict largest = s.state[2];
    const float size = step.step_size, eps = step.eps, decay = step.weight_decay;
    const float keep1 = step.keep1, beta1 = step.beta1, beta2 = step.beta2, keep2 = step.keep2;
    const float shrink = step.shrink, sign = step.sign;
    for (int64_t i = 0; i < s.count; ++i) {
        const float p = param[i] * shrink;
        const float g = gradient<kDecay>(grad[i], p, sign, decay);
        const float m = interpolate(first[i], g, keep1, beta1);
        const float v = second[i] * beta2 + keep2 * g * g;
        first[i] = m;
        second[i] = v;
        float bound = v;
        if (kLargest) {
            const float old = largest[i];
            bound = old > v || old != old ? old : v;  // NaN stays, as in torch.maximum
            largest[i] = bound;
        }
        param[i] = p - size * m / (root(bound) + eps);
    }
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
    const auto larger = [](float a, float x) { return x > a || x != x ? x : a; };  // NaN stays
    int64_t i = 0;
    for (; i + kLanes <= s.count; i += kLanes)
        for (int j = 0; j < kLanes; ++j) part[j] = larger(part[j], __builtin_fabsf(s.param[i + j]));
    for (int j = 0; i < s.count; ++i, ++j) part[j] = larger(part[j], __builtin_fabsf(s.param[i]));
    float most = 0;
    for (int j = 0; j < kLanes; ++j) most = larger(most, part[j]);
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

void sgd_step(const Context& context, int64_t count, const StepSegment* segments, const SgdStep& step) {
    const bool decay = step.weight_decay != 0.0f;
    const auto run = decay ? (step.momentum != 0.0f ? sgd_segment<true, true> : sgd_segment<true, false>)
                           : (step.momentum != 0.0f ? sgd_segment<false, true> : sgd_segment<false, false>);
    parallel_for(context, count, [&](int64_t i, int) { run(segments[i], step); });
}

void adagrad_step(const Context& context, int64_t count, const StepSegment* segments, const AdagradStep& step) {
    const auto run = step.weight_decay != 0.0f ? adagrad_segment<true> : adagrad_segment<false>;
    parallel_for(context, count, [&](int64_t i, int) { run(segments[i], step); });
}

void rmsprop_step(const Context& context, int64_t count, const StepSegment* segments, const RmspropStep& step) {
    if (count == 0) return;
    const bool centered = segments[0].state[1], momentum = segments[0].state[2];
    const auto with = [&](auto plain, auto average, auto buffer, auto both) {
        return centered ? (momentum ? both : average) : (momentum ? buffer : plain);
    };
    const auto run = step.weight_decay != 0.0f
                         ? with(rmsprop_segment<true, false, false>, rmsprop_segment<true, true, false>,
                                rmsprop_segment<true, false, true>, rmsprop_segment<true, true, true>)
                         : with(rmsprop_segment<false, false, false>, rmsprop_segment<false, true, false>,
                                rmsprop_segment<false, false, true>, rmsprop_segment<false, true, true>);
    parallel_for(context, count, [&](int64_t i, int) { run(segments[i], step); });
}

void adam_step(const Context& context, int64_t count, const StepSegment* segments, const AdamStep& step) {
    if (count == 0) return;
    const bool largest = segments[0].state[2];
    const auto run = step.weight_decay != 0.0f ? (largest ? adam_segment<true, true> : adam_segment<true, false>)
                                               : (largest ? adam_segment<false, true> : adam_segment<false, false>);
    parallel_for(context, count, [&](int64_t i, int) { run(segments[i], step); });
}

}  // namespace PYNET_LEVEL
}  // namespace pynet
