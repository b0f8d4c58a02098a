"""Pooling and shifts: how far a digit may be moved before a network that never saw it moved is lost.

The same convolutions end in a linear layer over all places, in max pooling by two, or in the maximum over
the whole map. Convolution moves with the image; it is pooling that forgets where.
"""

from __future__ import annotations

from collections.abc import Sequence

import lecture
import numpy as np

import pynet
from pynet import nn, optim

SIDE = 16
ENDS = {
    "no pooling": lambda: [nn.Flatten(), nn.Linear(32 * SIDE**2, 10)],
    "max pooling 4x4": lambda: [nn.MaxPool2d(4), nn.Flatten(), nn.Linear(32 * (SIDE // 4) ** 2, 10)],
    "maximum of the map": lambda: [nn.AdaptiveMaxPool2d(1), nn.Flatten(), nn.Linear(32, 10)],
}


def network(end: str) -> nn.Sequential:
    """Two convolutions that keep the size, and one of the ends."""
    pynet.manual_seed(0)
    return nn.Sequential(
        nn.Conv2d(1, 16, 3, padding=1), nn.ReLU(), nn.Conv2d(16, 32, 5, padding=2), nn.ReLU(), *ENDS[end]()
    )


def placed(x: pynet.Tensor, right: int = 0) -> pynet.Tensor:
    """The 8x8 digits in the middle of an empty image, moved to the right."""
    images = np.zeros((len(x), 1, SIDE, SIDE), np.float32)
    left = (SIDE - 8) // 2 + right
    images[:, 0, 4:12, left : left + 8] = x.array.reshape(-1, 8, 8)
    return pynet.from_numpy(images)


def main(argv: Sequence[str] | None = None) -> dict[str, float]:
    """Train, move the test images, print and draw; return the numbers."""
    arguments = lecture.options(__doc__, "pooling", argv)
    x, y, x_test, y_test = lecture.digits(standardise=False)
    if arguments.quick:
        x, y = x[:400], y[:400]
    shifts = range(0, 5)
    facts: dict[str, float] = {}
    figure = lecture.new_figure(9.5, 3.8)
    pictures, axis = figure.subplots(1, 2)
    print(f"{'right by':20s}" + "".join(f"{shift:>8d}" for shift in shifts))
    for end, colour in zip(ENDS, lecture.COLOURS, strict=False):
        model = network(end)
        lecture.descend(
            model, optim.Adam(model.parameters(), lr=2e-3), placed(x), y, 2 if arguments.quick else 15
        )
        shares = [lecture.accuracy(model, placed(x_test, shift), y_test) for shift in shifts]
        facts |= {f"{end} {shift}": share for shift, share in zip(shifts, shares, strict=True)}
        print(f"{end:20s}" + "".join(f"{100 * share:6.1f} %" for share in shares))
        axis.plot(shifts, [100 * share for share in shares], "o-", color=colour, label=end)
    axis.set(title="test accuracy, digits moved to the right", xlabel="pixels", ylabel="%", ylim=(0, 103))
    axis.legend(loc="lower left")
    row = np.concatenate([placed(x_test[:1], shift).array[0, 0] for shift in (0, 2, 4)], axis=1)
    pictures.imshow(row, cmap="Greys_r")
    pictures.set(title="moved by 0, 2 and 4 pixels", xticks=[], yticks=[])
    pictures.grid(False)
    figure.savefig(arguments.out)
    return facts


if __name__ == "__main__":
    main()
