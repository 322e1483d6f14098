"""A target whose idle threads spin is the only live worker while it is timed, and so is every other one."""

from __future__ import annotations

import os
import sys
import time
from collections.abc import Iterator
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from pipeline.backends.onnxruntime import OnnxRuntime
from pipeline.errors import WorkerFailed
from pipeline.measure.probe import probe_feed, write_probe
from pipeline.measure.rounds import Round
from pipeline.measure.workers.process import Worker
from pipeline.measure.workers.start import started
from pipeline.measure.workers.worker import Cell, Job, Load, State
from pipeline.plan import MeasureSettings, Target

pytestmark = pytest.mark.skipif(sys.platform != "linux", reason="reads /proc")

BLOCKS = 12
SETTINGS = MeasureSettings(looks=(3,), blocks=BLOCKS, cell_ms=6.0, untimed_ms=1.0)
TARGETS = {
    "one_thread": Target(name="one_thread", backend=OnnxRuntime()),
    "two_threads": Target(name="two_threads", backend=OnnxRuntime(), threads=2),
    "spinning": Target(name="spinning", backend=OnnxRuntime(), threads=2, session={"spinning": True}),
    "parallel": Target(
        name="parallel",
        backend=OnnxRuntime(),
        threads=2,
        session={"spinning": True, "execution_mode": "parallel"},
    ),
}


@dataclass(frozen=True, slots=True)
class Pid:
    """Which process is it?"""

    def __call__(self, state: State) -> int:
        return os.getpid()


def cpu_ns(pid: int) -> int:
    """The processor time that a process's threads have used so far."""
    total = 0
    for task in Path(f"/proc/{pid}/task").iterdir():
        with suppress(FileNotFoundError):  # a thread that ends meanwhile
            total += int((task / "schedstat").read_text().split()[0])
    return total


def state_of(pid: int) -> str:
    """Such as S (it waits) and T (it is stopped); X where there is no such process."""
    try:
        state = Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()[0]
    except OSError:
        return "X"
    return "X" if state == "Z" else state


def becomes(pid: int, state: str) -> bool:
    """Wait for it; the test would hang for a while, not fail, on a machine that is only slow."""
    for _ in range(600):
        if state_of(pid) == state:
            return True
        time.sleep(0.05)
    return False


@dataclass(slots=True)
class Watched:
    """A worker; what the other ones use of the processor while it times a cell is added up. Those with a pool
    have to be stopped then; a loaded machine may take its time for that."""

    worker: Worker
    others: list[int]
    with_pools: list[int]
    used_ns: int = 0

    def ask(self, command: Any) -> Any:
        if isinstance(command, Cell):
            assert all(becomes(pid, "T") for pid in self.with_pools)
        before = sum(map(cpu_ns, self.others))
        answer = self.worker.ask(command)
        if isinstance(command, Cell):
            self.used_ns += sum(map(cpu_ns, self.others)) - before
        return answer


@pytest.fixture(params=["fork", "spawn"])
def workers(request: pytest.FixtureRequest, tmp_path: Path) -> Iterator[dict[str, Worker]]:
    """A worker a target."""
    artifact = write_probe(tmp_path / "probe")
    jobs = {name: Job(artifact=artifact, target=target, feed=probe_feed()) for name, target in TARGETS.items()}
    with started(jobs, request.param) as found:
        yield {name: worker for name, worker in found.items() if not isinstance(worker, WorkerFailed)}


def test_the_other_workers_use_no_processor_time_while_a_cell_is_timed(workers: dict[str, Worker]) -> None:
    """Without being stopped, they used a fifth of it: ONNX Runtime's idle threads spin for some 70 ms."""
    pids = {name: worker.ask(Pid()) for name, worker in workers.items()}
    watched = {
        name: Watched(
            worker,
            [pid for other, pid in pids.items() if other != name],
            [pid for other, pid in pids.items() if other != name and workers[other].pid is not None],
        )
        for name, worker in workers.items()
    }
    current = Round(workers=watched, failures={}, settings=SETTINGS)  # type: ignore[arg-type]
    rng = np.random.default_rng(0)
    current.load(rng)
    blocks = current.run(BLOCKS, rng, lambda done: None)
    timed_ns = sum(int(cell.durations_ns.sum()) for block in blocks for cell in block.cells.values())
    assert set(current.workers) == set(TARGETS), current.failures
    # Without the stop it is 22 %.
    assert sum(worker.used_ns for worker in watched.values()) < 0.05 * timed_ns


def test_a_worker_with_a_pool_is_stopped_while_it_has_nothing_to_do(workers: dict[str, Worker]) -> None:
    pids = {name: worker.ask(Pid()) for name, worker in workers.items()}
    assert {name: worker.pid for name, worker in workers.items()} == {**pids, "one_thread": None}
    assert becomes(pids["spinning"], "T")
    assert becomes(pids["one_thread"], "S")
    workers["spinning"].tell(Load(calls=1, warmup_ns=200_000_000))
    assert state_of(pids["spinning"]) != "T"
    workers["spinning"].answer()
    assert becomes(pids["spinning"], "T")


def test_stopped_workers_end_with_the_round(tmp_path: Path) -> None:
    job = Job(artifact=write_probe(tmp_path / "probe"), target=TARGETS["spinning"], feed=probe_feed())
    for start in ("fork", "spawn"):
        with started({"a": job}, start) as found:
            worker = found["a"]
            assert isinstance(worker, Worker)
            pid = worker.ask(Pid())
            assert becomes(pid, "T")
        assert becomes(pid, "X")
