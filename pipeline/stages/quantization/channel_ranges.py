"""The ranges of channels on examples, and what rounding to 8 bits makes of them."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING

import numpy as np
from numpy.typing import NDArray

from pipeline.artifact import Artifact
from pipeline.artifact.onnx_graph import fixed_batch_of
from pipeline.plan import Context
from pipeline.stages.graphs.library import is_large
from pipeline.stages.quantization.examples import Examples
from pipeline.stages.quantization.observing import Observing, by_channel, expose

if TYPE_CHECKING:
    import onnx
    import onnxruntime

Floats = NDArray[np.float64]
_BATCH = 8
_LEVELS = 255
_WEIGHT_LEVELS = 127


@dataclass(frozen=True, slots=True, kw_only=True)
class Channelled:
    """A value of a graph that has channels."""

    channels: int
    behind: int
    """How many axes there are behind the channels."""
    kind: int
    """The type, as ONNX numbers types."""


@dataclass(slots=True)
class Ranges:
    """What examples say of the channels of a value."""

    low: Floats
    """The smallest value of each channel [C], 0 at most."""
    high: Floats
    """The largest value of each channel [C], 0 at least."""
    squares: Floats
    """The mean square of each channel [C]."""
    least: Floats
    """The smallest value of each channel [C], also where it is above 0; infinity where there is none."""

    @property
    def largest(self) -> Floats:
        """The largest absolute value of each channel [C]."""
        return np.maximum(-self.low, self.high)


@dataclass(frozen=True, slots=True)
class Reader:
    """A layer that reads the channels of a value."""

    weights: Floats
    """[O, I, T]: outputs, inputs of each, places of a kernel."""
    channels: NDArray[np.intp]
    """The channel that each input reads [O, I]."""

    def error(self, seen: Ranges, factors: Floats) -> float:
        """The squared error that rounding adds to the outputs at a mean place, if the channels are divided by factors
        [C] and the weights multiplied by them. The inputs have one step, the weights one for each output, and errors
        lie evenly within a step."""
        own = factors[self.channels]
        grown = self.weights * own[..., None]
        step = float((seen.high / factors).max() - (seen.low / factors).min()) / _LEVELS
        steps = np.abs(grown).max((1, 2)) / _WEIGHT_LEVELS
        read = self.weights.shape[2] * (seen.squares[self.channels] / own**2).sum(1)
        return float(step**2 * np.square(grown).sum() + (steps**2 * read).sum()) / 12


def channel_ranges(
    model: onnx.ModelProto,
    source: Artifact,
    values: Mapping[str, Channelled],
    examples: Examples,
    context: Context,
) -> dict[str, Ranges]:
    """The ranges of values of a model, which is ``source`` as it was read, over all examples, by their names."""
    import onnx

    observed = onnx.ModelProto()
    observed.CopyFrom(model)
    expose(observed, {name: value.kind for name, value in values.items()})
    fixed = fixed_batch_of(source, examples.axes)
    observing = Observing(
        examples=examples,
        size=fixed or examples.together(_BATCH),
        filled=fixed,
        folder=context.work,
        large=is_large(source),
    )
    session = observing.session(observed, "observed")
    try:
        return _ranges(observing, session, values, context)
    except Exception:
        if fixed or observing.size == 1:
            raise
        # A batch of 1 is written inside some models.
        return _ranges(replace(observing, size=1), session, values, context)


def _ranges(
    observing: Observing,
    session: onnxruntime.InferenceSession,
    values: Mapping[str, Channelled],
    context: Context,
) -> dict[str, Ranges]:
    seen = {name: _unseen(value.channels) for name, value in values.items()}
    places = dict.fromkeys(values, 0)
    done, count = 0, len(observing.examples)
    for arrays, mask in observing.values(session, list(values)):
        for (name, value), array in zip(values.items(), arrays, strict=True):
            rows = by_channel(array, value.behind, mask)
            seen[name].least = np.minimum(seen[name].least, rows.min(0, initial=np.inf))
            seen[name].low = np.minimum(seen[name].least, 0)
            seen[name].high = np.maximum(seen[name].high, rows.max(0, initial=0))
            seen[name].squares += np.square(rows, dtype=np.float64).sum(0)
            places[name] += len(rows)
        done = min(done + observing.size, count)
        context.progress(0.9 * done / count, f"ranges of channels, {done} examples")
    for name, found in seen.items():
        found.squares /= max(1, places[name])
    return seen


def _unseen(channels: int) -> Ranges:
    """Before any example."""
    low, high, squares = np.zeros((3, channels))
    return Ranges(low=low, high=high, squares=squares, least=np.full(channels, np.inf))
