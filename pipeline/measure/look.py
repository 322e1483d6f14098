"""Looks at a model's own outputs on a few examples, before any work."""

from __future__ import annotations

import time
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from pipeline.artifact import Artifact
from pipeline.artifact.onnx_graph import fixed_batch_of
from pipeline.artifact.openvino_file import output_names, read_graph
from pipeline.data.batches import Inputs, axes_of, batch, count_of, starts, together
from pipeline.measure.difference import relative_difference
from pipeline.measure.outputs import OutputAxes, axes_in, by_example
from pipeline.plan import Session, Target, as_read

_BATCH, _FEW = 16, 2
MOST = 64
"""How many examples are looked at."""
LIMIT_S = 5.0
"""A slow model is looked at on as many of them as it runs in this time."""
_OF_THE_LIMIT = 0.2
"""The share of that time that one batch may take."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Look:
    """A model's outputs on some examples."""

    names: Sequence[str]
    axes: OutputAxes
    """The axis of each output that counts the examples; None: it has none."""
    outputs: Sequence[Any]
    """The outputs, with the examples first where there is an axis of them; else the outputs of one batch, as they
    are."""
    repeat: float
    """The difference between two runs of one batch (``relative_difference``)."""

    def by_name(self) -> dict[str, Any]:
        """The outputs by name."""
        return dict(zip(self.names, self.outputs, strict=True))


def look(artifact: Artifact, target: Target, inputs: Inputs) -> Look:
    """Run a model on ``inputs``, a few examples, or on the first of them where it is slow, and on the first batch of
    them twice.

    It makes a session, so call it in a process of its own. Raises the backend's own errors.
    """
    session = target.backend.load(artifact, target)
    fixed = fixed_batch_of(artifact, axes_of(inputs))
    count = count_of(inputs)
    size = fixed or together(inputs, min(count, _batch_for(session, inputs)))
    raw = _batches(session, inputs, size, fixed)
    count = min(count, size * len(raw))
    again = session(as_read(session, batch(inputs, 0, min(size, count), fixed)))
    axes = _axes(session, inputs, raw[0], fixed, size)
    sizes = [fixed or min(size, count - start) for start in range(0, count, size)]
    moved = [by_example(outputs, axes, length) for outputs, length in zip(raw, sizes, strict=True)]
    repeated = by_example(again, axes, sizes[0])
    return Look(
        names=names_of(artifact, len(raw[0])),
        axes=axes,
        outputs=[_joined([part[index] for part in moved], raw[0][index], count) for index in range(len(raw[0]))],
        repeat=max(
            (
                relative_difference(first, second)
                for first, second in zip(moved[0], repeated, strict=True)
                if first is not None and second is not None
            ),
            default=0.0,
        ),
    )


def _batch_for(session: Session, inputs: Inputs) -> int:
    """How many examples a batch has: fewer where the model is slow, as three batches run beside those that are looked
    at."""
    few = together(inputs, min(count_of(inputs), _FEW))
    began = time.monotonic()
    session(as_read(session, batch(inputs, 0, few)))
    each_s = max(time.monotonic() - began, 1e-6) / few
    return max(_FEW, min(_BATCH, int(_OF_THE_LIMIT * LIMIT_S / each_s)))


def _batches(session: Session, inputs: Inputs, size: int, fixed: int | None) -> list[Sequence[Any]]:
    """The outputs of all batches, or of as many as there is time for."""
    taken = starts(count_of(inputs), size, LIMIT_S)
    return [session(as_read(session, batch(inputs, start, size, fixed))) for start in taken]


def _axes(session: Session, inputs: Inputs, first: Sequence[Any], fixed: int | None, size: int) -> OutputAxes:
    """The axis of the examples in each output: by a batch of another size, where the model takes one; else the first
    axis of that size."""
    if fixed or together(inputs, 2) == 1:
        return [
            0 if not isinstance(output, (list, dict)) and np.shape(output)[:1] == (size,) else None for output in first
        ]
    other = size - 1 if size > 1 else 2
    filled = other if other > count_of(inputs) else None
    return axes_in(first, session(batch(inputs, 0, other, filled)), (size, other))


def _joined(parts: Sequence[NDArray[Any] | None], raw: Any, count: int) -> Any:
    arrays = [part for part in parts if part is not None]
    if len(arrays) < len(parts) or len({array.shape[1:] for array in arrays}) > 1:
        return raw
    return np.concatenate(arrays)[:count]


def names_of(artifact: Artifact, count: int) -> Sequence[str]:
    """The names of a model's outputs; numbers where it has another number of them than ``count``."""
    if artifact.format == "onnx":
        import onnx

        names = [value.name for value in onnx.load(artifact.onnx_path, load_external_data=False).graph.output]
    elif artifact.format == "openvino":
        names = output_names(read_graph(artifact.openvino_path))
    else:
        from pipeline.artifact.torch_module import load_spec

        names = list(load_spec(artifact.path).outputs)
    return names if len(names) == count else [str(index) for index in range(count)]
