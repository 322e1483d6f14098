"""Runs a model over sequences: each call gets the state that the call before it gave."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from typing import Any

import numpy as np
from numpy.typing import NDArray

from pipeline.artifact import Artifact
from pipeline.artifact.onnx_graph import fixed_batch_of
from pipeline.data.batches import Arrays, axes_of, count_of, placed, together
from pipeline.data.steps import Carry
from pipeline.measure.look import names_of
from pipeline.plan import Session, Target, as_read

_TOGETHER = 64
"""How many sequences run side by side where states are found."""


def carried_states(artifact: Artifact, target: Target, inputs: Arrays, carry: Carry) -> dict[str, NDArray[Any]]:
    """The state that each call is fed [N, ...], by input. ``inputs`` are preprocessed; what they have for the first
    call of a sequence is its first state.

    It makes a session, so call it in a process of its own. Raises the backend's own errors.
    """
    session = target.backend.load(artifact, target)
    fixed = fixed_batch_of(artifact, axes_of(inputs))
    size = fixed or together(inputs, _TOGETHER)
    found: dict[str, list[NDArray[Any]]] = {name: [] for name in carry.state.values()}
    for first in range(0, count_of(inputs), size * carry.steps):
        calls = list(sequence_calls(session, artifact, inputs, carry, first, size, fixed))
        for name, parts in found.items():
            parts.append(by_sequence([states[name] for states, _ in calls]))
    return {name: np.concatenate(parts) for name, parts in found.items()}


def sequence_calls(
    session: Session, artifact: Artifact, inputs: Arrays, carry: Carry, first: int, size: int, fixed: int | None
) -> Iterator[tuple[dict[str, NDArray[Any]], Sequence[Any]]]:
    """For each step of up to ``size`` sequences, of which the first begins at example ``first``: the states [size, ...]
    that the call was fed, and its outputs. A call is filled up to ``fixed`` examples; the states are not."""
    starts = np.arange(first, min(first + size * carry.steps, count_of(inputs)), carry.steps)
    count = len(starts)
    filled = np.concatenate([starts, starts[-1:].repeat((fixed or count) - count)])
    states = {name: np.asarray(inputs[name][filled]) for name in carry.state.values()}
    for step in range(carry.steps):
        arrays = {name: array[filled + step] for name, array in inputs.items() if name not in states}
        feed = {name: (arrays | states)[name] for name in inputs}
        outputs = session(as_read(session, placed(feed, axes_of(inputs))))
        yield {name: state[:count] for name, state in states.items()}, outputs
        states = _handed_on(outputs, names_of(artifact, len(outputs)), states, inputs, carry)


def by_sequence(calls: Sequence[NDArray[Any]]) -> NDArray[Any]:
    """Arrays [sequences, ...] of each step as one array of all calls, those of a sequence in a row."""
    joined = np.stack(calls, axis=1)
    return joined.reshape(-1, *joined.shape[2:])


def _handed_on(
    outputs: Sequence[Any], names: Sequence[str], states: dict[str, NDArray[Any]], inputs: Arrays, carry: Carry
) -> dict[str, NDArray[Any]]:
    """The states for the next call, the examples first."""
    found = {}
    for output, name in carry.state.items():
        value = np.moveaxis(np.asarray(outputs[names.index(output)]), axes_of(inputs).get(name, 0) or 0, 0)
        found[name] = value.astype(states[name].dtype, copy=False)
    return found
