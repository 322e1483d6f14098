"""The outputs of a model: what its graph declares of them, what came out, and what they likely mean."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import numpy as np
from numpy.typing import NDArray

from pipeline.inspection.graph import Declared, Graph
from pipeline.inspection.inspection import ModelOutput, Sizes
from pipeline.inspection.meanings import Seen, likely
from pipeline.measure.look import Look

_TEXT, _PICTURE = 2, 4
"""The axes of tokens and of pictures, the examples included."""
_CHANNELS = 4


def outputs_of(graph: Graph | None, look: Look | None, sample: Mapping[str, NDArray[Any]]) -> list[ModelOutput]:
    """The outputs, as far as the graph or a run of the model (``look``) tells them. ``sample`` is what it was fed."""
    declared = {} if graph is None else {one.name: one for one in graph.outputs}
    names = list(declared) or ([] if look is None else list(look.names))
    return [_output(name, declared.get(name), look, sample) for name in names]


def _output(name: str, declared: Declared | None, look: Look | None, sample: Mapping[str, NDArray[Any]]) -> ModelOutput:
    values, rows = _values(name, look)
    shape = declared.shape if declared is not None else None
    if shape is None and values is not None:
        shape = [None, *values.shape[1:]]
    dtype = declared.dtype if declared is not None and declared.dtype else None if values is None else values.dtype.name
    kind, why = likely(
        Seen(
            name=name,
            sizes=_sizes_each(values, shape),
            dtype=dtype,
            maker=None if declared is None else declared.maker,
            weighted=declared is not None and declared.weighted,
            values=values,
            rows=rows,
            lengths=_lengths(sample),
            sides=_sides(sample),
        )
    )
    return ModelOutput(name=name, dtype=dtype, shape=shape, likely=kind, why=why)


def _values(name: str, look: Look | None) -> tuple[NDArray[Any] | None, bool]:
    """An output on some examples, and whether it has a part for each."""
    if look is None or name not in look.names:
        return None, True
    place = list(look.names).index(name)
    if look.axes[place] is None:
        return None, False
    return np.asarray(look.outputs[place]), True


def _sizes_each(values: NDArray[Any] | None, shape: Sizes | None) -> tuple[int | str | None, ...] | None:
    """The sizes of one example's part."""
    if values is not None:
        return values.shape[1:]
    return None if shape is None else tuple(shape[1:])


def _lengths(sample: Mapping[str, NDArray[Any]]) -> frozenset[int]:
    return frozenset(array.shape[1] for array in sample.values() if array.ndim == _TEXT and array.dtype.kind in "iu")


def _sides(sample: Mapping[str, NDArray[Any]]) -> frozenset[tuple[int, int]]:
    pictures = [array.shape[1:] for array in sample.values() if array.ndim == _PICTURE]
    return frozenset((shape[1], shape[2]) if shape[0] <= _CHANNELS else (shape[0], shape[1]) for shape in pictures)
