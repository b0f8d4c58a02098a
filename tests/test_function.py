"""Operations of the user's own: `autograd.Function`."""

from __future__ import annotations

import numpy as np
import pytest

import pynet
from pynet import gradcheck, nn
from pynet.autograd import Function


class Scaled(Function):
    """x * y * factor, with a factor that takes no gradient."""

    @staticmethod
    def forward(ctx, x, y, factor):
        ctx.save_for_backward(x, y)
        ctx.factor = factor
        return x * y * factor

    @staticmethod
    def backward(ctx, grad):
        x, y = ctx.saved_tensors
        needs = ctx.needs_input_grad
        return (
            grad * y * ctx.factor if needs[0] else None,
            grad * x * ctx.factor if needs[1] else None,
            None,
        )


class Reversed(Function):
    """The identity whose gradient changes its sign."""

    @staticmethod
    def forward(ctx, x):
        return x.view_as(x)

    @staticmethod
    def backward(ctx, grad):
        return -grad


class Parts(Function):
    """Two results, of which the second carries no gradient; filled by setup_context."""

    @staticmethod
    def forward(x):
        return x * 2, x > 0, x * 3

    @staticmethod
    def setup_context(ctx, inputs, output):
        ctx.mark_non_differentiable(output[1])
        ctx.seen = inputs

    @staticmethod
    def backward(ctx, doubled, sign, tripled):
        return doubled * 2 + tripled * 3


def draw(*shape):
    return pynet.tensor(np.random.default_rng(1).standard_normal(shape), requires_grad=True)


def test_gradients_and_constants():
    x, y = draw(3, 2), draw(3, 2)
    np.testing.assert_array_equal(Scaled.apply(x, y, 2.0).array, x.array * y.array * 2)
    assert gradcheck(lambda a, b: Scaled.apply(a, b, 2.0), (x, y))
    y.requires_grad = False
    assert gradcheck(lambda a: Scaled.apply(a * 3, y, 0.5), (x,))


def test_identity_does_not_share_memory():
    x = pynet.ones(3, requires_grad=True)
    out = Reversed.apply(x)
    assert not np.may_share_memory(out.array, x.array)
    out.sum().backward()
    assert x.grad.tolist() == [-1.0] * 3


def test_several_results():
    x = draw(4)
    a, b, c = Parts.apply(x)
    assert a.requires_grad and c.requires_grad and not b.requires_grad and b.dtype == bool
    c.sum().backward()  # the unused result's gradient is zeros
    assert x.grad.tolist() == [3.0] * 4
    assert gradcheck(lambda t: Parts.apply(t)[0] + Parts.apply(t)[2], (x,))


def test_inside_a_network_and_without_gradients():
    pynet.manual_seed(0)
    layer = nn.Linear(3, 2)
    x = pynet.randn(5, 3)
    Reversed.apply(layer(x)).sum().backward()
    flipped = layer.weight.grad.array.copy()
    layer.zero_grad()
    layer(x).sum().backward()
    np.testing.assert_array_equal(flipped, -layer.weight.grad.array)
    with pynet.no_grad():
        assert not Reversed.apply(layer(x)).requires_grad
    seen = []

    class Watching(Reversed):
        @staticmethod
        def forward(ctx, t):
            seen.append((pynet.is_grad_enabled(), ctx.needs_input_grad))
            return t * 1

    Watching.apply(pynet.ones(1, requires_grad=True))
    assert seen == [(False, (True,))]


def failing(forward=None, backward=None):
    class Failing(Function):
        pass

    Failing.forward = staticmethod(forward or (lambda ctx, x: x * 2))
    Failing.backward = staticmethod(backward or (lambda ctx, g: g))
    return Failing


def test_errors():
    x = pynet.ones(3, requires_grad=True)
    with pytest.raises(TypeError, match=r"Failing.forward must return a Tensor or a tuple of them, got list"):
        failing(lambda ctx, x: [x]).apply(x)
    with pytest.raises(
        RuntimeError, match=r"returned a gradient of shape .2,. for an argument of shape .3,."
    ):
        failing(backward=lambda ctx, g: g[:2]).apply(x).sum().backward()
    with pytest.raises(RuntimeError, match="returned 2 gradients for 1 arguments"):
        failing(backward=lambda ctx, g: (g, g)).apply(x).sum().backward()
    with pytest.raises(TypeError, match="backward must return Tensors or None, got float"):
        failing(backward=lambda ctx, g: 1.0).apply(x).sum().backward()
    with pytest.raises(NotImplementedError, match="may not write in place"):
        failing(lambda ctx, x: ctx.mark_dirty(x)).apply(x)
    with pytest.raises(TypeError, match="expected Tensors or None, got int"):
        failing(lambda ctx, x: ctx.save_for_backward(3)).apply(x)
    with pytest.raises(NotImplementedError, match="defines the static method forward"):
        Function.apply(x)
