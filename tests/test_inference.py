"""Compiled modules agree with the modules they were made from, whatever the forward looks like."""

from __future__ import annotations

import gc
import threading

import numpy as np
import pytest

import pynet
from pynet import _core, models, nn
from pynet.nn import functional as F


def settled(model):
    """The model in eval mode, with running statistics and biases that are not trivial."""
    rng = np.random.default_rng(3)
    with pynet.no_grad():
        for m in model.modules():
            if isinstance(m, (nn.BatchNorm1d, nn.BatchNorm2d)) and m.running_mean is not None:
                n = m.num_features
                m.running_mean.copy_(rng.standard_normal(n).astype(np.float32) * 0.3)
                m.running_var.copy_(rng.uniform(0.3, 2, n).astype(np.float32))
                if m.weight is not None:
                    m.weight.copy_(rng.uniform(-1.5, 1.5, n).astype(np.float32))
                    m.bias.copy_(rng.standard_normal(n).astype(np.float32))
    return model.eval()


class Forward(nn.Module):
    """A module from a function of itself and x, with some layers at hand."""

    def __init__(self, function):
        super().__init__()
        self.function = function
        self.conv = nn.Conv2d(6, 6, 3, padding=1)
        self.down = nn.Conv2d(6, 20, 3, stride=2, padding=1, bias=False)
        self.bn = nn.BatchNorm2d(6)
        self.bn20 = nn.BatchNorm2d(20)
        self.bn1 = nn.BatchNorm1d(7)
        self.fc = nn.Linear(6 * 8 * 8, 7)
        self.last = nn.Linear(8, 5)
        self.table = nn.Parameter(np.linspace(-1, 1, 6, dtype=np.float32).reshape(1, 6, 1, 1))

    def forward(self, x):
        return self.function(self, x)


def example(n=3, shape=(6, 8, 8), seed=0):
    return np.random.default_rng(seed).standard_normal((n, *shape)).astype(np.float32)


def results(value):
    return list(value) if isinstance(value, (tuple, list)) else [value]


def check(model, *inputs, rtol=2e-5):
    """Compiles, compares with the module under no_grad, and gives the compiled module."""
    compiled = pynet.inference(model, *inputs)
    with pynet.no_grad():
        expected = results(model(*(pynet.tensor(x) for x in inputs)))
    for _ in range(2):  # the second call finds everything in place
        found = results(compiled(*inputs))
        assert len(found) == len(expected)
        for a, b in zip(found, expected, strict=True):
            assert a.shape == b.shape
            scale = max(1.0, float(np.abs(b.numpy()).max(initial=0)))
            np.testing.assert_allclose(a.numpy(), b.numpy(), rtol=rtol, atol=rtol * scale)
    return compiled


# --- networks -------------------------------------------------------------------------------------


@pytest.mark.parametrize("level", _core.isa_levels())
@pytest.mark.parametrize("name", ["lenet5", "mlp", "small_cnn", "vgg_small", "resnet20"])
def test_networks(name, level):
    before = _core.isa()
    _core._set_isa(level)
    try:
        model = settled(models.create(name))
        shape = (3, 32, 32) if name in ("vgg_small", "resnet20") else (1, 28, 28)
        for n in (1, 3):
            check(model, example(n, shape), rtol=2e-4)
    finally:
        _core._set_isa(before)


def test_every_named_architecture_compiles():
    for name in models.available():
        model = settled(models.create(name, in_channels=3, image_size=32))
        assert pynet.inference(model)(example(2, (3, 32, 32))).shape == (2, 10), name


def test_batch_norm_is_folded_and_activations_are_fused():
    compiled = check(settled(models.create("resnet20")), example(1, (3, 32, 32)), rtol=2e-4)
    text = repr(compiled)
    assert "batch_norm" not in text and "activation" not in text
    assert text.count("add + relu") == 9 and text.count("conv2d") == 21


def test_flattening_costs_no_copy():
    compiled = check(settled(models.create("lenet5")), example(2, (1, 28, 28)))
    assert "copy" not in repr(compiled) and "order" not in repr(compiled)


# --- odd graphs -----------------------------------------------------------------------------------

FORWARDS = {
    "identity": lambda m, x: x,
    "input twice": lambda m, x: (x, x),
    "one value twice": lambda m, x: [y := m.conv(x), y],
    "inner result returned": lambda m, x: (y := m.conv(x), F.relu(y)),
    "constant": lambda m, x: m.table * 2,
    "conv alone": lambda m, x: m.conv(x),
    "bn not after conv": lambda m, x: F.relu(m.bn(x)),
    "bn shared": lambda m, x: m.bn(m.conv(m.bn(x))),
    "conv used twice": lambda m, x: m.bn(y := m.conv(x)) + y,
    "bn + shortcut": lambda m, x: F.relu(m.bn(F.avg_pool2d(x, 3, 1, 1)) + x),
    "two bn": lambda m, x: m.bn(m.bn(x)),
    "preactivation": lambda m, x: m.conv(F.relu(m.bn(x))) + x,
    "add to itself": lambda m, x: F.relu(m.conv(x) + x) + x,
    "x + x": lambda m, x: F.relu(x + x),
    "elu": lambda m, x: F.elu(m.conv(x), 0.7),
    "leaky": lambda m, x: F.leaky_relu(m.conv(x), 0.2),
    "sigmoid gate": lambda m, x: x * pynet.sigmoid(m.conv(x).mean((2, 3), keepdim=True)),
    "tanh of sum": lambda m, x: pynet.tanh(m.conv(x) + x),
    "scalars": lambda m, x: 2 * m.conv(x) - 1 + x / 3,
    "constant map": lambda m, x: (m.conv(x) + m.table) * m.table,
    "constant left": lambda m, x: 1 - m.conv(x),
    "clamp": lambda m, x: (m.conv(x) * 9).clamp(0, 6),
    "clamp low": lambda m, x: x.clamp(min=-0.5),
    "functions": lambda m, x: (pynet.exp(-x) + x.abs().sqrt()) * pynet.square(x),
    "group norm": lambda m, x: F.relu(F.group_norm(m.conv(x), 3, m.bn.weight, m.bn.bias)),
    "instance norm": lambda m, x: F.instance_norm(m.down(x)),
    "layer norm": lambda m, x: F.layer_norm(m.conv(x), (8, 8)) + F.layer_norm(x.flatten(1), 384)[:1, :1],
    "max pool": lambda m, x: F.max_pool2d(F.relu(m.conv(x)), 3, 2, 1),
    "avg pool": lambda m, x: F.avg_pool2d(x, 2, ceil_mode=True, count_include_pad=False),
    "avg pool by 5": lambda m, x: F.avg_pool2d(x, 3, 2, 1, divisor_override=5),
    "pooled rows": lambda m, x: F.max_pool1d(F.avg_pool1d(x.flatten(2), 3, 2), 4, padding=1, ceil_mode=True),
    "adaptive rows": lambda m, x: F.adaptive_avg_pool1d(m.conv(x).flatten(2), 5),
    "adaptive max": lambda m, x: F.adaptive_max_pool2d(m.conv(x), 4) * F.adaptive_max_pool2d(m.conv(x), 1),
    "glu and softmin": lambda m, x: F.softmin(F.glu(m.conv(x), 1), 1),
    "curves": lambda m, x: F.gelu(m.conv(x)) + F.silu(x) * F.hardswish(m.conv(x)) + F.logsigmoid(x),
    "curves of slices": lambda m, x: F.softplus(x[:, :2], 2.0, 3.0) + F.threshold(x[:, 1:3], 0.1, 2.0),
    "dropped in evaluation": lambda m, x: F.drop_path(F.dropout2d(m.conv(x), 0.5, False), 0.5, False),
    "adaptive": lambda m, x: F.adaptive_avg_pool2d(m.down(x), (3, 2)),
    "mean": lambda m, x: m.down(x).mean((2, 3)),
    "flatten": lambda m, x: m.conv(x).flatten(1),
    "flatten relu linear": lambda m, x: m.fc(F.relu(m.conv(x).flatten(1))),
    "flatten used twice": lambda m, x: (y := m.conv(x).flatten(1), m.fc(y)),
    "linear bn": lambda m, x: F.relu(m.bn1(m.fc(m.conv(x).flatten(1)))),
    "bn of rows": lambda m, x: m.bn1(x.flatten(1)[:, :7]),
    "linear on maps": lambda m, x: F.relu(m.last(x)),
    "matmul": lambda m, x: F.relu(x.flatten(1) @ m.fc.weight.T + m.fc.bias),
    "constant subgraph": lambda m, x: x.flatten(1) @ (m.fc.weight * 2 + 1).T,
    "reshape": lambda m, x: m.conv(m.conv(x).reshape(-1, 6, 16, 4)),
    "permute": lambda m, x: m.conv(x.permute(0, 1, 3, 2)) + x.transpose(2, 3),
    "permute out": lambda m, x: m.conv(x).permute(0, 2, 3, 1),
    "slice": lambda m, x: m.conv(x)[:, 1:5, ::2, 3:],
    "slice one": lambda m, x: m.conv(x)[0],
    "split": lambda m, x: F.relu(m.conv(x)).split(2, 1)[1] * 2,
    "chunks": lambda m, x: pynet.cat(list(m.conv(x).chunk(3, 1))[::-1], 1),
    "cat channels": lambda m, x: pynet.cat([x, m.conv(x), F.relu(x)], 1),
    "cat batch": lambda m, x: pynet.cat([x, m.conv(x)], 0),
    "cat rows": lambda m, x: pynet.cat([x.flatten(1), m.down(x).flatten(1)], -1),
    "stack": lambda m, x: pynet.stack([x.flatten(1), m.conv(x).flatten(1)], 1),
    "expand": lambda m, x: x[:, :1].expand(-1, 6, -1, -1) + m.conv(x),
    "softmax": lambda m, x: F.softmax(m.fc(x.flatten(1)), 1),
    "log_softmax of maps": lambda m, x: F.log_softmax(m.conv(x), 1),
    "softmax over rows": lambda m, x: F.softmax(m.conv(x), 2),
    "dropout": lambda m, x: F.dropout(m.conv(x), 0.5, training=m.training),
    "clone and detach": lambda m, x: m.conv(x.clone()).detach() + x,
    "shared weights": lambda m, x: F.relu(m.conv(F.relu(m.conv(x)))),
    "downsample": lambda m, x: F.relu(m.bn20(m.down(x))),
    "unsqueeze": lambda m, x: m.conv(x.unsqueeze(0).squeeze(0)),
    "one image": lambda m, x: m.conv(x[1]),
    "same padding": lambda m, x: F.conv2d(x, m.conv.weight, None, padding="same"),
    "branch on shape": lambda m, x: m.conv(x) if x.shape[0] > 2 else x,
}  # fmt: skip


@pytest.mark.parametrize("name", FORWARDS)
def test_a_forward_of_any_shape(name):
    check(settled(Forward(FORWARDS[name])), example())


def test_random_graphs():
    """Whatever is chained, buffers that share memory do not disturb each other."""
    rng = np.random.default_rng(5)
    unary = [
        lambda m, a: F.relu(a),
        lambda m, a: m.conv(a),
        lambda m, a: m.bn(a),
        lambda m, a: pynet.tanh(a),
        lambda m, a: F.avg_pool2d(a, 3, 1, 1),
        lambda m, a: a.permute(0, 1, 3, 2),
        lambda m, a: pynet.cat([a[:, 3:], a[:, :3]], 1),
        lambda m, a: a * 0.5,
    ]
    for _ in range(25):
        plan = [(rng.integers(0, 99), rng.integers(0, 99), rng.integers(0, 10)) for _ in range(12)]

        def forward(m, x, plan=plan):
            values = [x]
            for i, j, k in plan:
                a, b = values[-1 - i % min(4, len(values))], values[-1 - j % min(4, len(values))]
                values.append(unary[k](m, a) if k < len(unary) else (a + b) * 0.5)
            return values[-1], values[-3]

        check(settled(Forward(forward)), example(2), rtol=1e-4)


@pytest.mark.parametrize("level", _core.isa_levels())
@pytest.mark.parametrize(
    ("channels", "filters", "size", "stride", "groups"),
    [(40, 70, 1, 1, 1), (24, 33, 1, 2, 1), (16, 40, 5, 1, 1), (24, 60, 3, 2, 3), (20, 20, 3, 1, 20)],
)
def test_packed_weights_of_a_convolution(level, channels, filters, size, stride, groups):
    before = _core.isa()
    _core._set_isa(level)
    try:
        layer = nn.Conv2d(channels, filters, size, stride=stride, padding=size // 2, groups=groups)
        check(layer.eval(), example(3, (channels, 9, 10)))
    finally:
        _core._set_isa(before)


def test_several_inputs():
    class Two(nn.Module):
        def forward(self, x, y):
            return F.relu(x + y), x * y

    found = check(Two().eval(), example(2), example(2, seed=1))
    assert isinstance(found(example(2), example(2)), tuple)


# --- calling --------------------------------------------------------------------------------------


def test_other_shapes_are_compiled_when_they_come():
    model = settled(models.create("lenet5"))
    compiled = pynet.inference(model)
    for n in (1, 7, 64, 7, 0, *range(10, 20)):
        x = example(n, (1, 28, 28))
        with pynet.no_grad():
            np.testing.assert_allclose(compiled(x).numpy(), model(pynet.tensor(x)).numpy(), atol=1e-5)
    assert len(compiled._plans) == 8


def test_the_same_bits_at_every_thread_count_and_in_every_memory_order():
    compiled = pynet.inference(settled(models.create("resnet20")))
    x = example(5, (3, 32, 32))
    channels_last = np.ascontiguousarray(x.transpose(0, 2, 3, 1)).transpose(0, 3, 1, 2)
    before = pynet.get_num_threads()
    try:
        found = []
        for threads in (1, 2, 3, 1):
            pynet.set_num_threads(threads)
            found += [compiled(x).numpy(), compiled(pynet.tensor(channels_last)).numpy()]
    finally:
        pynet.set_num_threads(before)
    assert all(a.tobytes() == found[0].tobytes() for a in found)


def test_results_are_fresh_and_need_no_gradient():
    compiled = pynet.inference(settled(models.create("lenet5")), example(2, (1, 28, 28)))
    x = pynet.tensor(example(2, (1, 28, 28)), requires_grad=True)
    first = compiled(x)
    kept = first.numpy().copy()
    second = compiled(example(2, (1, 28, 28), seed=1))
    assert not first.requires_grad and first.grad_fn is None
    np.testing.assert_array_equal(first.numpy(), kept)
    assert not np.may_share_memory(first.numpy(), second.numpy())


def test_no_memory_is_taken_beyond_the_output():
    compiled = pynet.inference(settled(models.create("small_cnn")))
    x = example(4, (1, 28, 28))
    compiled(x)
    before = pynet.runtime.memory_stats()
    for _ in range(5):
        compiled(x)
    after = pynet.runtime.memory_stats()
    assert after["allocations"] - before["allocations"] == 5
    assert after["system_allocations"] == before["system_allocations"]


def test_a_plan_gives_its_memory_back():
    gc.collect()
    before = pynet.runtime.memory_stats()["in_use_bytes"]
    compiled = pynet.inference(settled(models.create("vgg_small")), example(2, (3, 32, 32)))
    compiled(example(2, (3, 32, 32)))
    assert pynet.runtime.memory_stats()["in_use_bytes"] > before
    del compiled
    gc.collect()
    assert pynet.runtime.memory_stats()["in_use_bytes"] <= before


def test_calls_from_several_threads():
    model = settled(models.create("lenet5"))
    compiled = pynet.inference(model)
    inputs = [example(n, (1, 28, 28), seed=n) for n in (1, 2, 32, 1, 2, 32)]
    alone = [pynet.inference(model)(x).numpy() for x in inputs]
    wrong = []

    def work(i):
        for _ in range(10):
            if compiled(inputs[i]).numpy().tobytes() != alone[i].tobytes():
                wrong.append(i)

    threads = [threading.Thread(target=work, args=(i,)) for i in range(len(inputs))]
    for t in threads:
        t.start()
    for t in threads:
        t.join()
    assert not wrong


def test_weights_are_copied_until_refresh():
    model = settled(Forward(FORWARDS["conv alone"]))
    compiled = pynet.inference(model, example())
    before = compiled(example()).numpy()
    with pynet.no_grad():
        model.conv.weight.mul_(2)
    np.testing.assert_array_equal(compiled(example()).numpy(), before)
    assert (
        compiled(example(2)).numpy().tobytes() == before[:2].tobytes()
    )  # compiled later, from the same weights
    compiled.refresh()
    with pynet.no_grad():
        expected = model(pynet.tensor(example())).numpy()
    np.testing.assert_allclose(compiled(example()).numpy(), expected, rtol=1e-5, atol=1e-5)


def test_compiling_leaves_the_module_alone():
    model = settled(models.create("resnet20"))
    before = {k: v.numpy().copy() for k, v in model.state_dict().items()}
    pynet.inference(model, example(1, (3, 32, 32)))
    for k, v in model.state_dict().items():
        np.testing.assert_array_equal(v.numpy(), before[k])


# --- errors ---------------------------------------------------------------------------------------


def test_training_mode_is_refused():
    model = models.create("small_cnn")
    with pytest.raises(ValueError, match="Sequential is in training mode; call eval"):
        pynet.inference(model)
    model.eval()
    model[1].train()
    with pytest.raises(ValueError, match="its part '1' is in training mode"):
        pynet.inference(model)


def test_other_dtypes_and_objects_are_refused():
    model = models.create("lenet5").eval()
    with pytest.raises(TypeError, match="float64, expected float32"):
        pynet.inference(model)(example(1, (1, 28, 28)).astype(np.float64))
    with pytest.raises(TypeError, match=r"parameter 0\.weight is float64"):
        pynet.inference(models.create("lenet5").eval().double())
    with pytest.raises(TypeError, match="expected a Module, got function"):
        pynet.inference(lambda x: x)


def test_a_wrong_shape_gets_the_module_s_own_error():
    compiled = pynet.inference(models.create("lenet5").eval(), example(1, (1, 28, 28)))
    with pytest.raises(ValueError, match="channels but weight expects"):
        compiled(example(1, (2, 28, 28)))
    assert compiled(example(1, (1, 28, 28))).shape == (1, 10)


def write_in_place(m, x):
    y = m.conv(x)
    y += x
    return y


def through_numpy(m, x):
    return pynet.from_numpy(m.conv(x).numpy()[:, ::-1]) + x


UNSUPPORTED = {
    "operation norm": lambda m, x: F.normalize(x),
    "operation sign": lambda m, x: F.lp_pool2d(x, 2, 2),
    "operation adaptive_max_pool2d": lambda m, x: F.adaptive_max_pool2d(x, 3),
    "operation fold": lambda m, x: F.fold(F.unfold(x, 2), x.shape[2:], 2),
    "operation flip": lambda m, x: pynet.flip(x, 1),
    "operation conv2d .* weights that depend": lambda m, x: F.conv2d(x, x[:2]),
    "operation max_pool2d .* returns indices": lambda m, x: F.max_pool2d(x, 2, return_indices=True)[0],
    "writes in place": write_in_place,
    "by way of NumPy": through_numpy,
    "walks backwards": lambda m, x: x[:, ::-1],
    "statistics of the batch": lambda m, x: F.batch_norm(x, None, None, training=True),
}


@pytest.mark.parametrize("message", UNSUPPORTED)
def test_what_a_plan_cannot_hold_is_named(message):
    with pytest.raises(NotImplementedError, match=message):
        pynet.inference(Forward(UNSUPPORTED[message]).eval(), example())


def test_other_results_are_refused():
    with pytest.raises(TypeError, match="forward returns dict, expected a Tensor"):
        pynet.inference(Forward(lambda m, x: {"x": x}).eval(), example())
