"""Finds outputs that look like the next state of an input."""

from __future__ import annotations

import re
from collections.abc import Iterable, Sequence

from pipeline.inspection.inspection import ModelInput, ModelOutput
from pipeline.plan import may_be_state

_WORDS = frozenset(("in", "input", "out", "output", "n", "new", "next", "past", "present", "prev", "previous", "last"))
"""Parts of a name that say which of the two it is."""
_PART = re.compile(r"[A-Z]?[a-z]+|[A-Z]+(?![a-z])|\d+")
_UNNAMED = re.compile(r"output(_\d+)?")
"""The names that outputs get which have none."""


def next_states(inputs: Sequence[ModelInput], outputs: Sequence[ModelOutput]) -> dict[str, str]:
    """The input that likely takes each output at the next call, by the output's name.

    Both have the same type and sizes, and names that differ only in which of the two they say. An output that was given
    no name goes to an input that has the name of a state.
    """
    found: dict[str, str] = {}
    for output in outputs:
        alike = (one.name for one in inputs if _same(one, output) and _named_alike(one.name, output.name))
        name = next((name for name in alike if name not in found.values()), None)
        if name is not None:
            found[output.name] = name
    return found


def advice(states: dict[str, str]) -> str:
    """The sentence on such outputs, with what to type."""
    told = ", ".join(f"'{output}' looks like the next '{name}'" for output, name in states.items())
    typed = ", ".join(f"{output}: {name}" for output, name in states.items())
    return f"output {told}: to carry it from call to call, with sequences as examples, type 'model.state={{{typed}}}'"


def _same(one: ModelInput, output: ModelOutput) -> bool:
    if one.shape is None or output.shape is None or one.dtype != output.dtype or len(one.shape) != len(output.shape):
        return False
    pairs = zip(one.shape, output.shape, strict=True)
    return all(given == made or not (isinstance(given, int) and isinstance(made, int)) for given, made in pairs)


def _named_alike(given: str, made: str) -> bool:
    return _stem(given) == _stem(made) or (_UNNAMED.fullmatch(made) is not None and may_be_state(given))


def _stem(name: str) -> tuple[str, ...]:
    return tuple(_without(part.lower() for part in _PART.findall(name)))


def _without(parts: Iterable[str]) -> Iterable[str]:
    """The parts that name the thing: a single letter keeps no number behind it (h0, hn)."""
    for part in parts:
        if part in _WORDS or part == "0":
            continue
        yield part.removesuffix("n") if len(part) == 2 else part
