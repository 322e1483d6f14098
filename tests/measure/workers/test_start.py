import os
import signal
import subprocess
import sys
from collections.abc import Mapping, Sequence
from contextlib import ExitStack
from dataclasses import replace
from pathlib import Path
from typing import Literal

import pytest

from pipeline.errors import WorkerFailed
from pipeline.isolated.process import start_python
from pipeline.measure.cores import cores_for
from pipeline.measure.workers import template
from pipeline.measure.workers.process import Patience, Worker
from pipeline.measure.workers.start import FreshWorkers, started
from pipeline.measure.workers.template import Template
from pipeline.measure.workers.worker import Cell, Job, Load, Loaded, Timed
from tests.measure.fakes import FakeBackend, NotForkable, NotInstalled, gone, job

LOAD = Load(calls=2, warmup_ns=0)
CELL = Cell(untimed_ns=0, calls=3, cell_ns=0)
Start = Literal["fork", "spawn"]
STARTS = pytest.mark.parametrize("start", ["fork", "spawn"])
LINUX = pytest.mark.skipif(sys.platform != "linux", reason="reads /proc")


def up(worker: Worker | WorkerFailed) -> Worker:
    assert isinstance(worker, Worker), worker
    return worker


@STARTS
def test_a_worker_loads_and_times_its_model(start: Start, tmp_path: Path) -> None:
    with started({"a": job(tmp_path, call_ms=1.0)}, start) as workers:
        worker = up(workers["a"])
        loaded = worker.ask(LOAD)
        timed = worker.ask(CELL)
    assert isinstance(loaded, Loaded)
    assert loaded.first_ns >= 1_000_000
    assert isinstance(timed, Timed)
    assert len(timed.durations_ns) == 3
    assert timed.durations_ns.min() >= 1_000_000


@STARTS
def test_every_job_has_a_process_of_its_own(start: Start, tmp_path: Path) -> None:
    jobs = {name: job(tmp_path, name, pid_file=str(tmp_path / f"{name}.pid")) for name in "abc"}
    with started(jobs, start) as workers:
        for worker in workers.values():
            up(worker).ask(LOAD)
        pids = {int((tmp_path / f"{name}.pid").read_text()) for name in jobs}
    assert len(pids) == 3
    assert os.getpid() not in pids


@LINUX
@STARTS
def test_no_process_outlives_its_round(start: Start, tmp_path: Path) -> None:
    with started({"a": job(tmp_path, pid_file=str(tmp_path / "pid"))}, start) as workers:
        up(workers["a"]).ask(LOAD)
        pid = int((tmp_path / "pid").read_text())
    assert gone(pid)


@LINUX
@STARTS
def test_no_process_outlives_an_interrupt(start: Start, tmp_path: Path) -> None:
    def interrupted() -> None:
        with started({"a": job(tmp_path, pid_file=str(tmp_path / "pid"))}, start) as workers:
            up(workers["a"]).ask(LOAD)
            raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        interrupted()
    assert gone(int((tmp_path / "pid").read_text()))


@LINUX
@STARTS
def test_no_process_outlives_a_parent_that_is_killed(start: Start, tmp_path: Path) -> None:
    job(tmp_path, pid_file=str(tmp_path / "pid"))
    program = (
        "import sys, time\n"
        "from pathlib import Path\n"
        "from pipeline.measure.workers.start import started\n"
        "from pipeline.measure.workers.worker import Load\n"
        "from tests.measure.fakes import job\n"
        "folder = Path(sys.argv[1])\n"
        "with started({'a': job(folder, pid_file=str(folder / 'pid'))}, sys.argv[2]) as workers:\n"
        "    workers['a'].ask(Load(calls=1, warmup_ns=0))\n"
        "    print('ready', flush=True)\n"
        "    time.sleep(600)\n"
    )
    environment = {**os.environ, "PYTHONPATH": os.pathsep.join(sys.path), "TMPDIR": str(tmp_path)}
    arguments = [sys.executable, "-c", program, str(tmp_path), start]
    with subprocess.Popen(arguments, stdout=subprocess.PIPE, env=environment) as parent:
        assert parent.stdout is not None
        assert parent.stdout.readline() == b"ready\n"
        parent.kill()
    assert gone(int((tmp_path / "pid").read_text()))


@STARTS
def test_ctrl_c_is_left_to_the_parent(start: Start, tmp_path: Path) -> None:
    with started({"a": job(tmp_path, pid_file=str(tmp_path / "pid"))}, start) as workers:
        worker = up(workers["a"])
        worker.ask(LOAD)
        os.kill(int((tmp_path / "pid").read_text()), signal.SIGINT)
        assert len(worker.ask(CELL).durations_ns) == 3


@STARTS
def test_a_model_that_cannot_be_loaded_gives_its_reason_in_one_line(start: Start, tmp_path: Path) -> None:
    jobs = {"bad": job(tmp_path, "bad", refuse="no such operator\nat node 7"), "good": job(tmp_path, "good")}
    with started(jobs, start) as workers:
        with pytest.raises(WorkerFailed, match=r"^RuntimeError: no such operator$"):
            up(workers["bad"]).ask(LOAD)
        assert isinstance(up(workers["good"]).ask(LOAD), Loaded)


@STARTS
def test_a_worker_that_dies_tells_how_and_its_last_words(start: Start, tmp_path: Path) -> None:
    with started({"bad": job(tmp_path, "bad", die=True), "good": job(tmp_path, "good")}, start) as workers:
        with pytest.raises(WorkerFailed, match=r"^its process was ended by SIGKILL \(out of memory\?\): out of luck$"):
            up(workers["bad"]).ask(LOAD)
        with pytest.raises(WorkerFailed, match="its process"):
            up(workers["bad"]).ask(LOAD)
        assert isinstance(up(workers["good"]).ask(LOAD), Loaded)


@STARTS
def test_a_missing_runtime_is_the_reason_of_its_own_job_only(start: Start, tmp_path: Path) -> None:
    jobs = {"missing": job(tmp_path, backend=NotInstalled()), "there": job(tmp_path)}
    with started(jobs, start) as workers:
        assert str(workers["missing"]) == "ModuleNotFoundError: No module named 'fake_runtime'"
        assert isinstance(up(workers["there"]).ask(LOAD), Loaded)


def test_runtimes_that_cannot_be_forked_stand_beside_those_that_can(tmp_path: Path) -> None:
    jobs = {"spawned": job(tmp_path, backend=NotForkable()), "forked": job(tmp_path, backend=FakeBackend())}
    with started(jobs, "fork") as workers:
        assert list(workers) == ["spawned", "forked"]
        for worker in workers.values():
            assert len(_loaded(worker).ask(CELL).durations_ns) == 3


@LINUX
@STARTS
def test_a_worker_stays_on_its_cores(start: Start, tmp_path: Path) -> None:
    base = job(tmp_path, pid_file=str(tmp_path / "pid"))
    cores = cores_for([base.target])
    assert cores is not None
    pinned = Job(artifact=base.artifact, target=base.target, feed=base.feed, cores=cores)
    with started({"a": pinned}, start) as workers:
        _loaded(workers["a"])
        assert os.sched_getaffinity(int((tmp_path / "pid").read_text())) == set(cores)


def _loaded(worker: Worker | WorkerFailed) -> Worker:
    up(worker).ask(LOAD)
    return up(worker)


@LINUX
def test_the_next_rounds_processes_can_be_prepared_while_this_rounds_models_load(tmp_path: Path) -> None:
    jobs = {name: job(tmp_path, name, pid_file=str(tmp_path / f"{name}.pid")) for name in "ab"}
    parents = []
    with FreshWorkers("fork") as fresh:
        for _ in range(2):
            with fresh.started(jobs) as workers:
                with fresh.importing(jobs):
                    for worker in workers.values():
                        up(worker).ask(LOAD)
                pids = [int((tmp_path / f"{name}.pid").read_text()) for name in jobs]
                parents.append({_parent(pid) for pid in pids})
            assert all(map(gone, pids))
    assert [len(found) for found in parents] == [1, 1]
    assert parents[0] != parents[1]
    assert all(gone(pid) for found in parents for pid in found)


@LINUX
def test_a_prepared_process_for_other_jobs_is_not_used(tmp_path: Path) -> None:
    jobs = {name: job(tmp_path, name) for name in "ab"}
    with FreshWorkers("fork") as fresh:
        with fresh.importing({"a": jobs["a"]}):
            pass
        with fresh.started(jobs) as workers:
            assert list(workers) == ["a", "b"]
            assert len(_loaded(workers["b"]).ask(CELL).durations_ns) == 3


@LINUX
def test_a_prepared_process_serves_those_that_are_left(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """A subject that failed, or that a race has dropped, costs the next round no new imports."""
    dies = job(tmp_path, "c", die=True)
    jobs = {**{name: job(tmp_path, name) for name in "ab"}, "c": dies}
    with FreshWorkers("fork") as fresh:
        with fresh.importing(jobs):
            pass
        monkeypatch.setattr("pipeline.measure.workers.start.start_template", _no_other)
        with fresh.started({name: jobs[name] for name in "bc"}) as workers:
            assert list(workers) == ["b", "c"]
            assert len(_loaded(workers["b"]).ask(CELL).durations_ns) == 3
            with pytest.raises(WorkerFailed, match=r"its process was ended by SIGKILL.*: out of luck"):
                up(workers["c"]).ask(LOAD)
            assert not fresh.lost


def _no_other(jobs: Mapping[str, Job], stack: ExitStack) -> Template:
    raise AssertionError("the prepared process is not used")


@LINUX
def test_a_prepared_process_that_dies_does_not_hinder_the_next_round(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    jobs = {"a": job(tmp_path)}
    with FreshWorkers("fork") as fresh:
        with monkeypatch.context() as patched:
            patched.setattr(template, "start_python", _dead)
            with fresh.importing(jobs):
                pass
        with fresh.started(jobs) as workers:
            assert isinstance(up(workers["a"]).ask(LOAD), Loaded)


def _dead(module: str, log: Path, descriptors: Sequence[int] = ()) -> "subprocess.Popen[bytes]":
    process = start_python("this", log, descriptors)
    process.wait()
    return process


def _parent(pid: int) -> int:
    return int(Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()[1])


@STARTS
@pytest.mark.parametrize("odd", ["exit", "interrupt"])
def test_whatever_a_model_raises_is_its_reason(start: Start, tmp_path: Path, odd: str) -> None:
    with started({"odd": job(tmp_path, "odd", odd=odd), "good": job(tmp_path, "good")}, start) as workers:
        with pytest.raises(WorkerFailed, match=r"^(SystemExit: 3|KeyboardInterrupt)$"):
            up(workers["odd"]).ask(LOAD)
        assert isinstance(up(workers["good"]).ask(LOAD), Loaded)


@STARTS
@pytest.mark.parametrize("odd", ["hang", "stop"])
def test_a_worker_that_does_not_answer_is_ended(start: Start, tmp_path: Path, odd: str) -> None:
    with started({"odd": job(tmp_path, "odd", odd=odd), "good": job(tmp_path, "good")}, start) as workers:
        worker = replace(up(workers["odd"]), patience=Patience(least_s=0.3))
        with pytest.raises(WorkerFailed, match=r"^it gave no answer for 0\.3 s: limits\.seconds=SECONDS allows more$"):
            worker.ask(LOAD)
        with pytest.raises(WorkerFailed, match="its process was ended by SIGKILL"):
            worker.ask(LOAD)
        assert isinstance(up(workers["good"]).ask(LOAD), Loaded)


@STARTS
def test_a_worker_that_writes_what_is_no_message_is_ended(start: Start, tmp_path: Path) -> None:
    with started({"odd": job(tmp_path, "odd", odd="garbage"), "good": job(tmp_path, "good")}, start) as workers:
        with pytest.raises(WorkerFailed, match="its process said something that can't be read"):
            up(workers["odd"]).ask(LOAD)
        assert isinstance(up(workers["good"]).ask(LOAD), Loaded)


def test_slow_calls_are_waited_for() -> None:
    patience = Patience(least_s=10.0)
    patience.longest_s = 60.0
    assert patience.limit_s == 6000.0


@LINUX
def test_a_prepared_process_that_was_killed_is_replaced(tmp_path: Path) -> None:
    jobs = {"a": job(tmp_path)}
    with FreshWorkers("fork") as fresh:
        with fresh.importing(jobs):
            pass
        for pid in _templates():
            os.kill(pid, signal.SIGKILL)
        with fresh.started(jobs) as workers:
            assert isinstance(up(workers["a"]).ask(LOAD), Loaded)


@LINUX
def test_processes_that_can_not_be_started_are_the_reason_of_their_jobs(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(template, "start_python", _dead)
    jobs = {"forked": job(tmp_path), "spawned": job(tmp_path, backend=NotForkable())}
    with started(jobs, "fork") as workers:
        assert "the measuring processes can't be started" in str(workers["forked"])
        assert isinstance(up(workers["spawned"]).ask(LOAD), Loaded)


def _templates() -> list[int]:
    found = []
    for listing in Path("/proc/self/task").glob("*/children"):
        for pid in map(int, listing.read_text().split()):
            if b"pipeline.measure.workers.forking" in Path(f"/proc/{pid}/cmdline").read_bytes():
                found.append(pid)
    return found
