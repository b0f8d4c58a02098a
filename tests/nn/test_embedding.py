"""Embedding and Bilinear: values, gradients, PyTorch, bad arguments."""

from __future__ import annotations

import numpy as np
import pytest

import pynet
from pynet import gradcheck, nn
from pynet.nn import functional as F

ROWS = np.random.default_rng(0).standard_normal((5, 3))
AT = np.array([[0, 4, 4], [2, 0, 4]])
OPTIONS = [
    {},
    {"padding_idx": 4},
    {"padding_idx": -1},
    {"scale_grad_by_freq": True},
    {"max_norm": 0.7},
    {"max_norm": 0.7, "norm_type": 1.0, "padding_idx": 0},
]


@pytest.mark.parametrize("options", OPTIONS, ids=str)
@pytest.mark.parametrize("dtype", [np.float32, np.float64])
def test_pytorch_agrees(options, dtype):
    torch = pytest.importorskip("torch")
    values = ROWS.astype(dtype)
    ours = nn.Embedding.from_pretrained(values, freeze=False, **options)
    theirs = torch.nn.Embedding.from_pretrained(torch.tensor(values), freeze=False, **options)
    a, b = ours(pynet.tensor(AT)), theirs(torch.tensor(AT))
    (a * a).sum().backward()
    (b * b).sum().backward()
    np.testing.assert_allclose(a.detach().numpy(), b.detach().numpy(), rtol=1e-6)
    np.testing.assert_allclose(ours.weight.grad.array, theirs.weight.grad.numpy(), rtol=2e-6)
    np.testing.assert_allclose(ours.weight.array, theirs.weight.detach().numpy(), rtol=1e-6)
    assert repr(ours) == repr(theirs)
    assert list(ours.state_dict()) == list(theirs.state_dict())


def test_rows_and_their_gradients():
    weight = pynet.tensor(ROWS, requires_grad=True)
    np.testing.assert_array_equal(F.embedding(AT, weight).array, ROWS[AT])
    assert gradcheck(lambda w: F.embedding(AT, w), (weight,))
    F.embedding(pynet.tensor(AT), weight, padding_idx=4).sum().backward()
    np.testing.assert_array_equal(weight.grad.array[:, 0], [2, 0, 1, 0, 0])


def test_training_a_table():
    pynet.manual_seed(0)
    table = nn.Embedding(6, 2, padding_idx=1)
    assert not table.weight.array[1].any() and table.weight.array[0].any()
    optimizer = pynet.optim.SGD(table.parameters(), lr=0.1)
    goal = pynet.ones(4, 2)
    for _ in range(60):
        loss = F.mse_loss(table(pynet.tensor([0, 1, 2, 5])), goal)
        optimizer.zero_grad()
        loss.backward()
        optimizer.step()
    assert not table.weight.array[1].any() and loss.item() < 0.5
    frozen = nn.Embedding.from_pretrained(pynet.tensor(ROWS))
    assert not frozen.weight.requires_grad and frozen.weight.dtype == np.float64


@pytest.mark.parametrize("bias", [True, False])
@pytest.mark.parametrize("lead", [(), (4,), (2, 3)])
def test_bilinear(bias, lead):
    pynet.manual_seed(1)
    layer = nn.Bilinear(3, 4, 2, bias).double()
    rng = np.random.default_rng(1)
    x, y = (pynet.tensor(rng.standard_normal((*lead, n)), requires_grad=True) for n in (3, 4))
    want = np.einsum("...i,kij,...j->...k", x.array, layer.weight.array, y.array)
    want = want + (layer.bias.array if bias else 0)
    np.testing.assert_allclose(layer(x, y).array, want)
    assert gradcheck(lambda a, b, w: F.bilinear(a, b, w, layer.bias), (x, y, layer.weight))
    torch = pytest.importorskip("torch")
    theirs = torch.nn.Bilinear(3, 4, 2, bias, dtype=torch.float64)
    theirs.load_state_dict({k: torch.tensor(np.array(v)) for k, v in layer.state_dict().items()})
    np.testing.assert_allclose(theirs(torch.tensor(x.array), torch.tensor(y.array)).detach().numpy(), want)
    assert repr(layer) == repr(theirs)


@pytest.mark.parametrize(
    ("call", "error", "message"),
    [
        (lambda: nn.Embedding(0, 2), ValueError, "num_embeddings must be at least 1, got 0"),
        (lambda: nn.Embedding(2, 2.0), TypeError, "embedding_dim must be an int, got 2.0"),
        (lambda: nn.Embedding(2, 2, padding_idx=2), ValueError, "padding_idx 2 is out of range for 2 rows"),
        (lambda: nn.Embedding(2, 2, sparse=True), NotImplementedError, "there are no sparse gradients"),
        (lambda: nn.Embedding(2, 2)([0, 2]), IndexError, "numbers from 0 to 2 are out of range for 2 rows"),
        (lambda: nn.Embedding(2, 2)([-1]), IndexError, "numbers from -1 to -1 are out of range"),
        (lambda: nn.Embedding(2, 2)([0.5]), TypeError, "input is float64, expected integers"),
        (lambda: F.embedding([0], pynet.zeros(3)), ValueError, r"weight must be \(count, size\)"),
        (lambda: nn.Embedding.from_pretrained(np.zeros(3)), ValueError, "expected a table"),
        (lambda: nn.Bilinear(2, 0, 1), ValueError, "in2_features must be at least 1, got 0"),
        (
            lambda: nn.Bilinear(2, 3, 1)(pynet.zeros(1, 3), pynet.zeros(1, 3)),
            ValueError,
            r"expected inputs \(..., I\)",
        ),
    ],
)
def test_errors(call, error, message):
    with pytest.raises(error, match=message):
        call()
