"""Small trainings from the same weights on the same data, and state_dicts both ways."""

from __future__ import annotations

import numpy as np
import pytest

import pynet
from tests.parity.case import libraries, to_array

STEPS = 25
MODELS = {
    "mlp": "nn.Sequential(nn.Flatten(), nn.Linear(64, 32), nn.Tanh(), nn.Linear(32, 10))",
    "convnet": (
        "nn.Sequential(nn.Conv2d(1, 6, 3, padding=1), nn.ReLU(), nn.MaxPool2d(2), nn.Conv2d(6, 8, 3), nn.ReLU(), "
        "nn.Flatten(), nn.Linear(32, 10))"
    ),
    "batch norm": (
        "nn.Sequential(nn.Conv2d(1, 8, 3, 2, bias=False), nn.BatchNorm2d(8), nn.ReLU(), nn.AdaptiveAvgPool2d(1), "
        "nn.Flatten(), nn.Linear(8, 10))"
    ),
    "group norm": (
        "nn.Sequential(nn.Conv2d(1, 8, 3, groups=1), nn.GroupNorm(4, 8), nn.SiLU(), nn.Conv2d(8, 8, 3, groups=8), "
        "nn.GELU(), nn.AvgPool2d(2), nn.Flatten(), nn.LayerNorm(32), nn.Linear(32, 10))"
    ),
    "gates": "nn.Sequential(nn.Flatten(), nn.Linear(64, 24), nn.PReLU(), nn.Linear(24, 12), nn.Mish(), nn.Linear(12, 10))",
}  # fmt: skip
OPTIMIZERS = ["SGD(p, lr=0.1, momentum=0.9)", "Adam(p, lr=0.01)", "RMSprop(p, lr=0.003)", "AdamW(p, lr=0.01)"]
LOSSES = ["F.cross_entropy(y, t)", "F.multi_margin_loss(y, t)", "F.mse_loss(y, F.one_hot(t, 10).to(y.dtype))"]
TRAININGS = [
    *[(m, o, LOSSES[0]) for m in MODELS for o in OPTIMIZERS],
    *[("convnet", OPTIMIZERS[0], loss) for loss in LOSSES[1:]],
]


def model(library: str, name: str, dtype: str, state: dict[str, np.ndarray] | None = None):
    names = libraries(library)
    result = eval(MODELS[name], names)
    if dtype == "float64":
        result.double()
    if state is not None:
        result.load_state_dict(
            {k: names["torch"].tensor(v.tolist(), dtype=_dtype(names, v)) for k, v in state.items()}
        )
    return result


def _dtype(names, v: np.ndarray):
    return getattr(names["torch"], v.dtype.name)


def state_of(module) -> dict[str, np.ndarray]:
    return {k: to_array(v).copy() for k, v in module.state_dict().items()}


def curve(library: str, name: str, optimizer: str, loss: str, dtype: str, state) -> tuple[np.ndarray, dict]:
    """The loss of every step, and the state at the end."""
    names = libraries(library)
    torch = names["torch"]
    if state is not None:
        state = {k: v.astype(dtype) if v.dtype.kind == "f" else v for k, v in state.items()}
    net = model(library, name, dtype, state)
    o = eval(f"optim.{optimizer}", {"optim": torch.optim, "p": list(net.parameters())})
    rng = np.random.default_rng(11)
    centres = rng.standard_normal((10, 1, 8, 8))
    losses = []
    with pynet.conv_algorithm("direct"):
        for _ in range(STEPS):
            labels = rng.integers(0, 10, 16)
            images = (
                (centres[labels] + 0.7 * rng.standard_normal((16, 1, 8, 8))).astype(np.float32).astype(dtype)
            )
            y = net(torch.from_numpy(images))
            value = eval(loss, {**names, "y": y, "t": torch.from_numpy(labels)})
            o.zero_grad()
            value.backward()
            o.step()
            losses.append(value.item())
    return np.array(losses), state_of(net)


@pytest.mark.parametrize(("name", "optimizer", "loss"), TRAININGS)
def test_loss_curves(name, optimizer, loss):
    state = state_of(model("torch", name, "float32"))

    def run(library, dtype):
        return curve(library, name, optimizer, loss, dtype, state)

    (got, weights), (want, expected) = run("pynet", "float64"), run("torch", "float64")
    np.testing.assert_allclose(got, want, rtol=1e-9, atol=1e-9)
    for key, value in expected.items():
        np.testing.assert_allclose(weights[key], value, rtol=1e-7, atol=1e-8, err_msg=key)
    # Rounding grows along a training, in PyTorch as here.
    single, own = run("pynet", "float32")[0], run("torch", "float32")[0]
    bound = np.maximum(16 * np.maximum.accumulate(np.abs(own - want)), 1e-5 * np.abs(want))
    assert (np.abs(single - want) <= bound).all(), np.abs(single - want) / bound


@pytest.mark.parametrize("dtype", ["float32", "float64"])
@pytest.mark.parametrize("name", MODELS)
def test_state_dicts_go_both_ways(name, dtype):
    theirs = model("torch", name, dtype)
    ours = model("pynet", name, dtype, state_of(theirs))
    back = model("torch", name, dtype, state_of(ours))
    assert list(ours.state_dict()) == list(theirs.state_dict())
    for key, value in state_of(theirs).items():
        for other in (state_of(ours), state_of(back)):
            assert other[key].dtype == value.dtype and np.array_equal(other[key], value), key
    x = np.random.default_rng(2).standard_normal((3, 1, 8, 8)).astype(dtype)
    for net in (ours, theirs):
        net.eval()
    got = to_array(ours(pynet.from_numpy(x)))
    want = to_array(theirs(libraries("torch")["torch"].from_numpy(x)))
    np.testing.assert_allclose(
        got, want, rtol=1e-4 if dtype == "float32" else 1e-9, atol=1e-5 if dtype == "float32" else 1e-11
    )
