// Activations whose gradient follows from the input, forward and backward: GELU (exact and by tanh), SiLU, Mish,
// softplus, softsign, SELU, CELU, log-sigmoid, tanhshrink and the piecewise hardtanh, hardsigmoid, hardswish,
// hardshrink, softshrink and threshold.
//
// Layout: elementwise, any dense order. Threads: fixed chunks of elements. Aliasing: out or dx may be an operand
// itself. Workspace: none. Source: Hendrycks & Gimpel 2016 (GELU); Elfwing et al. 2018 (SiLU); Misra 2020 (Mish); Dugas
// et al. 2001 (softplus); Klambauer et al. 2017 (SELU); Barron 2017 (CELU); Howard et al. 2019 (hardswish).
#include "flat.h"
#include "kernels.h"
#include "math.h"

namespace pynet {
namespace PYNET_LEVEL {
namespace {

constexpr float kSqrtHalf = 0.707106781f, kInverseSqrtTau = 0.398942280f;  // 1 / sqrt(2), 1 / sqrt(2 pi)
constexpr float kSqrtTwoOverPi = 0.797884561f, kGeluCubic = 0.044715f;     // of GELU by tanh
constexpr float kSeluScale = 1.05070099f, kSeluAlpha = 1.67326324f;        // Klambauer et al., equation 14

template <Curve kCurve>
struct CurveTag {
    static constexpr Curve value = kCurve;
};

template <class Run>
PYNET_INLINE void with_curve(Curve curve, Run run) {
    switch (curve) {
        case Curve::gelu:
            return run(CurveTag<Curve::gelu>{});
        case Curve::gelu_tanh:
            return run(CurveTag<Curve::gelu_tanh>{});
        case Curve::silu:
            return run(CurveTag<Curve::silu>{});
        case Curve::mish:
            return run(CurveTag<Curve::mish>{});
        case Curve::softplus:
            return run(CurveTag<Curve::softplus>{});
        case Curve::softsign:
            return run(CurveTag<Curve::softsign>{});
        case Curve::selu:
            return run(CurveTag<Curve::selu>{});
        case Curve::celu:
            return run(CurveTag<Curve::celu>{});
        case Curve::hardtanh:
            return run(CurveTag<Curve::hardtanh>{});
        case Curve::hardsigmoid:
            return run(CurveTag<Curve::hardsigmoid>{});
        case Curve::hardswish:
            return run(CurveTag<Curve::hardswish>{});
        case Curve::log_sigmoid:
            return run(CurveTag<Curve::log_sigmoid>{});
        case Curve::tanhshrink:
            return run(CurveTag<Curve::tanhshrink>{});
        case Curve::hardshrink:
            return run(CurveTag<Curve::hardshrink>{});
        case Curve::softshrink:
            return run(CurveTag<Curve::softshrink>{});
        case Curve::threshold:
            return run(CurveTag<Curve::threshold>{});
    }
}

PYNET_INLINE vfloat softplus(vfloat x) { return select(x < 0.0f, vfloat{}, x) + log_one_plus(exp(-abs(x))); }
PYNET_INLINE vfloat normal_cdf(vfloat x) { return 0.5f * (1.0f + erf(x * kSqrtHalf)); }
PYNET_INLINE vfloat gelu_inner(vfloat x) { return kSqrtTwoOverPi * (x + kGeluCubic * x * x * x); }
// e^min(x, 0) - 1
PYNET_INLINE vfloat negative_part(vfloat x) { return exp_minus_one(select(x > 0.0f, vfloat{}, x)); }
PYNET_INLINE vfloat clamp(vfloat x, float low, float high) {
    return select(x < low, splat(low), select(x > high, splat(high), x));  // NaN stays
}

PYNET_INLINE vint within(vfloat x, float bound) { return (x >= -bound) & (x <= bound); }

template <Curve kCurve>
PYNET_INLINE vfloat value(vfloat x, float alpha, float beta) {
    switch (kCurve) {
        case Curve::gelu:
            return x * normal_cdf(x);
        case Curve::gelu_tanh:
            return x * sigmoid(2.0f * gelu_inner(x));  // (1 + tanh u) / 2 without its cancellation
        case Curve::silu:
            return x * sigmoid(x);
        case Curve::mish:
            return x * tanh(softplus(x));
        case Curve::softplus:  // linear from x * alpha > beta on
            return select(x * alpha > beta, x, softplus(x * alpha) / alpha);
        case Curve::softsign:
            return x / (1.0f + abs(x));
        case Curve::selu:
            return kSeluScale * select(x > 0.0f, x, kSeluAlpha * negative_part(x));
        case Curve::celu:
            return select(x > 0.0f, x, alpha * negative_part(x / alpha));
        case Curve::hardtanh:
            return clamp(x, alpha, beta);
        case Curve::hardsigmoid:
            return clamp(x + 3.0f, 0.0f, 6.0f) / 6.0f;
        case Curve::hardswish:
            return x * clamp(x + 3.0f, 0.0f, 6.0f) / 6.0f;
        case Curve::log_sigmoid:
            return -softplus(-x);
        case Curve::tanhshrink:
            return x - tanh(x);
        case Curve::hardshrink:
            return select(within(x, alpha), vfloat{}, x);
        case Curve::softshrink:
            return select(x > alpha, x - alpha, select(x < -alpha, x + alpha, x * 0.0f));  // NaN stays
        case Curve::threshold:
            return select(x <= alpha, splat(beta), x);
    }
    return x;
}

template <Curve kCurve>
PYNET_INLINE vfloat slope(vfloat x, float alpha, float beta) {
    const vfloat one = splat(1.0f), zero = {};
    switch (kCurve) {
        case Curve::gelu:
            return normal_cdf(x) + x * kInverseSqrtTau * exp(-0.5f * x * x);
        case Curve::gelu_tanh: {
            const vfloat s = sigmoid(2.0f * gelu_inner(x));
            const vfloat inner = kSqrtTwoOverPi * (1.0f + 3.0f * kGeluCubic * x * x);
            return s + 2.0f * x * s * (1.0f - s) * inner;
        }
        case Curve::silu: {
            const vfloat s = sigmoid(x);
            return s * (1.0f + x * (1.0f - s));
        }
        case Curve::mish: {
            const vfloat t = tanh(softplus(x));
            return t + x * sigmoid(x) * (1.0f - t * t);
        }
        case Curve::softplus:
            return select(x * alpha > beta, one, sigmoid(x * alpha));
        case Curve::softsign: {
            const vfloat d = 1.0f + abs(x);
            return 1.0f / (d * d);
        }
        case Curve::selu:
            return kSeluScale * select(x > 0.0f, one, kSeluAlpha * exp(x));
        case Curve::celu:
            return select(x > 0.0f, one, exp(x / alpha));
        case Curve::hardtanh:
            return select((x > alpha) & (x < beta), one, zero);
        case Curve::hardsigmoid:
            return select((x > -3.0f) & (x < 3.0f), splat(1.0f / 6.0f), zero);
        case Curve::hardswish:
            return select(x <= -3.0f, zero, select(x < 3.0f, x / 3.0f + 0.5f, one));
        case Curve::log_sigmoid:
            return sigmoid(-x);
        case Curve::tanhshrink: {
            const vfloat t = tanh(x);
            return t * t;
        }
        case Curve::hardshrink:
        case Curve::softshrink:
            return select(within(x, alpha), zero, one);
        case Curve::threshold:
            return select(x <= alpha, zero, one);
    }
    return one;
}

}  // namespace

void curve_forward(const Context& context, int64_t count, const float* x, float* out, Curve curve, float alpha,
                   float beta) {
    with_curve(curve, [&](auto tag) {
        constexpr Curve kCurve = decltype(tag)::value;
        for_chunks(context, count, [=](int64_t begin, int64_t end) {
            map_run<2>(begin, end, out, [=](auto at) { return value<kCurve>(at(x), alpha, beta); });
        });
    });
}

void curve_backward(const Context& context, int64_t count, const float* dout, const float* x, float* dx, Curve curve,
                    float alpha, float beta) {
    with_curve(curve, [&](auto tag) {
        constexpr Curve kCurve = decltype(tag)::value;
        for_chunks(context, count, [=](int64_t begin, int64_t end) {
            map_run<2>(begin, end, dx, [=](auto at) { return at(dout) * slope<kCurve>(at(x), alpha, beta); });
        });
    });
}

}  // namespace PYNET_LEVEL
}  // namespace pynet
