"""Guesses what an output holds, by its sizes, its name, what makes it, and its values on a few examples."""

from __future__ import annotations

import re
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from pipeline.inspection.inspection import Likely

_CORNERS = 4
_SUM, _LENGTH = 1e-3, 1e-3
"""How far sums of probabilities and lengths of unit vectors may be off."""
_SCORES = re.compile(r"prob|logit|score|class|label|softmax|pred", re.IGNORECASE)
_VECTOR = re.compile(r"embed|feature|pool|vector|sentence", re.IGNORECASE)
_HIDDEN = re.compile(r"hidden|state|sequence|token_embed|encod", re.IGNORECASE)
_BOXES = re.compile(r"box|bbox|rois|detection", re.IGNORECASE)
_POOLING = frozenset(("GlobalAveragePool", "ReduceMean", "LayerNormalization", "Tanh", "BatchNormalization"))


@dataclass(frozen=True, slots=True, kw_only=True)
class Seen:
    """What is known of an output."""

    name: str
    sizes: tuple[int | str | None, ...] | None
    """The sizes of one example's part; None where they are not known."""
    dtype: str | None
    maker: str | None
    weighted: bool
    values: NDArray[Any] | None = None
    """The values of some examples, the examples first; None where the model was not run."""
    rows: bool = True
    """Whether the output has a part for each example."""
    lengths: frozenset[int] = frozenset()
    """The lengths of sequences among the inputs."""
    sides: frozenset[tuple[int, int]] = frozenset()
    """The heights and widths of pictures among the inputs."""

    @property
    def rank(self) -> int:
        """The number of axes of one example's part."""
        return len(self.sizes or ())


Guess = tuple[Likely, str]


def likely(seen: Seen) -> Guess:
    """What an output likely holds, and what speaks for it."""
    if not seen.rows:
        return "unknown", "it has no row for each example"
    if seen.sizes is None:
        return "unknown", "its shape is not known"
    guesses = (rule(seen) for rule in _RULES)
    return next((guess for guess in guesses if guess is not None), ("unknown", "neither its shape nor its name tells"))


def _boxes(seen: Seen) -> Guess | None:
    last = (seen.sizes or (None,))[-1] if seen.rank else None
    if _BOXES.search(seen.name) and seen.rank:
        return "boxes", f"its name is '{seen.name}'"
    if seen.rank == 2 and last == _CORNERS and not seen.lengths:
        return "boxes", f"each example has a list of {_CORNERS} numbers"
    return None


def _single(seen: Seen) -> Guess | None:
    if any(size != 1 for size in seen.sizes or ()):
        return None
    if _whole(seen):
        return "unknown", "it is one whole number an example, maybe the class itself"
    if seen.maker == "Sigmoid":
        return "one score", "it is one number an example, out of a sigmoid"
    return "one score", "it is one number an example"


def _per_token(seen: Seen) -> Guess | None:
    first = seen.sizes[0] if seen.sizes else None
    if not seen.lengths or seen.rank not in (1, 2) or first not in seen.lengths:
        return None
    if seen.rank == 1:
        return "sequence", f"it has one number for each of {first} tokens"
    if _SCORES.search(seen.name) and not _HIDDEN.search(seen.name):
        return "token scores", f"it has {seen.sizes[1]} numbers for each token, and its name is '{seen.name}'"  # type: ignore[index]
    if seen.weighted and not _HIDDEN.search(seen.name):
        return "token scores", f"a {seen.maker} with weights makes {seen.sizes[1]} numbers for each token"  # type: ignore[index]
    return "sequence", f"it has a vector of {seen.sizes[1]} for each token"  # type: ignore[index]


def _per_pixel(seen: Seen) -> Guess | None:
    if seen.rank != 3 or seen.sizes is None:
        return None
    channels, height, width = seen.sizes
    if (height, width) in seen.sides:
        return "pixel scores", f"it has {channels} numbers for each pixel of the picture"
    return None


def _vector(seen: Seen) -> Guess | None:
    if seen.rank != 1 or seen.sizes is None or _whole(seen):
        return None
    count = seen.sizes[0]
    return next((guess for rule in _OF_VECTORS if (guess := rule(seen, count)) is not None), None)


def _sums_to_one(seen: Seen, count: int | str | None) -> Guess | None:
    values = _floats(seen)
    if seen.maker in ("Softmax", "LogSoftmax"):
        return "class scores", f"a {seen.maker} makes {count} numbers an example"
    if values is None or values.min() < 0 or np.abs(values.sum(axis=1) - 1).max() > _SUM:
        return None
    return "class scores", f"the {count} numbers of an example are not negative and sum to 1"


def _has_length_one(seen: Seen, count: int | str | None) -> Guess | None:
    values = _floats(seen)
    if values is None or np.abs(np.linalg.norm(values, axis=1) - 1).max() > _LENGTH:
        return None
    return "embedding", f"each example's vector of {count} has the length 1"


def _by_name(seen: Seen, count: int | str | None) -> Guess | None:
    for pattern, kind in ((_VECTOR, "embedding"), (_SCORES, "class scores")):
        if pattern.search(seen.name):
            return kind, f"it has {count} numbers an example, and its name is '{seen.name}'"  # type: ignore[return-value]
    return None


def _by_maker(seen: Seen, count: int | str | None) -> Guess | None:
    if seen.weighted:
        return "class scores", f"a {seen.maker} with weights makes {count} numbers an example, as a classifier's does"
    if seen.maker in _POOLING:
        return "embedding", f"a {seen.maker} makes {count} numbers an example"
    return None


def _floats(seen: Seen) -> NDArray[Any] | None:
    """The values, where they are finite fractions of more than one number an example."""
    values = seen.values
    if values is None or values.ndim != 2 or values.dtype.kind != "f" or values.shape[1] < 2 or not len(values):
        return None
    wide = values.astype(np.float64)
    return wide if np.isfinite(wide).all() else None


def _whole(seen: Seen) -> bool:
    return seen.dtype is not None and not seen.dtype.startswith(("float", "bfloat"))


_RULES: Sequence[Callable[[Seen], Guess | None]] = (_boxes, _single, _per_token, _per_pixel, _vector)
_OF_VECTORS: Sequence[Callable[[Seen, int | str | None], Guess | None]] = (
    _sums_to_one,
    _has_length_one,
    _by_name,
    _by_maker,
)
