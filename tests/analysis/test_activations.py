"""`analysis.activation_stats`: its numbers, and the experiment of ten layers and five initialisations."""

from __future__ import annotations

import numpy as np
import pytest

import pynet
from pynet import analysis, nn
from pynet.nn import functional as F

RNG = np.random.default_rng(0)
LOSS = nn.CrossEntropyLoss()


def test_numbers_are_those_of_the_arrays():
    pynet.manual_seed(0)
    model = nn.Sequential(nn.Linear(6, 5), nn.Tanh(), nn.Linear(5, 4), nn.ReLU(), nn.Linear(4, 3))
    x, y = RNG.normal(size=(50, 6)).astype(np.float32) * 8, RNG.integers(0, 3, 50)
    nn.init.constant_(model[2].bias, -50.0)
    model[2].bias.array[1] = 50.0
    stats = analysis.activation_stats(model, x, y, LOSS)
    assert [layer.name for layer in stats.layers] == ["0 linear", "1 tanh", "2 linear", "3 relu", "4 linear"]
    tanh, relu = stats.layers[1], stats.layers[3]
    a = np.tanh(x.astype(np.float64) @ model[0].weight.array.T.astype(np.float64) + model[0].bias.array)
    assert tanh.shape == (50, 5)
    assert tanh.mean == pytest.approx(a.mean(), abs=1e-6) and tanh.std == pytest.approx(a.std(), abs=1e-6)
    assert tanh.spread == pytest.approx(np.sqrt(a.var(axis=0).mean()), abs=1e-6)
    assert (
        tanh.saturated == pytest.approx((np.abs(a) > 0.97).mean(), abs=0.005) and 0.1 < tanh.saturated < 0.9
    )
    assert relu.dead == 0.75 and np.isnan(relu.saturated) and np.isnan(tanh.dead)
    counts, edges = tanh.histogram
    assert counts.sum() == a.size and edges[0] == pytest.approx(a.min(), abs=1e-6)
    # The gradient of the last layer's output is (softmax - one-hot) / N.
    scores = model(pynet.from_numpy(x)).array
    share = np.exp(scores - scores.max(axis=1, keepdims=True))
    share /= share.sum(axis=1, keepdims=True)
    gradient = (share - np.eye(3)[y]) / 50
    assert stats.layers[4].grad_std == pytest.approx(gradient.std(), rel=1e-4)
    assert stats.layers[4].gradient_histogram[0].sum() == 150
    assert stats.loss == pytest.approx(LOSS(model(pynet.from_numpy(x)), pynet.from_numpy(y)).item(), rel=1e-5)
    assert len(str(stats).splitlines()) == 6 and "75.0 %" in str(stats)


def test_without_targets_there_are_no_gradients():
    stats = analysis.activation_stats(
        nn.Sequential(nn.Linear(3, 2), nn.Sigmoid()), np.zeros((4, 3), np.float32)
    )
    assert np.isnan(stats.loss) and all(np.isnan(layer.grad_std) for layer in stats.layers)


def test_functions_are_seen_and_nothing_is_changed():
    class Net(nn.Module):
        def __init__(self):
            super().__init__()
            self.conv, self.norm, self.out = nn.Conv2d(1, 4, 3), nn.BatchNorm2d(4), nn.Linear(4, 2)

        def forward(self, x):
            x = F.relu(self.norm(self.conv(x)))
            return self.out(F.dropout(x.mean((2, 3)), 0.5, self.training))

    model = Net()
    x, y = RNG.normal(size=(8, 1, 6, 6)).astype(np.float32), RNG.integers(0, 2, 8)
    pynet.manual_seed(1)
    before = {name: array.numpy().copy() for name, array in model.state_dict().items()}
    state = pynet.get_rng_state()
    stats = analysis.activation_stats(model, x, y, LOSS)
    assert [layer.name for layer in stats.layers] == ["conv conv2d", "norm batch_norm", "relu", "out linear"]
    assert all(np.array_equal(before[name], array.numpy()) for name, array in model.state_dict().items())
    assert same_state(state, pynet.get_rng_state()) and all(p.grad is None for p in model.parameters())
    assert {name for name, _, _ in stats.weights} == {name for name, _ in model.named_parameters()}


def same_state(a, b):
    return str(a) == str(b)


def test_dead_channels():
    model = nn.Sequential(nn.Conv2d(1, 4, 3), nn.ReLU())
    model[0].bias.array[...] = [-100, 100, -100, 100]
    stats = analysis.activation_stats(model, RNG.normal(size=(3, 1, 5, 5)).astype(np.float32))
    assert stats.layers[1].dead == 0.5


def test_bad_calls():
    with pytest.raises(TypeError, match="activation_stats: model must be a Module, got int"):
        analysis.activation_stats(3, np.zeros(3))
    with pytest.raises(ValueError, match="give both targets and loss, or neither"):
        analysis.activation_stats(nn.Linear(2, 2), np.zeros((1, 2), np.float32), np.zeros(1, int))


# --- the experiment -------------------------------------------------------------------------------


def experiment(activation, draw):
    """Ten layers of 200 units, weights by `draw`, no biases; unit Gaussian inputs. Statistics of the ten
    activations.
    """
    pynet.manual_seed(0)
    width = 200
    layers = [m for _ in range(10) for m in (nn.Linear(width, width, bias=False), activation())]
    model = nn.Sequential(*layers, nn.Linear(width, 10, bias=False))
    for weight in model.parameters():
        draw(weight)
    x, y = RNG.normal(size=(200, width)).astype(np.float32), RNG.integers(0, 10, 200)
    stats = analysis.activation_stats(model, x, y, LOSS)
    layers = [layer for layer in stats.layers if layer.is_activation]
    return np.array([(layer.std, layer.saturated, layer.dead, layer.grad_std) for layer in layers]).T


def test_tanh_and_small_weights_collapse():
    """Weights of deviation 0.01: each layer shrinks signal and gradient by 0.01 * sqrt(200) = 0.14."""
    std, saturated, _, gradient = experiment(nn.Tanh, lambda w: nn.init.normal_(w, std=0.01))
    assert np.all(std[1:] / std[:-1] == pytest.approx(0.14, rel=0.2)) and std[-1] < 1e-7
    assert saturated.max() == 0 and gradient[0] < 1e-6 * gradient[-1]


def test_tanh_and_weights_of_five_hundredths_fade():
    """0.05 * sqrt(200) = 0.71: ten layers lose most of the signal, slowly."""
    std, saturated, _, _ = experiment(nn.Tanh, lambda w: nn.init.normal_(w, std=0.05))
    assert 0.005 < std[-1] < 0.1 and np.all(np.diff(std) < 0) and saturated.max() < 0.02


def test_tanh_and_large_weights_saturate():
    std, saturated, _, _ = experiment(nn.Tanh, lambda w: nn.init.normal_(w, std=1.0))
    assert saturated.min() > 0.7 and std.min() > 0.9


def test_tanh_and_xavier_stay_healthy():
    std, saturated, _, gradient = experiment(nn.Tanh, nn.init.xavier_normal_)
    assert std[-1] > 0.15 and std[0] < 0.8 and saturated.max() < 0.1
    assert 0.1 < gradient[0] / gradient[-1] < 10


def test_relu_and_xavier_halve_the_signal_each_layer():
    std, _, dead, _ = experiment(nn.ReLU, nn.init.xavier_normal_)
    assert std[-1] / std[0] == pytest.approx(2**-4.5, rel=0.4) and dead.max() < 0.3  # sqrt(1/2) a layer


def test_relu_and_kaiming_stay_healthy():
    std, _, _, gradient = experiment(nn.ReLU, nn.init.kaiming_normal_)
    assert 0.5 < std[-1] / std[0] < 2 and 0.3 < gradient[0] / gradient[-1] < 3
