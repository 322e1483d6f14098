"""A data set whose train share is tested on too, for a run in which nothing trains."""

from __future__ import annotations

from dataclasses import dataclass, replace

from pipeline.data.dataset import Dataset, Split, SplitName
from pipeline.data.fitted import Around
from pipeline.errors import NoExamples


@dataclass(frozen=True, slots=True, kw_only=True)
class Widened(Around):
    """The data set ``data``, whose test split has the examples of its train split behind its own, up to its
    ``test_size``.

    A note of the split tells how many these are. The other splits stay as they are.
    """

    def split(self, name: SplitName) -> Split:
        """Read one split; raises the data set's own errors."""
        split = self.data.split(name)
        return _with_more(split, self._train(split)) if name == "test" else split

    def _train(self, test: Split) -> Split | None:
        """The train examples for which the test split has room; None where there are none."""
        limit = getattr(self.data, "test_size", None)
        try:
            train = self.data.split("train")
        except NoExamples:
            return None
        return train if limit is None else train.take(0, max(limit - len(test), 0))


def widened(data: Dataset) -> Dataset:
    """The data set, tested on its train share too where one set of examples is divided by ``fractions``; one that has
    splits of its own stays as it is."""
    divided = getattr(data, "fractions", None) and not getattr(data, "own_splits", False)
    return Widened(data=data) if divided else data


def _with_more(test: Split, train: Split | None) -> Split:
    if train is None or not len(train):
        return test
    examples = f"{len(train):,} example{'s' if len(train) > 1 else ''}"
    note = f"no stage trains, so the train share ({examples}) is tested on too"
    return replace(test.followed_by(train), notes=(*test.notes, note))
