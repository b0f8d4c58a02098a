"""The one device, and what asks for another one."""

from __future__ import annotations

import copy
import pickle

import numpy as np
import pytest

import pynet
from pynet import nn


def test_the_cpu_is_accepted_everywhere():
    device = pynet.device("cuda" if pynet.cuda.is_available() else "cpu")
    assert device.type == "cpu" and device.index is None and pynet.cuda.device_count() == 0
    assert pynet.device("cpu", 0).index == 0 and repr(device) == "device(type='cpu')"
    assert pickle.loads(pickle.dumps(device)) == device == copy.deepcopy(device)
    x = pynet.zeros(2, 3, device=device)
    assert x.device == device == "cpu" and x.to(device) is x and x.cpu() is x
    assert (
        x.to("cpu", pynet.float64).dtype == np.float64
        and x.to(device=device, dtype="int64").dtype == np.int64
    )
    assert x.to(pynet.ones(1).double()).dtype == np.float64 and x.to(device, copy=True) is not x
    layer = nn.Linear(2, 3, device=device)
    assert layer.to(device) is layer and layer.cpu() is layer
    assert layer.to(device, pynet.float64).weight.dtype == np.float64
    pynet.cuda.manual_seed_all(1)


CREATORS = {
    "tensor": lambda **o: pynet.tensor([1.0, 2.0], **o),
    "as_tensor": lambda **o: pynet.as_tensor([1.0], **o),
    "empty": lambda **o: pynet.empty(2, **o),
    "zeros": lambda **o: pynet.zeros(2, **o),
    "ones": lambda **o: pynet.ones(2, **o),
    "full": lambda **o: pynet.full((2,), 1.0, **o),
    "zeros_like": lambda **o: pynet.zeros_like(pynet.ones(2), **o),
    "ones_like": lambda **o: pynet.ones_like(pynet.ones(2), **o),
    "empty_like": lambda **o: pynet.empty_like(pynet.ones(2), **o),
    "full_like": lambda **o: pynet.full_like(pynet.ones(2), 3, **o),
    "eye": lambda **o: pynet.eye(2, **o),
    "arange": lambda **o: pynet.arange(0.0, 3.0, **o),
    "linspace": lambda **o: pynet.linspace(0, 1, 3, **o),
    "rand": lambda **o: pynet.rand(2, **o),
    "randn": lambda **o: pynet.randn(2, **o),
    "rand_like": lambda **o: pynet.rand_like(pynet.ones(2), **o),
    "randn_like": lambda **o: pynet.randn_like(pynet.ones(2), **o),
    "randint": lambda **o: pynet.randint(0, 3, (2,), **o),
    "randperm": lambda **o: pynet.randperm(3, **o),
}


@pytest.mark.parametrize("name", CREATORS)
def test_creation(name):
    create = CREATORS[name]
    assert create(device="cpu").device == "cpu"
    with pytest.raises(ValueError, match="pynet runs on the CPU, there is no device 'cuda:1'"):
        create(device="cuda:1")
    if name not in ("randint", "randperm", "as_tensor"):
        assert create(requires_grad=True).requires_grad
        assert create(dtype=pynet.float64).dtype == np.float64
    if name.startswith("rand"):
        generator = pynet.Generator(7)
        first = create(generator=generator).tolist()
        assert create(generator=generator.manual_seed(7)).tolist() == first


@pytest.mark.parametrize(
    "call",
    [
        lambda: pynet.device("cuda"),
        lambda: pynet.device("cpu", 1),
        lambda: pynet.ones(1).to("mps"),
        lambda: pynet.ones(1).to(device="cuda"),
        lambda: nn.ReLU().to(device="cuda:0"),
        lambda: nn.ReLU().to("xpu"),
        lambda: nn.ReLU().cuda(),
        lambda: pynet.ones(1).cuda(),
        lambda: nn.Embedding(2, 2, device="cuda"),
        lambda: pynet.load("nowhere", map_location="cuda"),
    ],
)
def test_others_are_refused(call):
    with pytest.raises(ValueError, match="pynet runs on the CPU"):
        call()
