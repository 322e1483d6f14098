"""Finds the axis of each input of an ONNX model that counts the examples, as far as the declared shapes tell."""

from __future__ import annotations

from collections import Counter
from collections.abc import Mapping, Sequence

Size = int | str | None
"""A size: a number, a symbol, or free."""


def batch_axes(shapes: Mapping[str, Sequence[Size] | None]) -> dict[str, int | None]:
    """The axis by input; None: one value serves a whole call.

    The batch is the symbol that most inputs begin with, and an input has it where it has this symbol. Without the
    symbol, an input whose first size is free has the batch there; an input whose first size is a number, though others
    begin with a free one, has it on its only free axis, or nowhere. Where all sizes are numbers, the first input's
    first one is the batch. An input of unknown shape has it first.
    """
    known = {name: shape for name, shape in shapes.items() if shape is not None}
    symbol = _symbol(known)
    free = len(known) < len(shapes) or any(shape and not isinstance(shape[0], int) for shape in known.values())
    fixed = next((shape[0] for shape in known.values() if shape), None)
    found = {name: _axis(shape, symbol, free, fixed) for name, shape in known.items()}
    return {name: found.get(name, 0) for name in shapes}


def _symbol(shapes: Mapping[str, Sequence[Size]]) -> str | None:
    first = [shape[0] for shape in shapes.values() if shape and isinstance(shape[0], str)]
    every = Counter(size for shape in shapes.values() for size in set(shape) if isinstance(size, str))
    return max(first, key=lambda size: every[size], default=None)


def _axis(shape: Sequence[Size], symbol: str | None, free: bool, fixed: Size) -> int | None:
    if symbol is not None and symbol in shape:
        return list(shape).index(symbol)
    if not shape:
        return None
    if not isinstance(shape[0], int):
        return 0
    if free:
        open_axes = [axis for axis, size in enumerate(shape) if not isinstance(size, int)]
        return open_axes[0] if len(open_axes) == 1 else None
    return list(shape).index(fixed) if fixed in shape else None
