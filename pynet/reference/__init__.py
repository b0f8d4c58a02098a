"""Every operation of pynet, forward and backward, in plain NumPy.

It serves three readers: the tests, as the oracle of the kernels; float64 arrays, which run on it; and
students, for whom each file is a short text on one family of operations. The names and signatures are those
of `pynet._core`. Arrays keep their dtype; shapes, labels and parameters have been checked by the caller.
"""

from __future__ import annotations

from .activation import activation_backward, activation_forward, maxout_backward, maxout_forward
from .conv2d import conv2d_backward_data, conv2d_backward_weight, conv2d_forward
from .curve import curve_backward, curve_forward
from .dropout import dropout_backward, dropout_forward
from .elementwise import (
    abs,
    accumulate,
    add,
    cos,
    divide,
    exp,
    log,
    maximum,
    minimum,
    multiply,
    negative,
    power,
    reciprocal,
    sin,
    sqrt,
    square,
    subtract,
    sum,
)
from .gemm import linear_backward_data, linear_backward_weight, linear_forward, matmul
from .group_norm import group_norm_backward, group_norm_forward
from .loss import (
    bce_with_logits_backward,
    bce_with_logits_forward,
    cross_entropy_backward,
    cross_entropy_forward,
    mse_backward,
    mse_forward,
    multi_margin_backward,
    multi_margin_forward,
)
from .norm import batch_norm_backward, batch_norm_forward, batch_norm_statistics
from .optim import (
    adadelta_step,
    adagrad_step,
    adam_step,
    adamax_step,
    clamp_gradients,
    gradient_norm,
    lars_step,
    lerp,
    lion_step,
    nadam_step,
    radam_step,
    rmsprop_step,
    scale_gradients,
    sgd_step,
    soft_threshold,
)
from .pool2d import (
    adaptive_avg_pool2d_backward,
    adaptive_avg_pool2d_forward,
    avg_pool2d_backward,
    avg_pool2d_forward,
    max_pool2d_backward,
    max_pool2d_forward,
)
from .random import random_normal, random_uniform
from .resample import resample
from .softmax import log_softmax_backward, log_softmax_forward, softmax_backward, softmax_forward

__all__ = [
    "abs",
    "accumulate",
    "activation_backward",
    "activation_forward",
    "adadelta_step",
    "adagrad_step",
    "adam_step",
    "adamax_step",
    "adaptive_avg_pool2d_backward",
    "adaptive_avg_pool2d_forward",
    "add",
    "avg_pool2d_backward",
    "avg_pool2d_forward",
    "batch_norm_backward",
    "batch_norm_forward",
    "batch_norm_statistics",
    "bce_with_logits_backward",
    "bce_with_logits_forward",
    "clamp_gradients",
    "conv2d_backward_data",
    "conv2d_backward_weight",
    "conv2d_forward",
    "cos",
    "cross_entropy_backward",
    "cross_entropy_forward",
    "curve_backward",
    "curve_forward",
    "divide",
    "dropout_backward",
    "dropout_forward",
    "exp",
    "gradient_norm",
    "group_norm_backward",
    "group_norm_forward",
    "lars_step",
    "lerp",
    "linear_backward_data",
    "linear_backward_weight",
    "linear_forward",
    "lion_step",
    "log",
    "log_softmax_backward",
    "log_softmax_forward",
    "matmul",
    "max_pool2d_backward",
    "max_pool2d_forward",
    "maximum",
    "maxout_backward",
    "maxout_forward",
    "minimum",
    "mse_backward",
    "mse_forward",
    "multi_margin_backward",
    "multi_margin_forward",
    "multiply",
    "nadam_step",
    "negative",
    "power",
    "radam_step",
    "random_normal",
    "random_uniform",
    "reciprocal",
    "resample",
    "rmsprop_step",
    "scale_gradients",
    "sgd_step",
    "sin",
    "soft_threshold",
    "softmax_backward",
    "softmax_forward",
    "sqrt",
    "square",
    "subtract",
    "sum",
]
