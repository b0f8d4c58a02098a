"""The scikit-learn estimators: scikit-learn's own checks, pipelines, searches, images, and the errors."""

from __future__ import annotations

import pickle

import numpy as np
import pytest

import pynet
from pynet import nn

pytest.importorskip("sklearn", reason="scikit-learn is not installed")
from sklearn.base import clone
from sklearn.datasets import load_diabetes, load_digits, make_classification
from sklearn.model_selection import GridSearchCV, cross_val_score, train_test_split
from sklearn.pipeline import make_pipeline
from sklearn.preprocessing import StandardScaler
from sklearn.utils.estimator_checks import parametrize_with_checks

from pynet.sklearn import Classifier, Regressor

ROUNDING = {
    "check_methods_sample_order_invariance": "asks for 1e-9; float32 sums may depend on a row's place"
}


@parametrize_with_checks(
    [Classifier(random_state=0), Regressor(random_state=0)], expected_failed_checks=lambda estimator: ROUNDING
)
def test_the_rules_of_scikit_learn(estimator, check):
    check(estimator)


def split_digits():
    images, labels = load_digits(return_X_y=True)
    images = (images / 16 * 255).astype(np.uint8).reshape(-1, 1, 8, 8)
    return train_test_split(images, labels, test_size=400, random_state=0, stratify=labels)


def test_images_of_bytes():
    train, test, labels, test_labels = split_digits()
    network = Classifier(epochs=6, random_state=0).fit(train, labels)
    assert network.score(test, test_labels) > 0.97
    probabilities = network.predict_proba(test)
    assert probabilities.shape == (400, 10) and np.allclose(probabilities.sum(axis=1), 1)
    assert np.array_equal(network.predict(test), probabilities.argmax(axis=1))
    as_floats = Classifier(epochs=6, random_state=0).fit(train.astype(np.float32) / 255, labels)
    assert np.array_equal(as_floats.predict_proba(test.astype(np.float32) / 255), probabilities)


def test_a_pipeline_in_a_search_finds_the_better_rate():
    X, y = make_classification(300, 10, n_informative=6, n_classes=3, random_state=0)
    pipeline = make_pipeline(StandardScaler(), Classifier(epochs=10, random_state=0))
    search = GridSearchCV(pipeline, {"classifier__lr": [1e-7, 1e-2]}, cv=3).fit(X, y)
    assert search.best_params_ == {"classifier__lr": 1e-2} and search.best_score_ > 0.75


def test_regression_is_in_the_targets_units():
    X, y = load_diabetes(return_X_y=True)
    pipeline = make_pipeline(StandardScaler(), Regressor(epochs=30, weight_decay=0.01, random_state=0))
    scores = cross_val_score(pipeline, X, 1e6 + 1000 * y, cv=3)  # far from zero, and large
    assert scores.mean() > 0.4


def test_several_targets_at_once():
    X = np.random.default_rng(0).normal(size=(200, 4))
    y = np.stack([X[:, 0], 5 * X[:, 1] + 3], axis=1)
    assert Regressor(epochs=100, lr=0.01, random_state=0).fit(X, y).score(X, y) > 0.97


def test_the_seed_rules_the_fit_and_nothing_else():
    X, y = make_classification(80, 6, random_state=0)
    pynet.manual_seed(5)
    expected = pynet.rand(3).tolist()
    pynet.manual_seed(5)
    first = Classifier(epochs=3, random_state=1).fit(X, y).decision_function(X)
    assert pynet.rand(3).tolist() == expected
    assert np.array_equal(Classifier(epochs=3, random_state=1).fit(X, y).decision_function(X), first)
    assert not np.array_equal(Classifier(epochs=3, random_state=2).fit(X, y).decision_function(X), first)


def test_early_stopping_keeps_the_best_weights():
    X, y = make_classification(200, 20, n_informative=3, flip_y=0.3, random_state=0)
    network = Classifier(lr=0.05, epochs=200, early_stopping=True, patience=3, random_state=0).fit(X, y)
    losses = network.history_["val_loss"]
    assert network.n_iter_ == len(losses) == int(np.argmin(losses)) + 5 < 200


def test_warm_start_goes_on():
    X, y = make_classification(100, 6, random_state=0)
    network = Classifier(epochs=2, warm_start=True, random_state=0).fit(X, y)
    loss = network.history_["loss"][-1]
    assert network.fit(X, y).history_["loss"][0] < loss
    with pytest.raises(ValueError, match=r"warm_start goes on with the classes \[0 1\]"):
        network.fit(X, y + 1)


def test_weights_of_classes_move_the_decision():
    X, y = make_classification(400, 6, weights=[0.95], class_sep=0.5, flip_y=0, random_state=0)
    plain = Classifier(epochs=20, random_state=0).fit(X, y).predict(X)
    balanced = Classifier(epochs=20, class_weight="balanced", random_state=0).fit(X, y).predict(X)
    assert balanced.sum() > plain.sum()


def test_a_model_of_ones_own_a_name_and_a_module():
    train, test, labels, test_labels = split_digits()

    def build(input_shape, outputs):
        assert input_shape == (1, 8, 8) and outputs == 10
        return nn.Sequential(nn.Flatten(), nn.Linear(64, outputs))

    assert (
        Classifier(build, lr=0.01, epochs=10, random_state=0).fit(train, labels).score(test, test_labels)
        > 0.93
    )
    named = Classifier("mlp", epochs=1, random_state=0).fit(train, labels)
    assert len([m for m in named.module_ if isinstance(m, nn.Linear)]) == 3
    module = nn.Sequential(nn.Flatten(), nn.Linear(64, 10))
    before = module[1].weight.detach().numpy().copy()
    fitted = Classifier(module, epochs=1).fit(train, labels)
    assert np.array_equal(module[1].weight.detach().numpy(), before)
    assert not np.array_equal(fitted.module_[1].weight.detach().numpy(), before)
    assert clone(fitted).model is not module


def test_pickle_keeps_what_was_learnt():
    X, y = make_classification(60, 6, random_state=0)
    network = Classifier(epochs=2, random_state=0).fit(X, y)
    assert np.array_equal(pickle.loads(pickle.dumps(network)).predict_proba(X), network.predict_proba(X))


@pytest.mark.parametrize(
    ("parameters", "X", "sentence"),
    [
        ({"epochs": 0}, np.eye(4), "epochs must be an integer of at least 1, not 0"),
        ({"batch_size": 1.5}, np.eye(4), "batch_size must be an integer of at least 1, not 1.5"),
        ({"optimizer": "adma"}, np.eye(4), "no optimizer is called 'adma'; there are adam, adamw"),
        (
            {},
            np.zeros((4, 2, 3)),
            r"X must be a table \(n, features\) or images \(n, C, H, W\), got shape \(4, 2, 3\)",
        ),
        ({}, np.zeros((4, 1, 8, 9)), "take square images, X holds images of 8x9 pixels"),
        ({"model": "mlp"}, np.eye(4), "X holds a table"),
        ({}, np.full((4, 2), 1e300), "beyond float32's range"),
        ({"lr": 1e30, "optimizer": "sgd", "epochs": 50}, 1e3 * np.eye(4), "the loss is (nan|inf)"),
    ],
)
def test_what_cannot_be_fitted(parameters, X, sentence):
    with pytest.raises(ValueError, match=sentence):
        Classifier(**parameters).fit(X, [0, 1, 0, 1])


def test_samples_of_another_shape():
    network = Classifier(epochs=1).fit(np.zeros((4, 1, 8, 8)), [0, 1, 0, 1])
    with pytest.raises(ValueError, match=r"samples of shape \(1, 9, 9\), but it was fitted on \(1, 8, 8\)"):
        network.predict(np.zeros((4, 1, 9, 9)))
