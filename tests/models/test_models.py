"""Named architectures: sizes, shapes, gradients for every weight, and clear refusals."""

from __future__ import annotations

import inspect

import numpy as np
import pytest

from pynet import models, nn, random
from pynet.autograd import Tensor

# Weights in the literature's networks, or counted by hand from the layers' shapes.
SIZES = [
    ("mlp", {"in_channels": 1, "image_size": 28}, 784 * 256 + 256 + 256 * 128 + 128 + 128 * 10 + 10),
    ("lenet5", {"in_channels": 1, "image_size": 28}, 61_706),
    ("vgg_small", {"in_channels": 3, "image_size": 32}, 287_008 + 128 * 16 * 256 + 256 + 2570),
    ("resnet20", {"in_channels": 3, "image_size": 32}, 272_474),
    ("resnet18", {"in_channels": 3, "image_size": 32}, 11_173_962),
    ("small_cnn", {"in_channels": 1, "image_size": 28}, 288 + 9216 + 18_432 + 36_864 + 384 + 31_370),
]
SMALLEST = {"mlp": 1, "lenet5": 12, "vgg_small": 8, "resnet20": 4, "resnet18": 8, "small_cnn": 4}


def test_all_are_tested():
    assert models.available() == sorted(name for name, _, _ in SIZES) == sorted(SMALLEST)


@pytest.mark.parametrize(("name", "arguments", "size"), SIZES)
def test_number_of_weights(name, arguments, size):
    assert sum(p.array.size for p in models.create(name, **arguments).parameters()) == size


@pytest.mark.parametrize("name", models.available())
@pytest.mark.parametrize("extra", [0, 1, 3])
def test_shapes_and_gradients(name, extra):
    random.manual_seed(0)
    side = SMALLEST[name] + extra
    model = models.create(name, in_channels=2, image_size=side, num_classes=3)
    x = Tensor(np.random.default_rng(0).normal(size=(4, 2, side, side)).astype(np.float32))
    outputs = model(x)
    assert outputs.shape == (4, 3)
    nn.CrossEntropyLoss()(outputs, Tensor(np.array([0, 1, 2, 0]))).backward()
    assert all(p.grad is not None and np.isfinite(p.grad.array).all() for p in model.parameters())


@pytest.mark.parametrize("name", models.available())
def test_names_and_arguments_bring_the_same_network_back(name):
    arguments = {"in_channels": 1, "image_size": 16, "num_classes": 2}
    random.manual_seed(1)
    first = models.create(name, **arguments)
    random.manual_seed(1)
    second = models.create(name, **arguments)
    assert list(first.state_dict()) == list(second.state_dict())
    for key, value in first.state_dict().items():
        assert np.array_equal(value.array, second.state_dict()[key].array), key
    assert set(arguments) <= set(inspect.signature(getattr(models, name)).parameters)
    assert models.describe(name).endswith(".")


def test_a_wrong_image_is_refused_by_the_network():
    with pytest.raises(ValueError, match="3 channels"):
        models.create("small_cnn")(Tensor(np.zeros((1, 3, 28, 28), np.float32)))


@pytest.mark.parametrize(
    ("name", "arguments", "error", "match"),
    [
        ("lenet", {}, ValueError, "no architecture is called 'lenet'; did you mean 'lenet5'"),
        ("zzz", {}, ValueError, "no architecture is called 'zzz'; there are lenet5, mlp"),
        (
            "mlp",
            {"depth": 3},
            TypeError,
            "mlp has no argument depth; it takes in_channels, image_size, num_classes, hidden",
        ),
        ("mlp", {"hidden": object()}, TypeError, "must be JSON values"),
        ("lenet5", {"image_size": 11}, ValueError, "lenet5: image_size 11 is too small; use at least 12"),
        ("small_cnn", {"num_classes": 0}, ValueError, "num_classes must be at least 1, not 0"),
        ("resnet20", {"in_channels": 1.5}, TypeError, "in_channels must be an int, not 1.5"),
        ("vgg_small", {"in_channels": True}, TypeError, "in_channels must be an int, not True"),
        ("mlp", {"hidden": [0]}, ValueError, "hidden must be at least 1"),
    ],
)
def test_what_does_not_fit_is_refused(name, arguments, error, match):
    with pytest.raises(error, match=match):
        models.create(name, **arguments)
