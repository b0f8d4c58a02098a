"""pynet and PyTorch behind the few calls in which they differ, so that a benchmark is written once.

Imported inside a worker process: of the two packages only the one that is asked for is loaded.
"""

from __future__ import annotations

import math
import platform
from collections.abc import Callable, Iterable
from typing import Any

import numpy as np


def nhwc(array: np.ndarray) -> np.ndarray:
    """The same (N, C, H, W) array with NHWC-dense memory, pynet's kernel order."""
    return np.ascontiguousarray(array.transpose(0, 2, 3, 1)).transpose(0, 3, 1, 2)


def hwio(array: np.ndarray) -> np.ndarray:
    """The same (F, C, KH, KW) weight with HWIO-dense memory, pynet's kernel order."""
    return np.ascontiguousarray(array.transpose(2, 3, 1, 0)).transpose(3, 2, 0, 1)


def io(array: np.ndarray) -> np.ndarray:
    """The same (out, in) weight with (in, out)-dense memory, pynet's kernel order."""
    return np.ascontiguousarray(array.T).T


def numbers(*shape: int, seed: int = 0, scale: float = 1.0) -> np.ndarray:
    """Normal float32 numbers, the same in every worker."""
    return (np.random.default_rng(seed).standard_normal(shape) * scale).astype(np.float32)


def labels(count: int, classes: int, seed: int = 0) -> np.ndarray:
    """int64 class labels, the same in every worker."""
    return np.random.default_rng(seed).integers(0, classes, count)


class Framework:
    """What benchmarks see: `nn`, `F`, `optim`, `lib` (the package), `core` (pynet's kernels) and
    the calls below.

    Args:
        mode: how the framework is used; pynet has one, "default".
        threads: threads its kernels may use.
    """

    name = ""
    lib: Any
    nn: Any
    F: Any
    optim: Any
    core: Any

    def __init__(self, mode: str, threads: int) -> None:
        self.mode = mode
        self.threads = threads

    def versions(self) -> dict[str, str]:
        """What the report prints about this side."""
        return {"python": platform.python_version(), "numpy": np.__version__}

    def tensor(self, array: np.ndarray, requires_grad: bool = False) -> Any:
        """A tensor in the memory order that the framework likes best in this mode."""
        raise NotImplementedError

    def array(self, tensor: Any) -> np.ndarray:
        """The tensor's values."""
        raise NotImplementedError

    def like(self, parameter: Any, array: np.ndarray) -> Any:
        """A tensor of these values in the memory order of `parameter`, as its gradient would have."""
        raise NotImplementedError

    def force(self, tensor: Any) -> Any:
        """Finish work that was put off, so that it is timed."""
        return tensor

    def module(self, model: Any) -> Any:
        """The model in this mode's memory order, with weights that are the same in every worker."""
        weights = {}
        for seed, (name, parameter) in enumerate(model.named_parameters()):
            shape = tuple(parameter.shape)
            if len(shape) > 1:
                value = numbers(*shape, seed=seed, scale=1 / math.sqrt(math.prod(shape[1:])))
            else:
                value = np.full(shape, 0.0 if name.endswith("bias") else 1.0, np.float32)
            weights[name] = self.tensor(value)
        model.load_state_dict(weights, strict=False)  # buffers keep their initial values
        return model

    def compile(self, function: Callable[..., Any]) -> Callable[..., Any]:
        """The function, compiled where the mode says so."""
        return function

    def optimizer(self, name: str, parameters: Iterable[Any], **options: Any) -> Any:
        """An optimizer by its class name, in the variant of this mode."""
        return getattr(self.optim, name)(list(parameters), **options)

    def peak(self) -> float | None:
        """The machine's peak in GFLOP/s; None where this side has no loop to measure it with."""
        return None


class Pynet(Framework):
    """pynet: activations are handed over NHWC-dense, as its DataLoader delivers them."""

    name = "pynet"

    def __init__(self, mode: str, threads: int) -> None:
        super().__init__(mode, threads)
        import pynet
        from pynet import _core, nn, optim
        from pynet.nn import functional

        self.lib, self.nn, self.F, self.optim, self.core = pynet, nn, functional, optim, _core
        self.core.set_num_threads(threads)

    def versions(self) -> dict[str, str]:
        return {"pynet": self.lib.__version__, "isa": self.core.isa(), **super().versions()}

    def tensor(self, array: np.ndarray, requires_grad: bool = False) -> Any:
        return self.lib.tensor(nhwc(array) if array.ndim == 4 else array, requires_grad=requires_grad)

    def array(self, tensor: Any) -> np.ndarray:
        return np.asarray(tensor.array if hasattr(tensor, "array") else tensor)

    def like(self, parameter: Any, array: np.ndarray) -> Any:
        copy = np.empty_like(parameter.array)  # keeps the strides
        copy[...] = array
        return self.lib.from_numpy(copy)

    def force(self, tensor: Any) -> Any:
        return tensor.array

    def peak(self) -> float | None:
        """GFLOP/s of a loop of fused multiply-adds on registers; None where the build has none."""
        measure = getattr(self.core, "measure_peak", None)
        return None if measure is None else float(measure(self.threads))


class Torch(Framework):
    """PyTorch in one of its modes.

    eager: defaults throughout. foreach, fused: the optimizer's variants of these names. channels_last:
    model and images in that memory format, fused optimizer. compile: channels_last, and forward, loss and
    backward through torch.compile. bf16: channels_last, and forward and loss under autocast to bfloat16.
    jit: inference only, channels_last, traced and optimized for inference.
    """

    name = "torch"

    def __init__(self, mode: str, threads: int) -> None:
        super().__init__(mode, threads)
        import torch

        self.lib, self.nn, self.F, self.optim = torch, torch.nn, torch.nn.functional, torch.optim
        torch.set_num_threads(threads)
        torch.manual_seed(0)
        self.channels_last = mode in ("channels_last", "compile", "bf16", "jit")

    def versions(self) -> dict[str, str]:
        return {"torch": self.lib.__version__, **super().versions()}

    def tensor(self, array: np.ndarray, requires_grad: bool = False) -> Any:
        tensor = self.lib.from_numpy(np.ascontiguousarray(array))
        if self.channels_last and tensor.ndim == 4:
            tensor = tensor.contiguous(memory_format=self.lib.channels_last)
        return tensor.requires_grad_(requires_grad)

    def array(self, tensor: Any) -> np.ndarray:
        return tensor.detach().numpy()

    def like(self, parameter: Any, array: np.ndarray) -> Any:
        return self.lib.empty_like(parameter).detach().copy_(self.lib.from_numpy(array))

    def module(self, model: Any) -> Any:
        if self.channels_last:
            model = model.to(memory_format=self.lib.channels_last)
        return super().module(model)

    def compile(self, function: Callable[..., Any]) -> Callable[..., Any]:
        if self.mode == "bf16":
            return self.lib.autocast("cpu", self.lib.bfloat16)(function)
        return self.lib.compile(function) if self.mode == "compile" else function

    def prediction(self, model: Any, x: Any) -> Callable[[], Any]:
        """One call of a model in eval mode on x, in this mode."""
        torch = self.lib
        if self.mode == "compile":
            from torch._inductor import config

            config.freezing = True  # weights become constants: batch norm is folded, weights are packed
            model = torch.compile(model)
        elif self.mode == "jit":
            model = torch.jit.optimize_for_inference(torch.jit.trace(model, x))

        def run() -> Any:
            with torch.no_grad() if self.mode == "compile" else torch.inference_mode():
                return model(x)

        return run

    def optimizer(self, name: str, parameters: Iterable[Any], **options: Any) -> Any:
        fused = name in ("SGD", "Adagrad", "Adam", "AdamW")  # the others have no such variant: foreach
        best = {"fused": True} if fused else {"foreach": True}
        variant = {"eager": {}, "foreach": {"foreach": True}}.get(self.mode, best)
        return super().optimizer(name, parameters, **options, **variant)


def load(name: str, mode: str, threads: int) -> Framework:
    """The framework called "pynet", "torch", "keras" or "onnx".

    Raises:
        ImportError: it is not installed for this interpreter.
        KeyError: another name.
    """
    if name in ("keras", "onnx"):
        from bench import peers

        return {"keras": peers.Keras, "onnx": peers.Onnx}[name](mode, threads)
    return {"pynet": Pynet, "torch": Torch}[name](mode, threads)


def forward_and_backward(
    fw: Framework, operation: Callable[..., Any], *arrays: np.ndarray, dout: np.ndarray | None = None
) -> dict[str, Callable[[], Any]]:
    """The two passes that most operations are measured by.

    "forward" gets tensors that need no gradient, so that neither framework records anything; "forward +
    backward" records, walks back and returns the first argument's gradient. `dout` None: a scalar loss.
    """
    plain = [fw.tensor(array) for array in arrays]
    leaves = [fw.tensor(array, requires_grad=True) for array in arrays]
    upstream = () if dout is None else (fw.tensor(dout),)

    def forward() -> Any:
        return fw.force(operation(*plain))

    def both() -> Any:
        for leaf in leaves:
            leaf.grad = None
        operation(*leaves).backward(*upstream)
        return leaves[0].grad

    return {"forward": forward, "forward + backward": both}
