"""One full story: fashion-mnist from raw files to 94 %, with every step of the method.

Look at the data, standardise, check the first loss, learn twenty samples by heart, find a learning rate,
augment, train a residual network with batch norm on one cycle of the rate, read the curves, and use the
test images once. A quarter of an hour on two cores; ``--quick`` does the steps on a few images.
"""

from __future__ import annotations

from collections.abc import Sequence

import lecture
import numpy as np

import pynet
from pynet import analysis, data, nn, optim, train
from pynet.data import augment, preprocess, transforms

RATE, EPOCHS = 0.2, 14


class Residual(nn.Module):
    """x + f(x), f two blocks: He et al. 2016."""

    def __init__(self, channels: int) -> None:
        super().__init__()
        self.first, self.second = block(channels, channels), block(channels, channels)

    def forward(self, x: pynet.Tensor) -> pynet.Tensor:
        """(N, C, H, W) to the same."""
        return x + self.second(self.first(x))


def block(inputs: int, outputs: int) -> nn.Sequential:
    """Convolution, batch norm, ReLU."""
    return nn.Sequential(
        nn.Conv2d(inputs, outputs, 3, padding=1, bias=False), nn.BatchNorm2d(outputs), nn.ReLU()
    )  # fmt: skip


def network(width: int) -> nn.Sequential:
    """Nine layers with weights; the maps shrink from 28x28 to 3x3 while the channels double."""
    return nn.Sequential(
        block(1, width), block(width, 2 * width), nn.MaxPool2d(2), Residual(2 * width),
        block(2 * width, 4 * width), nn.MaxPool2d(2), block(4 * width, 8 * width), nn.MaxPool2d(2),
        Residual(8 * width), nn.AdaptiveMaxPool2d(1), nn.Flatten(), nn.Dropout(0.2), nn.Linear(8 * width, 10),
    )  # fmt: skip


def main(argv: Sequence[str] | None = None) -> dict[str, float]:
    """Do every step, print what was found, draw it; return the numbers."""
    arguments = lecture.options(__doc__, "fashion_mnist", argv)
    width, epochs = (4, 1) if arguments.quick else (32, EPOCHS)
    pynet.manual_seed(0)
    training, test = data.load("fashion-mnist")
    if arguments.quick:
        training, test = data.Subset(training, np.arange(1500)), data.Subset(test, np.arange(300))
    rest, validation = data.stratified_split(training, 1 / 12, seed=0)
    print(f"1. {len(rest)} training, {len(validation)} validation, {len(test)} test images; "
          f"smallest and largest class: {np.bincount(rest.labels).min()}, {np.bincount(rest.labels).max()}")  # fmt: skip

    scale = preprocess.ChannelStandardize().fit(rest)
    plain = data.DataLoader(rest.with_transform(scale), 128, shuffle=True, generator=1)
    print(f"2. {scale}")

    loss = nn.CrossEntropyLoss(label_smoothing=0.05)
    with_seed = pynet.get_rng_state()
    first = analysis.check_initial_loss(network(width), plain, loss)
    print(f"3. first loss {first.loss:.3f}, expected {first.expected:.3f}")
    few = analysis.overfit_small(network(width), plain, loss)
    print(f"4. {few.samples} samples by heart: {100 * few.accuracy:.0f} % after {few.steps} steps")
    model = network(width)
    sgd = optim.SGD(model.parameters(), lr=RATE, momentum=0.9, weight_decay=5e-4, nesterov=True)
    found = analysis.lr_finder(model, plain, loss, sgd, steps=40 if arguments.quick else 120)
    print(
        f"5. the range test suggests a rate of {found.suggestion or float('nan'):.2g}; one cycle goes up to {RATE}"
    )

    pynet.set_rng_state(with_seed)
    changes = [augment.RandomCrop(28, padding=2), augment.RandomHorizontalFlip(), augment.Cutout(8)]
    changed = rest.with_transform(transforms.Compose([*changes, scale]))
    loader = data.DataLoader(changed, 128, shuffle=True, drop_last=True)
    held_out, unseen = (data.DataLoader(part.with_transform(scale), 500) for part in (validation, test))
    model = network(width)
    sgd = optim.SGD(model.parameters(), lr=RATE, momentum=0.9, weight_decay=5e-4, nesterov=True)
    steps = epochs * len(loader)
    cycle = optim.lr_scheduler.OneCycleLR(sgd, max_lr=RATE, total_steps=steps, pct_start=0.25)
    trainer = train.Trainer(model, loss, sgd, scheduler=cycle, scheduler_interval="step")
    history = trainer.fit(loader, held_out, epochs)
    last = history.rows[-1]
    print(
        f"6. training {100 * last['accuracy']:.2f} % of augmented images, validation {100 * last['val_accuracy']:.2f} %"
    )

    outputs = train.Trainer(model, None, None).predict(unseen)
    accuracy = float((outputs.argmax(1) == test.labels).mean())
    print(f"7. test images, used once: {100 * accuracy:.2f} %")
    draw(rest, changes, history, test, outputs, arguments.out)
    return {"first": first.loss, "expected": first.expected, "by heart": few.accuracy, "test": accuracy}


def draw(part, changes, history: train.History, test, outputs: np.ndarray, path: str) -> None:
    """What the network was given, the curves, what it takes for what, and the worst mistakes."""
    images = part.dataset if hasattr(part, "indices") else part
    while hasattr(images, "dataset"):
        images = images.dataset
    figure = lecture.new_figure(11, 6.6)
    axes = figure.subplot_mosaic([["sheet", "loss", "accuracy"], ["confusion", "worst", "worst"]])
    sheet = augment.contact_sheet(transforms.Compose(changes), images.images[:6], columns=6, side=28)
    axes["sheet"].imshow(sheet)
    axes["sheet"].set_title("raw, and as the network is given it")
    axes["sheet"].set_axis_off()
    for name, scale in (("loss", 1), ("accuracy", 100)):
        axes[name].plot(
            history["epoch"], scale * np.array(history[name]), color=lecture.BLUE, label="training"
        )
        axes[name].plot(
            history["epoch"],
            scale * np.array(history[f"val_{name}"]),
            color=lecture.ORANGE,
            label="validation",
        )
        axes[name].set(title=name, xlabel="epoch")
    axes["accuracy"].legend()
    labels, predicted = np.asarray(test.labels), outputs.argmax(1)
    matrix = train.confusion_matrix(labels, predicted, 10)
    axes["confusion"].imshow(np.sqrt(matrix), cmap="Blues")
    axes["confusion"].set_xticks(range(10), list(test.classes), rotation=60, ha="right")
    axes["confusion"].set_yticks(range(10), list(test.classes))
    axes["confusion"].set_title("true (rows) and predicted")
    axes["confusion"].grid(False)
    logs = outputs - outputs.max(1, keepdims=True)
    shares = np.exp(logs) / np.exp(logs).sum(1, keepdims=True)
    wrong = np.flatnonzero(predicted != labels)
    worst = wrong[np.argsort(shares[wrong, labels[wrong]])[:10]]
    pictures = test.dataset.images[test.indices[worst]] if hasattr(test, "indices") else test.images[worst]
    axes["worst"].imshow(
        np.concatenate([np.concatenate(row, axis=1) for row in _rows(pictures)]), cmap="Greys_r"
    )
    axes["worst"].set_axis_off()
    axes["worst"].set_title("worst mistakes")
    for place, index in enumerate(worst):
        said = f"{test.classes[labels[index]]}\ntaken for\n{test.classes[predicted[index]]}"
        axes["worst"].text(
            28 * (place % 5) + 1, 28 * (place // 5) + 2, said, color="gold", fontsize=6.5, va="top"
        )
    figure.savefig(path)


def _rows(pictures: np.ndarray) -> list[list[np.ndarray]]:
    """Ten grey images as two rows of five; what is missing is black."""
    filled = np.zeros((10, 28, 28), np.uint8)
    filled[: len(pictures)] = pictures[:, 0]
    return [list(filled[:5]), list(filled[5:])]


if __name__ == "__main__":
    main()
