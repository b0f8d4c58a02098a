"""Operations on Tensors, one file a family: each validates, then records a forward and a backward."""

from pynet.ops.activation import elu, leaky_relu, maxout, relu, sigmoid, tanh
from pynet.ops.arithmetic import (
    abs,
    add,
    clamp,
    cos,
    divide,
    exp,
    log,
    maximum,
    minimum,
    multiply,
    negative,
    pow,
    reciprocal,
    sin,
    sqrt,
    square,
    subtract,
    where,
)
from pynet.ops.comparison import (
    allclose,
    bitwise_and,
    bitwise_not,
    bitwise_or,
    bitwise_xor,
    equal,
    greater,
    greater_equal,
    isnan,
    less,
    less_equal,
    not_equal,
)
from pynet.ops.conv1d import conv1d, conv_transpose1d
from pynet.ops.conv2d import conv2d, conv_algorithm
from pynet.ops.conv_transpose import conv_transpose2d
from pynet.ops.conversion import cast, clone, cpu, double, from_dlpack, long, single, to
from pynet.ops.creation import (
    arange,
    empty,
    empty_like,
    eye,
    full,
    full_like,
    linspace,
    one_hot,
    ones,
    ones_like,
    rand,
    rand_like,
    randint,
    randn,
    randn_like,
    randperm,
    zeros,
    zeros_like,
)
from pynet.ops.curve import (
    celu,
    gelu,
    hardsigmoid,
    hardswish,
    hardtanh,
    mish,
    prelu,
    relu6,
    rrelu,
    selu,
    silu,
    softplus,
    softsign,
)
from pynet.ops.dropout import dropout
from pynet.ops.einsum import einsum
from pynet.ops.fold import fold, unfold
from pynet.ops.group_norm import group_norm, instance_norm, layer_norm, local_response_norm
from pynet.ops.indexing import gather, getitem, index_select, iterate
from pynet.ops.inplace import (
    add_,
    clamp_,
    copy_,
    div_,
    fill_,
    mul_,
    normal_,
    setitem,
    sub_,
    uniform_,
    zero_,
)
from pynet.ops.interpolate import interpolate, pixel_shuffle, pixel_unshuffle
from pynet.ops.loss import cross_entropy, multi_margin_loss, multilabel_margin_loss, nll_loss
from pynet.ops.loss_distance import (
    cosine_embedding_loss,
    cosine_similarity,
    pairwise_distance,
    triplet_margin_loss,
)
from pynet.ops.loss_pairs import (
    binary_cross_entropy,
    binary_cross_entropy_with_logits,
    dice_loss,
    hinge_embedding_loss,
    huber_loss,
    kl_div,
    l1_loss,
    mse_loss,
    sigmoid_focal_loss,
    smooth_l1_loss,
    soft_margin_loss,
)
from pynet.ops.matmul import linear, matmul
from pynet.ops.norm import batch_norm
from pynet.ops.ordering import argsort, cumsum, roll, sort, topk
from pynet.ops.pad import pad
from pynet.ops.pool2d import adaptive_avg_pool2d, avg_pool2d, max_pool2d
from pynet.ops.reduction import (
    all,
    amax,
    amin,
    any,
    argmax,
    argmin,
    max,
    mean,
    min,
    prod,
    std,
    sum,
    var,
)
from pynet.ops.shape import (
    cat,
    chunk,
    concatenate,
    expand,
    flatten,
    flip,
    permute,
    reshape,
    split,
    squeeze,
    stack,
    t,
    transpose,
    unbind,
    unflatten,
    unsqueeze,
    view,
)
from pynet.ops.softmax import log_softmax, softmax
from pynet.ops.vector_norm import norm

__all__ = [
    "abs", "adaptive_avg_pool2d", "add", "add_", "all", "allclose", "amax", "amin", "any", "arange",
    "argmax", "argmin", "argsort", "avg_pool2d", "batch_norm", "binary_cross_entropy",
    "binary_cross_entropy_with_logits", "bitwise_and", "bitwise_not", "bitwise_or", "bitwise_xor", "cast",
    "cat", "celu", "chunk", "clamp", "clamp_", "clone", "concatenate", "conv1d", "conv2d",
    "conv_algorithm", "conv_transpose1d", "conv_transpose2d", "copy_", "cos", "cosine_embedding_loss",
    "cosine_similarity", "cpu", "cross_entropy", "cumsum", "dice_loss", "div_", "divide", "double",
    "dropout", "einsum", "elu", "empty", "empty_like", "equal", "exp", "expand", "eye", "fill_",
    "flatten", "flip", "fold", "from_dlpack", "full", "full_like", "gather", "gelu", "getitem", "greater",
    "greater_equal", "group_norm", "hardsigmoid", "hardswish", "hardtanh", "hinge_embedding_loss",
    "huber_loss", "index_select", "instance_norm", "interpolate", "isnan", "iterate", "kl_div", "l1_loss",
    "layer_norm", "leaky_relu", "less", "less_equal", "linear", "linspace", "local_response_norm", "log",
    "log_softmax", "long", "matmul", "max", "max_pool2d", "maximum", "maxout", "mean", "min", "minimum",
    "mish", "mse_loss", "mul_", "multi_margin_loss", "multilabel_margin_loss", "multiply", "negative",
    "nll_loss", "norm", "normal_", "not_equal", "one_hot", "ones", "ones_like", "pad",
    "pairwise_distance", "permute", "pixel_shuffle", "pixel_unshuffle", "pow", "prelu", "prod", "rand",
    "rand_like", "randint", "randn", "randn_like", "randperm", "reciprocal", "relu", "relu6", "reshape",
    "roll", "rrelu", "selu", "setitem", "sigmoid", "sigmoid_focal_loss", "silu", "sin", "single",
    "smooth_l1_loss", "soft_margin_loss", "softmax", "softplus", "softsign", "sort", "split", "sqrt",
    "square", "squeeze", "stack", "std", "sub_", "subtract", "sum", "t", "tanh", "to", "topk",
    "transpose", "triplet_margin_loss", "unbind", "unflatten", "unfold", "uniform_", "unsqueeze", "var",
    "view", "where", "zero_", "zeros", "zeros_like",
]  # fmt: skip
