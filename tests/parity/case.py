"""A parity case: one text, evaluated once with pynet and once with PyTorch under the same names.

`torch`, `nn`, `F` mean the library that is asked. A text that starts with "nn." builds a module, which is called with
all inputs and whose state is PyTorch's; any other text is an expression over the inputs.
"""

from __future__ import annotations

import re
import zlib
from dataclasses import dataclass, field
from typing import Any

import numpy as np

import pynet
from tests.draw import CONSTANT, draw

LAYOUTS = ("rows", "reversed", "gaps")  # orders of memory, see `laid_out`
OPERATORS = {"//": "__floordiv__", "%": "__mod__", "+x": "__pos__"}


@dataclass(frozen=True)
class Case:
    """`inputs` says how each is drawn (see `draw`); K is the length of the longest sum behind one result.

    `special` asks also for NaN and infinities in the first input.
    """

    text: str
    inputs: dict[str, str] = field(default_factory=dict)
    K: int = 1
    special: bool = True

    def __str__(self) -> str:
        shapes = ", ".join(f"{name}: {spec}" for name, spec in self.inputs.items())
        return f"{self.text} [{shapes}]"


def laid_out(a: np.ndarray, layout: str) -> np.ndarray:
    """The same values in another order of memory."""
    if layout == "reversed":
        return np.ascontiguousarray(a.T).T
    if layout == "gaps" and a.ndim:
        wide = np.zeros((*a.shape[:-1], 2 * a.shape[-1]), a.dtype)
        wide[..., ::2] = a
        return wide[..., ::2]
    return np.ascontiguousarray(a)


def arrays(case: Case, dtype: str, layout: str, special: bool) -> dict[str, np.ndarray]:
    """The inputs by name; the same values for either library, dtype and layout."""
    rng = np.random.default_rng(zlib.crc32(str(case).encode()))
    result = {}
    for name, spec in case.inputs.items():
        a = draw(spec, rng)
        if a.dtype.kind == "f":
            a = a.astype(dtype)
            if special and not result and a.size:
                flat = a.reshape(-1)
                flat[0] = np.nan
                flat[a.size // 3], flat[a.size // 2] = np.inf, -np.inf
        result[name] = laid_out(a, layout)
    return result


def libraries(library: str) -> dict[str, Any]:
    """What the names in a text mean."""
    if library == "pynet":
        return {"torch": pynet, "nn": pynet.nn, "F": pynet.nn.functional}
    import torch

    return {"torch": torch, "nn": torch.nn, "F": torch.nn.functional}


def lacking(text: str) -> str | None:
    """The first name of the text that pynet does not have."""
    names = libraries("pynet")
    for owner, path in re.findall(r"\b(torch|nn|F)\.([A-Za-z_][\w.]*)", text):
        found = names[owner]
        for part in path.split("."):
            found = getattr(found, part, None)
            if found is None:
                return f"{owner}.{path}"
            if not hasattr(found, "__path__") and not hasattr(found, "__file__"):
                break  # what follows is an attribute of a result
    for operator, method in OPERATORS.items():
        if operator in text and not hasattr(pynet.Tensor, method):
            return f"Tensor.{method}"
    for method in re.findall(r"\b[a-z]\.([a-z_]\w*)", re.sub(r"\b(torch|nn|F)\.[\w.]+", "", text)):
        if not hasattr(pynet.Tensor, method):
            return f"Tensor.{method}"
    return None


def tensor(library: str, a: np.ndarray, spec: str) -> Any:
    """A leaf over the array's own memory."""
    if library == "pynet":
        result = pynet.from_numpy(a)
    else:
        import torch

        result = torch.from_numpy(a)
    differentiable = a.dtype.kind == "f" and spec.split()[0] not in CONSTANT
    return result.requires_grad_() if differentiable else result


def flat(result: Any) -> list[Any]:
    """The Tensors of a result, however they are nested."""
    if isinstance(result, (tuple, list)):
        return [t for part in result for t in flat(part)]
    return [result]


def to_array(value: Any) -> np.ndarray:
    return np.asarray(value.detach().numpy() if hasattr(value, "detach") else value)


def weights(shape: tuple[int, ...], dtype: Any) -> np.ndarray:
    """What the results are multiplied with before the gradient: fixed, without a pattern, exact in float32."""
    values = np.cos(1.7 * np.arange(int(np.prod(shape, dtype=int))) + 0.3).astype(np.float32)
    return values.reshape(shape).astype(dtype)


def evaluate(
    library: str, case: Case, inputs: dict[str, np.ndarray], state: dict[str, np.ndarray] | None
) -> tuple[dict[str, np.ndarray], dict[str, np.ndarray] | None]:
    """Every result and gradient by name; for a module also the state that it began with."""
    names = libraries(library)
    given = {name: tensor(library, a, case.inputs[name]) for name, a in inputs.items()}
    module, began = None, None
    if case.text.startswith("nn."):
        module = eval(case.text, names)
        floats = [a.dtype for a in inputs.values() if a.dtype.kind == "f"]
        if floats and floats[0] == np.float64:
            module.double()
        if state is not None:
            kinds = {k: v.dtype for k, v in module.state_dict().items()}
            module.load_state_dict({k: _state_value(library, v, kinds[k]) for k, v in state.items()})
        began = {k: to_array(v).copy() for k, v in module.state_dict().items()}
        result = module(*given.values())
    else:
        result = eval(case.text, names, given)
    found = {}
    outputs = flat(result)
    for i, out in enumerate(outputs):
        found[f"result {i}"] = to_array(out).copy()
    starts = [o for o in outputs if getattr(o, "requires_grad", False)]
    total = None
    for out in starts:
        w = weights(tuple(out.shape), to_array(out).dtype)
        w = pynet.from_numpy(w) if library == "pynet" else _torch_tensor(w)
        part = (out * w).sum()
        total = part if total is None else total + part
    if total is not None:
        total.backward()
        leaves = list(given.items())
        if module is not None:
            leaves += list(module.named_parameters())
        for name, leaf in leaves:
            if leaf.grad is not None:
                found[f"gradient of {name}"] = to_array(leaf.grad).copy()
    if module is not None:
        for name, buffer in module.named_buffers():
            found[f"buffer {name}"] = to_array(buffer).copy()
    return found, began


def _torch_tensor(a: np.ndarray) -> Any:
    import torch

    return torch.from_numpy(np.ascontiguousarray(a))


def _state_value(library: str, v: np.ndarray, dtype: Any) -> Any:
    if library == "pynet":
        return pynet.tensor(v.astype(dtype) if v.dtype.kind == "f" else v)
    import torch

    return torch.from_numpy(np.ascontiguousarray(v)).to(dtype)
