"""How close is close enough: float64 within 1e-9, float32 by PyTorch's own error and the length of the sums."""

from __future__ import annotations

import numpy as np

EPS = float(np.finfo(np.float32).eps)


def scale_of(a: np.ndarray) -> float:
    finite = np.abs(a[np.isfinite(a)])
    return float(finite.max(initial=0.0))


def same_kind(name: str, got: np.ndarray, want: np.ndarray) -> None:
    assert got.shape == want.shape, f"{name}: shape {got.shape}, PyTorch has {want.shape}"
    assert got.dtype == want.dtype, f"{name}: {got.dtype}, PyTorch has {want.dtype}"


def same_special(name: str, got: np.ndarray, want: np.ndarray) -> None:
    for what, where in (("NaN", np.isnan), ("inf", np.isposinf), ("-inf", np.isneginf)):
        places = np.argwhere(where(got) != where(want))
        assert not len(places), (
            f"{name}: {what} differs at {places[0].tolist()}: {got[tuple(places[0])]}, PyTorch has "
            f"{want[tuple(places[0])]}"
        )


def close(name: str, got: np.ndarray, want: np.ndarray, bound: float) -> None:
    with np.errstate(invalid="ignore"):
        error = np.where(np.isfinite(want), np.abs(got.astype(np.float64) - want), 0.0)
    worst = float(error.max(initial=0.0))
    assert worst <= bound, f"{name}: off by {worst:.3g}, allowed {bound:.3g}, scale {scale_of(want):.3g}"


def compare64(got: dict[str, np.ndarray], want: dict[str, np.ndarray]) -> None:
    assert got.keys() == want.keys(), f"pynet has {sorted(got)}, PyTorch {sorted(want)}"
    for name, a in want.items():
        same_kind(name, got[name], a)
        if a.dtype.kind == "f":
            same_special(name, got[name], a)
            unit = 1e-9 if a.dtype == np.float64 else 4 * EPS  # float32 where integers went in
            close(name, got[name], a, unit * max(1.0, scale_of(a)))
        else:
            assert np.array_equal(got[name], a), f"{name}: {got[name]}, PyTorch has {a}"


def compare32(
    got: dict[str, np.ndarray], want: dict[str, np.ndarray], exact: dict[str, np.ndarray], K: int
) -> None:
    """`want` is PyTorch in float32, `exact` PyTorch in float64 on the same numbers."""
    assert got.keys() == want.keys(), f"pynet has {sorted(got)}, PyTorch {sorted(want)}"
    for name, a in want.items():
        same_kind(name, got[name], a)
        if a.dtype.kind == "f":
            same_special(name, got[name], a)
            own = float(np.abs(a.astype(np.float64) - exact[name])[np.isfinite(a)].max(initial=0.0))
            close(name, got[name], exact[name], max(16 * own, 4 * K * EPS * scale_of(exact[name])))
        else:
            assert np.array_equal(got[name], a), f"{name}: {got[name]}, PyTorch has {a}"
