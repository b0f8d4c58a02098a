"""A small training for all tests of this folder: two easy classes, a network with dropout and batch norm."""

from __future__ import annotations

import numpy as np

import pynet
from pynet import nn, optim
from pynet.data import ArrayDataset, DataLoader
from pynet.train import Trainer


def two_classes(count: int = 60) -> tuple[np.ndarray, np.ndarray]:
    rng = np.random.default_rng(0)
    labels = np.arange(count) % 2
    images = rng.normal(size=(count, 1, 4, 4)).astype(np.float32)
    images[labels == 1, :, :2] += 1.5
    return images, labels.astype(np.int64)


def network() -> nn.Module:
    return nn.Sequential(
        nn.Conv2d(1, 4, 3, padding=1),
        nn.BatchNorm2d(4),
        nn.ReLU(),
        nn.Flatten(),
        nn.Dropout(0.3),
        nn.Linear(64, 2),
    )


class Setup:
    """Everything of one training, made afresh from a seed."""

    def __init__(self, *, seed: int = 0, lr: float = 0.01, batch_size: int = 8, **options) -> None:
        pynet.manual_seed(seed)
        self.model = network()
        self.optimizer = optim.Adam(self.model.parameters(), lr=lr)
        self.scheduler = optim.lr_scheduler.ExponentialLR(self.optimizer, 0.8)
        data = ArrayDataset(*two_classes())
        self.train = DataLoader(data, batch_size, shuffle=True)
        self.validation = DataLoader(data, 16)
        options = {"scheduler": self.scheduler, **options}
        self.trainer = Trainer(self.model, nn.CrossEntropyLoss(), self.optimizer, **options)

    def fit(self, epochs: int = 2, **options):
        return self.trainer.fit(self.train, self.validation, epochs, progress=False, **options)

    def bits(self) -> dict[str, bytes]:
        return {key: value.array.tobytes() for key, value in self.model.state_dict().items()}
