"""What programs do with modules: lists of parameters, look-up by name, assigning states, fusing, copying."""

from __future__ import annotations

import copy
import pickle

import numpy as np
import pytest

import pynet
from pynet import nn
from pynet.nn.utils import (
    fuse_conv_bn_eval,
    fuse_conv_bn_weights,
    fuse_linear_bn_eval,
    fuse_linear_bn_weights,
)


class Net(nn.Module):
    def __init__(self):
        super().__init__()
        self.scales = nn.ParameterList([nn.Parameter(np.ones(2, np.float32)) for _ in range(3)])
        self.named = nn.ParameterDict({"left": pynet.zeros(2), "right": nn.Parameter(np.ones(1, np.float32))})
        self.layers = nn.ModuleDict({"one": nn.Linear(2, 2), "two": nn.Embedding(3, 2)})
        self.register_buffer("steps", pynet.zeros(1))
        self.register_buffer("cache", pynet.zeros(1), persistent=False)
        self.register_parameter("absent", None)

    def forward(self, x):
        for scale in self.scales:
            x = x * scale
        return self.layers["one"](x) + self.named["left"]


def test_lists_of_parameters():
    net = Net()
    names = [n for n, _ in net.named_parameters()]
    assert names[:5] == ["scales.0", "scales.1", "scales.2", "named.left", "named.right"]
    assert "cache" not in net.state_dict() and "steps" in net.state_dict()
    net(pynet.ones(1, 2)).sum().backward()
    assert net.scales[-1].grad is not None and net.named["left"].grad.tolist() == [1.0, 1.0]
    net.scales.append(pynet.ones(1))
    net.scales += [pynet.ones(2)]
    net.scales[0] = pynet.zeros(4)
    assert len(net.scales) == 5 and net.scales[0].shape == (4,) and len(net.scales[1:3]) == 2
    assert isinstance(net.scales[0], nn.Parameter) and net.scales[0].requires_grad
    net.named["third"] = pynet.ones(3)
    assert list(net.named) == ["left", "right", "third"] and "left" in net.named
    assert net.named.pop("third").shape == (3,) and net.named.get("third") is None
    with pytest.raises(IndexError, match="index 9 is out of range for 5 parameters"):
        net.scales[9]
    with pytest.raises(TypeError, match="expected a Parameter or Tensor, got int"):
        net.scales.append(3)
    with pytest.raises(KeyError, match="neither empty nor hold a dot"):
        net.named["a.b"] = pynet.ones(1)
    assert repr(nn.ParameterList([pynet.ones(2, 3)])) == (
        "ParameterList(\n  (0): Parameter containing: [float32 of size 2x3]\n)"
    )


def test_states_go_to_pytorch_and_back():
    torch = pytest.importorskip("torch")
    theirs = torch.nn.ParameterList([torch.ones(2), torch.zeros(3)])
    ours = nn.ParameterList([pynet.zeros(2), pynet.ones(3)])
    ours.load_state_dict({k: v.detach().numpy() for k, v in theirs.state_dict().items()})
    assert ours[0].tolist() == [1.0, 1.0] and list(ours.state_dict()) == list(theirs.state_dict())
    names = list(torch.nn.ParameterDict({"b": torch.ones(1), "a": torch.ones(1)}).state_dict())
    assert sorted(nn.ParameterDict({"b": pynet.ones(1), "a": pynet.ones(1)}).state_dict()) == sorted(names)


def test_look_up_by_name():
    net = Net()
    assert net.get_submodule("layers.one") is net.layers["one"]
    assert net.get_parameter("layers.one.weight") is net.layers["one"].weight
    assert net.get_buffer("steps") is net.steps
    for call in (
        lambda: net.get_parameter("layers.one.width"),
        lambda: net.get_parameter("absent"),
        lambda: net.get_buffer("layers.one.weight"),
        lambda: net.get_submodule("layers.three"),
    ):
        with pytest.raises(AttributeError, match="has no"):
            call()


def test_a_state_may_be_assigned():
    net, other = Net(), Net().double()
    with pynet.no_grad():
        other.scales[0].fill_(7.0)
    net.named["right"].requires_grad_(False)
    state = other.state_dict()
    state["steps"] = pynet.tensor([5.0])
    net.load_state_dict(state, assign=True)
    assert net.scales[0].dtype == np.float64 and net.scales[0].tolist() == [7.0, 7.0]
    assert isinstance(net.scales[0], nn.Parameter) and net.scales[0].requires_grad
    assert not net.named["right"].requires_grad and net.steps is state["steps"]
    assert np.shares_memory(net.scales[1].array, other.scales[1].array)
    with pytest.raises(RuntimeError, match="size mismatch"):
        net.load_state_dict({**state, "steps": pynet.zeros(9)}, assign=True)


def test_copies_and_pickles():
    net = Net()
    net(pynet.ones(1, 2)).sum().backward()
    x = pynet.ones(1, 2)
    for twin in (copy.deepcopy(net), pickle.loads(pickle.dumps(net))):
        np.testing.assert_array_equal(twin(x).array, net(x).array)
        assert twin.scales[0] is not net.scales[0] and list(twin.state_dict()) == list(net.state_dict())
    tensor = pynet.tensor([1.0, 2.0], requires_grad=True)
    twin = pickle.loads(pickle.dumps(tensor))
    assert twin.tolist() == [1.0, 2.0] and twin.requires_grad and type(twin) is pynet.Tensor
    maps = pickle.loads(pickle.dumps(nn.Conv2d(2, 3, 3)))
    assert maps(pynet.ones(1, 2, 4, 4)).shape == (1, 3, 2, 2)


def test_types_and_devices():
    net = Net()
    assert net.type(pynet.float64) is net and net.scales[0].dtype == np.float64
    assert net.float().cpu().steps.dtype == np.float32
    assert net.to("cpu", non_blocking=True) is net
    assert net.to(pynet.zeros(1, dtype=pynet.float64)).steps.dtype == np.float64


@pytest.mark.parametrize("affine", [True, False])
@pytest.mark.parametrize("bias", [True, False])
def test_fused_layers_compute_the_same(affine, bias):
    pynet.manual_seed(0)
    conv, bn = nn.Conv2d(3, 4, 3, bias=bias), nn.BatchNorm2d(4, affine=affine)
    bn(conv(pynet.randn(8, 3, 6, 6)))  # statistics
    conv.eval(), bn.eval()
    x = pynet.randn(2, 3, 6, 6)
    fused = fuse_conv_bn_eval(conv, bn)
    assert fused is not conv and fused.bias is not None
    np.testing.assert_allclose(fused(x).array, bn(conv(x)).array, rtol=1e-4, atol=1e-5)
    linear, rows = nn.Linear(3, 4, bias=bias), nn.BatchNorm1d(4, affine=affine)
    rows(linear(pynet.randn(16, 3)))
    linear.eval(), rows.eval()
    y = pynet.randn(5, 3)
    np.testing.assert_allclose(
        fuse_linear_bn_eval(linear, rows)(y).array, rows(linear(y)).array, rtol=1e-4, atol=1e-5
    )
    with pytest.raises(ValueError, match="both layers must be in evaluation mode"):
        fuse_conv_bn_eval(conv, nn.BatchNorm2d(4))
    with pytest.raises(ValueError, match="keeps no running statistics"):
        fuse_conv_bn_eval(conv, nn.BatchNorm2d(4, track_running_stats=False).eval())


def test_fused_weights_are_pytorchs():
    torch = pytest.importorskip("torch")
    rng = np.random.default_rng(0)
    w, b = rng.standard_normal((4, 3, 2, 2)), rng.standard_normal(4)
    mean, var, gain, shift = rng.standard_normal(4), rng.random(4) + 0.5, rng.random(4), rng.random(4)
    for weight, ours, theirs in (
        (w, fuse_conv_bn_weights, torch.nn.utils.fuse_conv_bn_weights),
        (w[:, :, 0, 0], fuse_linear_bn_weights, torch.nn.utils.fuse_linear_bn_weights),
    ):
        arrays = (weight, b, mean, var, 1e-5, gain, shift)
        got = ours(*(pynet.tensor(a) if isinstance(a, np.ndarray) else a for a in arrays))
        want = theirs(*(torch.tensor(a) if isinstance(a, np.ndarray) else a for a in arrays))
        for a, t in zip(got, want, strict=True):
            np.testing.assert_allclose(a.array, t.detach().numpy(), rtol=1e-6)
