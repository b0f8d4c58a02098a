"""What `pynet train` does with data sets and settings."""

from __future__ import annotations

import numpy as np
import pytest

from pynet.train import augment, recipes


def test_settings_suit_the_data_and_the_user_comes_first():
    settings = recipes.suitable("Fashion_MNIST", {"epochs": None, "lr": 0.1})
    assert (settings.data, settings.epochs, settings.batch_size, settings.lr) == (
        "fashion-mnist",
        8,
        128,
        0.1,
    )
    assert recipes.suitable("digits", {}).augment == ("shift",)


@pytest.mark.parametrize(
    ("given", "match"),
    [
        ({"epochs": 0}, "epochs must be at least 1, not 0"),
        ({"batch_size": -1}, "batch_size must be at least 1"),
        ({"lr": 0.0}, "lr must be greater than 0"),
        ({"lr": float("nan")}, "lr must be greater than 0, not nan"),
        ({"validation": 1.0}, r"validation must be a share in \[0, 1\)"),
        ({"optimizer": "lion"}, "no optimizer is called 'lion'; there are adam, adamw, sgd"),
        ({"augment": ("x",)}, "no augmentation is called 'x'"),
        ({"augment": ("mixup", "cutmix")}, "only one can be applied"),
    ],
)
def test_settings_are_checked(given, match):
    with pytest.raises(ValueError, match=match):
        recipes.suitable("digits", given)


def test_unknown_data_is_refused(tmp_path):
    with pytest.raises(
        ValueError, match="no data set and no folder 'cats'; the data sets are cifar-10, digits"
    ):
        recipes.suitable("cats", {})
    assert recipes.suitable(str(tmp_path), {}).data == str(tmp_path)


def test_the_parts_of_digits_do_not_overlap():
    pytest.importorskip("sklearn")
    settings = recipes.suitable("digits", {})
    parts = recipes.load_parts(settings)
    assert (len(parts.train), len(parts.validation), len(parts.test)) == (1213, 135, 449)
    assert not set(parts.train.indices) & set(parts.validation.indices)
    assert np.bincount(parts.test.labels).min() > 40
    assert np.array_equal(recipes.load_parts(settings).train.indices, parts.train.indices)
    whole = recipes.load_parts(recipes.suitable("digits", {"validation": 0.0}))
    assert whole.validation is None
    assert len(whole.train) == 1348


@pytest.mark.parametrize("optimizer", recipes.OPTIMIZERS)
def test_every_optimizer_can_be_named(optimizer):
    settings = recipes.suitable("digits", {"optimizer": optimizer, "lr": 0.01})
    model = recipes.make_model(settings, {"in_channels": 1, "image_size": 8, "num_classes": 10})
    trainer = recipes.make_trainer(model, settings, 10, 10)
    assert type(trainer.optimizer).__name__.lower() == optimizer


@pytest.fixture
def folder(tmp_path):
    image = pytest.importorskip("PIL.Image")
    rng = np.random.default_rng(0)
    for part in ("train", "test"):
        for name, level in (("dark", 40), ("light", 200)):
            (tmp_path / part / name).mkdir(parents=True)
            for number in range(10):
                pixels = rng.integers(level - 30, level + 30, size=(12, 9, 3)).astype(np.uint8)
                image.fromarray(pixels).save(tmp_path / part / name / f"{number}.png")
    return tmp_path


def test_a_folder_with_both_parts(folder):
    settings = recipes.suitable(str(folder), {"image_size": 8})
    parts = recipes.load_parts(settings)
    assert (len(parts.train), len(parts.validation), len(parts.test)) == (18, 2, 20)
    assert parts.classes == ["dark", "light"]
    assert recipes.model_arguments(parts) == {"in_channels": 3, "image_size": 8, "num_classes": 2}


def test_a_folder_of_classes_is_split(folder):
    settings = recipes.suitable(str(folder / "train"), {"image_size": 8})
    parts = recipes.load_parts(settings)
    assert (len(parts.train), len(parts.validation), len(parts.test)) == (14, 2, 4)
    assert recipes.fit_preprocessing(parts, settings).mean.shape == (3,)


def test_parts_with_other_classes_are_refused(folder):
    (folder / "test" / "dark").rename(folder / "test" / "black")
    with pytest.raises(ValueError, match=r"train has the classes .*dark.*test .*black"):
        recipes.load_parts(recipes.suitable(str(folder), {}))


@pytest.mark.parametrize("name", list(recipes.PREPROCESSING))
def test_every_preprocessing_leaves_images(folder, name):
    settings = recipes.suitable(str(folder / "train"), {"image_size": 8, "preprocess": name})
    parts = recipes.load_parts(settings)
    images, _ = next(iter(recipes.loaders(parts, settings, recipes.fit_preprocessing(parts, settings))[0]))
    assert images.shape[1:] == (3, 8, 8) and abs(float(images.mean())) < 0.5


def test_a_preprocessing_that_is_unknown():
    with pytest.raises(ValueError, match="no preprocessing is called 'pca'; there are channel_standardize, "):
        recipes.suitable("digits", {"preprocess": "pca"})


PLAIN = {"batch_size": 64, "validation": 0.9}


@pytest.mark.parametrize("name", augment.NAMES)
def test_every_augmentation_can_be_named(name):
    settings = recipes.suitable("digits", {"augment": [name], "batch_size": 64, "validation": 0.9})
    parts = recipes.load_parts(settings)
    preprocessing = recipes.fit_preprocessing(parts, settings)
    loader, _ = recipes.loaders(parts, settings, preprocessing)
    plain, _ = recipes.loaders(parts, recipes.suitable("digits", {**PLAIN, "augment": []}), preprocessing)
    (images, labels), (before, _) = next(iter(loader)), next(iter(plain))
    assert images.shape == before.shape
    model = recipes.make_model(settings, recipes.model_arguments(parts))
    trainer = recipes.make_trainer(model, settings, len(loader), 10)
    if name in ("mixup", "cutmix"):
        images, labels = trainer.augment(images, labels)
        assert labels.shape == (64, 10)
        assert np.allclose(labels.array.sum(axis=1), 1)
    assert not np.array_equal(images.array, before.array)
    assert len(trainer.fit(loader, epochs=1, progress=False)) == 1
