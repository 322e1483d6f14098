"""Collects the timed calls: the columns that are carried home, and the ratios that say when to stop."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np
from numpy.typing import NDArray

from pipeline.kit.device.estimate import Ratio, paired_ratio

COLUMNS = ("subject", "round", "block", "position", "duration_ns")
_NS_PER_MS = 1e6
Blocks = Sequence[tuple[Mapping[str, Any], dict[str, Any]]]


class Collected:
    """All rounds so far. Only the log of each cell's median call makes a ratio; every call is kept."""

    def __init__(self) -> None:
        """There are none yet."""
        self.names: dict[str, int] = {}
        self.parts: list[tuple[int, int, int, int, list[int]]] = []
        self.telemetry: list[dict[str, Any]] = []
        self.logs: list[list[dict[str, float]]] = []

    @property
    def rounds(self) -> int:
        """The number of rounds."""
        return len(self.logs)

    def add(self, blocks: Blocks, cores: Sequence[int] | None) -> None:
        """Take a round's blocks; ``cores`` are the ones that its workers ran on."""
        number = self.rounds
        for index, (cells, telemetry) in enumerate(blocks):
            place = {"round": number, "block": index, "device": "cpu", "cores": None if cores is None else list(cores)}
            self.telemetry.append({**telemetry, **place})
            for position, (key, cell) in enumerate(cells.items()):
                subject = self.names.setdefault(key, len(self.names))
                self.parts.append((subject, number, index, position, cell["durations_ns"]))
        kept = [cells for cells, telemetry in blocks if telemetry["dropped"] is None]
        self.logs.append(
            [{key: math.log(float(np.median(cell["durations_ns"]))) for key, cell in cells.items()} for cells in kept]
        )

    def ratio(self, key: str, reference: str, alpha: float) -> Ratio | None:
        """How many times as fast as its reference a row is; None where no block has both."""
        rounds = [
            np.array([cells[reference] - cells[key] for cells in blocks if key in cells and reference in cells])
            for blocks in self.logs
        ]
        rounds = [differences for differences in rounds if len(differences)]
        return paired_ratio(rounds, alpha) if rounds else None

    def median_ms(self, key: str) -> float | None:
        """The median of a row's calls; None where there are none."""
        subject = self.names.get(key)
        calls = [duration for part in self.parts if part[0] == subject for duration in part[4]]
        return float(np.median(calls)) / _NS_PER_MS if calls else None

    def columns(self) -> dict[str, NDArray[Any]]:
        """The columns of latency.npz, a row a call."""
        counts = [len(part[4]) for part in self.parts]
        found: dict[str, NDArray[Any]] = {
            name: np.repeat(np.array([part[place] for part in self.parts], np.int32), counts)
            for place, name in enumerate(COLUMNS[:-1])
        }
        calls = [np.array(part[4], np.int64) for part in self.parts]
        return {**found, COLUMNS[-1]: np.concatenate(calls) if calls else np.empty(0, np.int64)}
