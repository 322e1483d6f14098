import gc
import itertools
import os
import pickle
import struct
import sys
import threading
from collections.abc import Iterator
from dataclasses import replace
from itertools import repeat
from pathlib import Path
from typing import Any, ClassVar

import numpy as np
import pytest
from numpy.typing import NDArray

from pipeline.data.dataset import Feed
from pipeline.isolated.channel import Channel, Garbled
from pipeline.machine import counters
from pipeline.machine.counters import increase, run_delay_ns
from pipeline.measure.workers.worker import (
    Cell,
    DeviceTime,
    DeviceTimed,
    Failure,
    Load,
    Start,
    State,
    rest,
    serve,
    time_calls,
)
from tests.measure.fakes import FEEDS, NotInstalled, job


class Counting:
    def __init__(self) -> None:
        self.calls = 0

    def __call__(self, feed: Any) -> list[Any]:
        self.calls += 1
        return []


@pytest.fixture
def ends() -> Iterator[tuple[Channel, Channel]]:
    (here_read, there_write), (there_read, here_write) = os.pipe(), os.pipe()
    here, there = Channel.over(here_read, here_write), Channel.over(there_read, there_write)
    yield here, there
    here.close()
    there.close()


def test_messages_arrive_whole_and_in_order(ends: tuple[Channel, Channel]) -> None:
    here, there = ends
    for message in ("first", {"second": b"x" * 1000}):
        here.send(message)
    assert [there.receive(), there.receive()] == ["first", {"second": b"x" * 1000}]


def test_a_channel_whose_other_end_is_gone_says_so(ends: tuple[Channel, Channel]) -> None:
    here, there = ends
    there.close()
    with pytest.raises(EOFError):
        here.receive()
    with pytest.raises(BrokenPipeError):
        here.send("anyone?")


def test_a_message_that_was_cut_off_counts_as_the_end(ends: tuple[Channel, Channel]) -> None:
    here, there = ends
    whole = pickle.dumps(list(range(100)))
    there.writer.write(struct.pack("<IQ", 1, len(whole)) + whole[: len(whole) // 2])
    there.close()
    with pytest.raises(EOFError):
        here.receive()


def test_bytes_that_are_no_message_are_told(ends: tuple[Channel, Channel]) -> None:
    here, there = ends
    there.writer.write(b"garbage")
    there.writer.flush()
    with pytest.raises(Garbled):
        here.receive()


def test_a_message_that_does_not_come_in_time_is_not_waited_for(ends: tuple[Channel, Channel]) -> None:
    here, there = ends
    with pytest.raises(TimeoutError):
        here.receive(0.01)
    there.writer.write(struct.pack("<IQ", 1, 100) + b"the beginning")
    there.writer.flush()
    with pytest.raises(TimeoutError):
        here.receive(0.01)


def test_enough_calls_are_made_even_if_time_is_up() -> None:
    session = Counting()
    assert len(time_calls(session, repeat({}), calls=7, total_ns=0)) == session.calls == 7


def test_calls_go_on_until_time_is_up() -> None:
    durations = time_calls(Counting(), repeat({}), calls=1, total_ns=200_000)
    assert sum(durations) >= 200_000
    assert sum(durations[:-1]) < 200_000


def test_a_cell_makes_at_least_one_untimed_call_first(tmp_path: Path) -> None:
    session = Counting()
    timed = Cell(untimed_ns=1, calls=3, cell_ns=0)(State(job(tmp_path), session))
    assert session.calls == 1 + 3
    Cell(untimed_ns=0, calls=3, cell_ns=0)(State(job(tmp_path), session))
    assert session.calls == 1 + 3 + 3
    assert len(timed.durations_ns) == 3


def test_a_long_call_is_timed_alone_and_two_warm_it_up(tmp_path: Path) -> None:
    def calls(long_ns: int | None) -> tuple[int, int]:
        file = tmp_path / f"batches_{long_ns}"
        state = State(job(tmp_path, batches_file=str(file)))
        Load(calls=5, warmup_ns=0, long_ns=long_ns)(state)
        loaded = len(file.read_text())
        Cell(untimed_ns=1, calls=3, cell_ns=0)(state)
        return loaded // 2, (len(file.read_text()) - loaded) // 2

    try:
        assert calls(long_ns=None) == calls(long_ns=60_000_000_000) == (1 + 5, 1 + 3)
        assert calls(long_ns=0) == (1 + 2, 1)
    finally:
        gc.enable()


def test_calls_take_the_batches_in_turn_over_all_cells(tmp_path: Path) -> None:
    class Recording:
        seen: ClassVar[list[float]] = []

        def __call__(self, feed: Feed) -> list[NDArray[Any]]:
            self.seen.append(float(feed["x"][0, 0]))
            return []

    more = tuple({"x": np.full((1, 2), number, np.float32)} for number in (1, 2))
    state = State(replace(job(tmp_path), more=more), Recording())
    for calls in (2, 3):
        Cell(untimed_ns=0, calls=calls, cell_ns=0)(state)
    assert Recording.seen == [1, 2, 0, 1, 2]


class Lazy:
    """A session whose device takes a millisecond a run, and half of that to be told."""

    def __init__(self) -> None:
        self.asked = self.now_ns = self.waits = 0

    def __call__(self, feed: Feed) -> list[NDArray[Any]]:
        return []

    def resident(self, feed: Feed) -> "Lazy":
        return self

    def enqueue(self) -> None:
        self.asked += 1
        self.now_ns += 500_000

    def wait(self) -> None:
        self.now_ns += self.asked * 500_000
        self.asked = 0
        self.waits += 1


def test_device_time_waits_once_for_all_runs(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    session = Lazy()
    monkeypatch.setattr("time.perf_counter_ns", lambda: session.now_ns)
    state = State(job(tmp_path), session)
    found = DeviceTime(total_ns=50_000_000)(state)
    assert found == DeviceTimed(call_ns=1_000_000.0, enqueue_share=0.5)
    assert session.waits == 3, "to begin with, to see how long runs take, and for good"


def test_a_session_that_has_to_hand_over_has_no_device_time(tmp_path: Path) -> None:
    state = State(job(tmp_path), Counting())
    assert DeviceTime(total_ns=1)(state) is None


def test_a_worker_rests_until_its_idle_threads_stop_spinning() -> None:
    used = iter([0, 900_000, 900_000, 1_800_000, 1_800_000, 1_850_000])
    naps: list[float] = []
    rest(lambda: next(used), naps.append)
    assert naps == [0.001] * 3


def test_a_worker_does_not_wait_for_ever() -> None:
    used = itertools.count(step=1_000_000)
    naps: list[float] = []
    rest(lambda: next(used), naps.append)
    assert len(naps) == 50


def test_the_garbage_collector_rests_once_a_model_is_warm(tmp_path: Path) -> None:
    state = State(job(tmp_path))
    try:
        loaded = Load(calls=2, warmup_ns=0)(state)
        assert not gc.isenabled()
    finally:
        gc.enable()
    assert min(loaded.load_ns, loaded.first_ns, loaded.warm_ns) > 0
    assert state.loaded[1].feed is FEEDS[1]


def test_a_worker_answers_what_it_cannot_do_and_goes_on(ends: tuple[Channel, Channel], tmp_path: Path) -> None:
    here, there = ends
    worker = threading.Thread(target=serve, args=(there,))
    worker.start()
    answers = []
    for command in (
        Start(b"not a pickle"),
        Start(pickle.dumps(job(tmp_path, backend=NotInstalled()))),
        Cell(untimed_ns=0, calls=1, cell_ns=0),
        Start(pickle.dumps(job(tmp_path))),
    ):
        here.send(command)
        answers.append(here.receive())
    here.close()
    worker.join()
    assert all(isinstance(answer, Failure) and "\n" not in answer.reason for answer in answers[:3])
    assert answers[1].reason == "ModuleNotFoundError: No module named 'fake_runtime'"
    assert "in preload" in answers[1].trace
    assert answers[3] is None


@pytest.mark.skipif(sys.platform != "linux", reason="reads /proc")
def test_waiting_for_a_core_is_counted_over_all_threads() -> None:
    found = run_delay_ns()
    assert found is not None
    assert found >= 0


def test_a_thread_that_ends_while_it_is_read_leaves_the_others_counted(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    for thread, delay in (("1", "5"), ("2", "7")):
        (tmp_path / thread).mkdir()
        (tmp_path / thread / "schedstat").write_text(f"100 {delay} 1\n")
    (tmp_path / "3").mkdir()
    monkeypatch.setattr(counters, "_TASKS", tmp_path)
    assert run_delay_ns() == 12


def test_a_system_that_counts_no_waiting_is_unknown_and_not_zero(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    (tmp_path / "1").mkdir()
    monkeypatch.setattr(counters, "_TASKS", tmp_path)
    assert run_delay_ns() is None
    monkeypatch.setattr(counters, "_TASKS", tmp_path / "none")
    assert run_delay_ns() is None


def test_an_increase_is_known_only_where_both_counts_are() -> None:
    assert increase(3, 5) == 2
    assert increase(None, 5) is None
    assert increase(3, None) is None
    assert increase(5, 3) == 0, "a thread that ended took its share of the total with it"
