"""The bounds of what a configuration, a record and a report may hold, and how a value that breaks one is refused.

A field's type names its bound: ``threads: Count``. The bounds are annotations, so a value that our own code makes is
not checked again; ``fitted`` checks what a user typed, and ``out_of_bounds`` checks a whole dataclass.
"""

from __future__ import annotations

import inspect
import typing
from collections.abc import Callable, Mapping
from dataclasses import dataclass, fields, is_dataclass
from typing import TYPE_CHECKING, Annotated, Any, cast

from annotated_types import Ge, Gt, Le, Lt, MaxLen, MinLen

if TYPE_CHECKING:
    from pydantic_core import CoreSchema, ErrorDetails

MOST = 2**31 - 1


@dataclass(frozen=True, slots=True)
class Hint:
    """Words beside a bound that say why, or what is meant."""

    text: str


@dataclass(frozen=True, slots=True)
class Pattern:
    """A text of a certain form, given as a regular expression."""

    regex: str

    def __get_pydantic_core_schema__(self, source: Any, handler: Callable[[Any], CoreSchema]) -> CoreSchema:
        """The text's schema with the pattern."""
        return cast("CoreSchema", {**handler(source), "pattern": self.regex})


@dataclass(frozen=True, slots=True)
class OrUnbounded:
    """A number that may be infinite, which JSON can't hold: it is null there."""

    def __get_pydantic_json_schema__(
        self, schema: CoreSchema, handler: Callable[[CoreSchema], dict[str, Any]]
    ) -> dict[str, Any]:
        """The number's schema, or null."""
        return {"anyOf": [handler(schema), {"type": "null"}]}


@dataclass(frozen=True, slots=True)
class AsText:
    """A value that JSON holds as its text, ``str()``."""

    def __get_pydantic_core_schema__(self, source: Any, handler: Callable[[Any], CoreSchema]) -> CoreSchema:
        """A text's schema."""
        return handler(str)


Count = Annotated[int, Ge(1), Le(MOST)]
CountFromZero = Annotated[int, Ge(0), Le(MOST)]
"""A count that may be 0."""
Licence = Annotated[str, MinLen(1), MaxLen(200)]
"""The name of a licence, such as ``Apache-2.0``."""
Seed = Annotated[int, Ge(0), Le(2**32 - 1)]
"""A seed that NumPy and PyTorch take."""
Threads = Annotated[int, Ge(1), Le(1024)]
BatchSize = Annotated[int, Ge(1), Le(2**20)]
Positive = Annotated[float, Gt(0)]
NotNegative = Annotated[float, Ge(0)]
Seconds = Annotated[float, Gt(0), Le(30 * 24 * 3600)]
"""A time of at most 30 days."""
Milliseconds = Annotated[float, Gt(0), Le(3600 * 1000)]
"""A time of at most an hour."""
MillisecondsFromZero = Annotated[float, Ge(0), Le(3600 * 1000)]
"""A time that may be 0."""
EnergySeconds = Annotated[float, Gt(0), Le(60), Hint("a counter may wrap around more than once in a longer time")]
"""A time before a package's counter wraps around: it does so after some 65 kJ, at 500 W after two minutes."""
Drop = Annotated[float, Gt(0), Lt(1), Hint("it is a fraction: 0.01 is one point")]
Rounds = Annotated[int, Ge(3), Le(10_000)]
"""A number of rounds: fewer than three give no interval."""
Blocks = Annotated[int, Ge(4), Le(10_000)]
Level = Annotated[float, Gt(0), Lt(0.5)]
"""The level of a test."""
Confidence = Annotated[float, Ge(0.5), Lt(1), Hint("it is a share: 0.95 is 95 %")]
Whole = Annotated[int, Ge(0)]
"""A count or a size that our own code found: it has no upper bound."""
Counted = Annotated[int, Ge(1)]
Share = Annotated[float, Ge(0), Le(1)]
ShareBelowOne = Annotated[float, Ge(0), Lt(1)]
Part = Annotated[float, Gt(0), Lt(1), Hint("it is a share: 0.5 is half")]
"""A part of something: neither none of it nor all."""
Nonempty = Annotated[str, MinLen(1)]
Sha256 = Annotated[str, Pattern("^[0-9a-f]{64}$")]
End = Annotated[float, OrUnbounded()]
"""An end of an interval; null in JSON where there is none."""
UpperEnd = Annotated[float, Ge(0), OrUnbounded()]

_WORDS = {
    "literal_error": "must be {expected}",
    "greater_than": "must be above {gt:,.12g}",
    "greater_than_equal": "must be at least {ge:,.12g}",
    "less_than": "must be below {lt:,.12g}",
    "less_than_equal": "must be at most {le:,.12g}",
    "finite_number": "must be a finite number",
}


def fitted(value: Any, hint: Any, where: str, problems: list[str]) -> Any:
    """The value as its type wants it. If it does not fit, a problem with its key is appended to ``problems``, and None
    is returned.

    ``nan`` and infinities fit no number.
    """
    from pydantic import ConfigDict, PydanticUserError, TypeAdapter, ValidationError

    try:
        adapter = TypeAdapter(hint, config=ConfigDict(allow_inf_nan=False, arbitrary_types_allowed=True))
    except PydanticUserError:  # a dataclass or the like, which has a configuration of its own
        adapter = TypeAdapter(hint)
    try:
        return adapter.validate_python(value)
    except ValidationError as error:
        hints = "".join(f"; {text}" for text in _hints(hint))
        problems.extend(_in_words(detail, where) + hints for detail in error.errors())
        return None


def out_of_bounds(instance: Any, where: str) -> list[str]:
    """A line for each field of a dataclass whose value breaks the bound that its type names."""
    problems: list[str] = []
    hints = hints_of(type(instance))
    for field in fields(instance):
        fitted(getattr(instance, field.name), hints[field.name], f"{where}.{field.name}", problems)
    return problems


def hints_of(kind: Any) -> Mapping[str, Any]:
    """The types of a class's or function's arguments, bounds included. Of a dataclass these are its fields, and each
    is looked up where its own class is written: a base may lie in another module."""
    own = kind.__init__ if inspect.isclass(kind) and not is_dataclass(kind) else kind
    return typing.get_type_hints(own, include_extras=True)


def _in_words(detail: ErrorDetails, where: str) -> str:
    key = where + "".join(f".{part}" for part in detail["loc"])
    words = _WORDS.get(detail["type"])
    said = f"{key} {words.format(**detail.get('ctx', {}))}" if words else f"{key}: {detail['msg'].lower()}"
    return f"{said} (got {detail['input']!r})"


def _hints(annotation: Any) -> list[str]:
    own = [entry.text for entry in getattr(annotation, "__metadata__", ()) if isinstance(entry, Hint)]
    return own + [text for inner in typing.get_args(annotation) for text in _hints(inner)]
