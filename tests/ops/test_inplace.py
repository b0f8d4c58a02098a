"""Writing in place: values, when it is refused, memory that overlaps or is read-only."""

from __future__ import annotations

import numpy as np
import pytest

import pynet


def test_operators_and_methods():
    x = pynet.tensor([1.0, 2.0, 3.0])
    array = x.array
    x += 1
    x -= pynet.ones(3)
    x *= np.array([2.0, 2.0, 2.0], np.float32)
    x /= 4.0
    assert x.array is array and x.tolist() == [0.5, 1.0, 1.5]
    assert x.add_(1.0).mul_(2.0).sub_(1.0).div_(2.0) is x
    assert x.tolist() == [1.0, 1.5, 2.0]
    x[1:] = 7.0
    x[[0]] = pynet.tensor([5.0])
    x[x > 6] = 0
    assert x.tolist() == [5.0, 0.0, 0.0]
    assert x.fill_(2.0).tolist() == [2.0] * 3
    assert x.copy_(np.array([1, 2, 3])).tolist() == [1.0, 2.0, 3.0]
    assert x.clamp_(1.5, 2.5).tolist() == [1.5, 2.0, 2.5]
    assert x.zero_().tolist() == [0.0] * 3
    x.copy_(4.0)
    assert x.tolist() == [4.0] * 3


def test_random_fills():
    x = pynet.zeros(2000)
    pynet.manual_seed(0)
    x.uniform_(2.0, 3.0)
    assert x.array.min() >= 2 and x.array.max() < 3 and 2.45 < x.array.mean() < 2.55
    x.normal_(5.0, 0.1)
    assert 4.98 < x.array.mean() < 5.02 and 0.09 < x.array.std() < 0.11


@pytest.mark.parametrize(
    "write",
    [
        lambda x: x.add_(1.0),
        lambda x: x.__iadd__(1.0),
        lambda x: x.__setitem__(0, 1.0),
        lambda x: x.copy_(np.ones(3)),
        lambda x: x.fill_(0.0),
        lambda x: x.zero_(),
        lambda x: x.clamp_(0),
        lambda x: x.normal_(),
    ],
)
def test_refused_on_the_graph(write):
    leaf = pynet.tensor(np.ones(3), requires_grad=True)
    for x in (leaf, leaf * 2.0):
        with pytest.raises(RuntimeError, match=r"in place on the graph is not recorded.*no_grad"):
            write(x)
        with pynet.no_grad():
            write(x)


def test_value_on_the_graph_is_refused():
    value = pynet.ones((), requires_grad=True)
    for write in (lambda x: x.add_(value), lambda x: x.__setitem__(0, value), lambda x: x.copy_(value)):
        with pytest.raises(RuntimeError, match="in place on the graph"):
            write(pynet.zeros(3))


def test_overlapping_views():
    x = pynet.from_numpy(np.arange(6.0))
    x[1:] += x[:-1]
    assert x.tolist() == [0.0, 1.0, 3.0, 5.0, 7.0, 9.0]
    x[1:] = x[:-1]
    assert x.tolist() == [0.0, 0.0, 1.0, 3.0, 5.0, 7.0]
    x[1:].copy_(x[:-1])
    assert x.tolist() == [0.0, 0.0, 0.0, 1.0, 3.0, 5.0]
    x.copy_(x.flip(0))
    assert x.tolist() == [5.0, 3.0, 1.0, 0.0, 0.0, 0.0]


def test_read_only_memory_is_never_written():
    array = np.ones(3)
    array.flags.writeable = False
    for x in (pynet.from_numpy(array), pynet.zeros(1).expand(3)):
        for write in (lambda x: x.add_(1.0), lambda x: x.zero_(), lambda x: x.__setitem__(0, 2.0)):
            with pytest.raises(RuntimeError, match="read-only"):
                write(x)
    assert array.tolist() == [1.0] * 3


def test_memory_mapped_file(tmp_path):
    path = tmp_path / "weights"
    np.arange(6, dtype=np.float32).tofile(path)
    mapped = np.memmap(path, np.float32, "r", shape=(2, 3))
    x = pynet.from_numpy(mapped)
    assert (x * 2.0).sum().item() == 30.0
    with pytest.raises(RuntimeError, match="read-only"):
        x += 1.0


def test_shapes_and_dtypes_that_do_not_fit():
    x = pynet.zeros(3)
    with pytest.raises(ValueError, match=r"a value of shape \(2,\) does not fit into shape \(3,\)"):
        x += pynet.ones(2)
    with pytest.raises(ValueError, match=r"shape \(2, 3\) does not fit"):
        x += pynet.ones(2, 3)
    with pytest.raises(ValueError, match=r"a value of shape \(2,\) does not fit into \(1,\)"):
        x[:1] = pynet.ones(2)
    with pytest.raises(ValueError, match="does not fit"):
        x.copy_(pynet.ones(2))
    with pytest.raises(TypeError, match="float64 does not fit into a float32"):
        x += np.ones(3)
    with pytest.raises(TypeError, match="a float does not fit into a int64"):
        pynet.tensor([1])[0] = 1.5
    with pytest.raises(IndexError, match=r"shape \(3,\)"):
        x[3] = 1.0
    counts = pynet.tensor([1, 2])
    counts += 1
    assert counts.tolist() == [2, 3]
    mask = pynet.tensor([True, False])
    mask[1] = True
    assert mask.tolist() == [True, True]
