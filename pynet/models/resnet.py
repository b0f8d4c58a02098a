"""Residual networks for small images: ResNet-20 and ResNet-18 with a 3x3 stem.

Source:
    He, Zhang, Ren and Sun 2016, "Deep Residual Learning for Image Recognition", sections 3.3 and 4.2; where a
    shortcut changes its shape it is a 1x1 convolution with batch norm (option B).
"""

from __future__ import annotations

from collections.abc import Sequence

from ..autograd import Tensor
from ..nn import AdaptiveAvgPool2d, BatchNorm2d, Conv2d, Flatten, Linear, Module, ReLU, Sequential
from .registry import architecture, check_sizes


class BasicBlock(Module):
    """Two normalised 3x3 convolutions and a shortcut: ``relu(bn2(conv2(relu(bn1(conv1(x))))) +
    shortcut(x))``.

    Args:
        channels: of the input (N, channels, H, W).
        width: of the output (N, width, H / stride, W / stride).
        stride: of the first convolution and the shortcut.
    """

    def __init__(self, channels: int, width: int, stride: int = 1) -> None:
        super().__init__()
        self.conv1 = Conv2d(channels, width, 3, stride=stride, padding=1, bias=False)
        self.bn1 = BatchNorm2d(width)
        self.relu = ReLU()
        self.conv2 = Conv2d(width, width, 3, padding=1, bias=False)
        self.bn2 = BatchNorm2d(width)
        # An empty Sequential passes its input through, without a copy and without weights.
        self.shortcut = Sequential()
        if stride != 1 or channels != width:
            self.shortcut = Sequential(
                Conv2d(channels, width, 1, stride=stride, bias=False), BatchNorm2d(width)
            )

    def forward(self, x: Tensor) -> Tensor:
        """Return (N, width, H / stride, W / stride)."""
        y = self.relu(self.bn1(self.conv1(x)))
        return self.relu(self.bn2(self.conv2(y)) + self.shortcut(x))


class ResNet(Module):
    """A 3x3 stem, stages of basic blocks that halve the map and double the channels, the mean over the map,
    one linear layer.

    Args:
        blocks: how many blocks each stage has.
        width: channels of the stem and of the first stage.
        in_channels: channels of an image (N, in_channels, H, W), any H and W of at least 2 ** (stages - 1).
        num_classes: outputs (N, num_classes), logits.
    """

    def __init__(self, blocks: Sequence[int], width: int, in_channels: int, num_classes: int) -> None:
        super().__init__()
        self.conv1 = Conv2d(in_channels, width, 3, padding=1, bias=False)
        self.bn1 = BatchNorm2d(width)
        self.relu = ReLU()
        stages = []
        channels = width
        for index, count in enumerate(blocks):
            stage = width * 2**index
            strides = [1 if index == 0 else 2] + [1] * (count - 1)
            stages.append(
                Sequential(
                    *(BasicBlock(channels if i == 0 else stage, stage, s) for i, s in enumerate(strides))
                )
            )
            channels = stage
        self.stages = Sequential(*stages)
        self.head = Sequential(AdaptiveAvgPool2d(1), Flatten(), Linear(channels, num_classes))

    def forward(self, x: Tensor) -> Tensor:
        """Return logits (N, num_classes)."""
        return self.head(self.stages(self.relu(self.bn1(self.conv1(x)))))


@architecture
def resnet20(in_channels: int = 3, image_size: int = 32, num_classes: int = 10) -> ResNet:
    """ResNet-20 for small images: three stages of three blocks, 16, 32 and 64 channels, 0.27 million weights.

    Args:
        in_channels: channels of an image.
        image_size: pixels a side, at least 4; the weights do not depend on it.
        num_classes: outputs (N, num_classes), logits.
    """
    sizes = {"in_channels": in_channels, "image_size": image_size, "num_classes": num_classes}
    check_sizes("resnet20", smallest_image=4, **sizes)
    return ResNet((3, 3, 3), 16, in_channels, num_classes)


@architecture
def resnet18(in_channels: int = 3, image_size: int = 32, num_classes: int = 10) -> ResNet:
    """ResNet-18 for small images: four stages of two blocks, 64 to 512 channels, 11 million weights.

    Args:
        in_channels: channels of an image.
        image_size: pixels a side, at least 8; the weights do not depend on it.
        num_classes: outputs (N, num_classes), logits.
    """
    sizes = {"in_channels": in_channels, "image_size": image_size, "num_classes": num_classes}
    check_sizes("resnet18", smallest_image=8, **sizes)
    return ResNet((2, 2, 2, 2), 64, in_channels, num_classes)
