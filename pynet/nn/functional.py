"""Operations without state, in torch.nn.functional's names and orders; `pynet.ops` documents them."""

from ..ops.activation import elu, leaky_relu, maxout, relu, sigmoid, tanh
from ..ops.conv1d import conv1d, conv_transpose1d
from ..ops.conv2d import conv2d
from ..ops.conv_transpose import conv_transpose2d
from ..ops.creation import one_hot
from ..ops.curve import (
    celu,
    gelu,
    glu,
    hardshrink,
    hardsigmoid,
    hardswish,
    hardtanh,
    logsigmoid,
    mish,
    prelu,
    relu6,
    rrelu,
    selu,
    silu,
    softplus,
    softshrink,
    softsign,
    tanhshrink,
    threshold,
)
from ..ops.dropout import (
    alpha_dropout,
    drop_path,
    dropout,
    dropout1d,
    dropout2d,
)
from ..ops.embedding import embedding
from ..ops.fold import fold, unfold
from ..ops.group_norm import group_norm, instance_norm, layer_norm, local_response_norm
from ..ops.interpolate import interpolate, pixel_shuffle, pixel_unshuffle
from ..ops.loss import cross_entropy, multi_margin_loss, multilabel_margin_loss, nll_loss
from ..ops.loss_distance import (
    cosine_embedding_loss,
    cosine_similarity,
    normalize,
    pairwise_distance,
    triplet_margin_loss,
)
from ..ops.loss_pairs import (
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
from ..ops.matmul import (
    bilinear,
    linear,
)
from ..ops.norm import batch_norm
from ..ops.pad import pad
from ..ops.pool1d import adaptive_avg_pool1d, adaptive_max_pool1d, avg_pool1d, lp_pool1d, max_pool1d
from ..ops.pool2d import (
    adaptive_avg_pool2d,
    adaptive_max_pool2d,
    avg_pool2d,
    lp_pool2d,
    max_pool2d,
)
from ..ops.softmax import (
    log_softmax,
    softmax,
    softmin,
)
from ..ops.unpool2d import max_unpool1d, max_unpool2d

__all__ = [
    "adaptive_avg_pool1d",
    "adaptive_avg_pool2d",
    "adaptive_max_pool1d",
    "adaptive_max_pool2d",
    "alpha_dropout",
    "avg_pool1d",
    "avg_pool2d",
    "batch_norm",
    "bilinear",
    "binary_cross_entropy",
    "binary_cross_entropy_with_logits",
    "celu",
    "conv1d",
    "conv2d",
    "conv_transpose1d",
    "conv_transpose2d",
    "cosine_embedding_loss",
    "cosine_similarity",
    "cross_entropy",
    "dice_loss",
    "drop_path",
    "dropout",
    "dropout1d",
    "dropout2d",
    "elu",
    "embedding",
    "fold",
    "gelu",
    "glu",
    "group_norm",
    "hardshrink",
    "hardsigmoid",
    "hardswish",
    "hardtanh",
    "hinge_embedding_loss",
    "huber_loss",
    "instance_norm",
    "interpolate",
    "kl_div",
    "l1_loss",
    "layer_norm",
    "leaky_relu",
    "linear",
    "local_response_norm",
    "log_softmax",
    "logsigmoid",
    "lp_pool1d",
    "lp_pool2d",
    "max_pool1d",
    "max_pool2d",
    "max_unpool1d",
    "max_unpool2d",
    "maxout",
    "mish",
    "mse_loss",
    "multi_margin_loss",
    "multilabel_margin_loss",
    "nll_loss",
    "normalize",
    "one_hot",
    "pad",
    "pairwise_distance",
    "pixel_shuffle",
    "pixel_unshuffle",
    "prelu",
    "relu",
    "relu6",
    "rrelu",
    "selu",
    "sigmoid",
    "sigmoid_focal_loss",
    "silu",
    "smooth_l1_loss",
    "soft_margin_loss",
    "softmax",
    "softmin",
    "softplus",
    "softshrink",
    "softsign",
    "tanh",
    "tanhshrink",
    "threshold",
    "triplet_margin_loss",
    "unfold",
]
