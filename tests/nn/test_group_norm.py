"""Normalisation within a sample: definitions, gradients, running statistics, PyTorch, errors."""

from __future__ import annotations

import numpy as np
import pytest

import pynet
from pynet import gradcheck, nn
from pynet.nn import functional as F

RNG = np.random.default_rng(5)


def tensor(*shape, dtype=np.float64):
    return pynet.tensor(RNG.standard_normal(shape).astype(dtype), requires_grad=True)


LAYERS = {
    "LayerNorm": (lambda n, **k: n.LayerNorm(6, **k), (4, 6)),
    "LayerNorm of maps": (lambda n, **k: n.LayerNorm([3, 4, 2], **k), (2, 3, 4, 2)),
    "LayerNorm of rows": (lambda n, **k: n.LayerNorm((5,), eps=1e-3, **k), (2, 3, 5)),
    "LayerNorm without bias": (lambda n, **k: n.LayerNorm(6, bias=False, **k), (4, 6)),
    "GroupNorm": (lambda n, **k: n.GroupNorm(2, 6, **k), (3, 6, 4, 2)),
    "GroupNorm of rows": (lambda n, **k: n.GroupNorm(3, 6, **k), (3, 6)),
    "GroupNorm of signals": (lambda n, **k: n.GroupNorm(3, 6, affine=False, **k), (3, 6, 5)),
    "InstanceNorm1d": (lambda n, **k: n.InstanceNorm1d(3, affine=True, **k), (2, 3, 7)),
    "InstanceNorm2d": (lambda n, **k: n.InstanceNorm2d(3, **k), (2, 3, 4, 5)),
    "InstanceNorm2d of one": (lambda n, **k: n.InstanceNorm2d(3, affine=True, **k), (3, 4, 5)),
    "InstanceNorm2d tracking": (
        lambda n, **k: n.InstanceNorm2d(3, track_running_stats=True, **k),
        (2, 3, 4, 5),
    ),
    "LocalResponseNorm": (lambda n, **k: n.LocalResponseNorm(3, alpha=0.5, beta=0.6, k=2.0), (2, 7, 3, 3)),
    "LocalResponseNorm even": (lambda n, **k: n.LocalResponseNorm(4, alpha=0.5), (2, 5, 6)),
}


def randomise(module):
    for p in module.parameters():
        p.copy_(pynet.tensor(RNG.uniform(0.5, 1.5, p.shape)))


@pytest.mark.parametrize("name", LAYERS)
def test_gradients(name):
    build, shape = LAYERS[name]
    layer = build(nn, dtype="float64")
    with pynet.no_grad():
        randomise(layer)
    x = tensor(*shape)
    assert gradcheck(lambda t, *_: layer(t), (x, *layer.parameters()))


@pytest.mark.parametrize("name", LAYERS)
def test_pytorch_agrees(name):
    torch = pytest.importorskip("torch")
    build, shape = LAYERS[name]
    ours, theirs = build(nn), build(torch.nn)
    with pynet.no_grad():
        randomise(ours)
    theirs.load_state_dict({k: torch.tensor(v.numpy()) for k, v in ours.state_dict().items()})
    for _ in range(3):
        x = RNG.standard_normal(shape).astype(np.float32)
        a, b = ours(pynet.tensor(x)), theirs(torch.tensor(x))
        np.testing.assert_allclose(a.detach().numpy(), b.detach().numpy(), rtol=1e-5, atol=2e-6)
    for key, value in ours.state_dict().items():
        np.testing.assert_allclose(value.numpy(), theirs.state_dict()[key].numpy(), rtol=1e-5, atol=1e-6)
    a, b = ours.eval()(pynet.tensor(x)), theirs.eval()(torch.tensor(x))
    np.testing.assert_allclose(a.detach().numpy(), b.detach().numpy(), rtol=1e-5, atol=2e-6)


def test_definitions():
    x = tensor(2, 6, 3, 3)
    array = x.detach().numpy()

    def standard(a, axes):
        return (a - a.mean(axes, keepdims=True)) / np.sqrt(a.var(axes, keepdims=True) + 1e-5)

    np.testing.assert_allclose(F.layer_norm(x, (6, 3, 3)).detach().numpy(), standard(array, (1, 2, 3)))
    np.testing.assert_allclose(F.instance_norm(x).detach().numpy(), standard(array, (2, 3)))
    grouped = standard(array.reshape(2, 2, 3, 3, 3), (2, 3, 4)).reshape(array.shape)
    np.testing.assert_allclose(F.group_norm(x, 2).detach().numpy(), grouped)
    window = np.array([(array[:, max(0, c - 1) : c + 2] ** 2).sum(1) / 3 for c in range(6)]).swapaxes(0, 1)
    expected = array / (1.0 + 0.1 * window) ** 0.75
    np.testing.assert_allclose(F.local_response_norm(x, 3, 0.1).detach().numpy(), expected)


BAD = [
    (lambda: nn.GroupNorm(4, 6), "num_groups=4 does not divide num_channels=6"),
    (lambda: F.group_norm(tensor(2, 6), 4), "num_groups=4 does not divide the 6 channels"),
    (lambda: F.group_norm(tensor(6), 2), r"expected input \(N, C, ...\), got shape \(6,\)"),
    (lambda: F.group_norm(tensor(2, 3), 3), "more than one value a group is needed"),
    (lambda: F.group_norm(tensor(2, 4), 2, tensor(3)), r"weight is \(3,\), input \(2, 4\) needs \(4,\)"),
    (lambda: nn.LayerNorm(5)(pynet.zeros(2, 4)), r"input \(2, 4\) does not end with normalized_shape \(5,\)"),
    (lambda: F.layer_norm(tensor(2, 4), 4, tensor(2, 4)), r"weight is \(2, 4\), expected \(4,\)"),
    (lambda: nn.InstanceNorm2d(3)(pynet.zeros(2, 4, 3, 3)), "expected 3 channels, got 4"),
    (lambda: nn.InstanceNorm1d(3)(pynet.zeros(2, 3, 3, 3)), "got 4-D input"),
    (lambda: F.instance_norm(tensor(2, 3, 4), use_input_stats=False), "needs running_mean and running_var"),
    (lambda: F.local_response_norm(tensor(2, 3, 4), 0), "size must be at least 1, got 0"),
    (lambda: F.local_response_norm(tensor(2, 3), 2), r"expected input \(N, C, L, ...\)"),
]


@pytest.mark.parametrize("call, message", BAD)
def test_bad_arguments(call, message):
    with pytest.raises(ValueError, match=message):
        call()
