"""Containers: indexing, order, names, and the fusion of layers with the activation that follows."""

from __future__ import annotations

from collections import OrderedDict

import numpy as np
import pytest

import pynet
import pynet.nn.functional as F
from pynet import nn
from pynet.autograd import Tensor, listen, unfused


def names(container):
    return [name for name, _ in container.named_children()]


def test_sequential_runs_in_order_and_is_the_identity_when_empty():
    x = Tensor(np.ones((2, 3)))
    assert nn.Sequential()(x) is x

    class Add(nn.Module):
        def forward(self, x):
            return x + 1

    class Double(nn.Module):
        def forward(self, x):
            return x * 2

    assert nn.Sequential(Add(), Double())(3) == 8
    assert nn.Sequential(OrderedDict(twice=Double(), plus=Add()))(3) == 7


def test_sequential_names_and_attributes():
    model = nn.Sequential(OrderedDict(conv=nn.Conv2d(1, 2, 3), act=nn.ReLU()))
    assert names(model) == ["conv", "act"]
    assert model.conv is model[0]
    assert model[-1] is model.act
    assert len(model) == 2
    assert list(model) == [model.conv, model.act]
    assert names(model[1:]) == ["act"]
    assert isinstance(model[:1], nn.Sequential)
    assert list(model[:1]) == [model.conv]
    assert not model[5:]


def test_sequential_changes():
    a, b, c, d = nn.ReLU(), nn.Tanh(), nn.Sigmoid(), nn.Identity()
    model = nn.Sequential(a, b)
    assert model.append(c) is model
    assert list(model.insert(1, d)) == [a, d, b, c]
    assert names(model) == ["0", "1", "2", "3"]
    model[0] = c
    assert model[0] is c
    del model[1]
    assert list(model) == [c, b, c]
    assert list(model._modules) == ["0", "1", "2"]
    del model[1:]
    assert list(model) == [c]
    assert list(model.extend([a, b])) == [c, a, b]
    assert list(model + nn.Sequential(d)) == [c, a, b, d]


def test_indices_out_of_range():
    model = nn.Sequential(nn.ReLU())
    with pytest.raises(IndexError, match="Sequential: index 1 is out of range for 1 modules"):
        model[1]
    with pytest.raises(IndexError, match="index -2 is out of range"):
        del model[-2]
    with pytest.raises(IndexError, match="ModuleList: index 3 is out of range for 0 modules"):
        nn.ModuleList().insert(3, nn.ReLU())


def test_containers_hold_modules_only():
    with pytest.raises(TypeError, match="Sequential: the child '1' must be a Module, got function"):
        nn.Sequential(nn.ReLU(), lambda x: x)
    with pytest.raises(TypeError, match="ModuleList: the child '0' must be a Module, got int"):
        nn.ModuleList([3])
    model = nn.Sequential(nn.ReLU(), nn.Tanh())
    with pytest.raises(TypeError, match="must be a Module"):
        model.insert(0, "relu")
    assert len(model) == 2


def test_module_list():
    modules = [nn.Linear(2, 2), nn.ReLU()]
    held = nn.ModuleList(modules)
    assert list(held) == modules
    assert len(list(held.parameters())) == 2
    assert list(held[1:]) == [modules[1]]
    held.insert(0, nn.Tanh())
    assert names(held) == ["0", "1", "2"]
    assert held.pop(0) not in list(held)
    assert list(held + nn.ModuleList([nn.Tanh()]))[:2] == modules
    held[0] = nn.Identity()
    assert isinstance(held[0], nn.Identity)
    with pytest.raises(NotImplementedError, match="ModuleList does not define forward"):
        held(1)


def test_module_dict():
    held = nn.ModuleDict({"a": nn.ReLU(), "b": nn.Linear(2, 2)})
    held["c"] = nn.Tanh()
    assert list(held) == list(held.keys()) == ["a", "b", "c"]
    assert "b" in held
    assert len(held) == 3
    assert [type(m).__name__ for m in held.values()] == ["ReLU", "Linear", "Tanh"]
    assert isinstance(held.pop("a"), nn.ReLU)
    assert list(nn.ModuleDict(held.items())) == ["b", "c"]
    assert list(held.state_dict()) == ["b.weight", "b.bias"]
    with pytest.raises(KeyError, match="'a'"):
        held["a"]
    with pytest.raises(KeyError, match="the attribute 'forward' already exists"):
        held["forward"] = nn.ReLU()
    held.clear()
    assert len(held) == 0


def test_reprs():
    assert repr(nn.Sequential()) == "Sequential()"
    assert repr(nn.ModuleDict({"a": nn.ReLU()})) == "ModuleDict(\n  (a): ReLU()\n)"
    modules = [nn.ReLU(), nn.ReLU(), nn.Sequential(nn.Tanh()), nn.Sequential(nn.Tanh()), nn.ReLU()]
    assert repr(nn.ModuleList(modules)) == (
        "ModuleList(\n  (0-1): 2 x ReLU()\n  (2-3): 2 x Sequential(\n    (0): Tanh()\n  )\n  (4): ReLU()\n)"
    )


# Fusion.

ACTIVATIONS = [nn.ReLU(), nn.LeakyReLU(0.2), nn.ELU(0.7), nn.Sigmoid(), nn.Tanh()]


def operations(out):
    """(name, fused activation) of the recorded operations that lead to `out`."""
    found, stack = [], [out.grad_fn]
    while stack:
        node = stack.pop()
        if hasattr(node, "operation"):
            found.append(
                (node.name, node.attributes.get("activation") if node.name in ("conv2d", "linear") else None)
            )
            stack.extend(node.next_functions)
    return found


def layers():
    return {
        "linear": (nn.Linear(6, 4, dtype=np.float64), (3, 6)),
        "conv2d": (nn.Conv2d(2, 4, 3, padding="same", dtype=np.float64), (2, 2, 5, 5)),
    }


@pytest.mark.parametrize("kind", ["linear", "conv2d"])
@pytest.mark.parametrize("activation", ACTIVATIONS, ids=lambda m: type(m).__name__)
def test_a_layer_takes_the_activation_along(kind, activation):
    layer, shape = layers()[kind]
    model = nn.Sequential(layer, activation)
    rng = np.random.default_rng(0)
    gradient = rng.normal(size=layer(Tensor(np.zeros(shape))).shape)
    results = []
    for fuse in (True, False):
        x = pynet.tensor(np.random.default_rng(1).normal(size=shape), requires_grad=True)
        model.zero_grad()
        if fuse:
            out = model(x)
            assert [name for name, _ in operations(out)] == [kind]
            assert operations(out)[0][1] != "none"
        else:
            with unfused():
                out = model(x)
            assert len(operations(out)) == 2
        out.backward(Tensor(gradient))
        results.append([out.array, x.grad.array, layer.weight.grad.array, layer.bias.grad.array])
    for fused, plain in zip(*results, strict=True):
        np.testing.assert_allclose(fused, plain, rtol=1e-13, atol=1e-14)


def test_listeners_hear_the_ordinary_operations():
    heard = []
    layer, shape = layers()["linear"]
    with listen(lambda name, attributes, inputs, outputs: heard.append(name)):
        nn.Sequential(layer, nn.ReLU())(Tensor(np.zeros(shape)))
    assert heard == ["linear", "relu"]


def test_whoever_wrote_the_forward():
    layer, shape = layers()["conv2d"]
    x = pynet.tensor(np.ones(shape))
    for out in (
        F.relu(layer(x)),
        F.relu(F.conv2d(x, layer.weight, layer.bias, padding="same")),
        nn.ReLU()(layer(x)),
        layer(x).relu(),
    ):
        assert operations(out) == [("conv2d", "relu")]


def test_hooks_see_what_they_would_see():
    """A hook that keeps or reads the layer's output stops the fusion of it; one that does not, does not."""
    layer, shape = layers()["linear"]
    model = nn.Sequential(layer, nn.ReLU())
    x = pynet.tensor(np.random.default_rng(0).normal(size=shape))
    with unfused():
        plain, expected = layer(x).array, model(x).array
    kept = []
    for hook, names in (
        (lambda m, args, out: None, ["linear"]),
        (lambda m, args, out: kept.append(out), ["relu", "linear"]),
        (lambda m, args, out: kept.append(out.array), ["relu", "linear"]),
        (lambda m, args, out: out * 1.0, ["relu", "multiply", "linear"]),
    ):
        with layer.register_forward_hook(hook):
            out = model(x)
        assert [name for name, _ in operations(out)] == names
        np.testing.assert_allclose(out.array, expected, rtol=1e-15)
    for seen in kept:
        np.testing.assert_array_equal(getattr(seen, "array", seen), plain)


def test_fusion_in_a_longer_chain():
    model = nn.Sequential(
        nn.Linear(6, 6),
        nn.Linear(6, 5),
        nn.ReLU(),
        nn.ReLU(),
        nn.Flatten(),
        nn.Linear(5, 4),
        nn.Tanh(),
        nn.Linear(4, 2),
    ).double()
    x = pynet.tensor(np.random.default_rng(0).normal(size=(3, 6)))
    out = model(x)
    fused = [entry for entry in operations(out) if entry[0] != "reshape"]
    assert fused == [
        ("linear", "none"),
        ("linear", "tanh"),
        ("relu", None),
        ("linear", "relu"),
        ("linear", "none"),
    ]
    expected = x
    for module in model:
        expected = module(expected)
    np.testing.assert_allclose(out.array, expected.array, rtol=1e-13)
