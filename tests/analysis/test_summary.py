"""Summaries: sizes and arithmetic by hand, and the counted memory beside the pool's high-water mark."""

from __future__ import annotations

import gc

import numpy as np
import pytest

import pynet
import pynet.nn.functional as F
from pynet import models, nn


class Shared(nn.Module):
    """One layer used twice, a product of the forward's own, and a branch."""

    def __init__(self):
        super().__init__()
        self.inner = nn.Linear(6, 6, bias=False)
        self.unused = nn.ReLU()

    def forward(self, x):
        y = self.inner(self.inner(x))
        return y + x @ pynet.ones(6, 6)


class Net(nn.Module):
    """What users write: functions between modules, a concatenation, two outputs."""

    def __init__(self):
        super().__init__()
        self.first, self.second = nn.Conv2d(3, 20, 3, padding=1), nn.Conv2d(3, 12, 5, padding=2)
        self.norm, self.last = nn.BatchNorm2d(32), nn.Conv2d(32, 24, 1)
        self.head = nn.Linear(24, 5)

    def forward(self, x):
        both = pynet.cat([F.relu(self.first(x)), F.leaky_relu(self.second(x))], dim=1)
        maps = F.max_pool2d(F.gelu(self.norm(both)) + both, 2)
        maps = F.relu(self.last(maps))
        return self.head(F.dropout(maps.mean((2, 3)), 0.5, self.training)), maps


def test_sizes_and_arithmetic_by_hand():
    model = nn.Sequential(
        nn.Conv2d(3, 8, 3, padding=1, groups=1), nn.ReLU(), nn.Flatten(), nn.Linear(8 * 6 * 7, 10)
    )
    model[0].weight.requires_grad_(False)
    found = pynet.summary(model, (4, 3, 6, 7))
    assert [layer.output for layer in found.layers[1:3]] == ["(4, 8, 6, 7)", "(4, 8, 6, 7)"]
    assert found.layers[1].parameters == 3 * 8 * 9 + 8 and found.layers[1].trainable == 8
    assert found.layers[1].flop == 2 * 4 * 8 * 6 * 7 * 27 and found.layers[4].flop == 2 * 4 * 336 * 10
    assert found.flop == found.layers[1].flop + found.layers[4].flop
    assert found.parameters == sum(p.numel() for p in model.parameters())
    text = str(found)
    assert "3,370" in text and "216 are frozen" in text and "(4, 8, 6, 7)" in text


def test_shared_and_uncalled_modules_and_products_in_a_forward():
    found = pynet.summary(Shared(), (5, 6))
    assert [(layer.path, layer.calls, layer.flop) for layer in found.layers] == [
        ("", 1, 2 * 5 * 6 * 6), ("inner", 2, 2 * 2 * 5 * 6 * 6), ("unused", 0, 0)
    ]  # fmt: skip
    assert found.parameters == 36 and "Linear x2" in str(found) and "(not called)" in str(found)


@pytest.mark.parametrize(
    ("build", "shape"),
    [
        (lambda: models.create("mlp"), (128, 1, 28, 28)),
        (lambda: models.create("lenet5"), (64, 1, 28, 28)),
        (lambda: models.create("vgg_small"), (32, 3, 32, 32)),
        (lambda: models.create("resnet20"), (16, 3, 32, 32)),
        (lambda: models.create("small_cnn"), (64, 1, 28, 28)),
        (Net, (16, 3, 30, 30)),
    ],
)
def test_the_count_is_the_pools_high_water_mark(build, shape):
    model, x = build(), pynet.randn(*shape)
    counted = pynet.summary(model, [x])
    gc.collect()
    for _ in range(2):  # the first step may still make what is kept
        for parameter in model.parameters():
            parameter.grad = None
        gc.collect()
        before = pynet.runtime.memory_stats()["in_use_bytes"]
        pynet.runtime.reset_peak_memory()
        output = model(x)
        output = output[0] if isinstance(output, tuple) else output
        F.cross_entropy(output, pynet.zeros(shape[0], dtype=pynet.int64)).backward()
        measured = pynet.runtime.memory_stats()["peak_bytes"] - before
        del output
    # Weights and the input were there before.
    assert counted.peak_bytes - counted.weight_bytes - counted.input_bytes == pytest.approx(measured, rel=0.1)


def test_nothing_is_changed():
    model = Net()
    weights = {key: value.numpy().copy() for key, value in model.state_dict().items()}
    model.eval()
    pynet.manual_seed(3)
    expected = pynet.rand(4).tolist()
    pynet.manual_seed(3)
    pynet.summary(model, (2, 3, 8, 8), optimizer_states=2)
    assert pynet.rand(4).tolist() == expected
    assert not any(module.training for module in model.modules())
    assert all(np.array_equal(weights[key], value.numpy()) for key, value in model.state_dict().items())
    assert all(parameter.grad is None for parameter in model.parameters())


def test_the_optimizers_state_counts():
    model = nn.Linear(1000, 1000)
    plain, adam = (pynet.summary(model, (1, 1000), optimizer_states=n) for n in (0, 2))
    assert adam.peak_bytes - plain.peak_bytes == adam.optimizer_bytes == 2 * adam.gradient_bytes > 8e6


def test_float64_and_several_inputs():
    bilinear = nn.ModuleDict({"a": nn.Linear(3, 4), "b": nn.Linear(5, 4)}).double()
    bilinear.forward = lambda x, y: bilinear["a"](x) * bilinear["b"](y)
    found = pynet.summary(bilinear, [(2, 3), pynet.ones(2, 5, dtype=pynet.float64)])
    assert found.input_shapes == [(2, 3), (2, 5)] and found.flop == 2 * 2 * (3 + 5) * 4


@pytest.mark.parametrize(
    ("arguments", "error", "sentence"),
    [
        ((nn.ReLU(), (0, 3)), ValueError, r"positive integers with the batch first, .* got \(0, 3\)"),
        ((nn.ReLU(), ("a",)), ValueError, "positive integers"),
        ((lambda x: x, (1, 3)), TypeError, "model must be a Module, got function"),
    ],
)
def test_what_cannot_be_summarised(arguments, error, sentence):
    with pytest.raises(error, match=sentence):
        pynet.summary(*arguments)
    with pytest.raises(ValueError, match="optimizer_states must be an integer of at least 0, not -1"):
        pynet.summary(nn.ReLU(), (1, 2), optimizer_states=-1)
