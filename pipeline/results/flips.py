"""The findings about flipped examples, as types (a part of report.json)."""

from __future__ import annotations

from dataclasses import dataclass

from pipeline.bounds import Counted, Nonempty, Share, Whole


@dataclass(frozen=True, slots=True, kw_only=True)
class ClassFlips:
    """The examples of one class that only one of the two models gets right."""

    label: Nonempty
    gained: Whole
    """Only the variant gets so many right."""
    lost: Whole
    """Only the baseline gets so many right."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Confusion:
    """Examples of one class that both models answer, each in its own way."""

    label: Nonempty
    before: Nonempty
    """The class that the baseline tells."""
    after: Nonempty
    """The class that the variant tells."""
    count: Counted


@dataclass(frozen=True, slots=True, kw_only=True)
class Flip:
    """One example that the two models answer differently."""

    example: Whole
    """Its place in the test split, from 0."""
    label: Nonempty
    before: Nonempty
    after: Nonempty
    before_sure: Share | None = None
    """The probability that the baseline gives its answer; None where it tells none."""
    after_sure: Share | None = None
    """The probability that the variant gives its own."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Flips:
    """What a variant on a target answers differently than the baseline, where labels tell which of them is right."""

    variant: Nonempty
    target: Nonempty
    gained: Whole
    lost: Whole
    wrong_in_both: Whole
    """Both are wrong, and in different ways."""
    classes: list[ClassFlips]
    """The classes with such examples, those that lose most first."""
    confusions: list[Confusion]
    """What changed most often first; at most ``MOST`` of them."""
    examples: list[Flip]
    """At most ``MOST`` of the examples, lost ones first."""


MOST = 20
