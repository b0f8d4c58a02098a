"""Modules compiled for inference: `pynet.inference(model)` runs a network as one native call.

The module runs once on an example while the tape is listened to (`capture`), the graph is folded (`fold`)
and laid out in one arena (`lower`, `memory`), and the core runs the list of kernel calls that remains.
"""

from pynet.compiled.module import CompiledModule, inference

__all__ = ["CompiledModule", "inference"]
