"""Sequences as the calls of a model that hands a state on from one call to the next."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field, replace

import numpy as np

from pipeline.data.batches import Feed, Inputs, axes_of
from pipeline.data.dataset import IGNORED, Dataset, Labels, Split, SplitName
from pipeline.data.fitted import Around
from pipeline.errors import UserError


@dataclass(frozen=True, slots=True, kw_only=True)
class Carry:
    """A state that a model hands on from call to call, in examples of which each ``steps`` in a row are a sequence."""

    state: Mapping[str, str]
    """The input that takes each output, by the output's name."""
    steps: int


@dataclass(frozen=True, slots=True, kw_only=True)
class StateInput:
    """An input that takes a state: its sizes without the batch, and NumPy's name of its type."""

    shape: tuple[int, ...]
    dtype: str


@dataclass(frozen=True, slots=True, kw_only=True)
class Steps(Around):
    """The data set ``data``, whose examples are sequences, with an example for each call: those of a sequence are in a
    row.

    An array of the data has an axis of steps behind the examples, [N, steps, ...]; one without it holds for all steps.
    The state of each call is zeros here, unless the data has the state that each sequence begins with. Labels [N,
    steps, ...] are the calls' own; labels [N] are those of the last call, and the other calls are not judged.
    Sequences are held in memory.
    """

    axes: Mapping[str, int]
    """How many axes one example of each other input has."""
    states: Mapping[str, StateInput]
    _splits: dict[SplitName, Split] = field(default_factory=dict)
    _lengths: dict[int, SplitName] = field(default_factory=dict)

    def split(self, name: SplitName) -> Split:
        """One split; raises UserError where no array has an axis of steps, or two have other numbers of them, also in
        another split."""
        if name not in self._splits:
            self._splits[name] = self._calls(name, self.data.split(name))
        return self._splits[name]

    def _calls(self, name: SplitName, split: Split) -> Split:
        inputs, count = split.arrays, len(split)
        steps = self._steps(inputs)
        for length, other in self._lengths.items():
            if length != steps:
                raise UserError(
                    f"the sequences of the {name} split have {steps} steps, and those of the {other} split {length}: "
                    "all must have the same number"
                )
        self._lengths[steps] = name
        arrays = {}
        for key, array in inputs.items():
            has_steps = key in self.axes and array.ndim == self.axes[key] + 2
            arrays[key] = array.reshape(-1, *array.shape[2:]) if has_steps else array.repeat(steps, 0)
        for key, state in self.states.items():
            if key not in arrays:
                arrays[key] = np.zeros((count * steps, *state.shape), state.dtype)
        note = (
            f"the {name} split has {count:,} sequences of {steps} steps, each a call with the state of the one before"
        )
        return replace(
            split,
            inputs=Inputs(arrays, inputs.axes),
            labels=None if split.labels is None else _by_call(split.labels, steps),
            origins=None if split.origins is None else split.origins.repeat(steps, 0),
            notes=(*split.notes, note),
        )

    def _steps(self, inputs: Feed) -> int:
        found = {name: array.shape[1] for name, array in inputs.items() if array.ndim == self.axes.get(name, -3) + 2}
        if len(set(found.values())) > 1:
            told = ", ".join(f"'{name}' {steps}" for name, steps in found.items())
            raise UserError(f"the inputs of one sequence have different numbers of steps: {told}")
        if not found:
            shapes = ", ".join(f"{name} {list(array.shape)}" for name, array in inputs.items())
            raise UserError(
                f"model.state is given, and no array of {self.data.name} has an axis of steps (it has {shapes}): give "
                "[N, steps, ...], where each example is a sequence, or type model.state={}"
            )
        return int(next(iter(found.values())))


@dataclass(frozen=True, slots=True, kw_only=True)
class Carried(Around):
    """The data set ``data``, of single calls, with the states that a model carries from call to call."""

    carry: Carry
    run: Callable[[Split], Feed]
    """Gives the states [N, ...] that the calls of a split are fed, by the state's input."""
    _splits: dict[SplitName, Split] = field(default_factory=dict)

    def split(self, name: SplitName) -> Split:
        """One split; raises what the data set and ``run`` raise."""
        if name not in self._splits:
            split = self.data.split(name)
            inputs = Inputs({**split.arrays, **self.run(split)}, axes_of(split.inputs))
            self._splits[name] = replace(split, inputs=inputs)
        return self._splits[name]


def sequences_in(data: Dataset) -> Steps | None:
    """The data set of sequences among those around each other; None where the data has none."""
    if isinstance(data, Steps):
        return data
    return sequences_in(data.data) if isinstance(data, Around) else None


def carry_in(data: Dataset) -> Carry | None:
    """The state that is carried over a data set's examples; None where there is none."""
    if isinstance(data, Carried):
        return data.carry
    return carry_in(data.data) if isinstance(data, Around) else None


def _by_call(labels: Labels, steps: int) -> Labels:
    if labels.ndim > 1 and labels.shape[1] == steps:
        return labels.reshape(-1, *labels.shape[2:])
    unjudged = np.nan if labels.dtype.kind == "f" else IGNORED
    found = np.full((len(labels) * steps, *labels.shape[1:]), unjudged, labels.dtype)
    found[steps - 1 :: steps] = labels
    return found
