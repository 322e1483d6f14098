"""The origin of the baseline."""

from __future__ import annotations

import re
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Protocol

from pipeline.artifact import Format
from pipeline.data.preprocessing import Preprocessing


@dataclass(frozen=True, slots=True)
class InputSignature:
    """One input of a model: its sizes, with None where any will do, and NumPy's name of its type.

    The shape is None where the model declares none.
    """

    shape: tuple[int | None, ...] | None
    dtype: str
    batch_axis: int | None = 0
    """The axis that counts the examples; None: one value serves a whole call."""
    below: int | None = None
    """The rows of the smallest table (an embedding) that the input's whole numbers choose from; None: not known."""
    longest: int | None = None
    """Where axis 1 counts the tokens of a text, the most that the model takes; None: not known."""


_STATE = re.compile(r"state|hidden|cache|past|mem|^[hc]_?(0|in|prev)?$", re.IGNORECASE)


def may_be_state(name: str) -> bool:
    """Whether an input has one of the names that inputs have which take a state."""
    return _STATE.search(name) is not None


def state_of(model: ModelSource) -> Mapping[str, str]:
    """The state that a model hands on from call to call: the input that takes each output, by the output's name; empty
    where it has none, or the source knows none."""
    return dict(getattr(model, "state", {}))


class ModelSource(Protocol):
    """The origin of the baseline. It may have a ``postprocessing`` of its outputs (``plan.Postprocessing``) or None."""

    @property
    def name(self) -> str:
        """A short name for the report."""
        ...

    @property
    def format(self) -> Format:
        """The format that ``write`` writes."""
        ...

    @property
    def preprocessing(self) -> Mapping[str, Preprocessing]:
        """The preprocessing of raw inputs, by input name."""
        ...

    def key(self) -> Mapping[str, Any]:
        """Plain values that identify the model (file digests, arguments); raises UserError where files are missing."""
        ...

    def signature(self) -> Mapping[str, InputSignature]:
        """The inputs, in the model's order; raises UserError where the model can't be read."""
        ...

    def write(self, out: Path) -> Mapping[str, Any]:
        """Write the model as an artifact of ``format`` into the empty folder ``out``; returns notes (plain values) on
        what was changed on the way."""
        ...
