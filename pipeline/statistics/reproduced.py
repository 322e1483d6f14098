"""Is a figure the one that was measured before, or elsewhere? The two were measured apart: nothing here is paired."""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import Protocol


class Measured(Protocol):
    """A figure with its interval, of whatever kind."""

    @property
    def value(self) -> float:
        """The figure."""

    @property
    def low(self) -> float:
        """The interval's lower end."""

    @property
    def high(self) -> float:
        """The interval's upper end."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Figure:
    """A figure with its interval."""

    value: float
    low: float
    high: float


def difference(here: Measured, there: Measured) -> Figure:
    """``here`` less ``there``, with the interval that follows from the two figures' own.

    It recovers the variances at the ends that matter, so it fits intervals that are not symmetric; of two of Wilson's
    it is Newcombe's tenth method. Sources: Newcombe 1998, "Interval estimation for the difference between independent
    proportions", Statistics in Medicine 17:873-890; Zou & Donner 2008, "Construction of confidence limits about effect
    measures", Statistics in Medicine 27:1693-1702.
    """
    value = here.value - there.value
    below = math.hypot(here.value - here.low, there.high - there.value)
    above = math.hypot(here.high - here.value, there.value - there.low)
    return Figure(value=value, low=value - below, high=value + above)


def ratio(here: Measured, there: Measured) -> Figure:
    """``here`` over ``there``, in the same way from the logs; figures are above 0."""
    found = difference(_log(here), _log(there))
    return Figure(value=math.exp(found.value), low=math.exp(found.low), high=math.exp(found.high))


def _log(figure: Measured) -> Figure:
    return Figure(value=math.log(figure.value), low=math.log(figure.low), high=math.log(figure.high))
