"""Plans how much is measured: which subjects share their rounds, the blocks of a round, and the time that it takes."""

from __future__ import annotations

from collections.abc import Collection, Mapping, Sequence
from dataclasses import dataclass, field

from pipeline.plan import MeasureSettings

LARGEST_GROUP = 40
"""The most models that are held in memory at once, beside the models that they are compared with."""
FEWEST_BLOCKS = 4
FEWEST_ROUNDS = 2
"""The fewest rounds that are measured whatever the budget says: one round has no interval."""
WORTH_CUTTING = 0.25
"""Blocks that together take less than this share of a round's start are not cut: that would save next to nothing."""
_VISIT_MS = 0.5
"""What a visit costs beside the calls: two messages over a pipe, and reading the worker's counters."""
_MS_PER_S = 1e3


@dataclass(frozen=True, slots=True, kw_only=True)
class Expected:
    """What measuring will take, judged by how long each subject's calls took in the first round's warm-up."""

    subjects: int
    """The number of models, hidden clones included."""
    blocks: int
    """The number of blocks a round."""
    full_blocks: int
    """The number of blocks a round if there were no budget."""
    rounds: tuple[int, int]
    """The fewest and the most rounds."""
    seconds: tuple[float, float]
    """The time of the fewest and of the most rounds."""

    def __str__(self) -> str:
        fewest, most = self.rounds
        low, high = (round(seconds) for seconds in self.seconds)
        rounds = f"{most}" if fewest == most else f"{fewest} to {most}"
        span = f"{high}" if low == high else f"{low} to {high}"
        return f"{self.subjects} models x {self.blocks} blocks x {rounds} rounds: about {span} s"


def expect(
    call_ms: Mapping[str, float], setup_s: float, settings: MeasureSettings, budget_s: float | None = None
) -> Expected:
    """Plan the rounds of subjects whose calls take ``call_ms``, if starting and loading all of them takes ``setup_s``.

    A budget first makes rounds shorter, so that as many as the first look needs fit into it, then fewer. Where starting
    takes most of a round, its blocks stay.
    """
    block_s = sum(_visit_ms(call, settings) for call in call_ms.values()) / _MS_PER_S
    full_blocks = blocks = blocks_per_round(list(call_ms.values()), settings)
    fewest, most = settings.looks[0], settings.looks[-1]
    if budget_s is not None:
        affordable = int((budget_s / fewest - setup_s) / block_s)
        nearly_free = int(WORTH_CUTTING * setup_s / block_s)
        blocks = min(blocks, max(affordable, nearly_free, FEWEST_BLOCKS))
    round_s = setup_s + blocks * block_s
    if budget_s is not None:
        most = max(FEWEST_ROUNDS, min(most, int(budget_s / round_s) + 1))
        fewest = min(fewest, most)
    return Expected(
        subjects=len(call_ms),
        blocks=blocks,
        full_blocks=full_blocks,
        rounds=(fewest, most),
        seconds=(fewest * round_s, most * round_s),
    )


def blocks_per_round(call_ms: Sequence[float], settings: MeasureSettings) -> int:
    """The number of blocks a round: fewer than ``settings.blocks`` for slow models, whose cells are longer, so that the
    timed part of a round stays the same.

    It is never below a third of ``settings.blocks``, nor below ``FEWEST_BLOCKS``: a p50 has an interval from ten calls
    a round on.
    """
    cells_ms = [
        call if settings.is_long(call) else max(settings.cell_ms, settings.min_calls * call) for call in call_ms
    ]
    blocks = round(settings.blocks * settings.cell_ms * len(cells_ms) / sum(cells_ms))
    return max(blocks, settings.blocks // 3, FEWEST_BLOCKS)


def _visit_ms(call_ms: float, settings: MeasureSettings) -> float:
    if settings.is_long(call_ms):
        return call_ms + _VISIT_MS
    # The last call overshoots by half its length, on average.
    timed_ms = max(settings.cell_ms + call_ms / 2, settings.min_calls * call_ms)
    untimed_ms = max(settings.untimed_ms + call_ms / 2, call_ms)
    return untimed_ms + timed_ms + _VISIT_MS


@dataclass(frozen=True, slots=True, kw_only=True)
class Room:
    """A device's memory, and how much of it each subject takes; an unknown amount counts as nothing."""

    free_bytes: int | None = None
    needed_bytes: Mapping[str, int] = field(default_factory=dict)


def groups(
    subjects: Sequence[str], references: Mapping[str, str], cloned: Collection[str], room: Room | None = None
) -> list[list[str]]:
    """Split a large set into groups of at most ``LARGEST_GROUP`` subjects that the device's memory holds together.

    Each group also has the subjects that its own are compared with, and ``cloned`` (which are loaded twice): these are
    measured in several groups. The batch sizes of a variant on a target stay together where they fit, so that they can
    be compared, and the groups are of about equal size.
    """
    shared = {references[key] for key in subjects if key in references} | set(cloned)
    own = [key for key in subjects if key not in shared]
    ladders: dict[str, list[str]] = {}
    for key in own:
        ladders.setdefault(key.rpartition("/")[0], []).append(key)
    space = room or Room()

    def needed(part: Sequence[str]) -> set[str]:
        return {*part, *cloned, *(references[key] for key in part if key in references)}

    def fits(part: Sequence[str], largest: int) -> bool:
        loaded = [*needed(part), *cloned]
        held = sum(space.needed_bytes.get(key, 0) for key in loaded)
        return len(part) <= largest and (space.free_bytes is None or held <= space.free_bytes)

    def packed(largest: int) -> list[list[str]]:
        parts: list[list[str]] = []
        for ladder in ladders.values():
            for piece in [ladder] if fits(ladder, largest) else [[key] for key in ladder]:
                if parts and fits([*parts[-1], *piece], largest):
                    parts[-1] += piece
                else:
                    parts.append([*piece])
        return parts

    parts = packed(LARGEST_GROUP)
    if len(parts) <= 1:
        return [list(subjects)]
    even = packed(-(-len(own) // len(parts)))
    found = [needed(part) for part in (even if len(even) == len(parts) else parts)]
    return [[key for key in subjects if key in group] for group in found]
