"""scikit-learn estimators around pynet's networks: for ``Pipeline``, ``GridSearchCV`` and their kin.

``Classifier`` and ``Regressor`` take tables (n, features) and images (n, C, H, W). They keep scikit-learn's
rules: the constructor stores, ``fit`` checks, everything learnt ends in an underscore, and an integer
``random_state`` gives the same weights in every run without touching pynet's own random numbers.
"""

from __future__ import annotations

import contextlib
import copy
import signal
from collections.abc import Callable, Iterator, Sequence
from typing import Any

import numpy as np

from . import models, nn, optim, random
from .data import ArrayDataset, DataLoader
from .train import Callback, EarlyStopping, TerminateOnNaN, Trainer

try:
    from sklearn.base import BaseEstimator, ClassifierMixin, RegressorMixin
    from sklearn.model_selection import train_test_split
    from sklearn.utils import check_random_state
    from sklearn.utils.class_weight import compute_class_weight
    from sklearn.utils.multiclass import check_classification_targets
    from sklearn.utils.validation import check_array, check_is_fitted, column_or_1d, validate_data
except ImportError as error:
    raise ImportError(
        "pynet.sklearn needs scikit-learn 1.6 or later: pip install 'pynet-nn[data]'"
    ) from error

__all__ = ["Classifier", "Regressor"]

_OPTIMIZERS: dict[str, Callable[..., optim.Optimizer]] = {
    "adam": optim.Adam,
    "adamw": optim.AdamW,
    "rmsprop": optim.RMSprop,
    "adagrad": optim.Adagrad,
    "sgd": lambda parameters, **options: optim.SGD(parameters, momentum=0.9, nesterov=True, **options),
}


class _Estimator(BaseEstimator):
    """What the two estimators share: parameters, the fit, and outputs for new samples."""

    def __init__(
        self,
        model: Any = None,
        *,
        hidden: Sequence[int] = (100,),
        optimizer: str = "adam",
        lr: float = 1e-3,
        weight_decay: float = 0.0,
        batch_size: int = 32,
        epochs: int = 50,
        early_stopping: bool = False,
        validation_fraction: float = 0.1,
        patience: int = 10,
        callbacks: Sequence[Callback] = (),
        warm_start: bool = False,
        random_state: Any = None,
        verbose: bool = False,
    ) -> None:
        self.model = model
        self.hidden = hidden
        self.optimizer = optimizer
        self.lr = lr
        self.weight_decay = weight_decay
        self.batch_size = batch_size
        self.epochs = epochs
        self.early_stopping = early_stopping
        self.validation_fraction = validation_fraction
        self.patience = patience
        self.callbacks = callbacks
        self.warm_start = warm_start
        self.random_state = random_state
        self.verbose = verbose

    def _samples(self, X: Any, *, fitting: bool) -> np.ndarray:
        """Check `X` and return it as float32; uint8 images count as value / 255."""
        X = validate_data(self, X, reset=fitting, dtype="numeric", allow_nd=True)
        if X.ndim not in (2, 4):
            raise ValueError(
                f"{type(self).__name__}: X must be a table (n, features) or images (n, C, H, W), "
                f"got shape {X.shape}"
            )
        if fitting:
            self.input_shape_ = X.shape[1:]
        elif X.shape[1:] != self.input_shape_:
            raise ValueError(
                f"{type(self).__name__}: samples of shape {X.shape[1:]}, "
                f"but it was fitted on {self.input_shape_}"
            )
        if X.dtype == np.uint8 and X.ndim == 4:
            return X.astype(np.float32) / 255
        with np.errstate(over="ignore"):
            samples = X.astype(np.float32)
        if not np.isfinite(samples).all():
            raise ValueError(
                f"{type(self).__name__}: X has values beyond float32's range of 3.4e38; scale it, "
                "for example with sklearn.preprocessing.StandardScaler"
            )
        return samples

    def _fit(
        self, samples: np.ndarray, targets: np.ndarray, outputs: int, loss: Callable, **stratify: Any
    ) -> None:
        self._check_parameters()
        drawn = check_random_state(self.random_state).randint(2**31, size=2)
        validation = None
        with _own_random_numbers(int(drawn[0])):
            if not (self.warm_start and hasattr(self, "module_")):
                self.module_ = self._make_module(outputs)
            if self.early_stopping:
                samples, held, targets, held_targets = train_test_split(
                    samples,
                    targets,
                    test_size=self.validation_fraction,
                    random_state=int(drawn[1]),
                    **stratify,
                )
                validation = DataLoader(ArrayDataset(held, held_targets), 500)
            callbacks = [*copy.deepcopy(list(self.callbacks)), TerminateOnNaN()]
            if self.early_stopping:
                callbacks.append(EarlyStopping("val_loss", self.patience, restore_best_weights=True))
            loader = DataLoader(
                ArrayDataset(samples, targets),
                min(self.batch_size, len(samples)),
                shuffle=True,
                generator=int(drawn[1]),
            )
            optimizer = _OPTIMIZERS[self.optimizer](
                self.module_.parameters(), lr=self.lr, weight_decay=self.weight_decay
            )
            trainer = Trainer(self.module_, loss, optimizer, metrics=self._metrics, callbacks=callbacks)
            self.history_ = trainer.fit(loader, validation, self.epochs, progress=bool(self.verbose))
        self.module_.eval()
        if trainer.interrupted is not None:  # a search over parameters must end too
            signal.raise_signal(getattr(signal, trainer.interrupted))
        if trainer.diverged:
            raise ValueError(f"{type(self).__name__}: {trainer.stop_reason}")
        self.n_iter_ = len(self.history_)

    def _check_parameters(self) -> None:
        name = type(self).__name__
        for key, least in (("epochs", 1), ("batch_size", 1), ("patience", 0)):
            value = getattr(self, key)
            if isinstance(value, bool) or not isinstance(value, (int, np.integer)) or value < least:
                raise ValueError(f"{name}: {key} must be an integer of at least {least}, not {value!r}")
        if self.optimizer not in _OPTIMIZERS:
            raise ValueError(
                f"{name}: no optimizer is called {self.optimizer!r}; there are {', '.join(_OPTIMIZERS)}"
            )

    def _make_module(self, outputs: int) -> nn.Module:
        shape = self.input_shape_
        if isinstance(self.model, nn.Module):
            return copy.deepcopy(self.model)
        if callable(self.model):
            return self.model(shape, outputs)
        if len(shape) == 1 and self.model is None:
            return _perceptron(shape[0], self.hidden, outputs)
        if len(shape) == 1 or shape[1] != shape[2]:
            what = "a table" if len(shape) == 1 else f"images of {shape[1]}x{shape[2]} pixels"
            raise ValueError(
                f"{type(self).__name__}: the named architectures take square images, X holds {what}; "
                "give `model` a function (input_shape, outputs) -> Module"
            )
        name = "small_cnn" if self.model is None else self.model
        return models.create(name, in_channels=shape[0], image_size=shape[1], num_classes=outputs)

    def _outputs(self, X: Any) -> np.ndarray:
        check_is_fitted(self, "module_")
        return Trainer(self.module_, None, None).predict(self._samples(X, fitting=False))


class Classifier(ClassifierMixin, _Estimator):
    """A network that tells classes, trained on the cross-entropy.

    Args:
        model: a function ``(input_shape, outputs) -> Module``, the name of one of ``pynet.models`` (images),
            or a Module, of which each fit trains a copy. Default None: a perceptron for tables, ``small_cnn``
            for images.
        hidden: widths of the default perceptron's hidden layers.
        optimizer: "adam", "adamw", "rmsprop", "adagrad" or "sgd" (Nesterov momentum 0.9).
        lr: learning rate. weight_decay: as the optimizer defines it.
        batch_size: samples a step. epochs: passes over X.
        early_stopping: hold `validation_fraction` of X out, stop after `patience` epochs without a lower loss
            on it, and keep the best weights.
        callbacks: for the Trainer; each fit uses copies.
        warm_start: a second fit goes on from the weights of the first.
        class_weight: None, "balanced", or a dict from class to weight in the loss.
        random_state: an integer gives the same result in every run.
        verbose: show progress.

    Attributes:
        classes_: the labels, sorted. module_: the network. history_: a row an epoch. n_iter_: epochs trained.
        input_shape_, n_features_in_, feature_names_in_: of the samples.

    Raises:
        ValueError: at fit: parameters out of range, X neither (n, features) nor (n, C, H, W), or a loss that
            is no longer finite.

    Example:
        >>> from sklearn.model_selection import GridSearchCV
        >>> search = GridSearchCV(Classifier(epochs=20), {"lr": [1e-3, 1e-2]})
    """

    _metrics = ("accuracy",)

    def __init__(
        self,
        model: Any = None,
        *,
        hidden: Sequence[int] = (100,),
        optimizer: str = "adam",
        lr: float = 1e-3,
        weight_decay: float = 0.0,
        batch_size: int = 32,
        epochs: int = 50,
        early_stopping: bool = False,
        validation_fraction: float = 0.1,
        patience: int = 10,
        callbacks: Sequence[Callback] = (),
        warm_start: bool = False,
        class_weight: Any = None,
        random_state: Any = None,
        verbose: bool = False,
    ) -> None:
        super().__init__(
            model,
            hidden=hidden,
            optimizer=optimizer,
            lr=lr,
            weight_decay=weight_decay,
            batch_size=batch_size,
            epochs=epochs,
            early_stopping=early_stopping,
            validation_fraction=validation_fraction,
            patience=patience,
            callbacks=callbacks,
            warm_start=warm_start,
            random_state=random_state,
            verbose=verbose,
        )
        self.class_weight = class_weight

    def fit(self, X: Any, y: Any) -> Classifier:
        """Train on samples `X`, (n, features) or (n, C, H, W), and labels `y`, (n,), of any kind; return
        self.
        """
        known = getattr(self, "classes_", None) if self.warm_start else None
        samples = self._samples(X, fitting=True)
        y = _labels(y, len(samples))
        classes, targets = np.unique(y, return_inverse=True)
        if known is not None and not np.array_equal(known, classes):
            raise ValueError(
                f"Classifier: warm_start goes on with the classes {known}, but y has {classes}; "
                "set it to False"
            )
        if len(classes) < 2:
            raise ValueError(f"Classifier: y has one class, {classes[0]!r}; at least two are needed")
        self.classes_ = classes
        weight = None
        if self.class_weight is not None:
            weight = compute_class_weight(self.class_weight, classes=classes, y=y).astype(np.float32)
        loss = nn.CrossEntropyLoss(weight=weight)
        self._fit(samples, targets.astype(np.int64), len(classes), loss, stratify=targets)
        return self

    def decision_function(self, X: Any) -> np.ndarray:
        """Return logits (n, classes); for two classes their difference (n,), positive for ``classes_[1]``."""
        logits = self._outputs(X)
        return logits[:, 1] - logits[:, 0] if len(self.classes_) == 2 else logits

    def predict_log_proba(self, X: Any) -> np.ndarray:
        """Return log-probabilities (n, classes), float64."""
        logits = self._outputs(X).astype(np.float64)
        logits -= logits.max(axis=1, keepdims=True)
        return logits - np.log(np.exp(logits).sum(axis=1, keepdims=True))

    def predict_proba(self, X: Any) -> np.ndarray:
        """Return probabilities (n, classes), in the order of ``classes_``; float64, rows add up to one."""
        return np.exp(self.predict_log_proba(X))

    def predict(self, X: Any) -> np.ndarray:
        """Return the likeliest class of each sample (n,)."""
        best = self._outputs(X).argmax(axis=1)
        return self.classes_[best]


class Regressor(RegressorMixin, _Estimator):
    """A network that predicts numbers, trained on the squared error of standardised targets.

    Args:
        model, hidden, optimizer, lr, weight_decay, batch_size, epochs, early_stopping, validation_fraction,
        patience, callbacks, warm_start, random_state, verbose: as in ``Classifier``.

    Attributes:
        module_: the network; its outputs are standardised targets. target_mean_, target_scale_: of y.
        history_, n_iter_, input_shape_, n_features_in_, feature_names_in_: as in ``Classifier``.

    Raises:
        ValueError: as ``Classifier``.
    """

    _metrics = ()

    def fit(self, X: Any, y: Any) -> Regressor:
        """Train on samples `X`, (n, features) or (n, C, H, W), and targets `y`, (n,) or (n, outputs); return
        self.
        """
        samples = self._samples(X, fitting=True)
        y = _numbers(y, len(samples))
        table = y.reshape(len(y), -1)
        self._flat = y.ndim == 1
        if not (self.warm_start and hasattr(self, "module_")):
            self.target_mean_, spread = table.mean(axis=0), table.std(axis=0)
            self.target_scale_ = np.where(spread > 0, spread, 1.0)
        targets = ((table - self.target_mean_) / self.target_scale_).astype(np.float32)
        self._fit(samples, targets, table.shape[1], nn.MSELoss())
        return self

    def predict(self, X: Any) -> np.ndarray:
        """Return predictions in the shape and units of y, float64."""
        standardised = self._outputs(X).astype(np.float64)
        outputs = standardised * self.target_scale_ + self.target_mean_
        return outputs[:, 0] if self._flat else outputs

    def __sklearn_tags__(self) -> Any:
        tags = super().__sklearn_tags__()
        tags.target_tags.multi_output = True
        return tags


def _labels(y: Any, samples: int) -> np.ndarray:
    if y is None:
        raise ValueError("Classifier requires y to be passed, but the target y is None")
    check_classification_targets(y)
    y = column_or_1d(y, warn=True)
    _check_length(y, samples)
    return y


def _numbers(y: Any, samples: int) -> np.ndarray:
    if y is None:
        raise ValueError("Regressor requires y to be passed, but the target y is None")
    y = check_array(y, ensure_2d=False, dtype=np.float64, input_name="y")
    if y.ndim == 2 and y.shape[1] == 1:
        y = column_or_1d(y, warn=True)
    _check_length(y, samples)
    return y


def _check_length(y: np.ndarray, samples: int) -> None:
    if len(y) != samples:
        raise ValueError(f"X has {samples} samples and y {len(y)}: inconsistent numbers of samples")


def _perceptron(features: int, hidden: Sequence[int], outputs: int) -> nn.Sequential:
    layers: list[nn.Module] = []
    for width in hidden:
        layers += [nn.Linear(features, width), nn.ReLU()]
        features = width
    return nn.Sequential(*layers, nn.Linear(features, outputs))


@contextlib.contextmanager
def _own_random_numbers(seed: int) -> Iterator[None]:
    """Seed pynet's random numbers for a while, and put them back where they were."""
    before = random.get_rng_state()
    random.manual_seed(seed)
    try:
        yield
    finally:
        random.set_rng_state(before)
