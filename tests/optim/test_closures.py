"""LBFGS and NewtonCG: minima that are known, PyTorch's steps, and what NaN does."""

from __future__ import annotations

import numpy as np
import pytest

from pynet import nn, optim
from pynet.autograd import Tensor


def rosenbrock(start, dtype=np.float64):
    """A parameter, and the closure of Rosenbrock's function of it, whose minimum is at ones."""
    p = Tensor(np.array(start, dtype), requires_grad=True)

    def closure():
        x, y = p.array.astype(np.float64)
        p.grad = Tensor(np.array([-400 * x * (y - x * x) - 2 * (1 - x), 200 * (y - x * x)], dtype))
        return 100 * (y - x * x) ** 2 + (1 - x) ** 2

    return p, closure


def network(seed=0):
    rng = np.random.default_rng(seed)
    x, labels = rng.normal(size=(40, 5)), rng.integers(0, 3, 40)
    weights = [rng.normal(size=s) * 0.4 for s in ((6, 5), (6,), (3, 6), (3,))]
    return x, labels, weights


@pytest.mark.parametrize("make", [
    lambda p: optim.LBFGS(p, line_search_fn="strong_wolfe", max_iter=100),
    lambda p: optim.NewtonCG(p, max_iter=100),
])  # fmt: skip
def test_rosenbrocks_minimum(make):
    p, closure = rosenbrock([-1.2, 1.0])
    first = make([p]).step(closure)
    assert first == pytest.approx(24.2)  # the loss before the step
    np.testing.assert_allclose(p.array, [1, 1], atol=1e-4)


@pytest.mark.parametrize("options", [
    {}, {"lr": 0.1, "max_iter": 4}, {"line_search_fn": "strong_wolfe"},
    {"line_search_fn": "strong_wolfe", "history_size": 3, "lr": 0.7},
    {"line_search_fn": "strong_wolfe", "max_iter": 3, "max_eval": 4},
])  # fmt: skip
def test_lbfgs_equals_pytorch(options):
    torch = pytest.importorskip("torch")
    x, labels, weights = network()
    ours = nn.Sequential(nn.Linear(5, 6), nn.Tanh(), nn.Linear(6, 3)).double()
    theirs = torch.nn.Sequential(torch.nn.Linear(5, 6), torch.nn.Tanh(), torch.nn.Linear(6, 3)).double()
    for p, q, w in zip(ours.parameters(), theirs.parameters(), weights, strict=True):
        p.array[...] = w
        q.data = torch.tensor(w)
    mine, other = optim.LBFGS(ours.parameters(), **options), torch.optim.LBFGS(theirs.parameters(), **options)
    loss, their_loss = nn.CrossEntropyLoss(), torch.nn.CrossEntropyLoss()

    def closure():
        mine.zero_grad()
        value = loss(ours(Tensor(x)), Tensor(labels))
        value.backward()
        return value

    def their_closure():
        other.zero_grad()
        value = their_loss(theirs(torch.tensor(x)), torch.tensor(labels))
        value.backward()
        return value

    for _ in range(4 if options.get("max_iter") else 1):
        assert mine.step(closure).item() == pytest.approx(float(other.step(their_closure)), rel=1e-9)
    for p, q in zip(ours.parameters(), theirs.parameters(), strict=True):
        np.testing.assert_allclose(p.array, q.detach().numpy(), rtol=1e-9, atol=1e-9)
    state, their_state = mine.state_dict()["state"][0], other.state_dict()["state"][0]
    assert state["func_evals"] == their_state["func_evals"] and state["n_iter"] == their_state["n_iter"]


@pytest.mark.parametrize("line_search", [None, "strong_wolfe"])
def test_lbfgs_state_continues(line_search):
    options = {"lr": 1.0 if line_search else 1e-3, "max_iter": 3, "line_search_fn": line_search}
    p, closure = rosenbrock([-1.2, 1.0])
    saved = optim.LBFGS([p], **options)
    saved.step(closure)
    q, again = rosenbrock(p.array)
    loaded = optim.LBFGS([q], **options)
    loaded.load_state_dict(saved.state_dict())
    for _ in range(3):
        saved.step(closure)
        loaded.step(again)
    np.testing.assert_array_equal(p.array, q.array)
    assert loaded.state_dict()["state"][0]["n_iter"] == saved.state_dict()["state"][0]["n_iter"]


@pytest.mark.parametrize("name", ["LBFGS", "NewtonCG"])
@pytest.mark.parametrize("bad", [np.nan, np.inf])
def test_a_loss_that_is_not_finite_is_refused(name, bad):
    p = Tensor(np.ones(3), requires_grad=True)
    p.grad = Tensor(np.ones(3))
    optimizer = getattr(optim, name)([p])
    with pytest.raises(RuntimeError, match=rf"{name}: the loss is {bad} at the present parameters"):
        optimizer.step(lambda: bad)
    np.testing.assert_array_equal(p.array, np.ones(3))


def test_a_nan_after_some_iterations_puts_everything_back():
    p, closure = rosenbrock([-1.2, 1.0])
    optimizer = optim.LBFGS([p], lr=1e-3)
    optimizer.step(closure)
    before, state, calls = p.array.copy(), optimizer.state_dict()["state"][0]["n_iter"], []

    def failing():
        calls.append(1)
        return closure() if len(calls) < 4 else np.nan

    with pytest.raises(RuntimeError, match="the loss is nan after iteration 3 of this step; the parameters"):
        optimizer.step(failing)
    np.testing.assert_array_equal(p.array, before)
    assert optimizer.state_dict()["state"][0]["n_iter"] == state


@pytest.mark.parametrize("make", [
    lambda p: optim.LBFGS(p, lr=64.0, max_iter=50, line_search_fn="strong_wolfe"),
    lambda p: optim.NewtonCG(p, lr=64.0),
])  # fmt: skip
def test_line_searches_step_back_from_nan(make):
    # x - log(x) has its minimum at 1 and is NaN below 0, where a step of 64 leads
    p = Tensor(np.array([3.0]), requires_grad=True)

    def closure():
        x = float(p.array[0])
        p.grad = Tensor(np.array([1 - 1 / x if x > 0 else np.nan]))
        return x - np.log(x) if x > 0 else np.nan

    make([p]).step(closure)
    np.testing.assert_allclose(p.array, [1], atol=1e-3)


def test_refusals():
    p = Tensor(np.ones(2), requires_grad=True)
    with pytest.raises(TypeError, match="a closure is needed"):
        optim.LBFGS([p]).step()
    with pytest.raises(ValueError, match="there can be one group"):
        optim.LBFGS([{"params": [p]}, {"params": [Tensor(np.ones(2), requires_grad=True)]}])
    with pytest.raises(ValueError, match="line_search_fn must be 'strong_wolfe' or None, got 'armijo'"):
        optim.LBFGS([p], line_search_fn="armijo")
    with pytest.raises(ValueError, match="NewtonCG: c1 must be in"):
        optim.NewtonCG([p], c1=0.7)
    with pytest.raises(TypeError, match="need one dtype, got float32 and float64"):
        optim.NewtonCG([p, Tensor(np.ones(2, np.float32), requires_grad=True)])


@pytest.mark.parametrize("name", ["LBFGS", "NewtonCG"])
def test_float32_networks_learn(name):
    x, labels, _ = network()
    model = nn.Sequential(nn.Linear(5, 6), nn.Tanh(), nn.Linear(6, 3))
    optimizer = getattr(optim, name)(model.parameters())
    loss = nn.CrossEntropyLoss()

    def closure():
        optimizer.zero_grad()
        value = loss(model(Tensor(x.astype(np.float32))), Tensor(labels))
        value.backward()
        return value

    first = optimizer.step(closure).item()
    assert closure().item() < 0.7 * first
