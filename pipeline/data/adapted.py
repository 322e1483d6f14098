"""What the settings of a data set leave open, and the model tells: sizes, lengths and the names of its inputs.

So one data set serves every model that reads such inputs.
"""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Protocol, TypeVar, runtime_checkable

from pipeline.data.dataset import Dataset
from pipeline.data.fitted import Wanted
from pipeline.data.pictures import side_of
from pipeline.data.tokens import LENGTH

_PICTURE, _TEXT = 4, 2
"""The axes of pictures and of tokens."""


class Input(Protocol):
    """What tells pictures and tokens apart: sizes with the examples first, and NumPy's name of the type."""

    @property
    def shape(self) -> tuple[int | None, ...] | None:
        """None: not known."""
        ...

    @property
    def dtype(self) -> str:
        """Such as float32."""
        ...


InputT = TypeVar("InputT", bound=Input)


@runtime_checkable
class Adapts(Protocol):
    """A data set that may leave something open."""

    def adapted(self, inputs: Mapping[str, Wanted], beside: Path | None) -> Dataset:
        """The data set for a model of these inputs, which lies in the folder ``beside``; raises UserError where what is
        open can't be told."""
        ...


def adapted(data: Dataset, inputs: Mapping[str, Wanted], beside: Path | None) -> Dataset:
    """The data set for one model; a data set that leaves nothing open stays as it is."""
    return data.adapted(inputs, beside) if isinstance(data, Adapts) else data


def picture_input(inputs: Mapping[str, Wanted], name: str) -> str:
    """The input ``name``, or else the model's only input of pictures."""
    return _named(name, inputs, list(pictures_in(inputs)))


def side(inputs: Mapping[str, Wanted], name: str) -> int | None:
    """The pixels of the square that the model reads; None where any will do, or where that is not known."""
    shape = inputs[name].shape if name in inputs else None
    return None if shape is None or len(shape) != _PICTURE else side_of(name, shape)


def token_input(inputs: Mapping[str, Wanted], name: str) -> str:
    """The input ``name``, or else the model's only input of token numbers."""
    return _named(name, inputs, list(tokens_in(inputs)))


def length(inputs: Mapping[str, Wanted]) -> int:
    """How many tokens of a text the model reads; where that is free, ``LENGTH`` or the most that it takes."""
    entries = tokens_in(inputs).values()
    fixed = {size for entry in entries for size in (entry.shape or ())[1:] if size is not None}
    most = [entry.longest for entry in entries if entry.longest is not None]
    return fixed.pop() if len(fixed) == 1 else min([LENGTH, *most])


def pictures_in(inputs: Mapping[str, InputT]) -> dict[str, InputT]:
    """The inputs that take pictures, [N, C, H, W] or [N, H, W, C]."""
    return {name: entry for name, entry in inputs.items() if len(entry.shape or ()) == _PICTURE}


def tokens_in(inputs: Mapping[str, InputT]) -> dict[str, InputT]:
    """The inputs that take the numbers of a text's tokens [N, L]."""
    return {
        name: entry
        for name, entry in inputs.items()
        if len(entry.shape or ()) == _TEXT and entry.dtype.startswith("int")
    }


def _named(name: str, inputs: Mapping[str, Wanted], fitting: list[str]) -> str:
    return fitting[0] if name not in inputs and len(fitting) == 1 else name
