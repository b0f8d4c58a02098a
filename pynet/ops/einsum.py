"""Einstein's sum convention, composed of axis moves, sums and matrix products: it runs on the kernels."""

from __future__ import annotations

from typing import Any

import numpy as np

from pynet.autograd import Tensor
from pynet.ops._backend import require_floats, tensor_of
from pynet.ops.arithmetic import multiply
from pynet.ops.indexing import getitem
from pynet.ops.matmul import matmul
from pynet.ops.reduction import sum as sum_over
from pynet.ops.shape import expand, permute, reshape

_DOTS = "_"  # opens the names of an ellipsis's axes, which no letter of a user can


def einsum(equation: str, *operands: Any) -> Tensor:
    """A sum of products over named axes: ``einsum("bij,bjk->bik", a, b)``.

    Args:
        equation: letters a-z, A-Z for the axes of each operand, separated by commas, and after "->" those
            of the result; a letter that the result lacks is summed over. Without "->" the result has the
            letters that occur once, in alphabetical order. "..." stands for further axes, which broadcast; a
            letter repeated in one operand takes its diagonal.
        operands: float Tensors of one dtype, or one list of them.
    Raises:
        ValueError: letters and axes do not fit together. TypeError: no floats, or different dtypes.
    Source:
        NumPy's notation; products are taken pair by pair from the left.
    """
    if len(operands) == 1 and isinstance(operands[0], (tuple, list)):
        operands = tuple(operands[0])
    tensors = [tensor_of(t) for t in operands]
    require_floats("einsum", **{f"operand{i}": t for i, t in enumerate(tensors)})
    inputs, output = _parse(equation, [t.shape for t in tensors])
    pairs = [_diagonal(t, letters) for t, letters in zip(tensors, inputs, strict=True)]
    _check_sizes(equation, pairs)
    while len(pairs) > 1:
        wanted = set(output).union(*(letters for _, letters in pairs[2:]))
        pairs[:2] = [_contract(*pairs[0], *pairs[1], wanted)]
    t, letters = _keep(*pairs[0], set(output))
    return permute(t, *(letters.index(c) for c in output)) if len(output) > 1 else t


def _parse(equation: str, shapes: list[tuple[int, ...]]) -> tuple[list[list[str]], list[str]]:
    """The letters of every operand and of the result; an ellipsis as letters numbered from the right."""
    text = equation.replace(" ", "")
    left, arrow, right = text.partition("->")
    terms = left.split(",")
    if len(terms) != len(shapes):
        raise ValueError(f"einsum: {equation!r} names {len(terms)} operands, got {len(shapes)}")
    inputs, longest = [], 0
    for term, shape in zip(terms, shapes, strict=True):
        before, dots, after = term.partition("...")
        _require_letters(equation, before + after)
        spare = len(shape) - len(before) - len(after)
        if spare < 0 or (spare and not dots):
            raise ValueError(f"einsum: {term!r} in {equation!r} does not fit an operand of shape {shape}")
        longest = max(longest, spare)
        inputs.append([*before, *(f"{_DOTS}{i}" for i in reversed(range(spare))), *after])
    further = [f"{_DOTS}{i}" for i in reversed(range(longest))]
    if not arrow:
        letters = [c for letters in inputs for c in letters if not c.startswith(_DOTS)]
        return inputs, further + sorted(c for c in set(letters) if letters.count(c) == 1)
    before, dots, after = right.partition("...")
    _require_letters(equation, before + after)
    output = [*before, *(further if dots else ()), *after]
    known = {c for letters in inputs for c in letters}
    if len(set(output)) != len(output) or not set(output) <= known:
        raise ValueError(
            f"einsum: the result of {equation!r} repeats a letter or has one that no operand has"
        )
    return inputs, output


def _require_letters(equation: str, letters: str) -> None:
    if not all(c.isascii() and c.isalpha() for c in letters):
        raise ValueError(f"einsum: {equation!r} may hold letters, commas, one '->' and '...' a term")


def _check_sizes(equation: str, pairs: list[tuple[Tensor, list[str]]]) -> None:
    sizes: dict[str, int] = {}
    for t, letters in pairs:
        for c, n in zip(letters, t.shape, strict=True):
            if n != 1 and sizes.setdefault(c, n) != n:
                raise ValueError(f"einsum: axis {c!r} of {equation!r} has sizes {sizes[c]} and {n}")


def _diagonal(t: Tensor, letters: list[str]) -> tuple[Tensor, list[str]]:
    """The operand with every letter once: repeated axes are walked together."""
    while len(set(letters)) < len(letters):
        c = next(c for c in letters if letters.count(c) > 1)
        first, second = [i for i, other in enumerate(letters) if other == c][:2]
        n = t.shape[first]
        if t.shape[second] != n:
            raise ValueError(f"einsum: axis {c!r} has sizes {n} and {t.shape[second]} in one operand")
        others = [i for i in range(len(letters)) if i not in (first, second)]
        t = getitem(permute(t, first, second, *others), (np.arange(n), np.arange(n)))
        letters = [c, *(letters[i] for i in others)]
    return t, letters


def _keep(t: Tensor, letters: list[str], wanted: set[str]) -> tuple[Tensor, list[str]]:
    """Sums over the axes that nobody wants any more."""
    spare = tuple(i for i, c in enumerate(letters) if c not in wanted)
    return (sum_over(t, spare), [c for c in letters if c in wanted]) if spare else (t, letters)


def _contract(
    a: Tensor, a_letters: list[str], b: Tensor, b_letters: list[str], wanted: set[str]
) -> tuple[Tensor, list[str]]:
    """The product of two operands with one letter an axis, summed over what is not wanted."""
    a, a_letters = _keep(a, a_letters, wanted | set(b_letters))
    b, b_letters = _keep(b, b_letters, wanted | set(a_letters))
    shared = [c for c in a_letters if c in b_letters]
    batch, inner = [c for c in shared if c in wanted], [c for c in shared if c not in wanted]
    rows, columns = [c for c in a_letters if c not in shared], [c for c in b_letters if c not in shared]
    size = {c: n for t, ls in ((a, a_letters), (b, b_letters)) for c, n in zip(ls, t.shape, strict=True)}
    for c in shared:
        size[c] = max(a.shape[a_letters.index(c)], b.shape[b_letters.index(c)])
        if 0 in (a.shape[a_letters.index(c)], b.shape[b_letters.index(c)]):
            size[c] = 0
    a = _arranged(a, a_letters, batch + rows + inner, size)
    b = _arranged(b, b_letters, batch + inner + columns, size)
    if not inner:
        # No sum: an outer product is a plain, broadcast multiplication.
        a = reshape(a, [size[c] for c in batch + rows] + [1] * len(columns))
        b = reshape(b, [size[c] for c in batch] + [1] * len(rows) + [size[c] for c in columns])
        return multiply(a, b), batch + rows + columns

    def count(letters: list[str]) -> int:
        return int(np.prod([size[c] for c in letters], dtype=np.int64))

    product = matmul(
        reshape(a, (count(batch), count(rows), count(inner))),
        reshape(b, (count(batch), count(inner), count(columns))),
    )
    return reshape(product, [size[c] for c in batch + rows + columns]), batch + rows + columns


def _arranged(t: Tensor, letters: list[str], order: list[str], size: dict[str, int]) -> Tensor:
    if letters != order:
        t = permute(t, *(letters.index(c) for c in order))
    shape = tuple(size[c] for c in order)
    return t if t.shape == shape else expand(t, shape)
