"""How each differentiable function and module is called for a gradient check, by its name.

A text is filled with sizes that hypothesis draws: N, C (even), L, H, W, and F, the channels of a result. Functions are
those of `pynet.ops`; "nn.Name" is a module, called with its inputs. Kinds of inputs: tests/draw.py.
"""

from __future__ import annotations

MAPS, ROWS, ANY = "x: normal {N} {C} {H} {W}", "x: normal {N} {C}", "x: normal {N} {C} {L}"
SPREAD = "x: distinct {N} {C} {H} {W}"
POSITIVE = "x: positive {N} {C} {L}"
PAIR = "x: normal {N} {C}; y: normal {N} {C}"
LABELLED = "x: normal {N} {C}; y: labels {N} < {C}"

Entry = tuple[str, str]


def each(names: str, text: str, inputs: str) -> dict[str, Entry]:
    """The same call of several functions; @ stands for the name."""
    return {name: (text.replace("@", name), inputs) for name in names.split()}


FUNCTIONS: dict[str, Entry] = {
    **each("sigmoid tanh exp sin cos square softsign softplus gelu silu mish selu celu elu negative clone cosh sinh", "ops.@(x)", ANY),
    **each("atan expm1 exp2 erf erfc logsigmoid tanhshrink contiguous glu", "ops.@(x)", "x: normal {N} {C}"),
    **each("log sqrt reciprocal log1p log2 log10 rsqrt tan", "ops.@(x * 0.5)", POSITIVE),
    **each("asin acos", "ops.@(x)", "x: unit {N} {C}"),
    **each("relu relu6 leaky_relu abs hardtanh hardsigmoid hardswish rrelu hardshrink softshrink", "ops.@(x + 0.01)", "x: distinct {N} {C}"),
    **each("add subtract multiply maximum minimum", "ops.@(x, y)", "x: normal {N} {C} {L}; y: normal {C} 1"),
    **each("divide pow atan2 hypot", "ops.@(x, y)", "x: positive {N} {C} {L}; y: positive {L}"),
    **each("sum mean var std norm logsumexp cumsum prod cumprod flip diff", "ops.@(x, 1)", "x: positive 2 3 {L}"),
    **each("max min amax amin median sort topk", "ops.@(x, 1)", "x: distinct {N} {C} {L}"),
    **each("flatten permute_all", "ops.flatten(x, 1)", ANY),
    **each("softmax log_softmax softmin normalize", "ops.@(x, dim=1)", ANY),
    **each("cat stack concatenate", "ops.@([x, y, x], 1)", PAIR),
    **each("mse_loss l1_loss smooth_l1_loss huber_loss", "ops.@(x, y)", PAIR),
    **each("matmul mm", "ops.@(x, y)", "x: normal {N} {C}; y: normal {C} {L}"),
    **each("avg_pool2d lp_pool2d", "ops.@(x.abs() + 0.1, 2, 1)", MAPS),
    **each("hinge_embedding_loss soft_margin_loss", "ops.@(x, y)", "x: distinct {N} {C}; y: signs {N} {C}"),
    **each("binary_cross_entropy dice_loss", "ops.@(x, y)", "x: unit {N} {C}; y: target {N} {C}"),
    **each("binary_cross_entropy_with_logits sigmoid_focal_loss", "ops.@(x, y)", "x: normal {N} {C}; y: target {N} {C}"),
    **each("pairwise_distance cosine_similarity", "ops.@(x, y)", PAIR),
    **each("nll_loss cross_entropy multi_margin_loss", "ops.@(x, y)", LABELLED),
    **each("layer_norm", "ops.@(x, ({L},), w, b)", "x: normal {N} {C} {L}; w: positive {L}; b: normal {L}"),
    **each("group_norm", "ops.@(x, 2, w, b)", MAPS + "; w: positive {C}; b: normal {C}"),
    **each("instance_norm batch_norm", "ops.@(x, None, None, w, b, True)", MAPS + "; w: positive {C}; b: normal {C}"),
    "flatten": ("ops.flatten(x, 1)", ANY),
    "cast": ("ops.cast(x, 'float64') * 2", ROWS),
    "to": ("ops.to(x, 'cpu') * 2", ROWS),
    "double": ("ops.double(x) * 2", ROWS),
    "cpu": ("ops.cpu(x) * 2", ROWS),
    "local_response_norm": ("ops.local_response_norm(x, 3)", MAPS),
    "kl_div": ("ops.kl_div(x, y)", "x: log_shares {N} {C}; y: shares {N} {C}"),
    "multilabel_margin_loss": ("ops.multilabel_margin_loss(x, y)", "x: distinct {N} {C}; y: labels {N} {C} < {C}"),
    "cosine_embedding_loss": ("ops.cosine_embedding_loss(x, y, z)", PAIR + "; z: signs {N}"),
    "triplet_margin_loss": ("ops.triplet_margin_loss(x, y, z)", PAIR + "; z: normal {N} {C}"),
    "linear": ("ops.linear(x, w, b)", "x: normal {N} {C}; w: normal {F} {C}; b: normal {F}"),
    "einsum": ("ops.einsum('nc,cl->ln', x, y)", "x: normal {N} {C}; y: normal {C} {L}"),
    "conv2d": ("ops.conv2d(x, w, b, 2, 1)", MAPS + "; w: normal {F} {C} 3 2; b: normal {F}"),
    "max_pool2d": ("ops.max_pool2d(x, 2, 1, 1)", SPREAD),
    "adaptive_avg_pool2d": ("ops.adaptive_avg_pool2d(x, (2, 3))", MAPS),
    "prelu": ("ops.prelu(x + 0.01, w)", "x: distinct {N} {C}; w: positive {C}"),
    "maxout": ("ops.maxout(x, 2)", SPREAD),
    "dropout": ("ops.dropout(x, 0.4)", ROWS),
    "where": ("ops.where(x > 0, x * y, y)", PAIR),
    "clamp": ("ops.clamp(x + 0.01, -0.5, 0.5)", "x: distinct {N} {C}"),
    "reshape": ("ops.reshape(x, -1, {N})", ANY),
    "view": ("ops.view(x, -1, {N})", ANY),
    "permute": ("ops.permute(x, 2, 0, 1)", ANY),
    "transpose": ("ops.transpose(x, 0, 2)", ANY),
    "t": ("ops.t(x)", ROWS),
    "unsqueeze": ("ops.unsqueeze(x, 1)", ROWS),
    "squeeze": ("ops.squeeze(x[:, None] * 2, 1)", ROWS),
    "unflatten": ("ops.unflatten(x, 1, (2, -1))", ROWS),
    "expand": ("ops.expand(x[:, None], {N}, 3, {C})", ROWS),
    "pad": ("ops.pad(x, (1, 2), 'replicate')", ANY),
    "roll": ("ops.roll(x, 2, 1)", ANY),
    "split": ("ops.split(x, 2, 1)", ANY),
    "chunk": ("ops.chunk(x, 2, 1)", ANY),
    "unbind": ("ops.unbind(x, 1)", ANY),
    "iterate": ("list(ops.iterate(x))", ANY),
    "getitem": ("ops.getitem(x, (slice(None), [0, 1, 0]))", ANY),
    "gather": ("ops.gather(x, 1, y)", "x: normal {N} {C}; y: labels {N} 3 < {C}"),
    "index_select": ("ops.index_select(x, 1, y)", "x: normal {N} {C}; y: labels 5 < {C}"),
}  # fmt: skip
FUNCTIONS.pop("permute_all")
FUNCTIONS |= {
    **each("floor ceil round trunc sign", "ops.@(x)", "x: distinct {N} {C}"),
    **each("tril triu", "ops.@(x)", ROWS),
    **each("mv", "ops.@(x, y)", "x: normal {N} {C}; y: normal {C}"),
    **each("dot", "ops.@(x, y)", "x: normal {C}; y: normal {C}"),
    **each("outer", "ops.@(x, y)", "x: normal {C}; y: normal {L}"),
    **each("bmm", "ops.@(x, y)", "x: normal {N} {C} {L}; y: normal {N} {L} {H}"),
    "conv1d": ("ops.conv1d(x, w, b, 1, 1)", ANY + "; w: normal {F} {C} 2; b: normal {F}"),
    "conv_transpose2d": (
        "ops.conv_transpose2d(x, w, b, 2, 1)",
        MAPS + "; w: normal {C} {F} 3 3; b: normal {F}",
    ),
    "unfold": ("ops.unfold(x, 2)", MAPS),
    "masked_fill": ("ops.masked_fill(x, x > 0, 1.0)", ROWS),
    "narrow": ("ops.narrow(x, 1, 0, 2)", ROWS),
}

# Held to central differences in the tests of their families.
CHECKED_BESIDE = set(
    """
    adaptive_avg_pool1d adaptive_max_pool1d adaptive_max_pool2d alpha_dropout avg_pool1d bilinear broadcast_to
    conv_transpose1d cuda diag diagonal drop_path dropout1d dropout2d embedding expand_as fold index_add interpolate
    lp_pool1d masked_select max_pool1d max_unpool1d max_unpool2d meshgrid movedim pixel_shuffle pixel_unshuffle
    remainder repeat repeat_interleave scatter scatter_add select threshold tile type_as view_as
    nn.AdaptiveAvgPool1d nn.AdaptiveMaxPool1d nn.AdaptiveMaxPool2d nn.AlphaDropout nn.AvgPool1d nn.Bilinear
    nn.CircularPad1d nn.CircularPad2d nn.ConstantPad1d nn.ConstantPad2d nn.Conv1d nn.ConvTranspose1d nn.ConvTranspose2d
    nn.DropPath nn.Dropout1d nn.Embedding nn.Fold nn.GLU nn.Hardshrink nn.LPPool1d nn.LPPool2d nn.MaxPool1d
    nn.MaxUnpool1d nn.MaxUnpool2d nn.PixelShuffle nn.PixelUnshuffle nn.ReflectionPad1d nn.ReflectionPad2d
    nn.ReplicationPad1d nn.ReplicationPad2d nn.Softmax2d nn.Softshrink nn.Threshold nn.Unfold nn.Upsample
    nn.UpsamplingBilinear2d nn.UpsamplingNearest2d nn.ZeroPad1d nn.ZeroPad2d
    """.split()  # noqa: SIM905
)

# Results that are whole numbers, truth values, new, random, or written in place; and what is no operation.
NO_GRADIENT = set(
    [
        "all",
        "allclose",
        "any",
        "arange",
        "argmax",
        "argmin",
        "argsort",
        "bitwise_and",
        "bitwise_not",
        "bitwise_or",
        "bitwise_xor",
        "conv_algorithm",
        "empty",
        "empty_like",
        "equal",
        "eye",
        "from_dlpack",
        "full",
        "full_like",
        "greater",
        "greater_equal",
        "isnan",
        "less",
        "less_equal",
        "linspace",
        "long",
        "not_equal",
        "one_hot",
        "ones",
        "ones_like",
        "rand",
        "rand_like",
        "randint",
        "randn",
        "randn_like",
        "randperm",
        "single",
        "zeros",
        "zeros_like",
        "add_",
        "clamp_",
        "copy_",
        "div_",
        "fill_",
        "mul_",
        "normal_",
        "setitem",
        "sub_",
        "uniform_",
        "zero_",
    ]
)

MODULES: dict[str, Entry] = {
    **each("Sigmoid Tanh Softplus Softsign GELU SiLU Mish SELU CELU ELU Identity LogSigmoid Tanhshrink", "nn.@()", ANY),
    **each("ReLU ReLU6 LeakyReLU Hardtanh Hardsigmoid Hardswish RReLU PReLU", "nn.@()", "x: distinct {N} {C} {L}"),
    **each("Softmax LogSoftmax Softmin", "nn.@(1)", ANY),
    **each("MSELoss L1Loss SmoothL1Loss HuberLoss", "nn.@()", PAIR),
    **each("HingeEmbeddingLoss SoftMarginLoss", "nn.@()", "x: distinct {N} {C}; y: signs {N} {C}"),
    **each("NLLLoss CrossEntropyLoss MultiMarginLoss", "nn.@()", LABELLED),
    **each("BatchNorm2d InstanceNorm2d", "nn.@({C}, momentum=0.3)", MAPS),
    **each("BatchNorm1d InstanceNorm1d", "nn.@({C})", "x: normal {N} {C} {L}"),
    "BCELoss": ("nn.BCELoss()", "x: unit {N} {C}; y: target {N} {C}"),
    "BCEWithLogitsLoss": ("nn.BCEWithLogitsLoss()", "x: normal {N} {C}; y: target {N} {C}"),
    "KLDivLoss": ("nn.KLDivLoss(reduction='sum')", "x: log_shares {N} {C}; y: shares {N} {C}"),
    "MultiLabelMarginLoss": ("nn.MultiLabelMarginLoss()", "x: distinct {N} {C}; y: labels {N} {C} < {C}"),
    "CosineEmbeddingLoss": ("nn.CosineEmbeddingLoss()", PAIR + "; z: signs {N}"),
    "TripletMarginLoss": ("nn.TripletMarginLoss(swap=True)", PAIR + "; z: normal {N} {C}"),
    "Linear": ("nn.Linear({C}, {F})", ROWS),
    "Conv2d": ("nn.Conv2d({C}, 2 * {F}, 3, 2, 1, groups=2)", MAPS),
    "MaxPool2d": ("nn.MaxPool2d(2, 1)", SPREAD),
    "AvgPool2d": ("nn.AvgPool2d(2, padding=1, count_include_pad=False)", MAPS),
    "AdaptiveAvgPool2d": ("nn.AdaptiveAvgPool2d((3, 2))", MAPS),
    "LayerNorm": ("nn.LayerNorm({L})", ANY),
    "GroupNorm": ("nn.GroupNorm(2, {C})", MAPS),
    "LocalResponseNorm": ("nn.LocalResponseNorm(2, 0.1)", MAPS),
    "Maxout": ("nn.Maxout(2)", "x: distinct {N} {C}"),
    "Dropout": ("nn.Dropout(0.4)", ROWS),
    "Dropout2d": ("nn.Dropout2d(0.4)", MAPS),
    "Flatten": ("nn.Flatten()", MAPS),
    "Unflatten": ("nn.Unflatten(1, (2, -1))", ROWS),
    "Sequential": ("nn.Sequential(nn.Linear({C}, {F}), nn.Tanh(), nn.Linear({F}, 2))", ROWS),
}  # fmt: skip
CONTAINERS = {"Module", "ModuleDict", "ModuleList", "Parameter", "ParameterList", "ParameterDict"}
NO_GRADIENT |= set(
    """
    bernoulli bincount booleans count_nonzero floor_divide integers isclose isfinite isinf logical_and logical_not
    logical_or logical_xor multinomial nonzero normal same unique
    """.split()  # noqa: SIM905
)
