"""Running sums, order, rolling and lengths: NumPy's results, gradients, NaN, bad arguments."""

from __future__ import annotations

import numpy as np
import pytest

import pynet
from pynet import gradcheck, ops


@pytest.mark.parametrize("dim", [0, 1, -1])
def test_cumsum(dim, make, check_float32):
    x = make(3, 4, 2)
    np.testing.assert_allclose(x.cumsum(dim).detach().numpy(), np.cumsum(x.detach().numpy(), dim))
    assert gradcheck(lambda t: t.cumsum(dim), (x,))
    check_float32(lambda t: ops.cumsum(t, dim), x)
    assert pynet.tensor([True, True]).cumsum(0).tolist() == [1, 2]
    with pytest.raises(IndexError, match="cumsum"):
        x.cumsum(3)


@pytest.mark.parametrize("dim", [0, 1, -1])
@pytest.mark.parametrize("descending", [False, True])
def test_sort(dim, descending, make, check_float32):
    x = make(3, 5, 2)
    values, indices = x.sort(dim, descending)
    expected = np.sort(x.detach().numpy(), dim)
    expected = np.flip(expected, dim) if descending else expected
    np.testing.assert_array_equal(values.detach().numpy(), expected)
    np.testing.assert_array_equal(np.take_along_axis(x.detach().numpy(), indices.numpy(), dim % 3), expected)
    assert ops.argsort(x, dim, descending).tolist() == indices.tolist()
    assert gradcheck(lambda t: t.sort(dim, descending).values, (x,))
    check_float32(lambda t: ops.sort(t, dim, descending).values, x)


def test_equal_elements_stay_as_they_came_and_nan_is_the_largest():
    x = pynet.tensor([2.0, 1.0, 2.0, float("nan"), 1.0])
    assert x.sort().indices.tolist() == [1, 4, 0, 2, 3]
    assert x.sort(descending=True).indices.tolist() == [3, 0, 2, 1, 4]
    assert pynet.tensor(3.0).sort().values.item() == 3.0


@pytest.mark.parametrize("largest", [False, True])
def test_topk(largest, make):
    x = make(4, 6)
    values, indices = x.topk(3, largest=largest)
    expected = (
        np.sort(x.detach().numpy(), 1)[:, ::-1][:, :3] if largest else np.sort(x.detach().numpy(), 1)[:, :3]
    )
    np.testing.assert_array_equal(values.detach().numpy(), expected)
    assert indices.dtype == np.int64 and values.shape == (4, 3)
    assert gradcheck(lambda t: t.topk(2, 0, largest).values, (x,))
    with pytest.raises(ValueError, match="k must be from 0 to 6, the size of axis -1, got 7"):
        x.topk(7)


@pytest.mark.parametrize("shifts, dims", [(1, 0), (-3, 1), ((2, -1), (1, 0)), (4, None)])
def test_roll(shifts, dims, make, check_float32):
    x = make(3, 4)
    np.testing.assert_array_equal(
        x.roll(shifts, dims).detach().numpy(), np.roll(x.detach().numpy(), shifts, dims)
    )
    assert gradcheck(lambda t: t.roll(shifts, dims), (x,))
    check_float32(lambda t: ops.roll(t, shifts, dims), x)
    with pytest.raises(ValueError, match="2 shifts were given for 1 dims"):
        x.roll((1, 2), 0)


@pytest.mark.parametrize("p", [2, "fro", 1, 3, 0.5, float("inf"), -float("inf"), 0])
@pytest.mark.parametrize("dim, keepdim", [(None, False), (1, True), (0, False)])
def test_norm(p, dim, keepdim, make):
    x = make(3, 4, low=0.5)
    array = x.detach().numpy()
    flat = array.reshape(-1) if dim is None else array
    expected = np.linalg.norm(
        flat, ord=None if p == "fro" else p, axis=0 if dim is None else dim, keepdims=keepdim
    )
    np.testing.assert_allclose(x.norm(p, dim, keepdim).detach().numpy(), expected)
    if p != 0:
        assert gradcheck(lambda t: t.norm(p, dim, keepdim), (x,))


def test_the_slope_of_a_length_is_zero_at_zero():
    x = pynet.zeros(3, requires_grad=True)
    x.norm().backward()
    assert x.grad.tolist() == [0, 0, 0]
    with pytest.raises(ValueError, match="a number or \"fro\", got 'nuc'"):
        x.norm("nuc")


EQUATIONS = {
    "ij,jk->ik": [(2, 3), (3, 4)],
    "bij,bjk->bik": [(2, 2, 3), (2, 3, 4)],
    "ij,kj": [(2, 3), (4, 3)],
    "ii->i": [(3, 3)],
    "ii": [(3, 3)],
    "...ij,...jk->...ik": [(5, 2, 3), (3, 4)],
    "i,j->ij": [(2,), (3,)],
    "ijk->kij": [(2, 3, 4)],
    "ij->": [(2, 3)],
    "bn,anm,bm->ba": [(2, 3), (4, 3, 5), (2, 5)],
    "ij,ij->i": [(2, 3), (2, 3)],
    "aab,b->a": [(3, 3, 2), (2,)],
    "i,i->": [(4,), (4,)],
    "bchw,fchw->bf": [(2, 3, 2, 2), (4, 3, 2, 2)],
    "ij, jk, kl -> il": [(2, 3), (3, 4), (4, 2)],
    "bhqd,bhkd->bhqk": [(2, 2, 3, 4), (2, 2, 5, 4)],
    "i...->...": [(3, 2, 2)],
    "ij,jk->ki": [(2, 1), (3, 4)],
}


@pytest.mark.parametrize("equation", EQUATIONS)
def test_einsum(equation, make, check_float32):
    tensors = [make(*shape) for shape in EQUATIONS[equation]]
    arrays = [t.detach().numpy() for t in tensors]
    got = ops.einsum(equation, *tensors)
    np.testing.assert_allclose(got.detach().numpy(), np.einsum(equation, *arrays), rtol=1e-12, atol=1e-12)
    assert gradcheck(lambda *t: ops.einsum(equation, *t), tuple(tensors))
    check_float32(lambda *t: ops.einsum(equation, *t), *tensors)


@pytest.mark.parametrize(
    "equation, shapes, message",
    [
        ("ij,jk->ik", [(2, 3)], "names 2 operands, got 1"),
        ("ij->i", [(2, 3, 4)], r"'ij' in 'ij->i' does not fit an operand of shape \(2, 3, 4\)"),
        ("ij,jk->ik", [(2, 3), (4, 2)], "axis 'j' of 'ij,jk->ik' has sizes 3 and 4"),
        ("ij->k", [(2, 3)], "repeats a letter or has one that no operand has"),
        ("ij->ii", [(2, 3)], "repeats a letter"),
        ("i1->i", [(2, 3)], "may hold letters"),
        ("ii->i", [(2, 3)], "axis 'i' has sizes 2 and 3 in one operand"),
    ],
)
def test_einsum_refuses(equation, shapes, message, make):
    with pytest.raises(ValueError, match=message):
        ops.einsum(equation, *(make(*shape) for shape in shapes))
