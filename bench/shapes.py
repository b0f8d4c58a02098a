"""What the benchmarks run on: shapes of the measured networks, and a few that stress one property each."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass
from typing import Any


def text(shape: Iterable[int]) -> str:
    """A shape as tables print it: 64x64x32x32."""
    return "x".join(map(str, shape))


@dataclass(frozen=True)
class Case:
    """One line of a benchmark: its label and the arguments of the module's `prepare` and `flops`."""

    label: str
    params: dict[str, Any]


# M, N, K of square products: the larger ones must reach the machine's peak.
SQUARE_GEMM = (64, 128, 256, 512, 1024, 2048)

# (batch, in, out) of the linear layers of the five networks, and one that is odd in every dimension.
LINEAR = (
    (128, 784, 256),
    (128, 256, 128),
    (128, 128, 10),
    (128, 400, 120),
    (64, 2048, 256),
    (64, 512, 10),
    (127, 333, 65),
)

# 3x3, stride 1, padding 1: (N, C, H = W, F), the layers in which ResNet-18 and ResNet-20 spend their time.
CONV3X3 = (
    (64, 64, 32, 64),
    (64, 128, 16, 128),
    (64, 256, 8, 256),
    (64, 512, 4, 512),
    (128, 16, 32, 16),
    (128, 32, 16, 32),
    (128, 64, 8, 64),
)

# What 3x3 does not cover: (label, x shape, weight shape, stride, padding, groups).
CONV_OTHER = (
    ("first layer 3x3, C=3", (64, 3, 32, 32), (64, 3, 3, 3), 1, 1, 1),
    ("LeNet conv1 5x5, C=1", (128, 1, 28, 28), (6, 1, 5, 5), 1, 2, 1),
    ("LeNet conv2 5x5", (128, 6, 14, 14), (16, 6, 5, 5), 1, 0, 1),
    ("VGG-small 32-32", (64, 32, 32, 32), (32, 32, 3, 3), 1, 1, 1),
    ("3x3 stride 2", (64, 64, 32, 32), (128, 64, 3, 3), 2, 1, 1),
    ("1x1", (64, 64, 32, 32), (256, 64, 1, 1), 1, 0, 1),
    ("1x1 stride 2", (64, 64, 32, 32), (128, 64, 1, 1), 2, 0, 1),
    ("depthwise 3x3", (16, 96, 56, 56), (96, 1, 3, 3), 1, 1, 96),
    ("odd sizes", (32, 35, 17, 19), (45, 35, 3, 3), 1, 1, 1),
)

# (label, kind, x shape, kernel, stride, padding)
POOL = (
    ("max 2x2", "max", (64, 64, 32, 32), 2, 2, 0),
    ("max 3x3 stride 2", "max", (64, 64, 56, 56), 3, 2, 1),
    ("max 2x2, LeNet", "max", (128, 6, 28, 28), 2, 2, 0),
    ("average 2x2", "avg", (64, 64, 32, 32), 2, 2, 0),
    ("global average", "global", (64, 512, 4, 4), None, None, None),
)

# A feature map larger than L2, one that fits into it, and one where the call's overhead is all there is.
MAPS = ((64, 64, 32, 32), (128, 16, 16, 16), (32, 10))

NORM_MAPS = ((64, 64, 32, 32), (128, 16, 32, 32), (64, 512, 4, 4), (128, 256))

# (rows, classes)
LOGITS = ((128, 10), (64, 1000), (4096, 1000))

_MAPS, _TWICE = (16, 64, 28, 28), (16, 64, 56, 56)
# (label, function, x shape, out shape, its options).
RESAMPLE = (
    ("bilinear, twice as large", "interpolate", _MAPS, _TWICE, {"scale_factor": 2, "mode": "bilinear"}),
    ("nearest, twice as large", "interpolate", _MAPS, _TWICE, {"scale_factor": 2}),
    (
        "bilinear, smaller",
        "interpolate",
        (16, 3, 256, 256),
        (16, 3, 224, 224),
        {"size": 224, "mode": "bilinear"},
    ),
    ("reflected edges", "pad", _MAPS, (16, 64, 32, 32), {"pad": (2, 2, 2, 2), "mode": "reflect"}),
    ("pixel shuffle", "pixel_shuffle", _MAPS, (16, 16, 56, 56), {"upscale_factor": 2}),
)
