"""One round: a fresh process for each row, loaded and warmed up, then visited block by block in random order."""

from __future__ import annotations

import math
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import numpy as np

from pipeline.kit.device.process import Process, WorkerFailed
from pipeline.kit.device.schedule import Row
from pipeline.kit.device.telemetry import block_telemetry, snapshot

REPEATED_SHARE = 0.25
"""At most this share of a round's blocks is timed again when a hard event spoilt them."""
_NS_PER_MS = 1_000_000


class Round:
    """The workers of a round. One that fails leaves it, and ``failures`` says why; the others go on."""

    def __init__(self, workers: dict[str, Process], settings: Mapping[str, Any], rng: np.random.Generator) -> None:
        """The processes are up, and have nothing to do yet."""
        self.workers, self.settings, self.rng = workers, settings, rng
        self.failures: dict[str, str] = {}
        self.cores: list[int] | None = None

    def start(self, folder: Path, rows: Mapping[str, Row], inputs: Sequence[Any], cores: list[int] | None) -> None:
        """Have all import their runtimes side by side, then wait for each."""
        self.cores = cores
        for key in list(self.workers):
            self._try(
                key,
                lambda worker, row=rows[key]: worker.tell(  # type: ignore[misc]
                    do="start", folder=str(folder), row=dict(row), inputs=list(inputs), cores=cores
                ),
            )
        for key in list(self.workers):
            self._try(key, Process.answer)

    def load(self) -> dict[str, dict[str, Any]]:
        """Load, run once and warm up every model, one after the other in random order: the first to load pays most."""
        settings = self.settings
        long_ms = settings["long_call_ms"]
        return self._ask_all(
            do="load",
            calls=settings["warmup_calls"],
            warmup_ns=math.ceil(settings["warmup_ms"] * _NS_PER_MS),
            long_ns=None if long_ms is None else math.ceil(long_ms * _NS_PER_MS),
        )

    def run(self, blocks: int, visited: Callable[[int], None]) -> list[tuple[dict[str, Any], dict[str, Any]]]:
        """Time ``blocks`` blocks, and some again if they were spoilt; a block is its cells and its telemetry."""
        found: list[tuple[dict[str, Any], dict[str, Any]]] = []
        most = blocks + math.ceil(REPEATED_SHARE * blocks)
        while self.workers and len(found) < most and sum(told["dropped"] is None for _, told in found) < blocks:
            found.append(self._block())
            visited(len(found))
        return found

    def _block(self) -> tuple[dict[str, Any], dict[str, Any]]:
        settings = self.settings
        before = snapshot()
        cells = self._ask_all(
            do="cell",
            untimed_ns=math.ceil(settings["untimed_ms"] * _NS_PER_MS),
            calls=settings["min_calls"],
            cell_ns=math.ceil(settings["cell_ms"] * _NS_PER_MS),
        )
        return cells, block_telemetry(before, snapshot(), list(cells.values()), self.cores)

    def _ask_all(self, **told: Any) -> dict[str, dict[str, Any]]:
        """The answers in the order in which they came, a random one, without those that had none."""
        keys = list(self.workers)
        found = {}
        for index in self.rng.permutation(len(keys)):
            answer = self._try(keys[index], lambda worker: worker.ask(**told))
            if answer is not None:
                found[keys[index]] = answer
        return found

    def _try(self, key: str, step: Callable[[Process], Any]) -> Any:
        if key not in self.workers:
            return None
        try:
            return step(self.workers[key])
        except WorkerFailed as failure:
            self.workers.pop(key).close()
            self.failures[key] = str(failure)
            return None


@contextmanager
def started(
    keys: Mapping[str, Row], settings: Mapping[str, Any], rng: np.random.Generator, limit_s: float
) -> Iterator[Round]:
    """A round with a process for each key, which end with the block, whatever ends it."""
    workers: dict[str, Process] = {}
    opened = []
    try:
        for key, row in keys.items():
            workers[key] = Process(stops=row["threads"] > 1, limit_s=limit_s)
            opened.append(workers[key])
        yield Round(workers, settings, rng)
    finally:
        for worker in opened:
            worker.close()
