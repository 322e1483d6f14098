"""What DATA stands for, and the numbers that were typed behind it."""

from __future__ import annotations

import math
from collections.abc import Mapping
from contextlib import suppress
from dataclasses import dataclass

from pipeline.data.noise import InputShape


@dataclass(frozen=True, slots=True, kw_only=True)
class GivenData:
    """Data as it was typed."""

    words: tuple[str, ...] = ()
    """The settings that select it."""
    labelled: bool | None = None
    """Whether it has labels; None: that is not known before it is read."""
    inputs: Mapping[str, InputShape] | None = None
    """What it gives a model to read, without the batch; None: that is not known before it is read."""
    notes: tuple[str, ...] = ()
    """What the user may want to know before any work, a sentence each."""


def number(settings: Mapping[str, str], key: str, default: int) -> int:
    """The number that was typed; the default where none was, or what is no number: the configuration refuses that."""
    typed = settings.get(key, "")
    return int(typed) if typed.isdecimal() else default


def decimal(settings: Mapping[str, str], key: str) -> float | None:
    """The number that was typed; None where none was, or what is no number: the configuration refuses that."""
    with suppress(ValueError):
        typed = float(settings.get(key, "nan"))
        return typed if math.isfinite(typed) else None
    return None
