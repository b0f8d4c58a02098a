"""Module: registration, attributes, walking, conversion, copying, hooks, printing."""

from __future__ import annotations

import copy
import gc
import pickle
import weakref

import numpy as np
import pytest

from pynet import nn
from pynet.autograd import Tensor


class Block(nn.Module):
    """A module with everything: parameters, buffers, children, one of them shared."""

    def __init__(self):
        super().__init__()
        self.scale = nn.Parameter(np.ones(3))
        self.register_buffer("mean", Tensor(np.zeros(3)))
        self.register_buffer("scratch", Tensor(np.zeros(2)), persistent=False)
        self.first = nn.Linear(3, 3, dtype=np.float64)
        self.second = nn.Sequential(nn.ReLU(), self.first)
        self.nothing = None

    def forward(self, x):
        return self.second(self.first(x))


def x(*shape):
    return Tensor(np.random.default_rng(0).normal(size=shape))


# Registration.


def test_walking_goes_in_order_and_counts_shared_things_once():
    block = Block()
    assert [name for name, _ in block.named_parameters()] == ["scale", "first.weight", "first.bias"]
    assert [name for name, _ in block.named_parameters(prefix="p")] == [
        "p.scale",
        "p.first.weight",
        "p.first.bias",
    ]
    assert [name for name, _ in block.named_parameters(recurse=False)] == ["scale"]
    assert [name for name, _ in block.named_parameters(remove_duplicate=False)] == [
        "scale",
        "first.weight",
        "first.bias",
        "second.1.weight",
        "second.1.bias",
    ]
    assert [name for name, _ in block.named_buffers()] == ["mean", "scratch"]
    assert [name for name, _ in block.named_modules()] == ["", "first", "second", "second.0"]
    assert [name for name, _ in block.named_children()] == ["first", "second"]
    assert len(list(block.parameters())) == 3
    assert len(list(block.buffers())) == 2
    assert list(block.children()) == [block.first, block.second]
    assert block.get_submodule("second.1") is block.first
    with pytest.raises(AttributeError, match="Sequential has no module '7'"):
        block.get_submodule("second.7")


def test_assigning_in_place_of_a_parameter_or_child_keeps_its_position():
    block = Block()
    new = nn.Parameter(np.zeros(3))
    block.scale = new
    block.first = nn.Identity()
    assert block.scale is new
    assert list(dict(block.named_children())) == ["first", "second"]
    assert next(block.named_parameters())[0] == "scale"


def test_a_parameter_takes_the_place_of_an_attribute_and_of_a_child():
    block = Block()
    block.nothing = nn.Parameter(np.zeros(1))
    assert "nothing" in dict(block.named_parameters())
    block.first = nn.Parameter(np.zeros(1))
    assert "first" in dict(block.named_parameters())
    assert "first" not in dict(block.named_children())


def test_deleting():
    block = Block()
    del block.scale, block.scratch, block.second
    assert not hasattr(block, "scale")
    assert list(block.state_dict()) == ["mean", "first.weight", "first.bias"]
    with pytest.raises(AttributeError, match="'Block' object has no attribute 'scale'"):
        block.scale  # noqa: B018
    with pytest.raises(AttributeError):
        del block.scale


def test_none_in_place_of_a_parameter():
    layer = nn.Linear(2, 3)
    layer.bias = None
    assert layer.bias is None
    assert list(layer.state_dict()) == ["weight"]


@pytest.mark.parametrize(
    ("name", "value", "message"),
    [
        ("scale", 3.0, "Block: cannot assign a float to the parameter 'scale', only a Parameter or None"),
        ("scale", Tensor(np.ones(3)), "cannot assign a Tensor to the parameter 'scale'"),
        ("mean", np.zeros(3), "cannot assign a ndarray to the buffer 'mean', only a Tensor or None"),
        ("first", len, "cannot assign a builtin_function_or_method to the child module 'first'"),
    ],
)
def test_assigning_something_else(name, value, message):
    with pytest.raises(TypeError, match=message):
        setattr(Block(), name, value)


def test_registering_what_does_not_fit():
    block = Block()
    with pytest.raises(
        TypeError, match=r"cannot register a Tensor as the parameter 'w'; wrap it: Parameter\(...\)"
    ):
        block.register_parameter("w", Tensor(np.ones(1)))
    with pytest.raises(TypeError, match="cannot register a ndarray as the buffer 'b'"):
        block.register_buffer("b", np.ones(1))
    with pytest.raises(TypeError, match="the child 'm' must be a Module, got type"):
        block.add_module("m", nn.ReLU)
    with pytest.raises(KeyError, match=r"neither empty nor hold a dot, got 'a.b'"):
        block.register_parameter("a.b", None)
    with pytest.raises(KeyError, match="neither empty nor hold a dot, got ''"):
        block.add_module("", nn.ReLU())
    with pytest.raises(KeyError, match="the attribute 'first' already exists"):
        block.register_buffer("first", None)
    with pytest.raises(KeyError, match="the attribute 'forward' already exists"):
        block.register_module("forward", nn.ReLU())
    with pytest.raises(TypeError, match="a name must be a str, got 1"):
        block.add_module(1, nn.ReLU())


def test_a_module_inside_itself():
    block = Block()
    with pytest.raises(ValueError, match="Block: cannot hold Block as 'me'"):
        block.me = block
    with pytest.raises(
        ValueError, match="Linear: cannot hold Block as 'parent', since that is or contains the module itself"
    ):
        block.first.parent = block
    inner = nn.Sequential()
    with pytest.raises(ValueError, match="is or contains the module itself"):
        inner.append(nn.Sequential(inner))


@pytest.mark.parametrize("value", [nn.Parameter(np.ones(1)), nn.ReLU()])
def test_assigning_before_the_base_class_is_initialised(value):
    class Hasty(nn.Module):
        def __init__(self):
            self.early = value

    with pytest.raises(AttributeError, match=r"Hasty: call super\(\).__init__\(\) before assigning 'early'"):
        Hasty()


def test_a_module_without_forward():
    with pytest.raises(NotImplementedError, match=r"Module does not define forward\(\)"):
        nn.Module()(1)


# Modes, gradients, conversion.


def test_train_eval_and_apply_reach_everything():
    block, seen = Block(), []
    assert block.eval() is block
    assert not any(module.training for module in block.modules())
    block.train()
    assert all(module.training for module in block.modules())
    assert block.apply(lambda module: seen.append(type(module).__name__)) is block
    assert seen == ["Linear", "ReLU", "Linear", "Sequential", "Block"]
    with pytest.raises(ValueError, match="mode must be a bool, got 1"):
        block.train(1)


def test_requires_grad_and_zero_grad():
    block = Block()
    block(x(2, 3)).backward(Tensor(np.ones((2, 3))))
    grads = [p.grad for p in block.first.parameters()]
    assert all(np.any(g.array != 0) for g in grads)
    block.zero_grad(set_to_none=False)
    assert all(
        p.grad is g and not g.array.any() for p, g in zip(block.first.parameters(), grads, strict=True)
    )
    block.zero_grad()
    assert all(p.grad is None for p in block.parameters())
    assert block.requires_grad_(False) is block
    assert not any(p.requires_grad for p in block.parameters())


def test_conversion_keeps_identity_values_and_gradients():
    norm = nn.BatchNorm1d(3)
    weight = norm.weight
    weight.grad = Tensor(np.ones(3, np.float32))
    assert norm.double() is norm
    assert norm.weight is weight
    assert weight.dtype == weight.grad.dtype == norm.running_mean.dtype == np.float64
    assert norm.num_batches_tracked.dtype == np.int64
    assert norm.to("cpu").weight.dtype == np.float64
    assert norm.to(np.float32).weight.dtype == np.float32
    assert norm.to("cpu", "float64").weight.dtype == np.float64
    assert norm.to(dtype=np.dtype("f4"), device="cpu").weight.dtype == np.float32
    assert norm.double().float().weight.array.tolist() == [1, 1, 1]


def test_conversion_to_what_there_is_not():
    with pytest.raises(ValueError, match="runs on the CPU, there is no device 'cuda:0'"):
        nn.ReLU().to("cuda:0")
    with pytest.raises(TypeError, match=r"parameters are float32 or float64, got <class 'numpy.float16'>"):
        nn.Linear(1, 1).to(np.float16)
    with pytest.raises(ValueError, match="Linear: pynet runs on the CPU"):
        nn.Linear(1, 1, device="cuda")


# Copies.


def test_deepcopy_copies_values_and_keeps_sharing():
    block = Block()
    twin = copy.deepcopy(block)
    assert twin.second[1] is twin.first
    assert twin.first is not block.first
    np.testing.assert_array_equal(twin.first.weight.array, block.first.weight.array)
    twin.first.weight.array[...] = 0
    assert block.first.weight.array.any()
    np.testing.assert_array_equal(twin(x(2, 3)).array, np.tile(twin.first.bias.array, (2, 1)))


def test_pickle_round_trip():
    model = nn.Sequential(
        nn.Conv2d(2, 3, 2, dtype=np.float64), nn.Flatten(), nn.Linear(12, 2, dtype=np.float64)
    )
    twin = pickle.loads(pickle.dumps(model))
    assert repr(twin) == repr(model)
    image = x(1, 2, 3, 3)
    np.testing.assert_array_equal(twin(image).array, model(image).array)
    assert all(isinstance(p, nn.Parameter) and p.requires_grad for p in twin.parameters())


def test_modules_are_freed_without_the_collector():
    gc.disable()
    try:
        model = nn.Sequential(nn.Linear(2, 2), nn.ReLU())
        ghost = weakref.ref(model[0])
        del model
        assert ghost() is None
    finally:
        gc.enable()


# Hooks.


def test_hooks_run_in_order_and_may_replace():
    layer, log = nn.Identity(), []
    layer.register_forward_pre_hook(lambda m, args: log.append("pre") or (args[0] + 1,))
    layer.register_forward_pre_hook(lambda m, args: log.append("first"), prepend=True)
    handle = layer.register_forward_hook(lambda m, args, out: log.append((args, out)) or out * 10)
    assert layer(1) == 20
    assert log == ["first", "pre", ((2,), 2)]
    handle.remove()
    handle.remove()
    assert layer(1) == 2


def test_hooks_with_keywords_and_as_context():
    class Sum(nn.Module):
        def forward(self, a, b=0):
            return a + b

    module = Sum()
    module.register_forward_pre_hook(lambda m, args, kwargs: (args, {"b": kwargs["b"] * 2}), with_kwargs=True)
    with module.register_forward_hook(lambda m, args, kwargs, out: (out, kwargs), with_kwargs=True):
        assert module(1, b=3) == (7, {"b": 6})
    assert module(1, b=3) == 7


def test_bad_hooks():
    with pytest.raises(TypeError, match="ReLU: a hook must be callable, got int"):
        nn.ReLU().register_forward_hook(3)
    module = nn.Identity()
    module.register_forward_pre_hook(lambda m, args, kwargs: 5, with_kwargs=True)
    with pytest.raises(RuntimeError, match=r"must return None or \(args, kwargs\), got int"):
        module(1)


def test_hooks_of_a_copy_are_its_own():
    layer, log = nn.Identity(), []
    layer.register_forward_hook(lambda m, args, out: log.append(m))
    twin = copy.deepcopy(layer)
    handle = twin.register_forward_hook(lambda m, args, out: log.append("twin"))
    layer(1)
    assert log == [layer]
    twin(1)
    assert log == [layer, twin, "twin"]
    handle.remove()


def test_full_backward_hook():
    layer, seen = nn.Linear(3, 2, dtype=np.float64), []
    handle = layer.register_full_backward_hook(
        lambda m, grad_in, grad_out: seen.append((m, grad_in, grad_out))
    )
    data = x(4, 3)
    data.requires_grad = True
    out = layer(data)
    out.backward(Tensor(np.full((4, 2), 2.0)))
    ((module, grad_in, grad_out),) = seen
    assert module is layer
    np.testing.assert_array_equal(grad_out[0].array, np.full((4, 2), 2.0))
    np.testing.assert_allclose(grad_in[0].array, data.grad.array)
    handle.remove()
    layer.register_full_backward_hook(lambda m, grad_in, grad_out: (Tensor(np.zeros((4, 3))),))
    data.grad = None
    layer(data).backward(Tensor(np.ones((4, 2))))
    assert not data.grad.array.any()
    assert layer.weight.grad is not None
    assert len(seen) == 1


def test_full_backward_hook_on_an_input_without_gradient():
    layer, seen = nn.Linear(3, 2, dtype=np.float64), []
    layer.register_full_backward_hook(lambda m, grad_in, grad_out: seen.append((grad_in, grad_out[0].shape)))
    layer(x(4, 3)).backward(Tensor(np.ones((4, 2))))
    assert seen == [((None,), (4, 2))]


# Printing.


def test_repr_nests():
    class Net(nn.Module):
        def __init__(self):
            super().__init__()
            self.features = nn.Sequential(nn.Conv2d(1, 6, 5), nn.Sequential(nn.Tanh()))
            self.gone = nn.ReLU()
            self.gone = None

        def extra_repr(self):
            return "a=1\nb=2"

    assert repr(Net()) == (
        "Net(\n  a=1\n  b=2\n  (features): Sequential(\n    (0): Conv2d(1, 6, kernel_size=(5, 5), "
        "stride=(1, 1))\n"
        "    (1): Sequential(\n      (0): Tanh()\n    )\n  )\n  (gone): None\n)"
    )


def test_dir_lists_what_was_registered():
    assert {"scale", "mean", "first"} <= set(dir(Block()))
