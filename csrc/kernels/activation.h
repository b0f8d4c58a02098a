// The activations on one vector, forward and backward, each chosen at compile time. Gradients follow from the
// output alone; alpha is the negative slope of leaky_relu or elu's alpha, not negative.
#pragma once
#include "math.h"

namespace pynet {
namespace PYNET_LEVEL {

template <Activation kActivation>
struct ActivationTag {
    static constexpr Activation value = kActivation;
};

// run(ActivationTag<...>) for an activation known at run time.
template <class Run>
PYNET_INLINE void with_activation(Activation activation, Run run) {
    switch (activation) {
        case Activation::none:
            return run(ActivationTag<Activation::none>{});
        case Activation::relu:
            return run(ActivationTag<Activation::relu>{});
        case Activation::leaky_relu:
            return run(ActivationTag<Activation::leaky_relu>{});
        case Activation::elu:
            return run(ActivationTag<Activation::elu>{});
        case Activation::sigmoid:
            return run(ActivationTag<Activation::sigmoid>{});
        case Activation::tanh:
            return run(ActivationTag<Activation::tanh>{});
    }
}

// NaN stays NaN: comparisons are written so that it takes the branch that keeps it.
template <Activation kActivation>
PYNET_INLINE vfloat activation_value(vfloat v, float alpha) {
    switch (kActivation) {
        case Activation::none:
            return v;
        case Activation::relu:
            return select(v < 0.0f, vfloat{}, v);
        case Activation::leaky_relu:
            return select(v > 0.0f, v, v * alpha);
        case Activation::elu:
            return select(v > 0.0f, v, exp_minus_one(select(v > 0.0f, vfloat{}, v)) * alpha);
        case Activation::sigmoid:
            return sigmoid(v);
        case Activation::tanh:
            return tanh(v);
    }
    return v;
}

template <Activation kActivation>
PYNET_INLINE vfloat activation_gradient(vfloat dout, vfloat out, float alpha) {
    switch (kActivation) {
        case Activation::none:
            return dout;
        case Activation::relu:
            return select(out <= 0.0f, vfloat{}, dout);
        case Activation::leaky_relu:
            return select(out > 0.0f, dout, dout * alpha);
        case Activation::elu:
            return select(out > 0.0f, dout, dout * (out + alpha));
        case Activation::sigmoid:
            return dout * (1.0f - out) * out;
        case Activation::tanh:
            return dout * (1.0f - out * out);
    }
    return dout;
}

}  // namespace PYNET_LEVEL
}  // namespace pynet
