"""Operations without state, in torch.nn.functional's names and orders; `pynet.ops` documents them."""

from ..ops.activation import elu, leaky_relu, maxout, relu, sigmoid, tanh
from ..ops.conv2d import conv2d
from ..ops.creation import one_hot
from ..ops.dropout import dropout
from ..ops.loss import binary_cross_entropy_with_logits, cross_entropy, mse_loss, multi_margin_loss
from ..ops.matmul import linear
from ..ops.norm import batch_norm
from ..ops.pool2d import adaptive_avg_pool2d, avg_pool2d, max_pool2d
from ..ops.shape import pad
from ..ops.softmax import log_softmax, softmax

__all__ = [
    "adaptive_avg_pool2d",
    "avg_pool2d",
    "batch_norm",
    "binary_cross_entropy_with_logits",
    "conv2d",
    "cross_entropy",
    "dropout",
    "elu",
    "leaky_relu",
    "linear",
    "log_softmax",
    "max_pool2d",
    "maxout",
    "mse_loss",
    "multi_margin_loss",
    "one_hot",
    "pad",
    "relu",
    "sigmoid",
    "softmax",
    "tanh",
]
