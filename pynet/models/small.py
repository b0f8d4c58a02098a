"""Architectures for small images: a perceptron, LeNet-5, a small VGG, and the default network of ``pynet
train``.
"""

from __future__ import annotations

from collections.abc import Sequence

from ..nn import BatchNorm2d, Conv2d, Dropout, Flatten, Linear, MaxPool2d, Module, ReLU, Sequential
from .registry import architecture, check_sizes


@architecture
def mlp(
    in_channels: int = 1, image_size: int = 28, num_classes: int = 10, hidden: Sequence[int] = (256, 128)
) -> Sequential:
    """A multi-layer perceptron: flatten, then linear layers with ReLU between them.

    Args:
        in_channels: channels of an image (N, in_channels, image_size, image_size).
        image_size: pixels a side.
        num_classes: outputs (N, num_classes), logits.
        hidden: width of each hidden layer, in order; may be empty.
    """
    check_sizes("mlp", in_channels=in_channels, image_size=image_size, num_classes=num_classes)
    layers: list[Module] = [Flatten()]
    features = in_channels * image_size * image_size
    for width in hidden:
        check_sizes("mlp", hidden=width)
        layers += [Linear(features, width), ReLU()]
        features = width
    return Sequential(*layers, Linear(features, num_classes))


@architecture
def lenet5(in_channels: int = 1, image_size: int = 28, num_classes: int = 10) -> Sequential:
    """LeNet-5 with ReLU and max pooling: two 5x5 convolutions (6, 16), then linear 120, 84 and the classes.

    The first convolution is padded so that 28x28 images give the published 5x5 maps before the linear layers.

    Args:
        in_channels: channels of an image.
        image_size: pixels a side, at least 12.
        num_classes: outputs (N, num_classes), logits.
    Source:
        LeCun, Bottou, Bengio and Haffner 1998, section II.B, with today's activation and pooling.
    """
    sizes = {"in_channels": in_channels, "image_size": image_size, "num_classes": num_classes}
    check_sizes("lenet5", smallest_image=12, **sizes)
    side = (image_size // 2 - 4) // 2
    return Sequential(
        Conv2d(in_channels, 6, 5, padding=2), ReLU(), MaxPool2d(2),
        Conv2d(6, 16, 5), ReLU(), MaxPool2d(2),
        Flatten(),
        Linear(16 * side * side, 120), ReLU(),
        Linear(120, 84), ReLU(),
        Linear(84, num_classes),
    )  # fmt: skip


@architecture
def vgg_small(in_channels: int = 3, image_size: int = 32, num_classes: int = 10) -> Sequential:
    """A small VGG: 3x3 convolutions 32-32, 64-64, 128-128, each pair pooled, then linear 256 and the classes.

    Args:
        in_channels: channels of an image.
        image_size: pixels a side, at least 8.
        num_classes: outputs (N, num_classes), logits.
    Source:
        The pattern of Simonyan and Zisserman 2015, scaled down.
    """
    sizes = {"in_channels": in_channels, "image_size": image_size, "num_classes": num_classes}
    check_sizes("vgg_small", smallest_image=8, **sizes)
    layers: list[Module] = []
    channels, side = in_channels, image_size
    for width in (32, 64, 128):
        layers += [
            Conv2d(channels, width, 3, padding=1),
            ReLU(),
            Conv2d(width, width, 3, padding=1),
            ReLU(),
            MaxPool2d(2),
        ]
        channels, side = width, side // 2
    return Sequential(*layers, Flatten(), Linear(128 * side * side, 256), ReLU(), Linear(256, num_classes))


@architecture
def small_cnn(
    in_channels: int = 1, image_size: int = 28, num_classes: int = 10, width: int = 32, dropout: float = 0.3
) -> Sequential:
    """Four normalised 3x3 convolutions in two pooled pairs, then dropout and one linear layer.

    The pairs have `width` and 2 `width` channels. The default for digits and Fashion-MNIST: small enough for
    two CPU cores, with batch norm so that it needs no tuning.

    Args:
        in_channels: channels of an image.
        image_size: pixels a side, at least 4.
        num_classes: outputs (N, num_classes), logits.
        width: channels of the first pair.
        dropout: probability before the linear layer.
    """
    sizes = {"in_channels": in_channels, "image_size": image_size, "num_classes": num_classes, "width": width}
    check_sizes("small_cnn", smallest_image=4, **sizes)
    side = image_size // 4
    return Sequential(
        *_convolution(in_channels, width),
        *_convolution(width, width),
        MaxPool2d(2),
        *_convolution(width, 2 * width),
        *_convolution(2 * width, 2 * width),
        MaxPool2d(2),
        Flatten(),
        Dropout(dropout),
        Linear(2 * width * side * side, num_classes),
    )


def _convolution(channels: int, width: int) -> list[Module]:
    # The norm that follows would cancel a bias.
    return [Conv2d(channels, width, 3, padding=1, bias=False), BatchNorm2d(width), ReLU()]
