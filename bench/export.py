"""Writes one of the networks as ONNX, in eval mode with a fixed batch: run by PyTorch's interpreter.

python -m bench.export NET BATCH PATH
"""

from __future__ import annotations

import sys

from bench import framework, nets


def main(net: str, batch: str, path: str) -> None:
    """Export `net` with the weights that all workers use."""
    fw = framework.load("torch", "eager", 1)
    spec = nets.NETS[net]
    model = fw.module(spec.build(fw.nn, fw.F)).eval()
    x = fw.tensor(framework.numbers(int(batch), *spec.x[1:]))
    fw.lib.onnx.export(model, (x,), path, dynamo=False)


if __name__ == "__main__":
    main(*sys.argv[1:])
