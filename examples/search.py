"""A search of hyper-parameters on the handwritten digits: the rate, the width and three ways to
regularise.

Successive halving: all trials train for a few epochs, the better third goes on from its checkpoint for
three times as many, and so on. Dropout, the L2 and the L1 penalty (together the elastic net) are among what
is sought. The best parameters are trained once more, and only then meet the test images. ``--folder
FOLDER`` keeps the trials: a search that was stopped goes on. ``--figure FILE`` draws them.
"""

from __future__ import annotations

import argparse
from typing import Any

import pynet
from pynet import data, nn, optim, search, train

SPACE = {
    "lr": search.loguniform(1e-3, 1.0),
    "width": search.integer(8, 128, log=True),
    "dropout": search.uniform(0, 0.6),
    "l2": search.loguniform(1e-6, 1e-2),
    "l1": search.loguniform(1e-6, 1e-2),
}


def make_trainer(parameters: dict[str, Any]) -> train.Trainer:
    """A network with one hidden layer; the penalties are for weights, not for biases."""
    model = nn.Sequential(
        nn.Flatten(), nn.Linear(64, parameters["width"]), nn.ReLU(),
        nn.Dropout(parameters["dropout"]), nn.Linear(parameters["width"], 10),
    )  # fmt: skip
    weights = [p for p in model.parameters() if p.ndim > 1]
    biases = [p for p in model.parameters() if p.ndim == 1]
    penalised = {"params": weights, "l1": parameters["l1"], "weight_decay": parameters["l2"]}
    sgd = optim.SGD([penalised, {"params": biases}], lr=parameters["lr"], momentum=0.9)
    return train.Trainer(model, nn.CrossEntropyLoss(), sgd)


def parts() -> tuple[Any, Any, Any]:
    """Images for training and validation, and those of the test, which the search does not see."""
    training, test = data.load("digits")
    return *data.stratified_split(training, 0.25, seed=0), test


def objective(parameters: dict[str, Any], trial: search.Trial) -> float:
    """Validation accuracy after ``trial.budget`` epochs, those of earlier rungs included."""
    training, validation, _ = parts()
    trainer = make_trainer(parameters)
    history = trainer.fit(
        data.DataLoader(training, 32, shuffle=True), data.DataLoader(validation, 500), trial.budget,
        checkpoint=trial.folder, resume=any(trial.folder.glob("*.safetensors")), progress=False,
    )  # fmt: skip
    for row in history:
        trial.report(int(row["epoch"]), row["val_accuracy"])
    return history["val_accuracy"][-1]


def main() -> None:
    """Search, print the table, draw the picture, and test the best parameters."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--trials", type=int, default=27)
    parser.add_argument("--epochs", type=int, default=27, help="of the trials that go furthest")
    parser.add_argument("--folder", help="where the trials are kept")
    parser.add_argument("--figure", help="file of the picture, such as search.png")
    arguments = parser.parse_args()
    result = search.successive_halving(
        objective, SPACE, arguments.trials, max_budget=arguments.epochs, folder=arguments.folder
    )
    print(result.table(10))
    if arguments.figure:
        result.plot(arguments.figure, "digits")
    training, validation, test = parts()
    pynet.manual_seed(0)
    trainer = make_trainer(result.best_parameters)
    both = data.ConcatDataset([training, validation])
    trainer.fit(data.DataLoader(both, 32, shuffle=True), epochs=arguments.epochs, progress=False)
    accuracy = trainer.evaluate(data.DataLoader(test, 500))["accuracy"]
    print(f"best parameters: {result.best_parameters}\ntest accuracy: {100 * accuracy:.1f} %")


if __name__ == "__main__":
    main()
