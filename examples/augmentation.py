"""Augmentation: what randomly changed images gain where samples are few, and too much of it loses.

Two hundred digits train a small convolutional network, as they are or shifted, turned, scaled and hidden a
little in every epoch. The upper rows show what the network is given; the last kind turns digits so far that
they become others.
"""

from __future__ import annotations

from collections.abc import Sequence

import lecture
import numpy as np

import pynet
from pynet import data, nn, optim, train
from pynet.data import augment, transforms

KINDS = {
    "none": [],
    "shift": [augment.RandomCrop(8, padding=1)],
    "shift, turn, scale": [augment.RandomCrop(8, padding=1), augment.RandomAffine(8, scale=(0.9, 1.1))],
    "turned too far": [augment.RandomRotation(180)],
}


def network() -> nn.Sequential:
    """Two convolutions; the same weights for every kind."""
    pynet.manual_seed(0)
    return nn.Sequential(
        nn.Conv2d(1, 16, 3, padding=1), nn.ReLU(), nn.Conv2d(16, 32, 3, padding=1), nn.ReLU(),
        nn.MaxPool2d(2), nn.Flatten(), nn.Linear(512, 10),
    )  # fmt: skip


def main(argv: Sequence[str] | None = None) -> dict[str, float]:
    """Train with each kind, print the table, draw sheets and curves; return the numbers."""
    arguments = lecture.options(__doc__, "augmentation", argv)
    training, test = data.load("digits")
    few = np.random.default_rng(1).permutation(len(training))[:200]
    part = data.Subset(training, few)
    held_out = data.DataLoader(test, 500)
    histories: dict[str, train.History] = {}
    facts: dict[str, float] = {}
    print(f"{'':20s}{'training':>10s}{'test':>9s}{'gap':>8s}")
    for kind, changes in KINDS.items():
        model = network()
        dataset = part.with_transform(transforms.Compose([*changes, transforms.ToFloat()]))
        loader = data.DataLoader(dataset, 20, shuffle=True, generator=0)
        trainer = train.Trainer(model, nn.CrossEntropyLoss(), optim.Adam(model.parameters(), lr=2e-3))
        history = trainer.fit(loader, held_out, 3 if arguments.quick else 60, progress=False)
        histories[kind] = history
        seen, unseen = history["accuracy"][-1], float(np.mean(history["val_accuracy"][-5:]))
        facts |= {f"{kind} training": seen, f"{kind} test": unseen}
        print(f"{kind:20s}{100 * seen:8.1f} %{100 * unseen:7.1f} %{100 * (seen - unseen):8.1f}")
    draw(histories, training.images[few[:2]], arguments.out)
    return facts


def draw(histories: dict[str, train.History], images: np.ndarray, path: str) -> None:
    """A contact sheet for each kind, and the test accuracy against the epochs."""
    figure = lecture.new_figure(10.5, 3.6)
    left, right = figure.subfigures(1, 2, width_ratios=(1.2, 1))
    sheets = left.subplots(len(KINDS), 1)
    for axis, (kind, changes) in zip(sheets, KINDS.items(), strict=True):
        axis.imshow(augment.contact_sheet(transforms.Compose(changes), images[:1], columns=11, side=32))
        axis.set_title(kind, fontsize=9)
        axis.set_axis_off()
    axis = right.subplots()
    for (kind, history), colour in zip(histories.items(), lecture.COLOURS, strict=False):
        values = 100 * np.array(history["val_accuracy"])
        axis.plot(history["epoch"], values, color=colour, label=kind)
    axis.set(title="test accuracy, 200 training samples", xlabel="epoch", ylabel="%", ylim=(70, 100))
    axis.legend(loc="lower right")
    figure.savefig(path)


if __name__ == "__main__":
    main()
