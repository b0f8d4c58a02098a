"""Losses of pairs and of vectors: closed forms, gradients, PyTorch where it is installed, what is refused."""

from __future__ import annotations

import numpy as np
import pytest

import pynet
from pynet import gradcheck
from pynet import nn as pynet_nn
from pynet.nn import functional as F

REDUCTIONS = ["mean", "sum", "none"]
RNG = np.random.default_rng(3)
X, Y = RNG.standard_normal((4, 5)), RNG.standard_normal((4, 5))
P, Q = RNG.uniform(0.02, 0.98, (4, 5)), RNG.uniform(0.02, 0.98, (4, 5))
SIGNS = np.where(RNG.random((4, 5)) < 0.5, -1.0, 1.0)
BITS = (SIGNS + 1) / 2
ROW_SIGNS = np.array([1.0, -1.0, -1.0, 1.0])
LABELS = np.array([[2, 0, -1, 3, 1], [1, 4, 3, 2, 0], [-1, 2, 2, 2, 2], [0, -1, -1, -1, -1]])
CLASSES = np.array([4, 0, 2, 2])
WEIGHT = np.array([0.5, 2.0, 1.0, 0.25, 3.0])
Z = RNG.standard_normal((4, 5))

# name: (function of framework F, reduction and arrays, differentiable arrays, other arrays)
CASES = {
    "l1": (lambda F, r, x, y: F.l1_loss(x, y, reduction=r), (X, Y), ()),
    "smooth_l1": (lambda F, r, x, y: F.smooth_l1_loss(x, y, reduction=r, beta=0.7), (X, Y), ()),
    "huber": (lambda F, r, x, y: F.huber_loss(x, y, reduction=r, delta=0.6), (X, Y), ()),
    "bce": (lambda F, r, x, y, w: F.binary_cross_entropy(x, y, w, reduction=r), (P,), (Q, WEIGHT)),
    "kl": (lambda F, r, x, y: F.kl_div(x, y, reduction=r), (np.log(P), Q), ()),
    "kl log": (lambda F, r, x, y: F.kl_div(x, y, reduction=r, log_target=True), (np.log(P), np.log(Q)), ()),
    "soft margin": (lambda F, r, x, y: F.soft_margin_loss(x, y, reduction=r), (X,), (SIGNS,)),
    "hinge": (lambda F, r, x, y: F.hinge_embedding_loss(x, y, margin=0.8, reduction=r), (X,), (SIGNS,)),
    "cosine": (
        lambda F, r, x, y, t: F.cosine_embedding_loss(x, y, t, margin=0.1, reduction=r),
        (X, Y),
        (ROW_SIGNS,),
    ),
    "triplet": (lambda F, r, x, y, z: F.triplet_margin_loss(x, y, z, reduction=r), (X, Y, Z), ()),
    "triplet swap": (
        lambda F, r, x, y, z: F.triplet_margin_loss(x, y, z, margin=2.5, p=3, swap=True, reduction=r),
        (X, Y, Z),
        (),
    ),
    "nll": (lambda F, r, x, t, w: F.nll_loss(x, t, w, reduction=r), (X,), (CLASSES, WEIGHT)),
    "nll ignore": (lambda F, r, x, t: F.nll_loss(x, t, ignore_index=2, reduction=r), (X,), (CLASSES,)),
    "multilabel": (lambda F, r, x, t: F.multilabel_margin_loss(x, t, reduction=r), (X,), (LABELS,)),
    "soft cross-entropy": (
        lambda F, r, x, t, w: F.cross_entropy(x, t, w, reduction=r, label_smoothing=0.1),
        (X, Q),
        (WEIGHT,),
    ),
}


def test_closed_forms():
    d = np.abs(X - Y)
    t = pynet.tensor
    expected = {
        "l1": d,
        "smooth_l1": np.where(d < 0.7, d * d / 1.4, d - 0.35),
        "huber": np.where(d <= 0.6, d * d / 2, 0.6 * (d - 0.3)),
        "bce": -WEIGHT * (Q * np.log(P) + (1 - Q) * np.log(1 - P)),
        "kl": Q * (np.log(Q) - np.log(P)),
        "kl log": Q * (np.log(Q) - np.log(P)),
        "soft margin": np.log1p(np.exp(-SIGNS * X)),
        "hinge": np.where(SIGNS == 1, X, np.maximum(0, 0.8 - X)),
        "nll": -WEIGHT[CLASSES] * X[np.arange(4), CLASSES],
        "triplet": np.maximum(
            0, 1 + np.linalg.norm(X - Y + 1e-6, axis=1) - np.linalg.norm(X - Z + 1e-6, axis=1)
        ),
    }
    for name, values in expected.items():
        function, moving, fixed = CASES[name]
        arrays = [t(a) for a in (*moving, *fixed)]
        np.testing.assert_allclose(function(F, "none", *arrays).numpy(), values, rtol=1e-12)


def test_several_labels_by_hand():
    # Labels 1 and 0 of three classes; only class 2 is wrong.
    loss = F.multilabel_margin_loss(pynet.tensor([[0.2, 0.9, 0.5]]), [[1, 0, -1]], reduction="sum")
    assert loss.item() == pytest.approx(((1 - 0.9 + 0.5) + (1 - 0.2 + 0.5)) / 3)


@pytest.mark.parametrize("reduction", REDUCTIONS)
@pytest.mark.parametrize("name", CASES)
def test_gradients(name, reduction, check_float32):
    function, moving, fixed = CASES[name]
    inputs = [pynet.tensor(a, requires_grad=True) for a in moving]
    assert gradcheck(lambda *t: function(F, reduction, *t, *map(pynet.tensor, fixed)), tuple(inputs))

    def in_dtype(*t):
        rest = [pynet.tensor(a if a.dtype.kind == "i" else a.astype(t[0].dtype)) for a in fixed]
        return function(F, reduction, *t, *rest)

    check_float32(in_dtype, *inputs)


@pytest.mark.parametrize("reduction", REDUCTIONS)
@pytest.mark.parametrize("name", CASES)
def test_pytorch_agrees(name, reduction):
    torch = pytest.importorskip("torch")
    function, moving, fixed = CASES[name]
    ours = [pynet.tensor(a, requires_grad=True) for a in moving]
    theirs = [torch.tensor(a, requires_grad=True) for a in moving]
    a = function(F, reduction, *ours, *map(pynet.tensor, fixed))
    b = function(torch.nn.functional, reduction, *theirs, *map(torch.tensor, fixed))
    np.testing.assert_allclose(a.detach().numpy(), b.detach().numpy(), rtol=1e-10)
    a.sum().backward()
    b.sum().backward()
    for x, y in zip(ours, theirs, strict=True):
        np.testing.assert_allclose(x.grad.numpy(), y.grad.numpy(), rtol=1e-9, atol=1e-12)


MODULES = {
    "L1Loss": ({}, (X, Y), lambda: F.l1_loss),
    "SmoothL1Loss": ({"beta": 0.5}, (X, Y), lambda: F.smooth_l1_loss),
    "HuberLoss": ({"delta": 0.5}, (X, Y), lambda: F.huber_loss),
    "BCELoss": ({"weight": WEIGHT}, (P, Q), lambda: F.binary_cross_entropy),
    "KLDivLoss": ({"log_target": True}, (np.log(P), np.log(Q)), lambda: F.kl_div),
    "SoftMarginLoss": ({}, (X, SIGNS), lambda: F.soft_margin_loss),
    "HingeEmbeddingLoss": ({"margin": 0.3}, (X, SIGNS), lambda: F.hinge_embedding_loss),
    "CosineEmbeddingLoss": ({"margin": 0.3}, (X, Y, ROW_SIGNS), lambda: F.cosine_embedding_loss),
    "TripletMarginLoss": ({"margin": 2.0, "p": 1.0, "swap": True}, (X, Y, Z), lambda: F.triplet_margin_loss),
    "NLLLoss": ({"weight": WEIGHT, "ignore_index": 2}, (X, CLASSES), lambda: F.nll_loss),
    "MultiLabelMarginLoss": ({}, (X, LABELS), lambda: F.multilabel_margin_loss),
}


@pytest.mark.parametrize("reduction", REDUCTIONS)
@pytest.mark.parametrize("name", MODULES)
def test_modules_pass_their_options_on(name, reduction):
    options, arrays, function = MODULES[name]
    inputs = [pynet.tensor(a) for a in arrays]
    got = getattr(pynet_nn, name)(**options, reduction=reduction)(*inputs)
    given = {k: pynet.tensor(v) if isinstance(v, np.ndarray) else v for k, v in options.items()}
    np.testing.assert_array_equal(got.numpy(), function()(*inputs, **given, reduction=reduction).numpy())
    with pytest.raises(ValueError, match=rf"{name}: reduction must be one of none, mean, sum.*got 'avg'"):
        getattr(pynet_nn, name)(reduction="avg")


def test_batchmean_is_the_divergence():
    got = pynet_nn.KLDivLoss(reduction="batchmean")(pynet.tensor(np.log(P)), pynet.tensor(Q))
    assert got.item() == pytest.approx((Q * np.log(Q / P)).sum() / 4)
    zero = F.kl_div(pynet.tensor([-1.0, -2.0]), pynet.tensor([0.0, 1.0]), reduction="none")
    np.testing.assert_allclose(zero.numpy(), [0.0, 2.0])


def test_certain_probabilities_have_finite_losses_and_gradients():
    x = pynet.tensor([0.0, 1.0, 0.0, 1.0], requires_grad=True)
    loss = F.binary_cross_entropy(x, pynet.tensor([0.0, 1.0, 1.0, 0.0]), reduction="none")
    np.testing.assert_allclose(loss.detach().numpy(), [0, 0, 100, 100])
    loss.sum().backward()
    np.testing.assert_allclose(x.grad.numpy(), [0, 0, -1e12, 1e12], rtol=1e-6)


def test_all_labels_ignored():
    x = pynet.tensor(X)
    assert np.isnan(F.nll_loss(x, CLASSES * 0 - 100).item())
    assert F.nll_loss(x, CLASSES * 0 - 100, reduction="sum").item() == 0


@pytest.mark.parametrize("alpha", [0.25, -1])
@pytest.mark.parametrize("gamma", [0.0, 2.0])
def test_focal_loss(alpha, gamma):
    p = 1 / (1 + np.exp(-X))
    right = np.where(BITS == 1, p, 1 - p)
    factor = 1.0 if alpha < 0 else np.where(BITS == 1, alpha, 1 - alpha)
    x, bits = pynet.tensor(X, requires_grad=True), pynet.tensor(BITS)
    got = F.sigmoid_focal_loss(x, bits, alpha, gamma)
    np.testing.assert_allclose(got.detach().numpy(), -factor * (1 - right) ** gamma * np.log(right))
    assert gradcheck(lambda t: F.sigmoid_focal_loss(t, bits, alpha, gamma, "mean"), (x,))


def test_dice_loss():
    x = pynet.tensor(P, requires_grad=True)
    got = F.dice_loss(x, pynet.tensor(BITS), smooth=0.5, reduction="none").detach().numpy()
    expected = 1 - (2 * (P * BITS).sum(1) + 0.5) / (P.sum(1) + BITS.sum(1) + 0.5)
    np.testing.assert_allclose(got, expected)
    assert F.dice_loss(pynet.tensor(BITS), pynet.tensor(BITS)).item() == pytest.approx(0)
    assert gradcheck(lambda t: F.dice_loss(t, pynet.tensor(BITS)), (x,))


@pytest.mark.parametrize("p", [1.0, 2.0, 3.0, float("inf")])
def test_distances_and_angles(p):
    x, y = pynet.tensor(X, requires_grad=True), pynet.tensor(Y, requires_grad=True)
    expected = np.linalg.norm(X - Y + 1e-6, ord=p, axis=1)
    np.testing.assert_allclose(F.pairwise_distance(x, y, p).detach().numpy(), expected)
    assert F.pairwise_distance(x, y, p, keepdim=True).shape == (4, 1)
    assert gradcheck(lambda a, b: F.pairwise_distance(a, b, p), (x, y))
    cosine = (X * Y).sum(1) / np.linalg.norm(X, axis=1) / np.linalg.norm(Y, axis=1)
    np.testing.assert_allclose(F.cosine_similarity(x, y).detach().numpy(), cosine)
    assert gradcheck(F.cosine_similarity, (x, y))


BAD = {
    "shapes": (lambda t: F.l1_loss(t, pynet.zeros(4, 1, dtype=np.float64)), ValueError, "do not broadcast"),
    "dtypes": (lambda t: F.huber_loss(t, pynet.zeros(4, 5)), TypeError, "float32"),
    "beta": (lambda t: F.smooth_l1_loss(t, t, beta=-1), ValueError, "beta must be at least 0, got -1"),
    "delta": (lambda t: F.huber_loss(t, t, delta=0), ValueError, "delta must be above 0, got 0"),
    "reduction": (lambda t: F.l1_loss(t, t, "average"), ValueError, "average"),
    "logits": (lambda t: F.binary_cross_entropy(t, t), ValueError, "use binary_cross_entropy_with_logits"),
    "weight": (
        lambda t: F.binary_cross_entropy(t * 0, t * 0, np.ones(3)),
        ValueError,
        r"weight of shape \(3,\) does not broadcast",
    ),
    "label": (lambda t: F.nll_loss(t, [0, 1, 2, 5]), IndexError, "label 5 is out of range for 5 classes"),
    "labels": (lambda t: F.multilabel_margin_loss(t, LABELS + 1), IndexError, "-1 to 4, got 0 to 5"),
    "float labels": (lambda t: F.multilabel_margin_loss(t, X), TypeError, "must be integers, got float64"),
    "label shape": (
        lambda t: F.multilabel_margin_loss(t, LABELS[:2]),
        ValueError,
        r"got \(4, 5\) and \(2, 5\)",
    ),
    "signs": (lambda t: F.cosine_embedding_loss(t, t, SIGNS), ValueError, r"target \(4, 5\)"),
    "margin": (lambda t: F.triplet_margin_loss(t, t, t, margin=0), ValueError, "margin must be above 0"),
    "norm": (lambda t: F.pairwise_distance(t, t, p=0), ValueError, "p must be above 0, got 0"),
    "no batch": (lambda t: F.dice_loss(t[0, 0], t[0, 0]), ValueError, "got a 0-d tensor"),
}


@pytest.mark.parametrize("name", BAD)
def test_bad_arguments(name):
    call, error, message = BAD[name]
    with pytest.raises(error, match=message):
        call(pynet.tensor(X))


def test_a_target_that_wants_a_gradient_is_refused():
    target = pynet.tensor(Q, requires_grad=True)
    with pytest.raises(RuntimeError, match=r"pass target.detach\(\)"):
        F.binary_cross_entropy(pynet.tensor(P), target)
