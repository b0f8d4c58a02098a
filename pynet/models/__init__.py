"""Named architectures: ``create("resnet20", num_classes=10)`` builds one, ``available()`` lists them.

Every architecture is a function of JSON values alone, so a name and its arguments, which any file can hold,
bring the same network back.
"""

from __future__ import annotations

from .registry import available, create, describe
from .resnet import resnet18, resnet20
from .small import lenet5, mlp, small_cnn, vgg_small

__all__ = [
    "available",
    "create",
    "describe",
    "lenet5",
    "mlp",
    "resnet18",
    "resnet20",
    "small_cnn",
    "vgg_small",
]
