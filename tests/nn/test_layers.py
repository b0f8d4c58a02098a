"""Layers: what they print, refuse and compute, and the memory order that their parameters keep."""

from __future__ import annotations

import copy
import pickle

import numpy as np
import pytest

from pynet import nn, random
from pynet.autograd import Tensor
from pynet.nn import functional as F

PRINTED = [
    "Linear(in_features=3, out_features=4, bias=True)",
    "Linear(in_features=3, out_features=4, bias=False)",
    "Conv2d(1, 6, kernel_size=(5, 5), stride=(1, 1))",
    "Conv2d(4, 6, kernel_size=(3, 5), stride=(2, 2), padding=(1, 2), groups=2, bias=False)",
    "Conv2d(4, 4, kernel_size=(3, 3), stride=(1, 1), padding=same, dilation=(2, 1))",
    "MaxPool2d(kernel_size=2, stride=2, padding=0, dilation=1, ceil_mode=False)",
    "MaxPool2d(kernel_size=(2, 3), stride=1, padding=1, dilation=1, ceil_mode=True)",
    "AvgPool2d(kernel_size=(2, 3), stride=1, padding=0)",
    "AdaptiveAvgPool2d(output_size=1)",
    "AdaptiveAvgPool2d(output_size=(None, 2))",
    "Flatten(start_dim=1, end_dim=-1)",
    "Unflatten(dim=1, unflattened_size=(2, 3))",
    "Identity()",
    "ReLU()",
    "ReLU(inplace=True)",
    "LeakyReLU(negative_slope=0.01)",
    "LeakyReLU(negative_slope=0.2, inplace=True)",
    "ELU(alpha=0.5, inplace=True)",
    "Sigmoid()",
    "Tanh()",
    "Maxout(pieces=2)",
    "Softmax(dim=None)",
    "LogSoftmax(dim=-1)",
    "BatchNorm1d(3, eps=1e-05, momentum=0.1, affine=True, bias=True, track_running_stats=True)",
    "BatchNorm2d(3, eps=0.001, momentum=None, affine=False, bias=False, track_running_stats=False)",
    "Dropout(p=0.5, inplace=False)",
    "Dropout2d(p=0.1, inplace=False)",
    "CrossEntropyLoss()",
    "MultiMarginLoss()",
    "MSELoss()",
    "BCEWithLogitsLoss()",
]


def made_from(text, library):
    """What a printed layer is when its text is run."""
    return eval("nn." + text.replace("=same", "='same'"), {"nn": library})


@pytest.mark.parametrize("text", PRINTED)
def test_repr(text):
    assert repr(made_from(text, nn)) == text


def test_reprs_are_pytorchs():
    torch = pytest.importorskip("torch")
    for text in PRINTED:
        if not text.startswith(("Maxout", "BatchNorm")):  # older versions print no bias of a batch norm
            assert repr(made_from(text, torch.nn)) == text


def test_defaults_are_pytorchs():
    assert repr(nn.Conv2d(1, 6, 5)) == "Conv2d(1, 6, kernel_size=(5, 5), stride=(1, 1))"
    assert (
        repr(nn.MaxPool2d(3)) == "MaxPool2d(kernel_size=3, stride=3, padding=0, dilation=1, ceil_mode=False)"
    )
    assert repr(nn.AvgPool2d((2, 3))) == "AvgPool2d(kernel_size=(2, 3), stride=(2, 3), padding=0)"
    assert repr(nn.LeakyReLU()) == "LeakyReLU(negative_slope=0.01)"
    assert repr(nn.ELU()) == "ELU(alpha=1.0)"
    assert repr(nn.Softmax()) == "Softmax(dim=None)"
    assert repr(nn.Dropout()) == "Dropout(p=0.5, inplace=False)"
    assert repr(nn.Identity(3, any="thing")) == "Identity()"
    norm = "BatchNorm2d(4, eps=1e-05, momentum=0.1, affine=True, bias=True, track_running_stats=True)"
    assert repr(nn.BatchNorm2d(4)) == norm


@pytest.mark.parametrize(
    ("make", "error", "message"),
    [
        (lambda: nn.Conv2d(0, 4, 3), ValueError, "Conv2d: in_channels must be at least 1, got 0"),
        (lambda: nn.Conv2d(3, 4, 0), ValueError, "Conv2d: kernel_size must be at least 1, got 0"),
        (
            lambda: nn.Conv2d(3, 4, (3, 3, 3)),
            ValueError,
            r"kernel_size must be an int or a pair \(height, width\)",
        ),
        (lambda: nn.Conv2d(3, 4, 3, groups=0), ValueError, "groups must be at least 1, got 0"),
        (lambda: nn.Conv2d(3, 4, 3, groups=-3), ValueError, "groups must be at least 1, got -3"),
        (
            lambda: nn.Conv2d(3, 4, 3, groups=2),
            ValueError,
            "groups must divide in_channels, got groups 2 and in_channels 3",
        ),
        (
            lambda: nn.Conv2d(4, 3, 3, groups=2),
            ValueError,
            "groups must divide out_channels, got groups 2 and out_channels 3",
        ),
        (lambda: nn.Conv2d(3, 4, 3, stride=0), ValueError, "stride must be at least 1, got 0"),
        (lambda: nn.Conv2d(3, 4, 3, dilation=(1, -1)), ValueError, "dilation must be at least 1, got -1"),
        (lambda: nn.Conv2d(3, 4, 3, padding=-1), ValueError, "padding must be at least 0, got -1"),
        (
            lambda: nn.Conv2d(3, 4, 3, padding="same", stride=2),
            ValueError,
            r"padding='same' needs stride 1, got stride \(2, 2\)",
        ),
        (lambda: nn.Conv2d(3, 4, 3, padding="full"), ValueError, "'same' or 'valid', got 'full'"),
        (
            lambda: nn.Conv2d(3, 4, 3, padding_mode="x"),
            ValueError,
            "padding_mode must be one of zeros, reflect, replicate, circular, got 'x'",
        ),
        (lambda: nn.Conv2d(3, True, 3), TypeError, "out_channels must be an int, got True"),
        (lambda: nn.Conv2d(3, 4, 3.0), TypeError, "kernel_size must be an int, got 3.0"),
        (lambda: nn.Linear(2.0, 1), TypeError, "Linear: in_features must be an int, got 2.0"),
        (lambda: nn.Linear(2, -1), ValueError, "Linear: out_features must be at least 1, got -1"),
        (lambda: nn.Linear(2, 1, dtype=np.int64), TypeError, "Linear: parameters are float32 or float64"),
        (
            lambda: nn.MaxPool2d(3, padding=2),
            ValueError,
            "at most half the kernel, got padding 2 and kernel_size 3",
        ),
        (
            lambda: nn.AvgPool2d((4, 2), padding=(2, 2)),
            ValueError,
            "AvgPool2d: padding must be at most half the kernel",
        ),
        (lambda: nn.MaxPool2d(2, stride=0), ValueError, "MaxPool2d: stride must be at least 1"),
        (
            lambda: nn.AvgPool2d(2, divisor_override=0),
            ValueError,
            "divisor_override must not be 0",
        ),
        (lambda: nn.AdaptiveAvgPool2d(0), ValueError, "output_size must be at least 1"),
        (lambda: nn.AdaptiveAvgPool2d((1, 2, 3)), ValueError, "output_size must be an int or a pair"),
        (lambda: nn.BatchNorm2d(0), ValueError, "BatchNorm2d: num_features must be at least 1"),
        (
            lambda: nn.BatchNorm1d(3, eps=-1e-5),
            ValueError,
            "BatchNorm1d: eps must be finite and not negative",
        ),
        (lambda: nn.BatchNorm1d(3, momentum=-0.1), ValueError, "momentum must be finite and not negative"),
        (lambda: nn.Dropout(1.5), ValueError, r"Dropout: p must be a probability in \[0, 1\], got 1.5"),
        (lambda: nn.Dropout2d(-0.1), ValueError, "Dropout2d: p must be a probability"),
        (lambda: nn.Dropout(float("nan")), ValueError, "got nan"),
        (
            lambda: nn.LeakyReLU(-0.1),
            ValueError,
            "LeakyReLU: negative_slope must be finite and not negative, got -0.1",
        ),
        (lambda: nn.ELU("1"), TypeError, "ELU: alpha must be a number, got '1'"),
        (lambda: nn.Maxout(0), ValueError, "Maxout: pieces must be at least 1"),
        (lambda: nn.Unflatten(1, 4), TypeError, "unflattened_size must be a tuple of ints, got 4"),
        (lambda: nn.Unflatten(1, (-1, -1)), ValueError, "only one size may be -1"),
        (
            lambda: nn.CrossEntropyLoss(reduction="avg"),
            ValueError,
            "CrossEntropyLoss: reduction must be one of none, mean, sum, got 'avg'",
        ),
        (
            lambda: nn.CrossEntropyLoss(label_smoothing=2.0),
            ValueError,
            r"label_smoothing must be in \[0, 1\], got 2.0",
        ),
        (lambda: nn.MultiMarginLoss(p=3), ValueError, "p must be 1 or 2, got 3"),
    ],
)
def test_constructors_refuse(make, error, message):
    with pytest.raises(error, match=message):
        make()


# Memory order.


def in_order(parameter):
    array = parameter.array
    order = {4: (2, 3, 1, 0), 2: (1, 0), 1: (0,)}[array.ndim]
    return array.transpose(order).flags.c_contiguous


ORDERED = {
    "linear": lambda: nn.Linear(5, 7),
    "conv": lambda: nn.Conv2d(3, 4, (2, 5)),
    "one channel": lambda: nn.Conv2d(1, 4, 3),
    "one by one": lambda: nn.Conv2d(6, 4, 1),
    "depthwise": lambda: nn.Conv2d(6, 6, 3, groups=6),
}


@pytest.mark.parametrize("name", ORDERED)
@pytest.mark.parametrize(
    "change",
    [
        lambda m: m,
        copy.deepcopy,
        lambda m: pickle.loads(pickle.dumps(m)),
        lambda m: m.double(),
        lambda m: m.double().float(),
        lambda m: (
            m.load_state_dict({k: np.ascontiguousarray(v.array) for k, v in m.state_dict().items()}) and m
        ),
        lambda m: setattr(m, "weight", nn.Parameter(np.ascontiguousarray(m.weight.array))) or m,
        lambda m: setattr(m.weight, "data", Tensor(np.ascontiguousarray(m.weight.array))) or m,
        lambda m: setattr(m.weight, "data", Tensor(np.ascontiguousarray(m.weight.array, np.float64))) or m,
    ],
    ids=["made", "deepcopy", "pickle", "double", "float", "load", "assign", "data", "data of another dtype"],
)
def test_parameters_stay_in_kernel_order(name, change):
    layer = ORDERED[name]()
    shape, values = layer.weight.shape, layer.weight.array.copy()
    changed = change(layer)
    assert changed.weight.shape == shape
    assert in_order(changed.weight)
    assert in_order(changed.bias)
    assert changed.weight.array.ctypes.data % 64 == 0
    np.testing.assert_allclose(changed.weight.array, values, rtol=1e-6)


@pytest.mark.parametrize("name", ORDERED)
def test_initialisation_writes_into_the_parameters_memory(name):
    layer = ORDERED[name]()
    array = layer.weight.array
    nn.init.kaiming_normal_(layer.weight)
    layer.reset_parameters()
    assert layer.weight.array is array
    assert in_order(layer.weight)


def test_gradients_have_the_parameters_strides():
    layer = nn.Conv2d(3, 4, 3, dtype=np.float64)
    layer(Tensor(np.ones((1, 3, 4, 4)))).backward(Tensor(np.ones((1, 4, 2, 2))))
    assert layer.weight.grad.array.strides == layer.weight.array.strides


def test_a_parameter_shares_memory_that_is_in_kernel_order():
    ordered = Tensor(np.ones((3, 2)).T)
    assert nn.Parameter(ordered).array is ordered.array
    other = Tensor(np.ones((3, 2)))
    assert not np.shares_memory(nn.Parameter(other).array, other.array)
    frozen = np.ones(3)
    frozen.flags.writeable = False
    assert nn.Parameter(frozen).array.flags.writeable
    assert (
        repr(nn.Parameter(np.zeros(1, np.float32)))
        == "Parameter containing:\ntensor([0.], requires_grad=True)"
    )
    with pytest.raises(RuntimeError, match="cannot require a gradient"):
        nn.Parameter(np.array([1, 2]))


# What they compute.


def data(*shape):
    return Tensor(np.random.default_rng(1).normal(size=shape), requires_grad=True)


def test_layers_are_their_functions():
    x = data(2, 4, 6, 6)
    conv = nn.Conv2d(4, 6, 3, stride=2, padding=1, groups=2, dtype=np.float64)
    pairs = [
        (conv, lambda: F.conv2d(x, conv.weight, conv.bias, 2, 1, 1, 2)),
        (nn.MaxPool2d(3, 2, 1), lambda: F.max_pool2d(x, 3, 2, 1)),
        (nn.AvgPool2d(3, 2, 1, count_include_pad=False), lambda: F.avg_pool2d(x, 3, 2, 1, False, False)),
        (nn.AdaptiveAvgPool2d(2), lambda: F.adaptive_avg_pool2d(x, 2)),
        (nn.ReLU(inplace=True), lambda: F.relu(x)),
        (nn.LeakyReLU(0.3), lambda: F.leaky_relu(x, 0.3)),
        (nn.ELU(0.7), lambda: F.elu(x, 0.7)),
        (nn.Sigmoid(), lambda: F.sigmoid(x)),
        (nn.Tanh(), lambda: F.tanh(x)),
        (nn.Maxout(2), lambda: F.maxout(x, 2)),
        (nn.Softmax(-1), lambda: F.softmax(x, -1)),
        (nn.Softmax(), lambda: F.softmax(x, 1)),
        (nn.LogSoftmax(), lambda: F.log_softmax(x, 1)),
    ]
    for layer, function in pairs:
        np.testing.assert_array_equal(layer(x).array, function().array, err_msg=repr(layer))


def test_max_pooling_with_indices():
    out, indices = nn.MaxPool2d(2, return_indices=True)(data(1, 2, 4, 4))
    assert out.shape == indices.shape == (1, 2, 2, 2)
    assert indices.dtype.kind == "i"


def test_linear_is_a_matrix_product():
    x, layer = data(2, 3, 5), nn.Linear(5, 4, dtype=np.float64)
    np.testing.assert_allclose(layer(x).array, x.array @ layer.weight.array.T + layer.bias.array)


def test_flatten_and_unflatten():
    x = data(2, 3, 4, 5)
    flat = nn.Flatten()(x)
    np.testing.assert_array_equal(flat.array, x.array.reshape(2, 60))
    np.testing.assert_array_equal(nn.Unflatten(1, (3, -1, 5))(flat).array, x.array)
    with pytest.raises(ValueError, match=r"axis 1 of \(2, 60\) has 60 elements and cannot become \(7, -1\)"):
        nn.Unflatten(1, (7, -1))(flat)
    with pytest.raises(ValueError, match="cannot become"):
        nn.Unflatten(-1, (3, 4))(flat)
    with pytest.raises(IndexError, match="dim 2 is out of range"):
        nn.Unflatten(2, (3, 20))(flat)


def test_identity_and_evaluated_dropout_return_their_input():
    x = data(2, 3)
    assert nn.Identity()(x) is x
    assert nn.Dropout(0.9).eval()(x) is x
    assert nn.Dropout2d(0.9).eval()(data(1, 2, 3, 3)).shape == (1, 2, 3, 3)


def test_dropout_zeroes_and_scales():
    x = Tensor(np.ones((50, 40)))
    out = nn.Dropout(0.25)(x).array
    assert set(np.unique(out)) == {0.0, 1 / 0.75}
    assert 0.2 < (out == 0).mean() < 0.3
    assert not nn.Dropout(1.0)(x).array.any()


def test_dropout2d_drops_whole_maps():
    x = Tensor(np.ones((20, 10, 3, 3)), requires_grad=True)
    out = nn.Dropout2d(0.5)(x)
    maps = out.array.reshape(200, 9)
    assert set(np.unique(maps)) == {0.0, 2.0}
    assert (maps == maps[:, :1]).all()
    assert 0.35 < (maps[:, 0] == 0).mean() < 0.65
    out.backward(Tensor(np.ones(out.shape)))
    np.testing.assert_array_equal(x.grad.array, out.array)
    with pytest.raises(
        ValueError, match=r"dropout2d: expected \(N, C, H, W\) or \(N, C, L\), got shape \(2, 3\)"
    ):
        nn.Dropout2d()(data(2, 3))


def test_dropout_is_reproducible():
    x = Tensor(np.ones((10, 10)))
    random.manual_seed(3)
    first, second = nn.Dropout()(x).array, nn.Dropout()(x).array
    random.manual_seed(3)
    np.testing.assert_array_equal(nn.Dropout()(x).array, first)
    assert (first != second).any()


# Losses.


def test_losses_pass_their_options_on():
    rng = np.random.default_rng(0)
    logits, labels, weight = data(5, 3), np.array([0, 2, 1, 2, 0]), np.array([1.0, 2.0, 0.5])
    other = Tensor(rng.uniform(size=(5, 3)))
    pairs = [
        (
            nn.CrossEntropyLoss(weight, ignore_index=2, reduction="sum", label_smoothing=0.1)(logits, labels),
            F.cross_entropy(logits, labels, weight, ignore_index=2, reduction="sum", label_smoothing=0.1),
        ),
        (
            nn.MultiMarginLoss(2, 0.5, weight, reduction="none")(logits, labels),
            F.multi_margin_loss(logits, labels, 2, 0.5, weight, reduction="none"),
        ),
        (nn.MSELoss(reduction="sum")(logits, other), F.mse_loss(logits, other, reduction="sum")),
        (
            nn.BCEWithLogitsLoss(weight, reduction="none", pos_weight=weight)(logits, other),
            F.binary_cross_entropy_with_logits(logits, other, weight, reduction="none", pos_weight=weight),
        ),
    ]
    for ours, theirs in pairs:
        np.testing.assert_array_equal(ours.array, theirs.array)
    assert list(nn.CrossEntropyLoss(weight).state_dict()) == ["weight"]
    assert nn.CrossEntropyLoss(weight.astype(np.float32)).double().weight.dtype == np.float64


def test_losses_refuse_what_does_not_fit():
    with pytest.raises(ValueError, match=r"\(2,\)"):
        nn.CrossEntropyLoss(np.ones(2))(data(5, 3), np.zeros(5, np.int64))
    with pytest.raises(ValueError, match=r"\(5, 1\)"):
        nn.MSELoss()(data(5, 3), data(5, 1))
    with pytest.raises(IndexError, match="3"):
        nn.CrossEntropyLoss()(data(2, 3), np.array([0, 3]))
