"""Principal components: rotation, and whitening with and without the rotation back."""

from __future__ import annotations

from typing import Any

import numpy as np

from pynet import _core

from .base import Preprocessor, unit


class PCA(Preprocessor):
    """Centres samples and projects them on the directions of largest variance: decorrelated features.

    The signs are scikit-learn's: the largest loading of each component is positive.

    Args:
        n_components: how many are kept: an int, a share of the variance in (0, 1), or None for all,
            min(samples, features).
        eps: added to the variances where they divide (whitening), in units of the data squared.

    Attributes:
        mean: float64 (features,). components: (k, features), rows of length 1. explained_variance: (k,), with
            samples - 1 in the denominator. explained_variance_ratio: shares of the total, (k,).

    Shapes:
        samples of any shape in, (N, k) out; `inverse` gives samples of the fitted shape, without what the
        dropped components held.

    Source:
        Pearson 1901; scikit-learn's `PCA`.
    """

    whitens = False

    def __init__(self, n_components: int | float | None = None, eps: float = 0.0) -> None:
        self._check_arguments(n_components, eps)
        self.n_components, self.eps = n_components, eps
        super().__init__()

    def _check_arguments(self, n_components: Any, eps: float) -> None:
        whole = isinstance(n_components, (int, np.integer)) and not isinstance(n_components, bool)
        if not (
            n_components is None
            or (whole and n_components >= 1)
            or (isinstance(n_components, float) and 0 < n_components < 1)
        ):
            raise ValueError(
                f"{self._name}: n_components must be a positive int, a share of the variance in (0, 1) "
                f"or None, not {n_components!r}"
            )
        if not (np.isfinite(eps) and eps >= 0):
            raise ValueError(f"{self._name}: eps must be finite and not negative, not {eps!r}")

    def _forget(self) -> None:
        super()._forget()
        self.mean: np.ndarray | None = None
        self._scatter: np.ndarray | None = None  # sum of outer products of the centred samples
        self._found: tuple[np.ndarray, np.ndarray, float] | None = None

    def _add(self, values: np.ndarray) -> None:
        """Merge a batch's mean and scatter matrix (Chan, Golub and LeVeque 1979, for vectors)."""
        rows = values.reshape(len(values), -1)
        mean = rows.mean(axis=0)
        centred = rows - mean
        if self.mean is None or self._scatter is None:
            self.mean, self._scatter = mean, centred.T @ centred
        else:
            total = self.samples + len(rows)
            step = mean - self.mean
            self._scatter += centred.T @ centred
            self._scatter += np.outer(step, step) * (self.samples * len(rows) / total)
            self.mean = self.mean + step * (len(rows) / total)
        self._found = None

    @property
    def components(self) -> np.ndarray:
        """(k, features), rows of length 1, by falling variance."""
        return self._principal()[0]

    @property
    def explained_variance(self) -> np.ndarray:
        """(k,): the variance along each component."""
        return self._principal()[1]

    @property
    def explained_variance_ratio(self) -> np.ndarray:
        """(k,): its shares of the whole variance."""
        _, variance, total = self._principal()
        return variance / total if total > 0 else np.zeros_like(variance)

    def _principal(self) -> tuple[np.ndarray, np.ndarray, float]:
        self._require_fit()
        if self._found is None:
            assert self._scatter is not None
            if self.samples < 2:
                raise ValueError(f"{self._name}: one sample has no variance; fit on at least two")
            values, vectors = np.linalg.eigh(self._scatter / (self.samples - 1))
            values, vectors = np.maximum(values[::-1], 0.0), vectors[:, ::-1].T
            largest = np.abs(vectors).argmax(axis=1)
            vectors = vectors * np.sign(vectors[np.arange(len(vectors)), largest])[:, None]
            kept = self._kept(values)
            self._found = np.ascontiguousarray(vectors[:kept]), values[:kept], float(values.sum())
        return self._found

    def _kept(self, variances: np.ndarray) -> int:
        most = min(self.samples, len(variances))
        if self.n_components is None:
            return most
        if isinstance(self.n_components, float):
            shares = np.cumsum(variances) / max(variances.sum(), np.finfo(float).tiny)
            return min(most, int(np.searchsorted(shares, self.n_components, side="right")) + 1)
        if self.n_components > most:
            raise ValueError(
                f"{self._name}: n_components {self.n_components} is more than {self.samples} samples of "
                f"{len(variances)} features allow, {most}"
            )
        return int(self.n_components)

    def _scale(self) -> np.ndarray:
        """By what each component is divided."""
        variance = self.explained_variance
        if not self.whitens:
            return np.ones_like(variance)
        deviation = np.sqrt(variance + self.eps)
        # Directions in which nothing varies stay at zero instead of blowing rounding errors up.
        return np.where(variance + self.eps > 1e-12 * max(variance[0], self.eps), deviation, np.inf)

    def _forward_matrix(self) -> np.ndarray:
        return (self.components / self._scale()[:, None]).T

    def _backward_matrix(self) -> np.ndarray:
        scale = self._scale()
        return self.components * np.where(np.isfinite(scale), scale, 0.0)[:, None]

    def _transform(self, array: np.ndarray) -> np.ndarray:
        batch, single = self._as_batch(array)
        assert self.mean is not None
        precision = np.promote_types(batch.dtype, np.float32)
        centred = batch.reshape(len(batch), -1) - (self.mean / unit(batch)).astype(precision)
        out = _product(centred, unit(batch) * self._forward_matrix()).reshape(-1, *self._output_shape())
        return out[0] if single else out

    def _inverse(self, array: np.ndarray) -> np.ndarray:
        shape = self._output_shape()
        single = array.shape == shape
        if not single and array.shape[1:] != shape:
            raise ValueError(
                f"{self._name}.inverse: {shape} or (N, *{shape}) is expected, got shape {array.shape}"
            )
        assert self.mean is not None and self.shape is not None
        out = _product(array.reshape(-1, int(np.prod(shape))), self._backward_matrix())
        out = (out + self.mean.astype(np.float32)).reshape(-1, *self.shape)
        return out[0] if single else out

    def _output_shape(self) -> tuple[int, ...]:
        return (len(self.components),)

    def _state(self) -> dict[str, Any]:
        components, variance, total = self._principal()
        return {
            "mean": self.mean,
            "components": components,
            "explained_variance": variance,
            "total_variance": total,
            "n_components": self.n_components,
            "eps": self.eps,
        }

    def _restore(self, state: dict[str, Any]) -> None:
        self.mean = np.asarray(state["mean"], np.float64)
        components, variance = (
            np.asarray(state[key], np.float64) for key in ("components", "explained_variance")
        )
        features = int(np.prod(self.shape))  # type: ignore[arg-type]
        if (
            self.mean.shape != (features,)
            or components.shape != (len(variance), features)
            or variance.ndim != 1
        ):
            raise ValueError(
                f"mean, components and variances have the shapes {self.mean.shape}, {components.shape} and "
                f"{variance.shape}, for {features} features"
            )
        self._check_arguments(state["n_components"], state["eps"])
        self.n_components, self.eps = state["n_components"], state["eps"]
        self._found = components, variance, float(state["total_variance"])

    def partial_fit(self, batch: Any) -> Any:
        """Learn from one more batch (N, ...); return self.

        Raises:
            ValueError: as `fit`. RuntimeError: it was loaded; a loaded one has no scatter matrix to add to.
        """
        if self.samples and self._scatter is None:
            raise RuntimeError(f"{self._name}: what was loaded cannot learn on; call fit with all samples")
        return super().partial_fit(batch)

    def __repr__(self) -> str:
        fitted = f", shape={self.shape}" if self.samples else ""
        return f"{self._name}(n_components={self.n_components}, eps={self.eps:g}{fitted})"


class PCAWhiten(PCA):
    """PCA, with every component divided by its standard deviation, sqrt(variance + eps): uncorrelated,
    variance 1.

    Source:
        CS231n, "Neural networks part 2: data preprocessing"; scikit-learn's `PCA(whiten=True)` at eps 0.
    """

    whitens = True

    def __init__(self, n_components: int | float | None = None, eps: float = 1e-5) -> None:
        super().__init__(n_components, eps)


class ZCAWhiten(PCAWhiten):
    """PCA whitening rotated back: the whitened samples that are nearest to the original ones, in their shape.

    Source:
        Bell and Sejnowski 1997; Krizhevsky 2009, appendix A.
    """

    def _forward_matrix(self) -> np.ndarray:
        return super()._forward_matrix() @ self.components

    def _backward_matrix(self) -> np.ndarray:
        return self.components.T @ super()._backward_matrix()

    def _output_shape(self) -> tuple[int, ...]:
        assert self.shape is not None
        return self.shape


def _product(a: np.ndarray, b: np.ndarray) -> np.ndarray:
    """float32 `a @ b`, with the same bits at every thread count."""
    return np.asarray(_core.matmul(*(np.ascontiguousarray(m, np.float32) for m in (a, b))))
