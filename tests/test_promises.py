"""What the README promises, on whole networks: the same bits at every thread count, gradients that are right,
and bad input that gets a sentence and loses nothing."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
import textwrap

import numpy as np
import pytest

import pynet
from pynet import _core, nn, optim, train
from pynet.data import ArrayDataset, DataLoader
from pynet.nn import functional as F


class Residual(nn.Module):
    """Everything that has partial sums: convolutions of several algorithms, batch norm, dropout, pooling."""

    def __init__(self) -> None:
        super().__init__()
        self.conv1 = nn.Conv2d(3, 24, 3, padding=1)
        self.bn1 = nn.BatchNorm2d(24)
        self.conv2 = nn.Conv2d(24, 24, 3, padding=1, bias=False)
        self.bn2 = nn.BatchNorm2d(24)
        self.down = nn.Conv2d(24, 32, 3, stride=2, groups=2)
        self.point = nn.Conv2d(32, 20, 1)
        self.drop = nn.Dropout(0.3)
        self.fc = nn.Linear(20 * 9, 5)

    def forward(self, x):
        y = F.relu(self.bn1(self.conv1(x)))
        y = F.relu(self.bn2(self.conv2(y)) + y)
        y = F.max_pool2d(F.leaky_relu(self.point(F.elu(self.down(y)))), 2)
        return self.fc(self.drop(y.flatten(1)))


def problem(n=40):
    rng = np.random.default_rng(0)
    images = rng.standard_normal((n, 3, 14, 14)).astype(np.float32)
    return images, rng.integers(0, 5, n)


def trained_weights(steps=6, make=optim.Adam):
    pynet.manual_seed(7)
    model = Residual()
    optimizer = make(model.parameters(), lr=1e-2)
    loader = DataLoader(ArrayDataset(*problem()), batch_size=16, shuffle=True)
    done = 0
    while done < steps:
        for x, target in loader:
            loss = F.cross_entropy(model(x), target, label_smoothing=0.1)
            optimizer.zero_grad()
            loss.backward()
            optimizer.step()
            done += 1
    return {name: t.numpy().copy() for name, t in model.state_dict().items()}


@pytest.mark.parametrize("level", _core.isa_levels())
def test_training_gives_the_same_bits_at_every_thread_count_and_in_every_run(level):
    before_level, before_threads = _core.isa(), _core.get_num_threads()
    _core._set_isa(level)
    try:
        runs = []
        for threads in (1, 2, 3, 2):
            _core.set_num_threads(threads)
            runs.append(trained_weights())
    finally:
        _core._set_isa(before_level)
        _core.set_num_threads(before_threads)
    for other in runs[1:]:
        for name, values in runs[0].items():
            assert values.tobytes() == other[name].tobytes(), name


def test_gradients_of_a_whole_network_in_double_precision():
    pynet.manual_seed(0)
    model = Residual().double()
    model.drop.p = 0.0
    images, labels = problem(3)
    x = pynet.tensor(images[:, :, :10, :10].astype(np.float64), requires_grad=True)
    model.fc = nn.Linear(20 * 4, 5).double()
    target = pynet.tensor(labels[:3])
    parameters = [model.conv1.weight, model.bn1.weight, model.bn2.bias, model.down.weight, model.point.bias]

    def loss(x, *_):
        return F.cross_entropy(model(x), target)

    assert pynet.gradcheck(loss, (x, *parameters), eps=1e-6, atol=1e-5)


def test_float32_gradients_agree_with_double_precision():
    images, labels = problem(8)
    gradients = {}
    for dtype in (np.float32, np.float64):
        pynet.manual_seed(3)
        model = Residual()
        if dtype is np.float64:
            model = model.double()
        model.drop.p = 0.0
        F.cross_entropy(model(pynet.tensor(images.astype(dtype))), pynet.tensor(labels)).backward()
        gradients[dtype] = {n: p.grad.numpy() for n, p in model.named_parameters()}
    for name, want in gradients[np.float64].items():
        np.testing.assert_allclose(gradients[np.float32][name], want, rtol=2e-3, atol=2e-5, err_msg=name)


def test_three_channels_into_a_one_channel_network():
    with pytest.raises(ValueError, match=r"3 channels.*expects 1"):
        nn.Conv2d(1, 4, 3)(pynet.randn(2, 3, 8, 8))


@pytest.mark.parametrize("label", [5, -1, 2**40])
def test_label_out_of_range(label):
    logits = pynet.randn(2, 5, requires_grad=True)
    with pytest.raises(IndexError, match=str(label)):
        F.cross_entropy(logits, pynet.tensor([0, label]))
    assert logits.grad is None


def test_float16_is_refused_with_the_way_out():
    with pytest.raises(TypeError, match=r"float16.*float32"):
        pynet.tensor(np.zeros((2, 2), np.float16))


@pytest.mark.parametrize("view", ["read-only", "negative strides", "Fortran", "big-endian", "unaligned"])
def test_awkward_arrays_give_the_right_result(view):
    pynet.manual_seed(0)
    layer = nn.Conv2d(3, 4, 3)
    plain = np.random.default_rng(1).standard_normal((2, 3, 6, 6)).astype(np.float32)
    if view == "read-only":
        array = plain.copy()
        array.flags.writeable = False
    elif view == "negative strides":
        array = np.ascontiguousarray(plain[:, :, ::-1])[:, :, ::-1]
    elif view == "Fortran":
        array = np.asfortranarray(plain)
    elif view == "big-endian":
        array = plain.astype(">f4")
    else:
        raw = np.empty(plain.nbytes + 1, np.uint8)
        array = raw[1:].view(np.float32).reshape(plain.shape)
        array[:] = plain
    want = layer(pynet.tensor(plain)).detach().numpy()
    np.testing.assert_array_equal(layer(pynet.from_numpy(array)).detach().numpy(), want)


def test_empty_loader_is_refused_before_training():
    model = nn.Linear(2, 2)
    before = model.weight.detach().numpy().copy()
    trainer = train.Trainer(model, nn.CrossEntropyLoss(), optim.SGD(model.parameters(), lr=1.0))
    empty = DataLoader(ArrayDataset(np.zeros((0, 2), np.float32), np.zeros(0, np.int64)), batch_size=2)
    with pytest.raises(ValueError, match=r"no batches|empty"):
        trainer.fit(empty)
    np.testing.assert_array_equal(model.weight.detach().numpy(), before)


def test_a_fork_after_training_computes_the_same():
    code = """
        import os, numpy as np, pynet
        from pynet import nn, optim
        pynet.set_num_threads(2)
        pynet.manual_seed(0)
        m = nn.Sequential(nn.Conv2d(3, 16, 3, padding=1), nn.ReLU(), nn.Flatten(), nn.Linear(16 * 256, 4))
        o = optim.Adam(m.parameters())
        x, y = pynet.randn(32, 3, 16, 16), pynet.tensor([0, 1, 2, 3] * 8)
        for _ in range(3):
            o.zero_grad(); nn.functional.cross_entropy(m(x), y).backward(); o.step()
        want = m(x).detach().numpy().tobytes()
        pid = os.fork()
        if pid == 0:
            nn.functional.cross_entropy(m(x), y).backward()
            os._exit(0 if m(x).detach().numpy().tobytes() == want else 1)
        assert os.waitpid(pid, 0)[1] == 0
        print("same")
    """
    result = subprocess.run(
        [sys.executable, "-c", textwrap.dedent(code)], capture_output=True, text=True, timeout=100
    )
    assert result.stdout.strip() == "same", result.stderr


def test_ctrl_c_in_a_long_computation_ends_soon():
    code = "import pynet\nprint('go', flush=True)\na = pynet.randn(1500, 1500)\nwhile True:\n    a @ a"
    with subprocess.Popen([sys.executable, "-c", code], stdout=subprocess.PIPE, stderr=subprocess.PIPE) as p:
        assert p.stdout is not None and p.stdout.readline().strip() == b"go"
        try:
            os.kill(p.pid, signal.SIGINT)
            assert p.wait(timeout=10) != 0
        finally:
            p.kill()
