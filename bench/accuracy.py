"""Does Winograd's rounding cost accuracy? ResNet-20 trained on Fashion-MNIST, the same seeds with each way of
convolving.

`python -m bench.accuracy` trains what bench/accuracy.json lacks, one line a finished run, so that it can be
stopped and taken up again; then it prints the table of docs/convolution.md. "direct" computes every
convolution as plain sums, "auto" takes F(4x4, 3x3) for nearly all of ResNet-20.
"""

from __future__ import annotations

import argparse
import json
import statistics
import time
from pathlib import Path

import pynet
from pynet import data, nn, optim

FILE = Path(__file__).with_name("accuracy.json")
MEAN, STD = 0.2860, 0.3530  # of the training images


def train(algorithm: str, seed: int, images: int, epochs: int) -> dict[str, float]:
    """One run: the accuracy on all 10,000 test images, the last epoch's mean loss, and seconds."""
    normalise = data.transforms.Normalize([MEAN], [STD])
    training, test = (data.FashionMNIST(train=part, transform=normalise) for part in (True, False))
    started = time.perf_counter()
    pynet.manual_seed(seed)
    model = pynet.models.resnet20(in_channels=1, image_size=28)
    optimizer = optim.SGD(model.parameters(), lr=0.1, momentum=0.9, weight_decay=1e-4, nesterov=True)
    batches = data.DataLoader(
        data.Subset(training, range(images)), batch_size=128, shuffle=True, drop_last=True
    )
    steps = epochs * (images // 128)
    scheduler = optim.lr_scheduler.OneCycleLR(optimizer, max_lr=0.1, total_steps=steps)
    criterion = nn.CrossEntropyLoss()
    with pynet.conv_algorithm(algorithm):
        for _ in range(epochs):
            losses = []
            for x, labels in batches:
                loss = criterion(model(x), labels)
                optimizer.zero_grad()
                loss.backward()
                optimizer.step()
                scheduler.step()
                losses.append(loss.item())
        model.eval()
        right = 0
        with pynet.no_grad():
            for x, labels in data.DataLoader(test, batch_size=500):
                right += int((model(x).array.argmax(1) == labels.array).sum())
    return {
        "accuracy": right / len(test),
        "loss": statistics.fmean(losses),
        "seconds": round(time.perf_counter() - started, 1),
    }


def table(
    runs: dict[str, dict[str, float]], algorithms: list[str], seeds: int, images: int, epochs: int
) -> str:
    """Test accuracies: a row an algorithm, a column a seed, mean and standard deviation."""
    lines = [
        "| convolutions | " + " | ".join(f"seed {seed}" for seed in range(seeds)) + " | mean | s |",
        "| --- |" + " ---: |" * (seeds + 2),
    ]
    for algorithm in algorithms:
        found = [100 * runs[name_of(algorithm, seed, images, epochs)]["accuracy"] for seed in range(seeds)]
        spread = f"{statistics.stdev(found):.2f}" if seeds > 1 else "-"
        cells = [f"{value:.2f} %" for value in found]
        lines.append(f"| {algorithm} | {' | '.join(cells)} | {statistics.fmean(found):.2f} % | {spread} |")
    return "\n".join(lines)


def name_of(algorithm: str, seed: int, images: int, epochs: int) -> str:
    """What a run is called in the file."""
    return f"{algorithm} seed={seed} images={images} epochs={epochs}"


def main() -> None:
    """Train what is missing, then print the table."""
    parser = argparse.ArgumentParser(prog="python -m bench.accuracy", description=__doc__)
    parser.add_argument("--algorithms", nargs="+", default=["direct", "auto"])
    parser.add_argument("--seeds", type=int, default=3)
    parser.add_argument("--images", type=int, default=12800, help="of the 60,000 training images")
    parser.add_argument("--epochs", type=int, default=5)
    parser.add_argument(
        "--file", type=Path, default=FILE, help="finished runs (default: bench/accuracy.json)"
    )
    options = parser.parse_args()
    runs = json.loads(options.file.read_text()) if options.file.exists() else {}
    for seed in range(options.seeds):
        for algorithm in options.algorithms:
            name = name_of(algorithm, seed, options.images, options.epochs)
            if name not in runs:
                runs[name] = train(algorithm, seed, options.images, options.epochs)
                options.file.write_text(json.dumps(runs, indent=1) + "\n")
                print(name, runs[name], flush=True)
    print(table(runs, options.algorithms, options.seeds, options.images, options.epochs))


if __name__ == "__main__":
    main()
