"""state_dict and load_state_dict: names, sharing, and loading that does everything or nothing."""

from __future__ import annotations

from collections import OrderedDict

import numpy as np
import pytest

from pynet import nn
from pynet.autograd import Tensor


def net():
    return nn.Sequential(nn.Conv2d(1, 2, 3), nn.BatchNorm2d(2), nn.Linear(4, 3))


KEYS = [
    "0.weight",
    "0.bias",
    "1.weight",
    "1.bias",
    "1.running_mean",
    "1.running_var",
    "1.num_batches_tracked",
    "2.weight",
    "2.bias",
]


def values(model):
    return {key: value.array.copy() for key, value in model.state_dict().items()}


def test_names_are_pytorchs_and_arrays_are_shared():
    model = net()
    state = model.state_dict()
    assert isinstance(state, OrderedDict)
    assert list(state) == KEYS
    assert state["0.weight"].array is model[0].weight.array
    assert type(state["0.weight"]) is Tensor
    assert not any(value.requires_grad for value in state.values())
    assert model.state_dict(keep_vars=True)["0.weight"] is model[0].weight
    filled = {"other": 1}
    assert model.state_dict(destination=filled, prefix="net.") is filled
    assert list(filled) == ["other", *("net." + key for key in KEYS)]


def test_buffers_that_are_not_persistent_are_left_out():
    module = nn.Module()
    module.register_buffer("kept", Tensor(np.ones(1)))
    module.register_buffer("left", Tensor(np.ones(1)), persistent=False)
    assert list(module.state_dict()) == ["kept"]
    module.register_buffer("left", Tensor(np.ones(1)))
    assert list(module.state_dict()) == ["kept", "left"]


@pytest.mark.parametrize(
    "convert", [lambda t: t, lambda t: t.array, lambda t: np.asarray(t.array, order="C")]
)
def test_loading_writes_into_the_models_own_memory(convert):
    source, model = net(), net()
    source[1].num_batches_tracked.array[...] = 5
    arrays = [p.array for p in model.parameters()]
    result = model.load_state_dict({key: convert(value) for key, value in source.state_dict().items()})
    assert all(p.array is array for p, array in zip(model.parameters(), arrays, strict=True))
    for key, value in values(source).items():
        np.testing.assert_array_equal(model.state_dict()[key].array, value)
    assert result == ([], [])
    assert repr(result) == "<All keys matched successfully>"


def test_loading_lists_everything_that_is_wrong_and_changes_nothing():
    model = net()
    before = values(model)
    state = values(net())
    del state["0.bias"], state["1.weight"]
    state["3.weight"] = np.zeros(1)
    state["2.weight"] = np.zeros((3, 5), np.float32)
    state["2.bias"] = np.zeros(3, complex)
    with pytest.raises(RuntimeError, match=r"Sequential.load_state_dict: the state does not fit") as caught:
        model.load_state_dict(state)
    message = str(caught.value)
    assert "missing: '0.bias', '1.weight'" in message
    assert "unexpected: '3.weight'" in message
    assert "2.weight: size mismatch, the state has (3, 5) and the module (3, 4)" in message
    assert "2.bias: the state has dtype complex128, which does not convert to float32" in message
    for key, value in values(model).items():
        np.testing.assert_array_equal(value, before[key])


def test_not_strict_loads_what_fits():
    model = net()
    result = model.load_state_dict({"2.bias": np.array([1.0, 2, 3]), "foo": np.ones(1)}, strict=False)
    assert result.missing_keys == KEYS[:-1]
    assert result.unexpected_keys == ["foo"]
    assert repr(result).startswith("IncompatibleKeys(missing_keys=['0.weight'")
    assert model[2].bias.array.tolist() == [1, 2, 3]
    with pytest.raises(RuntimeError, match=r"2.bias: size mismatch"):
        model.load_state_dict({"2.bias": np.zeros(4)}, strict=False)


def test_loading_something_else():
    with pytest.raises(TypeError, match="expected a dict of names, got list"):
        net().load_state_dict([1])
    with pytest.raises(RuntimeError, match=r"1.num_batches_tracked: the state has dtype float64"):
        net().load_state_dict({**values(net()), "1.num_batches_tracked": np.array(1.5)})
    with pytest.raises(RuntimeError, match=r"2.bias: the state has dtype"):
        net().load_state_dict({**values(net()), "2.bias": np.array(["a", "b", "c"])})


def test_loading_between_forward_and_backward_is_noticed():
    layer = nn.Linear(2, 2, dtype=np.float64)
    data = Tensor(np.ones((1, 2)), requires_grad=True)
    out = layer(data)
    layer.load_state_dict(nn.Linear(2, 2).state_dict())
    with pytest.raises(RuntimeError, match="changed in place"):
        out.backward(Tensor(np.ones((1, 2))))
