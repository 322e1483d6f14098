"""One round: fresh workers, each loaded and warmed up, then visited block by block in random order."""

from __future__ import annotations

import logging
import math
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Any

import numpy as np

from pipeline.errors import WorkerFailed
from pipeline.machine.card import Card
from pipeline.measure.telemetry import block_telemetry, snapshot
from pipeline.measure.workers.process import Worker
from pipeline.measure.workers.worker import Cell, Command, DeviceTime, DeviceTimed, Load, Loaded, Timed
from pipeline.plan import MeasureSettings

logger = logging.getLogger(__name__)

REPEATED_SHARE = 0.25
"""At most this share of a round's blocks is timed again when a hard event spoilt them."""
_NS_PER_MS = 1_000_000
_DEVICE_NS = 50 * _NS_PER_MS
_SLICE_NS = 100 * _NS_PER_MS
_MOST_SLICES = 30
_STEADY_SLICES, _STEADY = 4, 0.01
"""A graphics card's clock stands still once so many readings, a slice apart, differ by so small a share."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Block:
    """A visit to every worker: the calls of each, in the order in which they were visited."""

    cells: Mapping[str, Timed]
    telemetry: dict[str, Any]

    @property
    def dropped(self) -> bool:
        """Whether a hard event spoilt it."""
        return self.telemetry["dropped"] is not None


@dataclass(slots=True)
class Round:
    """The workers of a round. One that fails leaves it, and ``failures`` says why; the others go on."""

    workers: dict[str, Worker]
    failures: dict[str, str]
    settings: MeasureSettings
    card: Card | None = None
    """The graphics card that is timed on, where NVML tells of it."""
    cores: tuple[int, ...] | None = None
    """The cores that the workers run on; None: not known."""

    @staticmethod
    def of(
        started: Mapping[str, Worker | WorkerFailed],
        settings: MeasureSettings,
        card: Card | None = None,
        cores: tuple[int, ...] | None = None,
    ) -> Round:
        """A round of processes that were started, some of them in vain."""
        return Round(
            workers={key: worker for key, worker in started.items() if isinstance(worker, Worker)},
            failures={key: str(worker) for key, worker in started.items() if isinstance(worker, WorkerFailed)},
            settings=settings,
            card=card,
            cores=cores,
        )

    def load(self, rng: np.random.Generator) -> dict[str, Loaded]:
        """Load, run once and warm up every model, one after the other in random order, because the first to load pays
        most."""
        settings = self.settings
        command = Load(
            calls=settings.warmup_calls,
            warmup_ns=math.ceil(settings.warmup_ms * _NS_PER_MS),
            long_ns=None if settings.long_call_ms is None else math.ceil(settings.long_call_ms * _NS_PER_MS),
        )
        found: dict[str, Loaded] = self.ask_all(command, rng)
        if self.card is not None:
            self._settle(self.card)
        return found

    def _settle(self, card: Card) -> None:
        """Keep the card busy until its clock stands still: an idle one clocks down, and takes its time to come back."""
        clocks: list[int] = []
        busy = Cell(untimed_ns=0, calls=1, cell_ns=_SLICE_NS)
        for _ in range(_MOST_SLICES):
            key = next(iter(self.workers), None)
            if key is None:
                return
            self._ask(key, busy)
            clocks.append(card.state().sm_clock_mhz or 0)
            last = clocks[-_STEADY_SLICES:]
            if len(last) == _STEADY_SLICES and max(last) - min(last) <= _STEADY * max(last):
                return

    def run(self, blocks: int, rng: np.random.Generator, visited: Callable[[int], None]) -> list[Block]:
        """Time ``blocks`` blocks, and some again if they were spoilt; ``visited`` is told the number done.

        Nothing but the visited worker runs: the parent waits for its answer, and reads the machine's counters only
        between blocks.
        """
        found: list[Block] = []
        repeats = math.ceil(REPEATED_SHARE * blocks)
        while self.workers and sum(not block.dropped for block in found) < blocks and len(found) < blocks + repeats:
            found.append(self._block(rng))
            visited(len(found))
        return found

    def device_times(self, rng: np.random.Generator) -> dict[str, DeviceTimed | WorkerFailed]:
        """The time that each model's runs take on an accelerator by themselves, in random order; or why that is not
        known.

        A round's workers do this last. One that can't do it keeps its other times.
        """
        return self.ask_all(DeviceTime(total_ns=_DEVICE_NS), rng, failing=False)

    def _block(self, rng: np.random.Generator) -> Block:
        settings = self.settings
        command = Cell(
            untimed_ns=math.ceil(settings.untimed_ms * _NS_PER_MS),
            calls=settings.min_calls,
            cell_ns=math.ceil(settings.cell_ms * _NS_PER_MS),
        )
        before = snapshot(self.card)
        cells: dict[str, Timed] = self.ask_all(command, rng)
        after = snapshot(self.card)
        return Block(cells=cells, telemetry=block_telemetry(before, after, list(cells.values()), self.cores))

    def ask_all(self, command: Command, rng: np.random.Generator, *, failing: bool = True) -> dict[str, Any]:
        """The answers in the order in which they came, a random one, without those that had none.

        A worker that fails leaves the round; its failure is its answer where that is not ``failing`` the row.
        """
        found = {}
        keys = list(self.workers)
        for index in rng.permutation(len(keys)):
            answer = self._ask(keys[index], command, failing=failing)
            if answer is not None:
                found[keys[index]] = answer
        return found

    def _ask(self, key: str, command: Command, *, failing: bool = True) -> Any:
        try:
            return self.workers[key].ask(command)
        except WorkerFailed as failure:
            logger.debug("%s leaves the round: %s", key, failure)
            del self.workers[key]
            if not failing:
                return failure
            self.failures[key] = str(failure)
            return None
