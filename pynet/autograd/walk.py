"""The walk back: `backward` and `grad`."""

from __future__ import annotations

import heapq
from collections.abc import Callable, Sequence
from typing import Any, NoReturn

import numpy as np

from pynet import _core
from pynet.autograd import tape
from pynet.autograd.tape import Array, Node, check_unwritten, wrote
from pynet.autograd.tensors import Tensor, array_of, wrap

_ndarray = np.ndarray

# Plain NumPy until pynet.ops installs the kernels: this module may not import them.
_add: Callable[[Array, Array], Array] = np.add
_accumulate: Callable[[Array, Array], Any] = lambda a, b: np.add(a, b, out=a)  # noqa: E731


def use_kernels(add: Callable[[Array, Array], Array], accumulate: Callable[[Array, Array], None]) -> None:
    """Installs the sums that gradients are added with: a new array, and in place."""
    global _add, _accumulate
    _add, _accumulate = add, accumulate


class _Walk:
    """One backward pass: gradients on their way, by node and by leaf."""

    def __init__(self, retain_graph: bool, targets: dict[Any, int] | None, useful: set[Node] | None) -> None:
        self.retain_graph = retain_graph
        self.targets = targets  # of `grad`: leaf Tensor or (node, output index) -> position; None: all leaves
        self.useful = useful  # of `grad`: nodes that a target can be reached from
        self.found: dict[int, Array] = {}
        self.heap: list[tuple[int, Node]] = []
        # A gradient for each output; a list of two summands where the operation takes two.
        self.at_nodes: dict[Node, list[Any]] = {}
        self.at_leaves: dict[Tensor, Array] = {}
        # What was summed here belongs to the walk and may be added into; everything else may be shared with
        # others.
        self.summed: set[Any] = set()
        # Buffers that somebody holds: the caller's gradients, what hooks saw, what leaves have got.
        self.held: dict[int, Any] = {}

    def deliver(self, edge: Any, gradient: Array) -> None:
        """Adds a gradient to what waits at a leaf or a node."""
        if type(edge) is not tuple:
            at_leaves = self.at_leaves
            at_leaves[edge] = self._sum(edge, at_leaves[edge], gradient) if edge in at_leaves else gradient
            return
        node, index = edge
        slots = self.at_nodes.get(node)
        if slots is None:
            heapq.heappush(self.heap, (-node.serial, node))
            if type(node.shape) is not list:
                self.at_nodes[node] = [gradient]
                return
            slots = self.at_nodes[node] = [None] * len(node.shape)
        waiting = slots[index]
        if waiting is None:
            slots[index] = gradient
        elif node.operation.takes_two:
            slots[index] = [self._total(edge, waiting), gradient]
        else:
            slots[index] = self._sum(edge, waiting, gradient)

    def _sum(self, key: Any, a: Array, b: Array) -> Array:
        if key in self.summed:
            _accumulate(a, b)
            return a
        self.summed.add(key)
        return _add(a, b)

    def _total(self, key: Any, waiting: Any) -> Array:
        """What waits at one place as one gradient, be it two summands."""
        return self._sum(key, *waiting) if type(waiting) is list else waiting

    def run(self) -> None:
        """Walks; the profiler lists what runs meanwhile as backward."""
        before = _core._profile_backward(True)
        try:
            self.visit_all()
        finally:
            _core._profile_backward(before)

    def visit_all(self) -> None:
        """Visits the nodes, youngest first."""
        heap, at_nodes = self.heap, self.at_nodes
        while heap:
            node = heapq.heappop(heap)[1]
            if node.edges is None:
                raise RuntimeError(
                    f"backward: the graph of {node.operation.name} was freed by an earlier backward(); pass "
                    "retain_graph=True to the first one to walk it twice"
                )
            self.visit(node, at_nodes.pop(node))

    def visit(self, node: Node, slots: list[Any]) -> None:
        """Runs one node's backward and sends its gradients on."""
        if node.hooks or node.retained or self.targets:
            self._observe(node, slots)
        edges: Any = node.edges
        if self.useful is not None:
            edges = [e if self._is_useful(e) else None for e in edges]
            if all(e is None for e in edges):
                return
        if tape.last_write > node.serial:
            check_unwritten(node)
        operation = node.operation
        dout: Any = slots[0] if type(node.shape) is not list else _filled(node, slots)
        saved = node.saved
        needs = tuple([e is not None for e in edges])
        kept: list[Array] | None = None  # the memory of what was saved
        gradients = operation.backward(dout, saved, needs, **node.attributes)  # type: ignore[misc]
        if len(gradients) != len(edges):
            raise RuntimeError(
                f"backward of {operation.name} returned {len(gradients)} gradients for {len(edges)} inputs"
            )
        if not self.retain_graph:
            node.edges = None
            node.saved = ()
        for i, edge in enumerate(edges):
            gradient = gradients[i]
            if edge is None or gradient is None:
                continue
            if type(edge) is tuple:
                target, index = edge
                shape, dtype = target.shape, target.dtype
                if type(shape) is list:
                    shape, dtype = shape[index], dtype[index]
            else:
                array = edge._array
                shape, dtype = array.shape, array.dtype
                # A custom backward may return what it saved: that must not become a leaf's gradient. Only
                # such an array is held, so that everything else saved is released here.
                if kept is None:
                    kept = [_root(a) if type(a.base) is _ndarray else a for a in saved if type(a) is _ndarray]
                root = _root(gradient) if type(gradient.base) is _ndarray else gradient
                for a in kept:
                    if a is root:
                        self.held[id(root)] = root
            if gradient.shape != shape or (gradient.dtype is not dtype and gradient.dtype != dtype):
                _refuse_gradient(operation.name, i, gradient, shape, dtype)
            self.deliver(edge, gradient)

    def _is_useful(self, edge: Any) -> bool:
        if type(edge) is tuple:
            return edge in self.targets or edge[0] in self.useful  # type: ignore[operator]
        return edge is not None and edge in self.targets  # type: ignore[operator]

    def _observe(self, node: Node, slots: list[Any]) -> None:
        """Hooks, retained gradients and targets of a node's outputs."""
        for index in range(len(slots)):
            if slots[index] is None:
                continue
            gradient = slots[index] = self._total((node, index), slots[index])
            if node.hooks and index in node.hooks:
                slots[index] = gradient = self.run_hooks(node.hooks[index], gradient)
            if self.targets is not None and (node, index) in self.targets:
                self.found[self.targets[node, index]] = gradient
            kept = node.retained.get(index) if node.retained else None
            owner = kept() if kept is not None else None
            if owner is not None and self.targets is None:
                self.give(owner, gradient)

    def run_hooks(self, hooks: dict[int, Callable], gradient: Array) -> Array:
        """The gradient as the hooks leave it."""
        for hook in tuple(hooks.values()):
            self.hold(gradient)
            replaced = hook(wrap(gradient))
            if replaced is not None:
                array = array_of(replaced)
                if array.shape != gradient.shape or array.dtype != gradient.dtype:
                    raise RuntimeError(
                        f"backward: a hook returned a gradient of shape {array.shape} and dtype "
                        f"{array.dtype}, expected "
                        f"{gradient.shape} and {gradient.dtype}"
                    )
                gradient = array
                self.hold(gradient)
        return gradient

    def hold(self, array: Array) -> None:
        """Marks a buffer as somebody's, so that no leaf gets it as its gradient.

        Keeps it alive, and so its id unique.
        """
        root = _root(array)
        self.held[id(root)] = root

    def finish(self) -> None:
        """Hands the leaves their sums."""
        for leaf, gradient in self.at_leaves.items():
            if leaf._hooks:
                gradient = self.run_hooks(leaf._hooks, gradient)
            if self.targets is None:
                self.give(leaf, gradient)
            elif leaf in self.targets:
                self.found[self.targets[leaf]] = gradient

    def give(self, owner: Tensor, gradient: Array) -> None:
        """Stores or adds a gradient: with the owner's strides, in memory that is nobody else's."""
        if owner._grad is None:
            owner._grad = given = wrap(self.own(gradient, owner._array))
            given._storage.held = True  # the next backward() writes it
            return
        target = owner._grad.array
        if not target.flags.writeable:
            raise RuntimeError(
                "backward: .grad is read-only, so nothing can be added to it; set it to None or a clone()"
            )
        _accumulate(target, gradient)
        wrote(owner._grad)

    def own(self, gradient: Array, like: Array) -> Array:
        """The gradient itself where nobody else has it and it is laid out as `like`, else such a copy."""
        root = _root(gradient) if type(gradient.base) is _ndarray else gradient
        if gradient.strides != like.strides or id(root) in self.held or not gradient.flags.writeable:
            copy = np.empty_like(like)
            np.copyto(copy, gradient)
            return copy
        self.held[id(root)] = root
        return gradient


def _root(array: Any) -> Any:
    """The innermost ndarray whose memory a view shows."""
    base = array.base
    while isinstance(base, _ndarray):
        array, base = base, base.base
    return array


def _filled(node: Node, slots: list[Array | None]) -> tuple[Array | None, ...]:
    """Gradients of all outputs; zeros where none arrived, None for outputs without gradient."""
    return tuple(
        np.zeros(shape, dtype) if g is None and dtype.kind == "f" else g
        for g, shape, dtype in zip(slots, node.shape, node.dtype, strict=True)
    )


def _refuse_gradient(
    name: str, position: int, gradient: Any, shape: tuple[int, ...], dtype: np.dtype
) -> NoReturn:
    raise RuntimeError(
        f"backward of {name} returned a gradient of shape {gradient.shape} and dtype {gradient.dtype} "
        f"for input {position}, which has shape {shape} and dtype {dtype}"
    )


def _start(walk: _Walk, name: str, tensors: Sequence[Tensor], gradients: Sequence[Any]) -> None:
    """Puts the first gradients in place."""
    for t, gradient in zip(tensors, gradients, strict=True):
        array = t.array
        if not t._requires_grad:
            raise RuntimeError(
                f"{name}: the tensor of shape {array.shape} needs no gradient, so nothing leads back from "
                "it; set "
                "requires_grad=True on an input, and check that it was not computed under no_grad()"
            )
        if gradient is None:
            if array.size != 1:
                raise RuntimeError(
                    f"{name}: a tensor of shape {array.shape} is not a scalar; pass a gradient of that "
                    "shape, or "
                    "reduce it with sum() or mean() first"
                )
            start = np.array(1, array.dtype, ndmin=array.ndim)
        else:
            start = array_of(gradient)
            if start.shape != array.shape:
                raise RuntimeError(
                    f"{name}: the gradient has shape {start.shape}, the tensor {array.shape}; make them equal"
                )
            if start.dtype != array.dtype:
                raise TypeError(
                    f"{name}: the gradient is {start.dtype}, the tensor {array.dtype}; convert the gradient"
                )
            walk.hold(start)
        walk.deliver(t._edge(), start)


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
    _start(walk, "backward", roots, _gradients("backward", grad_tensors, len(roots)))
    walk.run()
    walk.finish()


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
    _start(walk, "grad", roots, _gradients("grad", grad_outputs, len(roots)))
    walk.run()
    walk.finish()
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
