"""Trainings to be diagnosed: healthy ones of many kinds, and one for each fault that is planted."""

from __future__ import annotations

from typing import Any

import numpy as np

from pynet import from_numpy, nn, optim

CE = nn.CrossEntropyLoss


def _digits() -> tuple[np.ndarray, np.ndarray]:
    from sklearn.datasets import load_digits

    return load_digits(return_X_y=True)


def table() -> tuple[np.ndarray, np.ndarray]:
    """Digits as rows of 64 standardised numbers."""
    x, y = _digits()
    return ((x - x.mean()) / x.std()).astype(np.float32), y


def images() -> tuple[np.ndarray, np.ndarray]:
    """Digits as images in [0, 1]."""
    x, y = _digits()
    return (x.reshape(-1, 1, 8, 8) / 16).astype(np.float32), y


def columns(name: str) -> tuple[np.ndarray, np.ndarray]:
    """A small table of scikit-learn's, its columns standardised."""
    from sklearn import datasets

    x, y = getattr(datasets, f"load_{name}")(return_X_y=True)
    return ((x - x.mean(axis=0)) / x.std(axis=0)).astype(np.float32), y


def mlp(activation: type[nn.Module] = nn.ReLU) -> nn.Sequential:
    return nn.Sequential(nn.Linear(64, 64), activation(), nn.Linear(64, 32), activation(), nn.Linear(32, 10))


def cnn(norm: bool) -> nn.Sequential:
    first, second = ([nn.BatchNorm2d(width)] if norm else [] for width in (8, 16))
    return nn.Sequential(
        nn.Conv2d(1, 8, 3, padding=1), *first, nn.ReLU(), nn.MaxPool2d(2),
        nn.Conv2d(8, 16, 3, padding=1), *second, nn.ReLU(), nn.Flatten(), nn.Linear(256, 10),
    )  # fmt: skip


def case(model: nn.Module, data: Any, loss: Any, optimizer: Any, **more: Any) -> dict[str, Any]:
    return {"model": model, "data": data, "loss": loss, "optimizer": optimizer, **more}


# --- healthy --------------------------------------------------------------------------------------


def mlp_adam():
    model = mlp()
    return case(model, table(), CE(), optim.Adam(model.parameters()))


def mlp_slow_sgd():
    model = mlp()
    return case(model, table(), CE(), optim.SGD(model.parameters(), lr=0.01))


def cnn_momentum():
    model = cnn(False)
    return case(model, images(), CE(), optim.SGD(model.parameters(), lr=0.02, momentum=0.9))


def cnn_batch_norm_smoothed():
    model = cnn(True)
    return case(model, images(), CE(label_smoothing=0.1), optim.AdamW(model.parameters(), lr=3e-3))


def dropout_rmsprop():
    model = nn.Sequential(nn.Linear(64, 128), nn.ReLU(), nn.Dropout(0.5), nn.Linear(128, 10))
    return case(model, table(), CE(), optim.RMSprop(model.parameters(), lr=1e-3))


def tanh_sgd():
    model = mlp(nn.Tanh)
    return case(model, table(), CE(), optim.SGD(model.parameters(), lr=0.1))


def svm():
    model = mlp(nn.LeakyReLU)
    return case(model, table(), nn.MultiMarginLoss(), optim.Adam(model.parameters(), lr=2e-3))


def regression():
    x, y = columns("diabetes")
    y = ((y - y.mean()) / y.std()).astype(np.float32)[:, None]
    model = nn.Sequential(nn.Linear(10, 32), nn.Tanh(), nn.Linear(32, 1))
    return case(model, (x, y), nn.MSELoss(), optim.Adam(model.parameters(), lr=3e-3))


def linear_from_zero():
    model = nn.Linear(64, 10)
    nn.init.zeros_(model.weight)
    return case(model, table(), CE(), optim.SGD(model.parameters(), lr=0.1))


def small_table():
    model = nn.Sequential(nn.Linear(4, 16), nn.ReLU(), nn.Linear(16, 3))
    return case(model, columns("iris"), CE(), optim.Adam(model.parameters(), lr=1e-2))


def sigmoid_binary():
    x, y = columns("breast_cancer")
    model = nn.Sequential(nn.Linear(30, 16), nn.Sigmoid(), nn.Linear(16, 1))
    optimizer = optim.Adam(model.parameters(), lr=3e-3)
    return case(model, (x, y[:, None].astype(np.float32)), nn.BCEWithLogitsLoss(), optimizer)


def log_probabilities():
    model = nn.Sequential(nn.Linear(64, 64), nn.GELU(), nn.Linear(64, 10), nn.LogSoftmax(1))
    return case(model, table(), nn.NLLLoss(), optim.Adagrad(model.parameters(), lr=1e-2))


def autoencoder():
    x, _ = table()
    model = nn.Sequential(nn.Linear(64, 16), nn.ReLU(), nn.Linear(16, 64))
    return case(model, (x, x), nn.MSELoss(), optim.Adam(model.parameters()))


def deep_he():
    layers = [layer for _ in range(8) for layer in (nn.Linear(64, 64), nn.ReLU())]
    model = nn.Sequential(*layers, nn.Linear(64, 10))
    for weight in model.parameters():
        if weight.ndim > 1:
            nn.init.kaiming_normal_(weight)
    return case(model, table(), CE(), optim.SGD(model.parameters(), lr=0.01, momentum=0.9))


def half_trained():
    model = mlp()
    optimizer = optim.Adam(model.parameters(), lr=1e-3)
    x, y = table()
    for start in range(0, 1792, 64):
        optimizer.zero_grad()
        CE()(model(from_numpy(x[start : start + 64])), from_numpy(y[start : start + 64])).backward()
        optimizer.step()
    return case(model, (x, y), CE(), optimizer)


def adapted():
    """A trained first layer, frozen on purpose, under a new head."""
    made = half_trained()
    model, (x, y) = made["model"], made["data"]
    for weight in model[0].parameters():
        weight.requires_grad = False
    head = nn.Sequential(*list(model)[:-1], nn.Linear(32, 10))
    # Two thousand steps would do this; the tails of trained weights are what counts.
    model[0].weight.array[...] *= np.random.default_rng(0).lognormal(size=(64, 64)).astype(np.float32)
    return case(head, (x, y), CE(), optim.Adam([p for p in head.parameters() if p.requires_grad]))


def warm_up():
    """The rate of the moment is tiny, since a schedule has just begun."""
    model = mlp()
    optimizer = optim.Adam(model.parameters(), lr=1e-3)
    optim.lr_scheduler.LinearLR(optimizer, start_factor=1e-4)
    return case(model, table(), CE(), optimizer)


def no_optimizer():
    return {"model": mlp(nn.GELU), "data": table()}


HEALTHY = [
    mlp_adam, mlp_slow_sgd, cnn_momentum, cnn_batch_norm_smoothed, dropout_rmsprop, tanh_sgd, svm, regression,
    linear_from_zero, small_table, sigmoid_binary, log_probabilities, autoencoder, deep_he, half_trained,
    adapted, warm_up, no_optimizer,
]  # fmt: skip


# --- faults ---------------------------------------------------------------------------------------


def classifier(
    model: nn.Module | None = None, x: Any = None, y: Any = None, loss: Any = None, lr: float = 1e-3
):
    """A healthy training with validation data, but for what is given."""
    images_, labels = table()
    x, y = images_ if x is None else x, labels if y is None else y
    model = mlp() if model is None else model
    optimizer = optim.Adam(model.parameters(), lr=lr)
    validation = (x[1400:], y[1400:])
    return case(model, (x[:1400], y[:1400]), loss or CE(), optimizer, validation=validation)


def labels_from_one():
    return classifier(y=table()[1] + 1)


def no_softmax():
    return classifier(loss=nn.NLLLoss())


def double_softmax():
    return classifier(nn.Sequential(mlp(), nn.Softmax(1)))


def shuffled_labels():
    return classifier(y=np.random.default_rng(0).permutation(table()[1]))


def unscaled_input():
    return classifier(x=(_digits()[0] * 16).astype(np.float32))


def zero_init():
    model = mlp()
    for weight in model.parameters():
        nn.init.zeros_(weight)
    return classifier(model)


def lr_times_100():
    return classifier(lr=0.1)


def lr_over_1000():
    return classifier(lr=1e-6)


def dead_relu():
    model = mlp()
    nn.init.constant_(model[2].bias, -10.0)
    return classifier(model)


def missing_activation():
    return classifier(nn.Sequential(nn.Linear(64, 64), nn.Linear(64, 32), nn.ReLU(), nn.Linear(32, 10)))


def train_test_leak():
    made = classifier()
    (x, y), (xv, yv) = made["data"], made["validation"]
    made["validation"] = np.concatenate([xv, x[:100]]), np.concatenate([yv, y[:100]])
    return made


def frozen_layer():
    model = mlp()
    model[2].weight.requires_grad = False
    return classifier(model)


def wrong_sign():
    right = CE()
    return classifier(loss=lambda outputs, targets: -right(outputs, targets))


def constant_input():
    return classifier(x=np.ones_like(table()[0]))


def tiny_data():
    x, y = table()
    model = mlp()
    return case(model, (x[:30], y[:30]), CE(), optim.Adam(model.parameters()))


FIFTEEN = {
    "labels_out_of_range": labels_from_one,
    "no_softmax": no_softmax,
    "double_softmax": double_softmax,
    "shuffled_labels": shuffled_labels,
    "unscaled_input": unscaled_input,
    "zero_init": zero_init,
    "lr_too_high": lr_times_100,
    "lr_too_low": lr_over_1000,
    "dead_relu": dead_relu,
    "missing_activation": missing_activation,
    "train_test_leak": train_test_leak,
    "frozen_layer": frozen_layer,
    "wrong_sign": wrong_sign,
    "constant_input": constant_input,
    "tiny_data": tiny_data,
}


# --- the same faults in other nets, and other faults ----------------------------------------------


def sgd_times_100():
    model = mlp()
    return case(model, table(), CE(), optim.SGD(model.parameters(), lr=5.0, momentum=0.9))


def norm_times_100():
    model = cnn(True)
    return case(model, images(), CE(), optim.Adam(model.parameters(), lr=0.3))


def sgd_over_1000():
    model = mlp()
    return case(model, table(), CE(), optim.SGD(model.parameters(), lr=5e-5, momentum=0.9))


def norm_over_1000():
    model = cnn(True)
    return case(model, images(), CE(), optim.Adam(model.parameters(), lr=3e-6))


def forgotten_by_the_optimizer():
    model = mlp()
    return case(model, table(), CE(), optim.Adam([*model[2].parameters(), *model[4].parameters()]))


def optimizer_of_another_model():
    return case(mlp(), table(), CE(), optim.Adam(mlp().parameters()))


def ascent():
    model = mlp()
    return case(model, table(), CE(), optim.SGD(model.parameters(), lr=0.05, maximize=True))


def double_sigmoid():
    made = sigmoid_binary()
    made["model"] = nn.Sequential(nn.Linear(30, 16), nn.ReLU(), nn.Linear(16, 1), nn.Sigmoid())
    made["optimizer"] = optim.Adam(made["model"].parameters())
    return made


def binary_labels_of_both_signs():
    made = sigmoid_binary()
    x, y = made["data"]
    return {**made, "data": (x, 2 * y - 1)}


def float_labels():
    return classifier(y=table()[1].astype(np.float32))


def one_class():
    return classifier(y=np.zeros_like(table()[1]))


def holes():
    x = table()[0].copy()
    x[7, 3] = np.nan
    return classifier(x=x)


def raw_targets():
    made = regression()
    x, y = made["data"]
    return {**made, "data": (x, 77 * y + 152)}


def tiny_tanh():
    model = nn.Sequential(*[m for _ in range(8) for m in (nn.Linear(64, 64), nn.Tanh())], nn.Linear(64, 10))
    for weight in model.parameters():
        nn.init.normal_(weight, std=0.01)
    return classifier(model)


def huge_tanh():
    model = nn.Sequential(*[m for _ in range(4) for m in (nn.Linear(64, 64), nn.Tanh())], nn.Linear(64, 10))
    for weight in model.parameters():
        nn.init.normal_(weight, std=1.0)
    return classifier(model)


def growing():
    model = nn.Sequential(*[m for _ in range(8) for m in (nn.Linear(64, 64), nn.ReLU())], nn.Linear(64, 10))
    for weight in model.parameters():
        nn.init.normal_(weight, std=0.6)
    return classifier(model)


def wrong_shape():
    return classifier(nn.Sequential(nn.Linear(63, 10)))


OTHERS = [
    (sgd_times_100, {"lr_too_high"}), (sgd_over_1000, {"lr_too_low"}),
    (forgotten_by_the_optimizer, {"frozen_layer"}), (optimizer_of_another_model, {"frozen_layer"}),
    (ascent, {"wrong_sign"}), (double_sigmoid, {"double_softmax"}),
    (binary_labels_of_both_signs, {"binary_out_of_range"}), (float_labels, {"labels_not_integers"}),
    (one_class, {"one_class"}), (holes, {"not_finite"}), (raw_targets, {"targets_not_standardised"}),
    (tiny_tanh, {"activations_collapse", "vanishing_gradients"}), (huge_tanh, {"saturated"}),
    (growing, {"exploding_gradients", "initial_loss"}), (wrong_shape, {"model_fails"}),
]  # fmt: skip
SLOW = [(norm_times_100, {"lr_too_high"}), (norm_over_1000, {"lr_too_low"})]
