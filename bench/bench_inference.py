"""Inference in eval mode without gradients, on batches that lie in memory: pynet's plain `model(x)` and
`pynet.inference(model)`, both beside PyTorch under `inference_mode` (eager, channels_last, compile with
frozen weights, and jit: traced and optimized for inference), onnxruntime and OpenVINO in float32 (both run
the file that PyTorch exports, batch size fixed)."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from bench import nets
from bench.framework import Framework, numbers
from bench.shapes import Case

TITLE = "Inference"
MODES = ("eager", "channels_last", "compile", "jit", "onnxruntime", "openvino")
FRESH_WORKERS = True
CASES = [
    Case(f"{nets.NETS[net].label.split(',')[0]}, batch {batch}", {"net": net, "batch": batch})
    for net in ("lenet5", "vgg_small", "resnet18")
    for batch in (1, 64)
]
QUICK_CASES = len(CASES)
PASSES = ("model(x)", "inference(model)")


def prepare(fw: Framework, net: str, batch: int) -> dict[str, Callable[[], Any]]:
    """pynet's two ways; a peer's best way stands beside both."""
    if fw.name == "onnx":
        return dict.fromkeys(PASSES, fw.prediction(net, batch))
    spec = nets.NETS[net]
    model = fw.module(spec.build(fw.nn, fw.F)).eval()
    x = fw.tensor(numbers(batch, *spec.x[1:], seed=1))
    if fw.name == "torch":
        return dict.fromkeys(PASSES, fw.prediction(model, x))

    def plain() -> Any:
        with fw.lib.no_grad():
            return fw.force(model(x))

    passes = {PASSES[0]: plain}
    if hasattr(fw.lib, "inference"):
        compiled = fw.lib.inference(model, x)
        passes[PASSES[1]] = lambda: compiled(x)
    return passes
