"""The five measured networks, one source text for pynet and PyTorch.

Each builder is given a framework's `nn` and `functional` modules and writes what a user of either would
write; nothing in here asks which framework it is. `NETS` says how each one is trained.

ResNet shortcuts that change the shape are 1x1 projections with batch norm ("option B" of He et al. 2015,
section 3.3) in both ResNets: the zero-padded "option A" of the paper's CIFAR nets costs less arithmetic,
but is no layer that users write today.

Source: LeNet-5: LeCun et al. 1998 (ReLU and max pooling in place of tanh and subsampling); ResNet-20:
He et al. 2015, section 4.2; ResNet-18: table 1 there, with a 3x3 stem without pooling for 32x32 images.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, field
from typing import Any


def mlp(nn: Any, F: Any) -> Any:
    """784-256-128-10 with ReLU."""
    return nn.Sequential(
        nn.Linear(784, 256),
        nn.ReLU(),
        nn.Linear(256, 128),
        nn.ReLU(),
        nn.Linear(128, 10),
    )


def lenet5(nn: Any, F: Any) -> Any:
    """LeNet-5 with 6, 16, 120, 84 units on (N, 1, 28, 28)."""

    class LeNet5(nn.Module):
        def __init__(self) -> None:
            super().__init__()
            self.conv1 = nn.Conv2d(1, 6, 5, padding=2)
            self.conv2 = nn.Conv2d(6, 16, 5)
            self.fc1 = nn.Linear(400, 120)
            self.fc2 = nn.Linear(120, 84)
            self.fc3 = nn.Linear(84, 10)

        def forward(self, x: Any) -> Any:
            x = F.max_pool2d(F.relu(self.conv1(x)), 2)
            x = F.max_pool2d(F.relu(self.conv2(x)), 2)
            x = F.relu(self.fc1(x.flatten(1)))
            x = F.relu(self.fc2(x))
            return self.fc3(x)

    return LeNet5()


def vgg_small(nn: Any, F: Any) -> Any:
    """conv 32-32-pool-64-64-pool-128-128-pool, fc 256-10, on (N, 3, 32, 32); no batch norm."""
    layers: list[Any] = []
    channels = 3
    for width in (32, 64, 128):
        layers += [nn.Conv2d(channels, width, 3, padding=1), nn.ReLU()]
        layers += [nn.Conv2d(width, width, 3, padding=1), nn.ReLU(), nn.MaxPool2d(2)]
        channels = width
    layers += [nn.Flatten(), nn.Linear(128 * 4 * 4, 256), nn.ReLU(), nn.Linear(256, 10)]
    return nn.Sequential(*layers)


def _resnet(nn: Any, F: Any, widths: tuple[int, ...], blocks: int) -> Any:
    class BasicBlock(nn.Module):
        def __init__(self, channels: int, width: int, stride: int) -> None:
            super().__init__()
            self.conv1 = nn.Conv2d(channels, width, 3, stride=stride, padding=1, bias=False)
            self.bn1 = nn.BatchNorm2d(width)
            self.conv2 = nn.Conv2d(width, width, 3, padding=1, bias=False)
            self.bn2 = nn.BatchNorm2d(width)
            self.projection = None
            if stride != 1 or channels != width:
                self.projection = nn.Sequential(
                    nn.Conv2d(channels, width, 1, stride=stride, bias=False), nn.BatchNorm2d(width)
                )

        def forward(self, x: Any) -> Any:
            shortcut = x if self.projection is None else self.projection(x)
            y = F.relu(self.bn1(self.conv1(x)))
            return F.relu(self.bn2(self.conv2(y)) + shortcut)

    class ResNet(nn.Module):
        def __init__(self) -> None:
            super().__init__()
            self.conv1 = nn.Conv2d(3, widths[0], 3, padding=1, bias=False)
            self.bn1 = nn.BatchNorm2d(widths[0])
            layers = []
            channels = widths[0]
            for stage, width in enumerate(widths):
                for block in range(blocks):
                    layers.append(BasicBlock(channels, width, 2 if stage > 0 and block == 0 else 1))
                    channels = width
            self.layers = nn.Sequential(*layers)
            self.fc = nn.Linear(channels, 10)

        def forward(self, x: Any) -> Any:
            x = F.relu(self.bn1(self.conv1(x)))
            x = self.layers(x)
            x = F.adaptive_avg_pool2d(x, 1).flatten(1)
            return self.fc(x)

    return ResNet()


def resnet20(nn: Any, F: Any) -> Any:
    """The CIFAR ResNet of 20 layers: widths 16, 32, 64, three blocks each, projection shortcuts."""
    return _resnet(nn, F, (16, 32, 64), 3)


def resnet18(nn: Any, F: Any) -> Any:
    """ResNet-18 with a 3x3 stem on (N, 3, 32, 32): widths 64 to 512, two blocks each, projections."""
    return _resnet(nn, F, (64, 128, 256, 512), 2)


@dataclass(frozen=True)
class Net:
    """How one network is measured.

    Args:
        label: its name in tables.
        build: (nn, functional) -> module.
        x: shape of one batch.
        optimizer: class name in `optim`.
        options: the optimizer's keyword arguments.
    """

    label: str
    build: Callable[[Any, Any], Any]
    x: tuple[int, ...]
    optimizer: str
    options: dict[str, float] = field(default_factory=dict)


# Learning rates are small, so that thousands of measured steps on one batch neither diverge nor reach a
# loss so small that gradients become subnormal (which would slow PyTorch, not pynet).
NETS = {
    "mlp": Net("MLP 784-256-128-10, batch 128, Adam", mlp, (128, 784), "Adam", {"lr": 1e-4}),
    "lenet5": Net("LeNet-5, batch 128, Adam", lenet5, (128, 1, 28, 28), "Adam", {"lr": 1e-4}),
    "vgg_small": Net("VGG-small, batch 64, Adam", vgg_small, (64, 3, 32, 32), "Adam", {"lr": 1e-4}),
    "resnet20": Net(
        "ResNet-20, batch 128, SGD + momentum, weight decay",
        resnet20,
        (128, 3, 32, 32),
        "SGD",
        {"lr": 1e-3, "momentum": 0.9, "weight_decay": 1e-4},
    ),
    "resnet18": Net(
        "ResNet-18 (CIFAR stem), batch 64, SGD + momentum",
        resnet18,
        (64, 3, 32, 32),
        "SGD",
        {"lr": 1e-3, "momentum": 0.9},
    ),
}
