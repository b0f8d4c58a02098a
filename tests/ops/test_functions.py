"""Tensor functions on NumPy: values against NumPy, gradients, PyTorch's values, methods, errors."""

from __future__ import annotations

import numpy as np
import pytest

import pynet
from pynet import gradcheck

RNG = np.random.default_rng(5)
X = RNG.standard_normal((3, 4)) * 2
Y = RNG.standard_normal((3, 4))
P = RNG.uniform(0.1, 0.9, (3, 4))
AT = np.array([[0, 2, 1, 2], [1, 0, 2, 0]])

# name: (call on a module `t` and a tensor, input, what NumPy gives)
CASES = {
    "sign": (lambda t, x: t.sign(x), X, np.sign(X)),
    "floor": (lambda t, x: t.floor(x), X, np.floor(X)),
    "ceil": (lambda t, x: t.ceil(x), X, np.ceil(X)),
    "trunc": (lambda t, x: t.trunc(x), X, np.trunc(X)),
    "round": (lambda t, x: t.round(x), X, np.round(X)),
    "round decimals": (lambda t, x: t.round(x, decimals=1), X, np.round(X, 1)),
    "remainder": (lambda t, x: t.remainder(x, 0.7), X, np.remainder(X, 0.7)),
    "percent": (lambda t, x: x % -0.7, X, np.remainder(X, -0.7)),
    "floor divide": (lambda t, x: x // 0.7, X, np.floor_divide(X, 0.7)),
    "rsqrt": (lambda t, x: t.rsqrt(x), P, P**-0.5),
    "log1p": (lambda t, x: t.log1p(x), P, np.log1p(P)),
    "expm1": (lambda t, x: t.expm1(x), X, np.expm1(X)),
    "log2": (lambda t, x: t.log2(x), P, np.log2(P)),
    "log10": (lambda t, x: t.log10(x), P, np.log10(P)),
    "exp2": (lambda t, x: t.exp2(x), X, np.exp2(X)),
    "tan": (lambda t, x: t.tan(x), P, np.tan(P)),
    "asin": (lambda t, x: t.asin(x), P, np.arcsin(P)),
    "acos": (lambda t, x: t.acos(x), P, np.arccos(P)),
    "atan": (lambda t, x: t.atan(x), X, np.arctan(X)),
    "sinh": (lambda t, x: t.sinh(x), X, np.sinh(X)),
    "cosh": (lambda t, x: t.cosh(x), X, np.cosh(X)),
    "cumprod": (lambda t, x: t.cumprod(x, 1), X, np.cumprod(X, 1)),
    "cumprod zero": (
        lambda t, x: t.cumprod(x, 0),
        np.where(X > 1, 0, X),
        np.cumprod(np.where(X > 1, 0, X), 0),
    ),
    "logsumexp": (lambda t, x: t.logsumexp(x, 1), X, np.log(np.exp(X).sum(1))),
    "logsumexp keep": (
        lambda t, x: t.logsumexp(x, (0, 1), keepdim=True),
        X + 900,
        np.log(np.exp(X).sum(keepdims=True)) + 900,
    ),
    "median": (lambda t, x: t.median(x), X, np.sort(X.ravel())[5]),
    "median dim": (lambda t, x: t.median(x, 1).values, X, np.sort(X, 1)[:, 1]),
    "scatter": (
        lambda t, x: t.scatter(x, 0, t.tensor(AT[:1]), 5.0),
        X,
        np.where((AT[0][None] == np.arange(3)[:, None]), 5.0, X),
    ),
    "masked_fill": (lambda t, x: t.masked_fill(x, x > 0, -1.0), X, np.where(X > 0, -1, X)),
    "masked_select": (lambda t, x: t.masked_select(x, x > 0), X, X[X > 0]),
    "tril": (lambda t, x: t.tril(x, 1), X, np.tril(X, 1)),
    "triu": (lambda t, x: t.triu(x, -1), X, np.triu(X, -1)),
    "diag": (lambda t, x: t.diag(x, 1), X, np.diag(X, 1)),
    "diag of a row": (lambda t, x: t.diag(x), X[0], np.diag(X[0])),
    "diagonal": (lambda t, x: t.diagonal(x, -1), X, np.diagonal(X, -1)),
    "repeat": (lambda t, x: x.repeat(2, 1, 3), X, np.tile(X, (2, 1, 3))),
    "tile": (lambda t, x: t.tile(x, (2,)), X, np.tile(X, 2)),
    "repeat_interleave": (lambda t, x: t.repeat_interleave(x, 2, 1), X, np.repeat(X, 2, 1)),
    "repeat_interleave all": (lambda t, x: t.repeat_interleave(x, 3), X, np.repeat(X, 3)),
    "broadcast_to": (lambda t, x: t.broadcast_to(x, (2, 3, 4)), X, np.broadcast_to(X, (2, 3, 4))),
    "movedim": (lambda t, x: t.movedim(x, 0, -1), X, X.T),
    "narrow": (lambda t, x: t.narrow(x, 1, 1, 2), X, X[:, 1:3]),
    "select": (lambda t, x: t.select(x, 1, -1), X, X[:, -1]),
    "outer": (lambda t, x: t.outer(x[0], x[1]), X, np.outer(X[0], X[1])),
    "dot": (lambda t, x: t.dot(x[0], x[1]), X, X[0] @ X[1]),
    "mv": (lambda t, x: t.mv(x, x[0]), X, X @ X[0]),
    "mm": (lambda t, x: t.mm(x, x.T), X, X @ X.T),
    "bmm": (lambda t, x: t.bmm(x[None], x.T[None]), X, (X @ X.T)[None]),
    "maximum by max": (lambda t, x: t.max(x, x * 0 + 0.3), X, np.maximum(X, 0.3)),
    "swapaxes": (lambda t, x: t.swapaxes(x, 0, 1), X, X.T),
    "ravel": (lambda t, x: x.ravel(), X, X.ravel()),
    "mT": (lambda t, x: x.mT, X, X.T),
    "where method": (lambda t, x: x.where(x > 0, x * 0), X, np.maximum(X, 0)),
}
FLAT = {"sign", "floor", "ceil", "trunc", "round", "round decimals", "floor divide"}


@pytest.mark.parametrize("dtype", [np.float32, np.float64])
@pytest.mark.parametrize("name", CASES)
def test_values(name, dtype):
    call, values, want = CASES[name]
    got = call(pynet, pynet.tensor(values.astype(dtype)))
    assert got.dtype == dtype
    tolerance = {"rtol": 2e-5, "atol": 1e-5} if dtype == np.float32 else {"rtol": 1e-12, "atol": 1e-13}
    np.testing.assert_allclose(got.array, want, **tolerance)


@pytest.mark.parametrize("name", sorted(set(CASES) - {"floor divide"}))
def test_gradients(name):
    call, values, _ = CASES[name]
    x = pynet.tensor(values, requires_grad=True)
    if name in FLAT:
        call(pynet, x).sum().backward()
        assert not x.grad.array.any()
    else:
        assert gradcheck(lambda t: call(pynet, t), (x,))


@pytest.mark.parametrize("name", CASES)
def test_pytorch_agrees(name):
    torch = pytest.importorskip("torch")
    call, values, _ = CASES[name]
    ours, theirs = pynet.tensor(values, requires_grad=True), torch.tensor(values, requires_grad=True)
    a, b = call(pynet, ours), call(torch, theirs)
    np.testing.assert_allclose(a.detach().numpy(), b.detach().numpy(), rtol=1e-9, atol=1e-12)
    if name != "floor divide":
        a.sum().backward()
        b.sum().backward()
        np.testing.assert_allclose(ours.grad.numpy(), theirs.grad.numpy(), rtol=1e-9, atol=1e-12)


def test_scatter_and_its_relatives():
    torch = pytest.importorskip("torch")
    base, source = X, Y[:2]
    for name in ("scatter", "scatter_add"):
        index = AT if name == "scatter_add" else np.array([[0, 2, 1, 2], [1, 0, 2, 0]])
        ours = [pynet.tensor(v, requires_grad=True) for v in (base, source)]
        theirs = [torch.tensor(v, requires_grad=True) for v in (base, source)]
        a = getattr(pynet, name)(ours[0], 0, pynet.tensor(index), ours[1])
        b = getattr(torch, name)(theirs[0], 0, torch.tensor(index), theirs[1])
        np.testing.assert_allclose(a.array, b.detach().numpy())
        (a * pynet.tensor(X)).sum().backward()
        (b * torch.tensor(X)).sum().backward()
        for mine, other in zip(ours, theirs, strict=True):
            np.testing.assert_allclose(mine.grad.array, other.grad.numpy())
    rows = pynet.tensor([0, 2])
    a = pynet.index_add(pynet.tensor(base), 0, rows, pynet.tensor(source), alpha=2)
    b = torch.index_add(torch.tensor(base), 0, torch.tensor([0, 2]), torch.tensor(source), alpha=2)
    np.testing.assert_allclose(a.array, b.numpy())


def test_scatter_gradients():
    index = pynet.tensor(AT)
    x, source = pynet.tensor(X, requires_grad=True), pynet.tensor(Y[:2], requires_grad=True)
    assert gradcheck(lambda a, b: pynet.scatter_add(a, 0, index, b), (x, source))
    assert gradcheck(lambda a, b: pynet.scatter(a, 0, index, b), (x, source))


def test_what_is_where():
    x = pynet.tensor([[0, 3, 0], [1, 0, 3]])
    assert pynet.nonzero(x).tolist() == [[0, 1], [1, 0], [1, 2]]
    assert [t.tolist() for t in x.nonzero(as_tuple=True)] == [[0, 1, 1], [1, 0, 2]]
    assert pynet.count_nonzero(x).item() == 3 and x.count_nonzero(0).tolist() == [1, 1, 1]
    values, inverse, counts = pynet.unique(x, return_inverse=True, return_counts=True)
    assert values.tolist() == [0, 1, 3] and counts.tolist() == [3, 1, 2]
    assert inverse.tolist() == [[0, 2, 0], [1, 0, 2]]
    assert pynet.bincount(x.ravel(), minlength=6).tolist() == [3, 1, 0, 2, 0, 0]
    y = pynet.tensor([1.0, np.inf, np.nan, -np.inf])
    assert y.isinf().tolist() == [False, True, False, True]
    assert pynet.isfinite(y).tolist() == [True, False, False, False]
    assert pynet.logical_and(x, x > 1).tolist() == [[False, True, False], [False, False, True]]
    assert pynet.logical_not(x)[0].tolist() == [True, False, True]
    assert x.any(1, keepdim=True).tolist() == [[True], [True]] and x.all(dim=0).tolist() == [False] * 3
    assert pynet.isclose(y, y, equal_nan=True).all() and not pynet.isclose(y, y).all()
    assert pynet.equal(x, x.clone()) is True and pynet.equal(x, x[:1]) is False
    assert pynet.eq(x, 3).sum().item() == 2 and x.eq(3).array.sum() == 2


def test_median_prefers_the_lower_and_nan():
    values, indices = pynet.median(pynet.tensor([[4.0, 1.0, 3.0, 2.0], [1.0, np.nan, 2.0, 0.0]]), dim=1)
    assert values[0].item() == 2 and indices.tolist() == [3, 1] and np.isnan(values[1].item())
    kept = pynet.tensor([[3.0, 1.0, 2.0]]).median(1, keepdim=True)
    assert kept.values.tolist() == [[2.0]] and kept.indices.tolist() == [[2]]


def test_meshgrid():
    a, b = pynet.arange(3), pynet.arange(2)
    for indexing in ("ij", "xy"):
        want = np.meshgrid(np.arange(3), np.arange(2), indexing=indexing)
        for got, expected in zip(pynet.meshgrid(a, b, indexing=indexing), want, strict=True):
            np.testing.assert_array_equal(got.array, expected)


def test_methods_of_dtype_and_memory():
    x = pynet.tensor([[1.5, 0.0]], requires_grad=True)
    assert x.int().tolist() == [[1, 0]] and x.int().dtype == pynet.int32
    assert x.bool().tolist() == [[True, False]] and x.type(pynet.float64).dtype == np.float64
    assert x.double().type_as(x).dtype == np.float32 and x.contiguous() is x and x.is_contiguous()
    assert x.new_zeros(2, 3).shape == (2, 3) and x.double().detach().new_ones(1).dtype == np.float64
    assert x.new_full((2,), 7).tolist() == [7.0, 7.0] and x.new_tensor([1, 2]).dtype == np.float32
    assert x.element_size() == 4 and x.nelement() == 2 and x.ndimension() == 2 and not x.is_cuda
    assert pynet.is_tensor(x) and not pynet.is_tensor(x.array) and pynet.numel(x) == 2
    y = pynet.zeros(2, 2)
    assert y.masked_fill_(pynet.tensor([True, False]), 3.0) is y and y.tolist() == [[3, 0], [3, 0]]
    assert pynet.long is pynet.int64 and pynet.float is pynet.float32 and pynet.bool == np.bool_
    shared = np.zeros(2, np.float32)
    assert pynet.as_tensor(shared).array is shared and pynet.as_tensor([1.0]).tolist() == [1.0]


def test_drawing():
    pynet.manual_seed(3)
    chances = pynet.tensor([0.0, 1.0, 0.5]).expand(400, 3).clone()
    drawn = pynet.bernoulli(chances).array
    assert (drawn[:, 0] == 0).all() and (drawn[:, 1] == 1).all() and 150 < drawn[:, 2].sum() < 250
    x = pynet.normal(5.0, 2.0, (4000,))
    assert abs(x.mean().item() - 5) < 0.2 and abs(x.std().item() - 2) < 0.2
    assert pynet.normal(pynet.zeros(3), pynet.tensor([1.0, 0.0, 0.0])).tolist()[1:] == [0.0, 0.0]
    classes = pynet.multinomial(pynet.tensor([[0.0, 1.0, 3.0]]), 2000, replacement=True)
    counts = np.bincount(classes.array[0], minlength=3) / 2000
    np.testing.assert_allclose(counts, [0, 0.25, 0.75], atol=0.05)
    assert sorted(pynet.multinomial(pynet.tensor([1.0, 0.0, 2.0]), 2).tolist()) == [0, 2]


@pytest.mark.parametrize(
    ("call", "error", "message"),
    [
        (lambda x: pynet.scatter(x, 0, x, x), ValueError, "scatter: index must be integers with 2 axes"),
        (lambda x: pynet.scatter(x, 0, AT + 9, x), IndexError, "indices from 9 to 11 are out of range"),
        (lambda x: pynet.scatter(x, 0, AT, x.double()), TypeError, "float32 and float64 do not mix"),
        (lambda x: pynet.scatter(x, 0, AT, x[:1]), ValueError, "must not exceed the source"),
        (lambda x: x.masked_fill(x, 1.0), TypeError, "the mask is float32, expected bool"),
        (lambda x: x.masked_fill_(x, 1.0), TypeError, "the mask is float32, expected bool"),
        (lambda x: x[0].tril(), ValueError, "tril: expected at least two axes"),
        (lambda x: x.repeat(2), ValueError, "must hold a count >= 0 for each of the 2 axes"),
        (lambda x: x.repeat_interleave([1, 2], 1), ValueError, "one count >= 0 or 4 of them"),
        (lambda x: pynet.meshgrid(x), ValueError, "meshgrid: expected rows"),
        (lambda x: pynet.meshgrid(x[0], indexing="yx"), ValueError, 'must be "ij" or "xy"'),
        (lambda x: pynet.movedim(x, (0, 1), 0), ValueError, "must name as many different axes"),
        (lambda x: x.narrow(0, 2, 5), ValueError, "5 entries from 2 on exceed axis 0 of size 3"),
        (lambda x: pynet.mm(x, x[0]), ValueError, "mm: expected 2 and 2 axes"),
        (
            lambda x: pynet.bmm(x[None], x.T[None].repeat(2, 1, 1)),
            ValueError,
            "different numbers of matrices",
        ),
        (lambda x: pynet.dot(x, x), ValueError, "dot: expected 1 and 1 axes"),
        (lambda x: x.long() % 0, ZeroDivisionError, "remainder: an integer divided by 0"),
        (lambda x: x.long() // pynet.tensor([0]), ZeroDivisionError, "floor_divide: an integer divided by 0"),
        (lambda x: (x > 0).sign(), TypeError, "sign: expected numbers, got bool"),
        (lambda x: pynet.zeros(2, 0).logsumexp(1), ValueError, "no elements to choose from"),
        (lambda x: pynet.median(pynet.zeros(0)), ValueError, "no elements to choose from"),
        (lambda x: pynet.bincount(x), ValueError, "expected one row of integers >= 0"),
        (lambda x: pynet.bernoulli(x * 9), ValueError, r"probabilities must lie in \[0, 1\]"),
        (lambda x: pynet.normal(0.0, -1.0, (2,)), ValueError, "std must not be negative, got -1.0"),
        (lambda x: pynet.normal(0.0, 1.0), ValueError, "pass a size, or Tensors"),
        (lambda x: pynet.multinomial(pynet.zeros(3), 1), ValueError, "none of them all zero"),
        (lambda x: pynet.multinomial(pynet.ones(3), 4), ValueError, "4 draws exceed the classes"),
        (lambda x: pynet.equal(x, 3), TypeError, "expected two Tensors, got Tensor and int"),
        (lambda x: x.diagonal(0, 1, 1), ValueError, "two different axes"),
        (lambda x: x.cuda(), ValueError, "pynet runs on the CPU alone"),
    ],
)
def test_errors(call, error, message):
    with pytest.raises(error, match=message):
        call(pynet.tensor(X.astype(np.float32)))


def test_pytorch_has_our_methods():
    """A name that exists in both packages is a method in both."""
    torch = pytest.importorskip("torch")
    missing = [
        n
        for n in pynet.__all__
        if callable(getattr(torch, n, None)) and hasattr(torch.Tensor, n) and not hasattr(pynet.Tensor, n)
    ]
    assert not missing
