"""Figures with their intervals, and the verdict on an accuracy's, as the results hold them."""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import Literal

from pipeline.bounds import NotNegative, Positive, UpperEnd

AccuracyVerdict = Literal[
    "EQUAL", "IMPROVED", "NO MEANINGFUL DROP", "SMALL REAL DROP", "FAILS MARGIN", "DROP", "UNDECIDED"
]
Unit = Literal["percent", "number", "error"]
"""The unit in which a metric's figure is written: 0.9385 is ``93.85 %`` or ``0.9385``. An ``error`` is a number, and
less of it is better."""


def gain_sign(unit: Unit) -> Literal[1, -1]:
    """The sign that turns a rise of a figure into a gain: -1 where less of it is better."""
    return -1 if unit == "error" else 1


def written_scale(unit: Unit) -> Literal[1, 100]:
    """The factor between a figure and the number that is written: 100 for a percentage."""
    return 100 if unit == "percent" else 1


@dataclass(frozen=True, slots=True, kw_only=True)
class Ratio:
    """The ratio of two speeds or throughputs, with its interval and nothing else."""

    value: Positive
    low: NotNegative
    high: UpperEnd
    """The upper end of the interval; None in report.json where it has none."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Quantile:
    """A latency quantile, a share or a rate; its interval is over rounds, None where the samples do not support one."""

    value: NotNegative
    low: float | None = None
    high: float | None = None


def rounded_up(count: float) -> int:
    """A number with two significant figures, never below the given one: 501 gives 510, 12,345 gives 13,000."""
    step: int = 10 ** max(0, math.floor(math.log10(max(count, 1.0))) - 1)
    return math.ceil(count / step - 1e-9) * step
