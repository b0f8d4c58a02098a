"""The walk back: `backward` and `grad`.

The walk itself is `pynet._core._Walk`, in csrc/bindings/walk.cpp. Here are the two functions, and what the
walk calls where somebody watches it.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any

import numpy as np

from pynet._core import _set_walk_helpers, _use_kernels, _Walk
from pynet.autograd.tape import Array, Node
from pynet.autograd.tensors import Tensor, array_of, wrap


def use_kernels(add: Callable[[Array, Array], Array], accumulate: Callable[[Array, Array], None]) -> None:
    """Installs the sums that gradients are added with: a new array, and in place."""
    _use_kernels(add, accumulate)


def _observe(walk: _Walk, node: Node, gradients: list[Array | None]) -> None:
    """Hooks, retained gradients and targets of a node's outputs."""
    for index, gradient in enumerate(gradients):
        if gradient is None:
            continue
        if node.hooks and index in node.hooks:
            gradients[index] = gradient = _run_hooks(walk, node.hooks[index], gradient)
        if walk.targets is not None and (node, index) in walk.targets:
            walk.found[walk.targets[node, index]] = gradient
        kept = node.retained.get(index) if node.retained else None
        owner = kept() if kept is not None else None
        if owner is not None and walk.targets is None:
            walk.give(owner, gradient)


def _run_hooks(walk: _Walk, hooks: dict[int, Callable], gradient: Array) -> Array:
    """The gradient as the hooks leave it."""
    for hook in tuple(hooks.values()):
        walk.hold(gradient)
        replaced = hook(wrap(gradient))
        if replaced is not None:
            array = array_of(replaced)
            if array.shape != gradient.shape or array.dtype != gradient.dtype:
                raise RuntimeError(
                    f"backward: a hook returned a gradient of shape {array.shape} and dtype "
                    f"{array.dtype}, expected {gradient.shape} and {gradient.dtype}"
                )
            gradient = array
            walk.hold(gradient)
    return gradient


def _filled(node: Node, gradients: list[Array | None]) -> tuple[Array | None, ...]:
    """Gradients of all outputs; zeros where none arrived, None for outputs without gradient."""
    return tuple(
        np.zeros(shape, dtype) if g is None and dtype.kind == "f" else g
        for g, shape, dtype in zip(gradients, node.shape, node.dtype, strict=True)
    )


_set_walk_helpers(array_of, _observe, _run_hooks, _filled)
# Plain NumPy until pynet.ops installs the kernels: this package may not import them.
use_kernels(np.add, lambda a, b: np.add(a, b, out=a))


def _sequence(value: Any) -> list[Any]:
    return list(value) if isinstance(value, (tuple, list)) else [value]


def _gradients(name: str, given: Any, count: int) -> list[Any]:
    gradients = [None] * count if given is None else _sequence(given)
    if len(gradients) != count:
        raise ValueError(f"{name}: {len(gradients)} gradients for {count} tensors; pass one for each")
    return gradients


def _refuse_create_graph(create_graph: bool) -> None:
    if create_graph:
        raise NotImplementedError("create_graph=True: gradients of gradients are not supported")


def backward(
    tensors: Tensor | Sequence[Tensor],
    grad_tensors: Any = None,
    retain_graph: bool = False,
    create_graph: bool = False,
) -> None:
    """Adds the gradients of the tensors to `.grad` of all leaves that they were computed from.

    Args:
        tensors: one Tensor or several.
        grad_tensors: the gradient of each; may be None for scalars, where it is one.
        retain_graph: keep what was saved, for another walk. By default it is freed on the way.
        create_graph: not supported.
    Raises:
        RuntimeError: no gradient leads back, a gradient is missing or misshapen, the graph was freed, or a
            saved array was changed in place. The leaves then keep the gradients they had.
        NotImplementedError: create_graph is True.
    """
    _refuse_create_graph(create_graph)
    roots = _sequence(tensors)
    walk = _Walk(retain_graph, None, None)
    for root, gradient in zip(roots, _gradients("backward", grad_tensors, len(roots)), strict=True):
        walk.start("backward", root, gradient)
    walk.run()


def _backward_from(
    self: Tensor, gradient: Any = None, retain_graph: bool = False, create_graph: bool = False
) -> None:
    """Adds the gradients to `.grad` of all leaves below: see `pynet.autograd.backward`."""
    backward(self, gradient, retain_graph, create_graph)


Tensor.backward = _backward_from  # type: ignore[method-assign]


def grad(
    outputs: Tensor | Sequence[Tensor],
    inputs: Tensor | Sequence[Tensor],
    grad_outputs: Any = None,
    retain_graph: bool = False,
    create_graph: bool = False,
    allow_unused: bool = False,
) -> tuple[Tensor | None, ...]:
    """The gradients of the outputs with respect to the inputs, leaving every `.grad` alone.

    Args:
        outputs: one Tensor or several.
        inputs: leaves or results of operations that require a gradient.
        grad_outputs: the gradient of each output; may be None for scalars.
        retain_graph: keep what was saved, for another walk.
        create_graph: not supported.
        allow_unused: give None for an input that the outputs do not depend on, instead of an error.
    Raises:
        RuntimeError: as `backward`, and for an unused input.
    """
    _refuse_create_graph(create_graph)
    roots, wanted = _sequence(outputs), _sequence(inputs)
    targets: dict[Any, int] = {}
    position: list[int] = []
    for t in wanted:
        t.array  # noqa: B018  settles pending work, which makes the edge final
        if not t._requires_grad:
            raise RuntimeError(
                f"grad: an input of shape {t.shape} does not require a gradient; set requires_grad=True"
            )
        position.append(targets.setdefault(t._edge(), len(targets)))
    for t in roots:
        t.array  # noqa: B018
    walk = _Walk(retain_graph, targets, _useful_nodes(roots, targets))
    for root, gradient in zip(roots, _gradients("grad", grad_outputs, len(roots)), strict=True):
        walk.start("grad", root, gradient)
    walk.run()
    results: list[Tensor | None] = []
    for t, at in zip(wanted, position, strict=True):
        found = walk.found.get(at)
        if found is None and not allow_unused:
            raise RuntimeError(
                f"grad: the outputs do not depend on an input of shape {t.shape}; pass allow_unused=True "
                "to get None"
            )
        results.append(None if found is None else wrap(walk.own(found, t.array)))
    return tuple(results)


def _useful_nodes(roots: list[Tensor], targets: dict[Any, int]) -> set[Node]:
    """The nodes under the roots from which a target can be reached."""
    seen: set[Node] = set()
    stack = [t._node for t in roots if t._node is not None]
    while stack:
        node = stack.pop()
        if node not in seen:
            seen.add(node)
            stack.extend(e[0] for e in node.edges or () if type(e) is tuple)
    useful: set[Node] = set()
    for node in sorted(seen, key=lambda n: n.serial):
        for e in node.edges or ():
            if e is not None and (e in targets or (type(e) is tuple and e[0] in useful)):
                useful.add(node)
                break
    return useful
