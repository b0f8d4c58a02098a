"""The networks of `nets.py` in Keras 3's words, with the same weights: (N, H, W, C), functional models.

Layers are made in the order of nets.py, so that the numbers of `framework.numbers` fall on the same weights.
"""

from __future__ import annotations

import math
from collections.abc import Callable
from typing import Any

import numpy as np

from bench import framework, nets


class Builder:
    """Makes layers and remembers the weights that they are to get."""

    def __init__(self, keras: Any) -> None:
        self.keras = keras
        self.layers = keras.layers
        self.values: list[tuple[Any, list[np.ndarray]]] = []
        self._seed = 0

    def _next(self, *shape: int, bias: bool = False) -> np.ndarray:
        seed, self._seed = self._seed, self._seed + 1
        if len(shape) > 1:
            return framework.numbers(*shape, seed=seed, scale=1 / math.sqrt(math.prod(shape[1:])))
        return np.full(shape, 0.0 if bias else 1.0, np.float32)

    def conv(
        self, inputs: int, width: int, size: int, stride: int = 1, same: bool = True, bias: bool = True
    ) -> Any:
        """A convolution; its weight is drawn as (F, C, KH, KW) and kept as (KH, KW, C, F)."""
        padding = "same" if same else "valid"
        layer = self.layers.Conv2D(width, size, stride, padding, use_bias=bias)
        values = [self._next(width, inputs, size, size).transpose(2, 3, 1, 0)]
        self.values.append((layer, values + ([self._next(width, bias=True)] if bias else [])))
        return layer

    def dense(self, inputs: int, width: int, flattened: tuple[int, int, int] | None = None) -> Any:
        """A linear layer; `flattened`: the (C, H, W) that it reads, which lie here as (H, W, C)."""
        layer = self.layers.Dense(width)
        weight = self._next(width, inputs)
        if flattened:
            weight = weight.reshape(width, *flattened).transpose(0, 2, 3, 1).reshape(width, inputs)
        self.values.append((layer, [weight.T, self._next(width, bias=True)]))
        return layer

    def norm(self, width: int) -> Any:
        """Batch norm with PyTorch's defaults."""
        layer = self.layers.BatchNormalization(momentum=0.9, epsilon=1e-5)
        values = [self._next(width), self._next(width, bias=True)]
        self.values.append((layer, [*values, np.zeros(width, np.float32), np.ones(width, np.float32)]))
        return layer

    def model(self, shape: tuple[int, ...], body: Callable[[Any], Any]) -> Any:
        """The functional model with its weights set."""
        inputs = self.keras.Input(shape)
        model = self.keras.Model(inputs, body(inputs))
        for layer, values in self.values:
            layer.set_weights(values)
        return model


def mlp(b: Builder) -> Any:
    first, second, last = b.dense(784, 256), b.dense(256, 128), b.dense(128, 10)
    relu = b.keras.ops.relu
    return b.model((784,), lambda x: last(relu(second(relu(first(x))))))


def lenet5(b: Builder) -> Any:
    relu, layers = b.keras.ops.relu, b.layers
    conv1, conv2 = b.conv(1, 6, 5), b.conv(6, 16, 5, same=False)
    fc1, fc2, fc3 = b.dense(400, 120, (16, 5, 5)), b.dense(120, 84), b.dense(84, 10)

    def body(x: Any) -> Any:
        x = layers.MaxPooling2D(2)(relu(conv1(x)))
        x = layers.MaxPooling2D(2)(relu(conv2(x)))
        return fc3(relu(fc2(relu(fc1(layers.Flatten()(x))))))

    return b.model((28, 28, 1), body)


def vgg_small(b: Builder) -> Any:
    relu, layers = b.keras.ops.relu, b.layers
    channels, convs = 3, []
    for width in (32, 64, 128):
        convs.append((b.conv(channels, width, 3), b.conv(width, width, 3)))
        channels = width
    fc1, fc2 = b.dense(2048, 256, (128, 4, 4)), b.dense(256, 10)

    def body(x: Any) -> Any:
        for first, second in convs:
            x = layers.MaxPooling2D(2)(relu(second(relu(first(x)))))
        return fc2(relu(fc1(layers.Flatten()(x))))

    return b.model((32, 32, 3), body)


def _resnet(b: Builder, widths: tuple[int, ...], blocks: int) -> Any:
    relu = b.keras.ops.relu
    stem, stem_norm = b.conv(3, widths[0], 3, bias=False), b.norm(widths[0])
    channels, body_blocks = widths[0], []
    for stage, width in enumerate(widths):
        for block in range(blocks):
            stride = 2 if stage > 0 and block == 0 else 1
            layers = [b.conv(channels, width, 3, stride, bias=False), b.norm(width)]
            layers += [b.conv(width, width, 3, bias=False), b.norm(width)]
            if stride != 1 or channels != width:
                layers += [b.conv(channels, width, 1, stride, bias=False), b.norm(width)]
            body_blocks.append(layers)
            channels = width
    last = b.dense(channels, 10)

    def body(x: Any) -> Any:
        x = relu(stem_norm(stem(x)))
        for conv1, norm1, conv2, norm2, *projection in body_blocks:
            shortcut = projection[1](projection[0](x)) if projection else x
            x = relu(norm2(conv2(relu(norm1(conv1(x))))) + shortcut)
        return last(b.layers.GlobalAveragePooling2D()(x))

    return b.model((32, 32, 3), body)


BUILDERS: dict[str, Callable[[Builder], Any]] = {
    "mlp": mlp,
    "lenet5": lenet5,
    "vgg_small": vgg_small,
    "resnet20": lambda b: _resnet(b, (16, 32, 64), 3),
    "resnet18": lambda b: _resnet(b, (64, 128, 256, 512), 2),
}
assert set(BUILDERS) == set(nets.NETS)


def build(keras: Any, net: str) -> Any:
    """The model called `net`, weights set."""
    return BUILDERS[net](Builder(keras))


def optimizer(keras: Any, spec: nets.Net) -> Any:
    """The net's optimizer with PyTorch's defaults where Keras has others."""
    options = dict(spec.options)
    rate = options.pop("lr")
    if spec.optimizer == "Adam":
        return keras.optimizers.Adam(rate, epsilon=1e-8)
    return keras.optimizers.SGD(rate, **options)
