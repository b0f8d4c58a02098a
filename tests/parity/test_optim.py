"""Twenty steps of every optimizer and option, forty epochs of every schedule."""

from __future__ import annotations

import warnings

import numpy as np
import pytest

from tests.parity.case import libraries
from tests.parity.compare import EPS, scale_of

ADAPTIVE = ["", ", lr=0.05", ", weight_decay=0.1", ", maximize=True"]
BETAS = [*ADAPTIVE, ", betas=(0.5, 0.9), eps=1e-4"]
OPTIONS = {
    "SGD": [
        ", lr=0.1", "", ", lr=0.1, momentum=0.9", ", lr=0.1, momentum=0.9, nesterov=True", ", lr=0.1, weight_decay=0.1",
        ", lr=0.1, momentum=0.9, dampening=0.5", ", lr=0.001, maximize=True",
        ", lr=0.1, momentum=0.8, weight_decay=0.2, nesterov=True",
    ],
    "Adagrad": [*ADAPTIVE, ", lr_decay=0.1", ", initial_accumulator_value=0.5, eps=1e-3"],
    "RMSprop": [*ADAPTIVE, ", momentum=0.5", ", centered=True", ", alpha=0.5, centered=True, momentum=0.9, eps=1e-3"],
    "Adam": [*BETAS, ", amsgrad=True", ", amsgrad=True, weight_decay=0.1, lr=0.05", ", decoupled_weight_decay=True, weight_decay=0.1"],
    "AdamW": [*BETAS, ", amsgrad=True", ", weight_decay=0.0"],
    "Adamax": BETAS,
    "NAdam": [*BETAS, ", momentum_decay=0.1", ", weight_decay=0.1, decoupled_weight_decay=True"],
    "RAdam": [*BETAS, ", weight_decay=0.1, decoupled_weight_decay=True"],
    "Adadelta": [*ADAPTIVE, ", rho=0.5, eps=1e-3"],
    "Rprop": [", lr=0.05", ", etas=(0.4, 1.3), step_sizes=(1e-3, 1.0)"],
    "ASGD": [", lr=0.05", ", lambd=0.1, alpha=0.5, t0=5"],
    "LBFGS": [", lr=0.1", ", line_search_fn='strong_wolfe'", ", lr=0.5, max_iter=5, history_size=3"],
}  # fmt: skip
RUNS = [f"{name}({{p}}{o})" for name, options in OPTIONS.items() for o in options]
GROUPS = [
    "SGD([{{'params': p[:1], 'lr': 0.3}}, {{'params': p[1:], 'momentum': 0.5}}], lr=0.1)",
    "Adam([{{'params': p[:1], 'weight_decay': 0.3}}, {{'params': p[1:], 'betas': (0.5, 0.6)}}], lr=0.1)",
]
TEXTS = [r.format(p="p") for r in RUNS] + [g.format() for g in GROUPS]

# The error of a step is divided by the root of a small second moment: what twenty steps may gather.
STEPS = 20


def made(library: str, text: str, missing, **names):
    """The optimizer or schedule of the text; what pynet lacks is reported."""
    optim = libraries(library)["torch"].optim
    owner = optim.lr_scheduler if "(o" in text else optim
    name = text.partition("(")[0]
    if library == "pynet" and not hasattr(owner, name):
        missing(f"optim.{name}" if owner is optim else f"lr_scheduler.{name}")
    try:
        return eval(text, {name: getattr(owner, name), "S": optim.lr_scheduler, **names})
    except TypeError as error:
        if library == "pynet" and "unexpected keyword" in str(error):
            missing(f"{text}: {error}")
        raise


def run(library: str, text: str, dtype: str, missing) -> list[np.ndarray]:
    """The parameters after twenty steps down a bowl with a quartic term."""
    torch = libraries(library)["torch"]
    rng = np.random.default_rng(5)
    starts, targets = ([rng.standard_normal(s).astype(np.float32) for s in ((7, 5), (3,))] for _ in range(2))

    def tensor(a):
        return torch.tensor(a.astype(dtype).tolist(), dtype=getattr(torch, dtype))

    parameters = [torch.nn.Parameter(tensor(a)) for a in starts]
    goals = [tensor(a) for a in targets]
    optimizer = made(library, text, missing, p=parameters)

    def closure():
        optimizer.zero_grad()
        loss = sum(
            ((p - g) ** 2).sum() + 0.1 * (p * p * p * p).sum() for p, g in zip(parameters, goals, strict=True)
        )
        loss.backward()
        return loss

    for _ in range(STEPS):
        optimizer.step(closure)
    return [p.detach().numpy() for p in parameters]


@pytest.mark.parametrize("text", TEXTS)
def test_float64_runs(text, missing):
    got, want = run("pynet", text, "float64", missing), run("torch", text, "float64", missing)
    for a, b in zip(got, want, strict=True):
        np.testing.assert_allclose(a, b, rtol=1e-9, atol=1e-9 * scale_of(b))


@pytest.mark.parametrize("text", TEXTS)
def test_float32_runs(text, missing):
    got, exact = run("pynet", text, "float32", missing), run("torch", text, "float64", missing)
    for a, b, c in zip(got, run("torch", text, "float32", missing), exact, strict=True):
        # Where a line search stops turns on rounding, so its two runs part further.
        factor = 64 if "line_search" in text else 16
        bound = max(factor * float(np.abs(b - c).max()), 4 * STEPS * EPS * scale_of(c))
        assert a.dtype == np.float32
        assert float(np.abs(a - c).max()) <= bound


SCHEDULES = [
    "StepLR(o, 7)", "StepLR(o, 3, gamma=0.5)", "MultiStepLR(o, [3, 11, 12])", "MultiStepLR(o, [5, 5, 20], 0.3)",
    "ExponentialLR(o, 0.9)", "LinearLR(o)", "LinearLR(o, 0.1, 0.8, 20)", "ConstantLR(o)", "ConstantLR(o, 0.5, 12)",
    "PolynomialLR(o, 30)", "PolynomialLR(o, 30, power=2.0)", "CosineAnnealingLR(o, 20)",
    "CosineAnnealingLR(o, 13, eta_min=0.01)", "CosineAnnealingWarmRestarts(o, 7)",
    "CosineAnnealingWarmRestarts(o, 5, 2, eta_min=0.01)", "CyclicLR(o, 0.01, 0.2, step_size_up=6)",
    "CyclicLR(o, 0.01, 0.2, step_size_up=4, step_size_down=9, mode='triangular2')",
    "CyclicLR(o, 0.01, 0.2, step_size_up=5, mode='exp_range', gamma=0.95, cycle_momentum=False)",
    "OneCycleLR(o, 0.5, total_steps=45)", "OneCycleLR(o, 0.5, epochs=9, steps_per_epoch=5, pct_start=0.4, anneal_strategy='linear')",
    "OneCycleLR(o, 0.5, total_steps=41, three_phase=True, div_factor=10.0, final_div_factor=50.0)",
    "LambdaLR(o, lambda n: 0.95**n)", "MultiplicativeLR(o, lambda n: 0.9 if n % 3 else 1.05)",
    "SequentialLR(o, [S.LinearLR(o, 0.1, total_iters=5), S.CosineAnnealingLR(o, 30)], [5])",
    "SequentialLR(o, [S.ConstantLR(o, 0.1, 3), S.StepLR(o, 4), S.ExponentialLR(o, 0.9)], [6, 20])",
    "ChainedScheduler([S.LinearLR(o, 0.2), S.ExponentialLR(o, 0.95)], o)",
    "ChainedScheduler([S.StepLR(o, 5), S.CosineAnnealingLR(o, 25)])",
    "ReduceLROnPlateau(o, patience=2)", "ReduceLROnPlateau(o, 'max', factor=0.5, patience=3, cooldown=2, min_lr=0.01)",
    "ReduceLROnPlateau(o, threshold_mode='abs', threshold=0.05, patience=1)",
]  # fmt: skip


def rates(library: str, text: str, missing) -> list[tuple[float, ...]]:
    """Learning rate and momentum of two groups over forty epochs."""
    torch = libraries(library)["torch"]
    parameters = [torch.nn.Parameter(torch.zeros(2)) for _ in range(2)]
    groups = [{"params": parameters[:1]}, {"params": parameters[1:], "lr": 0.03}]
    o = torch.optim.SGD(groups, lr=0.1, momentum=0.9)
    schedule = made(library, text, missing, o=o)
    seen = []
    for epoch in range(40):
        seen.append(tuple(g[k] for g in o.param_groups for k in ("lr", "momentum")))
        o.step()
        if "Plateau" in text:
            schedule.step(1 / (1 + epoch) if epoch % 13 < 7 else 0.3)
        else:
            schedule.step()
    return seen


@pytest.mark.parametrize("text", SCHEDULES)
def test_schedules(text, missing):
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        want = rates("torch", text, missing)
        got = rates("pynet", text, missing)
    np.testing.assert_allclose(got, want, rtol=1e-12, atol=1e-15)


def clipped(library: str, how: str) -> list[np.ndarray]:
    torch = libraries(library)["torch"]
    rng = np.random.default_rng(3)
    parameters = [torch.nn.Parameter(torch.zeros(*s, dtype=torch.float64)) for s in ((4, 5), (3,))]
    for p in parameters:
        p.grad = torch.tensor(rng.standard_normal(p.shape).tolist(), dtype=torch.float64)
    norm = eval(f"u.{how}", {"u": torch.nn.utils, "p": parameters})
    return [np.asarray(p.grad) for p in parameters] + ([] if norm is None else [np.asarray(norm)])


@pytest.mark.parametrize(
    "how",
    ["clip_grad_norm_(p, 1.0)", "clip_grad_norm_(p, 0.5, 1)", "clip_grad_norm_(p, 0.5, float('inf'))",
     "clip_grad_norm_(p, 100.0)", "clip_grad_value_(p, 0.3)", "clip_grad_norm_(p[0], 1.0, norm_type=3)"],
)  # fmt: skip
def test_clipping(how):
    for a, b in zip(clipped("pynet", how), clipped("torch", how), strict=True):
        np.testing.assert_allclose(a, b, rtol=1e-12)
