"""Collects the calls of a run as they come in: the columns that are recorded, and the ratios that say when to stop."""

from __future__ import annotations

from collections.abc import Container, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

import numpy as np
from numpy.typing import NDArray

from pipeline.measure.rounds import Block
from pipeline.results.record import LatencySamples, Stopped
from pipeline.statistics.latency import Estimate, paired_ratio


@dataclass(slots=True)
class Collected:
    """All blocks so far. Only the log of each cell's median call is used; every call is kept."""

    device: str
    rounds: list[list[Block]] = field(default_factory=list)
    _log_medians: list[list[dict[str, float]]] = field(default_factory=list)

    def add(self, blocks: list[Block], cores: tuple[int, ...] | None) -> None:
        """Take a round's blocks; ``cores`` are the cores that its workers ran on."""
        number = len(self.rounds)
        for index, block in enumerate(blocks):
            place = {"round": number, "block": index, "device": self.device}
            block.telemetry.update(place, cores=None if cores is None else list(cores))
        self.rounds.append(blocks)
        self._log_medians.append(
            [
                {key: float(np.log(np.median(timed.durations_ns))) for key, timed in block.cells.items()}
                for block in blocks
                if not block.dropped
            ]
        )

    def differences(self, pairs: Mapping[str, str]) -> dict[str, list[NDArray[np.float64]]]:
        """The log-ratios of each subject's blocks so far, log(its reference's median call) - log(its own): an array for
        each round in which both were measured in the same blocks. A subject without such a round is left out."""
        found = {}
        for key, reference in pairs.items():
            rounds = [
                np.array([cells[reference] - cells[key] for cells in blocks if key in cells and reference in cells])
                for blocks in self._log_medians
            ]
            if any(len(differences) for differences in rounds):
                found[key] = [differences for differences in rounds if len(differences)]
        return found

    def estimates(self, pairs: Mapping[str, str], alpha: float) -> dict[str, Estimate]:
        """The speed-up of each subject over its reference so far, where both were measured in the same blocks."""
        return {key: paired_ratio(rounds, alpha) for key, rounds in self.differences(pairs).items()}

    def samples(
        self, failed: Container[str], stopped: Stopped, seconds: float, plans: Sequence[dict[str, Any]] = ()
    ) -> LatencySamples:
        """All samples in their recorded form, without the subjects that failed on the way."""
        names: dict[str, int] = {}
        parts: list[tuple[int, int, int, int, NDArray[np.int64]]] = []
        telemetry: list[dict[str, Any]] = []
        for number, blocks in enumerate(self.rounds):
            for index, block in enumerate(blocks):
                telemetry.append(block.telemetry)
                for position, (key, timed) in enumerate(block.cells.items()):
                    if key not in failed:
                        subject = names.setdefault(key, len(names))
                        parts.append((subject, number, index, position, timed.durations_ns))
        counts = [len(part[4]) for part in parts]
        columns = [np.repeat(np.array([part[column] for part in parts], np.int32), counts) for column in range(4)]
        return LatencySamples(
            subjects=list(names),
            subject=columns[0],
            round=columns[1],
            block=columns[2],
            position=columns[3],
            duration_ns=np.concatenate([part[4] for part in parts]) if parts else np.empty(0, np.int64),
            telemetry=telemetry,
            rounds=len(self.rounds),
            stopped=stopped,
            seconds=seconds,
            plans=list(plans),
        )
