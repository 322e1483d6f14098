"""The raw calls of a run, sorted into subjects, rounds and blocks."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from pipeline.results.record import CLONE, LatencySamples

_NS_PER_MS = 1e6


@dataclass(frozen=True, slots=True, kw_only=True)
class Cells:
    """The calls of one subject, without the blocks that were dropped."""

    log_median: dict[tuple[int, int], float]
    """The log of the median call of each (round, block): ratios are made of it."""
    calls_ms: list[NDArray[np.float64]]
    """All calls of each round, in milliseconds."""

    @property
    def all_ms(self) -> NDArray[np.float64]:
        """The calls of all rounds."""
        return np.concatenate(self.calls_ms)


def original(key: str) -> str:
    """The subject that a clone repeats; any other subject itself."""
    return key.removeprefix(CLONE)


def cells_by_subject(
    samples: LatencySamples, devices: Mapping[str, str], *, with_dropped: bool = False
) -> dict[str, Cells]:
    """Every subject that has calls left, clones too. ``devices`` names the device of each subject that counts, by key.

    Rounds and blocks are counted from 0 on each device, so a dropped block is dropped on the device that its entry in
    the telemetry names, and everywhere if it names none.
    """
    dropped = {
        (entry.get("device"), entry["round"], entry["block"])
        for entry in samples.telemetry
        if entry.get("dropped") is not None and not with_dropped
    }
    found = {}
    for index, key in enumerate(samples.subjects):
        device = devices.get(original(key))
        if device is None:
            continue
        gone = {(round_, block) for where, round_, block in dropped if where in (None, device)}
        cells = _cells(samples, index, gone)
        if cells.calls_ms:
            found[key] = cells
    return found


def _cells(samples: LatencySamples, index: int, dropped: set[tuple[int, int]]) -> Cells:
    mine = np.flatnonzero(samples.subject == index)
    order = mine[np.lexsort((samples.block[mine], samples.round[mine]))]
    rounds, blocks = samples.round[order], samples.block[order]
    starts = np.flatnonzero((np.diff(rounds) != 0) | (np.diff(blocks) != 0)) + 1
    log_median: dict[tuple[int, int], float] = {}
    by_round: dict[int, list[NDArray[np.float64]]] = {}
    for rows in np.split(order, starts) if len(order) else []:
        place = int(samples.round[rows[0]]), int(samples.block[rows[0]])
        if place in dropped:
            continue
        calls_ms = samples.duration_ns[rows] / _NS_PER_MS
        log_median[place] = float(np.log(np.median(calls_ms)))
        by_round.setdefault(place[0], []).append(calls_ms)
    return Cells(log_median=log_median, calls_ms=[np.concatenate(parts) for parts in by_round.values()])


def differences_by_round(subject: Cells, reference: Cells) -> list[NDArray[np.float64]]:
    """The differences of each round, the reference's log time less the subject's, for every block that has both: above
    0 is faster than the reference."""
    by_round: dict[int, list[float]] = {}
    for place in sorted(subject.log_median.keys() & reference.log_median.keys()):
        by_round.setdefault(place[0], []).append(reference.log_median[place] - subject.log_median[place])
    return [np.array(differences) for differences in by_round.values()]
