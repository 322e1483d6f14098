"""A data set in the form that another process is given: the splits that it may read, as they were read here."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from contextlib import suppress
from dataclasses import dataclass

from pipeline.data.dataset import Dataset, Split, SplitName
from pipeline.errors import NoExamples, StageFailed


@dataclass(frozen=True, slots=True, kw_only=True)
class Handed:
    """A data set whose splits need no file, no second reading, and none of the code that made them."""

    name: str
    calibration_size: int
    class_names: Sequence[str]
    splits: Mapping[SplitName, Split]

    def split(self, name: SplitName) -> Split:
        """A split that was handed over; raises StageFailed for any other."""
        if name not in self.splits:
            raise StageFailed(f"it reads the split '{name}', which its class variable 'reads' does not name")
        return self.splits[name]


def handed(data: Dataset, whole: frozenset[SplitName], sampled: frozenset[SplitName], examples: int) -> Handed:
    """A data set with some splits whole, and with the first ``examples`` of others, where they have any."""
    splits = {name: data.split(name) for name in sorted(whole)}
    for name in sorted(sampled - whole):
        with suppress(NoExamples):
            splits[name] = data.split(name).take(0, examples)
    return Handed(
        name=data.name,
        calibration_size=data.calibration_size if "calibration" in splits else 0,
        class_names=tuple(data.class_names),
        splits=splits,
    )
