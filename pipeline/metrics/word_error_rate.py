"""Word error rate."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import ClassVar

from pipeline.metrics.error_rate import ErrorRate


@dataclass(frozen=True, slots=True, kw_only=True)
class WordErrorRate(ErrorRate):
    """The errors in words (what stands between spaces) over the words of the labels; of token numbers each is a word.
    Less is better, and labels are needed (``data.label_kind=texts``).

    Source: Morris et al. 2004, "From WER and RIL to MER and WIL".
    """

    name: ClassVar[str] = "word error rate"

    @staticmethod
    def units(text: str) -> Sequence[str]:
        """The words."""
        return text.split()
