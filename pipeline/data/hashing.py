"""Divides one set of examples into splits, by the sha256 of each example."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, replace

from pipeline.data.dataset import Split, SplitName
from pipeline.errors import NoExamples
from pipeline.errors.names import unknown

SPLITS: tuple[SplitName, ...] = ("train", "validation", "calibration", "test")
FEWEST: Mapping[SplitName, int] = {"calibration": 8, "test": 20}
"""How many examples these splits get at least where the data set is small; calibration gets its share first."""
GIVES = ("train", "validation")
"""The splits that give examples to those."""
ACCURACY_FROM = 40
"""Below this number of different examples in all, accuracy is known only roughly."""
DEFAULT_FRACTIONS: Mapping[str, float] = {"test": 0.5, "train": 0.3, "calibration": 0.1, "validation": 0.1}


def check_fractions(fractions: Mapping[str, float]) -> None:
    """Raise ValueError for a split that does not exist, or for shares that are not valid."""
    others = sorted(set(fractions) - set(SPLITS))
    if others:
        raise ValueError(unknown(f"fractions.{others[0]}", others[0], SPLITS))
    if any(not 0 <= value <= 1 for value in fractions.values()) or sum(fractions.values()) > 1 + 1e-9:
        raise ValueError(f"fractions must lie between 0 and 1 and add up to at most 1 (got {dict(fractions)})")


def check_sizes(calibration_size: int, test_size: int | None) -> None:
    """Raise ValueError for sizes that are not valid."""
    if calibration_size < 0:
        raise ValueError(f"calibration_size must be at least 0 (got {calibration_size})")
    if test_size is not None and test_size < 1:
        raise ValueError(f"test_size must be at least 1 (got {test_size})")


def limited(split: Split, name: SplitName, calibration_size: int, test_size: int | None) -> Split:
    """The split with no more examples than were asked for."""
    limit = {"calibration": calibration_size, "test": test_size}.get(name)
    return split if limit is None else split.take(0, limit)


@dataclass(frozen=True, slots=True)
class Partition:
    """Which examples each split has."""

    positions: Mapping[str, list[int]]
    different: int
    """How many different examples there are, or different groups of examples that stay together."""
    what: str = "example"
    """What was divided: examples, or the groups by their name."""
    note: str | None = None
    """What to say where the splits could not have their fractions; None where they have them."""


def partition(hashes: list[str], fractions: Mapping[str, float], what: str = "example") -> Partition:
    """The positions of each split's examples; examples of one group have one hash, and ``what`` names the group.

    Sorted by hash, the first ``fractions.test`` of the distinct examples are test (in the order of ``fractions``), and
    so on: equal examples share a split, and the same examples always give the same splits. Where there are few
    examples, the calibration and test splits get more than their share (``split_sizes``).
    """
    by_hash: dict[str, list[int]] = {}
    for index, digest in enumerate(hashes):
        by_hash.setdefault(digest, []).append(index)
    ordered = [by_hash[digest] for digest in sorted(by_hash)]
    sizes = split_sizes(len(ordered), fractions)
    parts: dict[str, list[int]] = {name: [] for name in SPLITS}
    first = 0
    for name, size in sizes.items():
        parts[name] = [index for group in ordered[first : first + size] for index in group]
        first += size
    return Partition(parts, len(ordered), what, _note(sizes, fractions, len(ordered), len(hashes), what))


def split_sizes(count: int, fractions: Mapping[str, float]) -> dict[SplitName, int]:
    """How many of ``count`` different examples each split gets.

    Each split gets its fraction, unless calibration would then have fewer than 8 or test fewer than 20. Train and
    validation give the examples that these lack; calibration also takes from test, which keeps one example. Fewer than
    8 examples are not calibrated on. A split whose fraction is 0 gets none.
    """
    sizes = _by_fraction(count, fractions)
    if fractions.get("calibration", 0) > 0:
        _fill(sizes, "calibration", 0 if count < FEWEST["calibration"] else FEWEST["calibration"], [*GIVES, "test"])
    if fractions.get("test", 0) > 0:
        _fill(sizes, "test", FEWEST["test"], GIVES)
    return sizes


def _known(name: str) -> SplitName:
    return next(split for split in SPLITS if split == name)


def _by_fraction(count: int, fractions: Mapping[str, float]) -> dict[SplitName, int]:
    sizes: dict[SplitName, int] = {}
    start = 0.0
    for name, fraction in fractions.items():
        sizes[_known(name)] = round((start + fraction) * count) - round(start * count)
        start += fraction
    return sizes


def _fill(sizes: dict[SplitName, int], name: SplitName, wanted: int, givers: Sequence[str]) -> None:
    """Move examples into a split until it has ``wanted``; one that none are wanted for gives its own to test."""
    if not wanted:
        sizes["test"] = sizes.get("test", 0) + sizes[name]
        sizes[name] = 0
        return
    for giver in SPLITS:
        if giver in givers and giver in sizes and sizes[name] < wanted:
            given = min(wanted - sizes[name], sizes[giver] - (1 if giver == "test" else 0))
            sizes[giver] -= max(given, 0)
            sizes[name] += max(given, 0)


def _note(
    sizes: Mapping[SplitName, int], fractions: Mapping[str, float], different: int, examples: int, what: str
) -> str | None:
    if sizes == _by_fraction(different, fractions):
        return None
    among = "" if examples == different else f" among {examples}" if what == "example" else f" ({examples} examples)"
    shares = ", ".join(f"{size} {name}" for name, size in sizes.items() if size)
    lacking = [name for name, size in sizes.items() if not size and fractions[name] > 0]
    missing = f"; what reads {' or '.join(lacking)} is skipped" if lacking else ""
    rough = f"; accuracy is only known roughly with fewer than {ACCURACY_FROM}" if different < ACCURACY_FROM else ""
    has = f"the data has {different} different {what}{'s' if different > 1 else ''}{among}"
    return f"{has}, so its splits are {shares}{missing}{rough}"


@dataclass(frozen=True, slots=True, kw_only=True)
class Divided:
    """A data set whose examples are divided by hash."""

    fractions: Mapping[str, float] = field(default_factory=lambda: dict(DEFAULT_FRACTIONS))
    """The share of the examples that each split gets."""
    calibration_size: int = 512
    test_size: int | None = None
    """How many test examples to use, from the first on; None: all."""

    def __post_init__(self) -> None:
        check_sizes(self.calibration_size, self.test_size)
        check_fractions(self.fractions)

    def part(self, whole: Split, parts: Partition, name: SplitName, where: object) -> Split:
        """One split of ``whole``; raises NoExamples, with ``where`` the examples are from, where it gets none."""
        chosen = parts.positions[name]
        if not chosen:
            raise NoExamples(f"the {name} split has no examples: {_why_none(parts, self.fractions, name, where)}")
        notes = whole.notes if parts.note is None else (*whole.notes, parts.note)
        split = replace(whole.chosen(chosen), notes=notes)
        return limited(split, name, self.calibration_size, self.test_size)


def _why_none(parts: Partition, fractions: Mapping[str, float], name: SplitName, where: object) -> str:
    if not fractions.get(name):
        return f"data.fractions.{name} is 0"
    if name == "calibration":
        return f"it takes {FEWEST['calibration']} different {parts.what}s at least, and {where} has {parts.different}"
    return f"{where} has {parts.different}, too few for it beside calibration and test"
