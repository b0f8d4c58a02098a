"""What ``pynet train`` does: settings that suit a data set, its parts, and a trainer made of both.

The test images are used once, after the training. The validation images of the curves are split off the
training images.
"""

from __future__ import annotations

import dataclasses
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np

from .. import models, optim, random
from ..data import DataLoader, ImageDataset, ImageFolder, load, read_image, stratified_split, transforms
from ..data import available as data_sets
from ..data.dataset import Subset
from ..data.preprocess import (
    ChannelMean,
    ChannelStandardize,
    MeanImage,
    Preprocessor,
    Standardize,
    ZCAWhiten,
)
from ..nn import CrossEntropyLoss, Module
from . import augment
from .metrics import confusion_matrix
from .trainer import Trainer

OPTIMIZERS = ("adam", "adamw", "sgd", "rmsprop", "adagrad")
# Those that leave an image an image.
PREPROCESSING: dict[str, type[Preprocessor]] = {
    "channel_standardize": ChannelStandardize,
    "channel_mean": ChannelMean,
    "standardize": Standardize,
    "mean_image": MeanImage,
    "zca": ZCAWhiten,
}


@dataclasses.dataclass
class Settings:
    """How a run is trained; JSON values all.

    Attributes:
        data: a named data set, or a folder with a subfolder of images for each class (and, if there are such,
            with the two parts in ``train`` and ``test``).
        root: folder of the named data set's files, None where it is found by itself.
        model: name of an architecture. epochs, batch_size, seed: as usual.
        optimizer: one of OPTIMIZERS; its rate follows half a cosine from `lr` to zero, a step at a time.
        weight_decay, label_smoothing: of the optimizer and the loss.
        preprocess: one of PREPROCESSING, fitted on the training images.
        augment: names of augmentations of the training images, applied in order; see `augment.NAMES`.
        validation: share of the training images that is split off.
        image_size: to which the images of a folder are resized, pixels a side.
    """

    data: str
    root: str | None = None
    model: str = "small_cnn"
    epochs: int = 20
    batch_size: int = 64
    optimizer: str = "adamw"
    lr: float = 2e-3
    weight_decay: float = 1e-2
    label_smoothing: float = 0.05
    preprocess: str = "channel_standardize"
    augment: Sequence[str] = ()
    validation: float = 0.1
    seed: int = 0
    image_size: int = 32


_SUITABLE: dict[str, dict[str, Any]] = {
    "digits": {"epochs": 30, "batch_size": 32, "augment": ("shift",)},
    "mnist": {"epochs": 8, "batch_size": 128, "validation": 1 / 12},
    "fashion-mnist": {"epochs": 8, "batch_size": 128, "augment": ("flip",), "validation": 1 / 12},
    "cifar-10": {"epochs": 20, "batch_size": 128, "model": "resnet20", "augment": ("flip", "shift")},
}


class Parts(NamedTuple):
    """The images of a run: uint8 (N, C, H, W) and labels in each part."""

    train: Subset
    validation: Subset | None
    test: ImageDataset | Subset
    classes: list[str]


def suitable(data: str, given: Mapping[str, Any]) -> Settings:
    """Return the settings for `data`, those in `given` (None: not given) before those that suit it.

    Raises:
        ValueError: no data set and no folder is called so, or a value is out of range.
    """
    name = _data_name(data)
    values = {"data": name, **_SUITABLE.get(name, {})}
    values.update({key: value for key, value in given.items() if value is not None})
    settings = Settings(**values)
    for key in ("epochs", "batch_size", "image_size"):
        if getattr(settings, key) < 1:
            raise ValueError(f"train: {key} must be at least 1, not {getattr(settings, key)}")
    if not settings.lr > 0:
        raise ValueError(f"train: lr must be greater than 0, not {settings.lr}")
    if not 0 <= settings.validation < 1:
        raise ValueError(f"train: validation must be a share in [0, 1), not {settings.validation}")
    if settings.optimizer not in OPTIMIZERS:
        raise ValueError(
            f"train: no optimizer is called {settings.optimizer!r}; there are {', '.join(OPTIMIZERS)}"
        )
    if settings.preprocess not in PREPROCESSING:
        raise ValueError(
            f"train: no preprocessing is called {settings.preprocess!r}; there are {', '.join(PREPROCESSING)}"
        )
    augment.check(settings.augment)
    return settings


def load_test(settings: Settings) -> tuple[ImageDataset | Subset, list[str]]:
    """Return the test part and the class names."""
    _, test = _load(settings)
    return test, list(test.classes)


def load_parts(settings: Settings) -> Parts:
    """Return training, validation and test images; the split depends on `settings` alone."""
    train, test = _load(settings)
    if not settings.validation:
        return Parts(Subset(train, np.arange(len(train))), None, test, list(test.classes))
    rest, validation = stratified_split(train, settings.validation, seed=settings.seed)
    return Parts(rest, validation, test, list(test.classes))


def model_arguments(parts: Parts) -> dict[str, int]:
    """Return the arguments that every architecture takes.

    Raises:
        ValueError: the images are not square.
    """
    _, channels, height, width = _images(parts.test).shape
    if height != width:
        raise ValueError(f"train: the architectures need square images, these are {height}x{width}")
    return {"in_channels": channels, "image_size": height, "num_classes": len(parts.classes)}


def fit_preprocessing(parts: Parts, settings: Settings) -> Preprocessor:
    """Return the preprocessing, fitted on the training images."""
    return PREPROCESSING[settings.preprocess]().fit(parts.train)


def make_trainer(model: Module, settings: Settings, steps: int, classes: int) -> Trainer:
    """Return a trainer; `steps` is the number of batches in an epoch, `classes` that of the outputs."""
    optimizer = _optimizer(model, settings)
    return Trainer(
        model,
        CrossEntropyLoss(label_smoothing=settings.label_smoothing),
        optimizer,
        metrics=("accuracy",),
        scheduler=optim.lr_scheduler.CosineAnnealingLR(optimizer, T_max=steps * settings.epochs),
        scheduler_interval="step",
        augment=augment.of_batches(settings.augment, classes),
    )


def make_model(settings: Settings, arguments: dict[str, Any]) -> Module:
    """Seed pynet's random numbers and return the architecture with fresh weights."""
    random.manual_seed(settings.seed)
    return models.create(settings.model, **arguments)


def loaders(
    parts: Parts, settings: Settings, preprocessing: Preprocessor
) -> tuple[DataLoader, DataLoader | None]:
    """Return the loaders of the training and of the validation part; the first augments."""
    changes = augment.of_images(settings.augment, _images(parts.test).shape[-1])
    train = DataLoader(
        parts.train.with_transform(transforms.Compose([*changes, preprocessing])),
        settings.batch_size,
        shuffle=True,
        generator=settings.seed,
        num_workers=0,
    )
    return train, None if parts.validation is None else test_loader(parts.validation, preprocessing)


def sample(parts: Parts, preprocessing: Preprocessor, count: int = 200) -> np.ndarray:
    """Return the first `count` training images as the network sees them, without augmentation."""
    part = parts.train.with_transform(preprocessing)
    return next(iter(DataLoader(part, min(count, len(part)))))[0].array


def test_loader(part: ImageDataset | Subset, preprocessing: Preprocessor) -> DataLoader:
    """Return batches of `part` in its order."""
    return DataLoader(part.with_transform(preprocessing), 500)


class TestResult(NamedTuple):
    """Of the test images: the share that is right, the confusion matrix (true classes in rows), and the
    outputs (N, C).
    """

    accuracy: float
    matrix: np.ndarray
    outputs: np.ndarray


def test(model: Module, part: ImageDataset | Subset, preprocessing: Preprocessor, classes: int) -> TestResult:
    """Apply `model` to the test images."""
    outputs = Trainer(model, None, None).predict(test_loader(part, preprocessing))
    matrix = confusion_matrix(np.asarray(part.labels), outputs.argmax(axis=1), classes)
    return TestResult(float(np.trace(matrix) / matrix.sum()), matrix, outputs)


def _optimizer(model: Module, settings: Settings) -> Any:
    parameters, lr, decay = model.parameters(), settings.lr, settings.weight_decay
    match settings.optimizer:
        case "adam":
            return optim.Adam(parameters, lr=lr)
        case "adamw":
            return optim.AdamW(parameters, lr=lr, weight_decay=decay)
        case "rmsprop":
            return optim.RMSprop(parameters, lr=lr)
        case "adagrad":
            return optim.Adagrad(parameters, lr=lr)
    # The decay that suits AdamW is applied past the rate; 5e-4 is what SGD is used with.
    return optim.SGD(parameters, lr=lr, momentum=0.9, weight_decay=min(decay, 5e-4), nesterov=True)


def _data_name(data: str) -> str:
    plain = {name.replace("-", ""): name for name in data_sets()}
    known = plain.get(data.lower().replace("-", "").replace("_", ""))
    if known is not None:
        return known
    if Path(data).is_dir():
        return str(Path(data).resolve())
    raise ValueError(
        f"there is no data set and no folder {data!r}; the data sets are {', '.join(data_sets())}"
    )


def _load(settings: Settings) -> tuple[Any, Any]:
    if settings.data in data_sets():
        return load(settings.data, root=settings.root)
    folder = Path(settings.data)
    if (folder / "train").is_dir() and (folder / "test").is_dir():
        train, test = (
            _read_folder(folder / "train", settings.image_size),
            _read_folder(folder / "test", settings.image_size),
        )
        if train.classes != test.classes:
            raise ValueError(
                f"{folder}: train has the classes {train.classes}, test {test.classes}; they must be the same"
            )
        return train, test
    return stratified_split(_read_folder(folder, settings.image_size), 0.2, seed=settings.seed)


def _read_folder(folder: Path, size: int) -> ImageDataset:
    """Read all images of a folder, resized; colour, also where the files are grey."""
    index = ImageFolder(folder)
    images = np.empty((len(index), 3, size, size), np.uint8)
    for number, (path, _) in enumerate(index.samples):
        images[number] = read_image(path, 3, (size, size))
    return ImageDataset(images, index.labels, index.classes)


def _images(part: ImageDataset | Subset) -> np.ndarray:
    return part.images if isinstance(part, ImageDataset) else _images(part.dataset)
