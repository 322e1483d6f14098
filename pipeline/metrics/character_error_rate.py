"""Character error rate."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import ClassVar

from pipeline.metrics.error_rate import ErrorRate


@dataclass(frozen=True, slots=True, kw_only=True)
class CharacterErrorRate(ErrorRate):
    """The errors in characters over the characters of the labels, spaces at both ends left out; of token numbers each
    is a character. Less is better, and labels are needed (``data.label_kind=texts``)."""

    name: ClassVar[str] = "character error rate"

    @staticmethod
    def units(text: str) -> Sequence[str]:
        """The characters."""
        return text.strip()
