"""Whatever happens in another process is a result or a reason here."""

from __future__ import annotations

import ctypes
import logging
import os
import signal
import subprocess
import sys
import time
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from pipeline.errors import BackendUnavailable, UserError, WorkerFailed
from pipeline.isolated import Limits, run
from pipeline.isolated.run import Starter, fresh
from pipeline.isolated.template import Template


class Dumb(Exception):
    def __str__(self) -> str:
        raise ValueError("not even this")


class Unpicklable(Exception):
    def __init__(self) -> None:
        super().__init__("it holds a lambda")
        self.function = lambda: None


class Missing(BackendUnavailable):
    """A user's own kind of an error of ours, with arguments of its own."""

    def __init__(self, device: str, number: int) -> None:
        super().__init__(f"{device} {number} is missing")


def double(array: Any) -> Any:
    return array * 2


def talk(*, say: Any) -> str:
    logging.getLogger("pipeline.talk").warning("watch out")
    say(0.5)
    return "done"


def chatter(*, say: Any) -> None:
    while True:
        say(0.5)
        time.sleep(0.01)


def fall(how: str) -> Any:
    errors: dict[str, BaseException] = {
        "error": RuntimeError("\x1b[31mthe cause\x1b[0m\nand more"), "dumb": Dumb(), "unpicklable": Unpicklable(),
        "interrupt": KeyboardInterrupt(), "exit": SystemExit("so long"), "base": BaseException("odd"),
        "full": OSError(28, "no space", "/store/file"), "ours": UserError("one", "two"), "theirs": Missing("gpu", 3),
    }  # fmt: skip
    if how in errors:
        raise errors[how]
    if how == "result":
        return lambda: None
    if how == "os._exit":
        os._exit(0)
    if how == "abort":
        print("garbage", flush=True)  # noqa: T201
        os.write(2, b"terminate called: it broke\n")
        os.abort()
    if how == "segfault":
        ctypes.string_at(0)
    if how == "loop":
        while True:
            pass
    if how == "stop":
        os.kill(os.getpid(), signal.SIGSTOP)
    if how == "memory":
        return [bytearray(b"x" * 10**7) for _ in range(10**6)]
    raise AssertionError(how)


@pytest.fixture(scope="module")
def template() -> Iterator[Template]:
    with Template(modules=("numpy", "no_such_module")) as template:
        yield template


@pytest.fixture(params=["fresh", "forked"])
def start(request: pytest.FixtureRequest, template: Template) -> Starter:
    return fresh if request.param == "fresh" else template


def test_a_call_gives_its_result_and_arrays_come_whole(start: Starter) -> None:
    array = np.arange(200_000, dtype=np.float32)
    found = run(double, array, start=start)
    np.testing.assert_array_equal(found, array * 2)
    found[0] = 1.0  # what came back may be written to


def test_what_it_says_and_logs_is_heard(start: Starter, caplog: pytest.LogCaptureFixture) -> None:
    heard: list[float] = []
    assert run(talk, hear=heard.append, start=start) == "done"
    assert heard == [0.5]
    assert "watch out" in caplog.messages


@pytest.mark.parametrize(
    ("how", "reason"),
    [
        ("error", "RuntimeError: the cause"),
        ("dumb", "Dumb"),
        ("unpicklable", "Unpicklable: it holds a lambda"),
        ("interrupt", "KeyboardInterrupt"),
        ("exit", "SystemExit: so long"),
        ("base", "BaseException: odd"),
        ("os._exit", "its process ended with code 0"),
        ("abort", "its process was ended by SIGABRT: terminate called: it broke"),
        ("segfault", "its process was ended by SIGSEGV"),
        ("loop", "nothing was heard of it for 0.5 s: limits.seconds=SECONDS allows more"),
        ("stop", "nothing was heard of it for 0.5 s: limits.seconds=SECONDS allows more"),
        ("memory", "GB is the limit: limits.memory_gb=GIGABYTES allows more"),
        ("result", "lambda"),
    ],
)
def test_however_it_ends_there_is_a_reason(start: Starter, how: str, reason: str) -> None:
    seconds = 0.5 if how in ("loop", "stop") else 30.0
    with pytest.raises(WorkerFailed) as caught:
        run(fall, how, limits=Limits(seconds=seconds, memory_bytes=400 * 10**6), start=start)
    assert reason in str(caught.value)


def test_a_call_ends_when_its_time_is_over_however_much_it_says(start: Starter) -> None:
    limits = Limits(seconds=30.0, until=time.monotonic() + 1.0)
    with pytest.raises(WorkerFailed, match="the time for it was over"):
        run(chatter, limits=limits, hear=lambda message: None, start=start)


def test_errors_of_ours_are_raised_as_they_were(start: Starter) -> None:
    with pytest.raises(UserError) as caught:
        run(fall, "ours", start=start)
    assert caught.value.problems == ("one", "two")
    with pytest.raises(BackendUnavailable, match="gpu 3 is missing"):
        run(fall, "theirs", start=start)


def test_a_full_disk_is_raised_as_it_was(start: Starter) -> None:
    with pytest.raises(OSError, match="no space") as caught:
        run(fall, "full", start=start)
    assert (caught.value.errno, caught.value.filename) == (28, "/store/file")


def test_the_whole_text_is_in_the_log(start: Starter, caplog: pytest.LogCaptureFixture) -> None:
    caplog.set_level(logging.DEBUG, "pipeline")
    with pytest.raises(WorkerFailed):
        run(fall, "error", start=start)
    assert "and more" in caplog.text
    assert "in fall" in caplog.text


def test_a_call_that_can_not_be_sent_raises_here() -> None:
    with pytest.raises(WorkerFailed, match="can't be handed to another process"):
        run(lambda: None)


@pytest.mark.skipif(sys.platform != "linux", reason="a fork")
def test_a_template_that_was_killed_is_started_again() -> None:
    with Template() as template:
        first = run(os.getppid, start=template)
        os.kill(first, signal.SIGKILL)
        assert run(os.getppid, start=template) not in (first, os.getpid())


@pytest.mark.skipif(sys.platform != "linux", reason="a fork")
def test_a_template_that_has_begun_takes_the_calls_of_any_thread(monkeypatch: pytest.MonkeyPatch) -> None:
    with Template(modules=("numpy",)) as template, ThreadPoolExecutor(1) as pool:
        template.begin()
        monkeypatch.setattr("pipeline.isolated.template._start", None)  # no other is started
        parents = [pool.submit(run, os.getppid, start=template).result() for _ in range(2)]
    assert len(set(parents) - {os.getpid()}) == 1


@pytest.mark.skipif(sys.platform != "linux", reason="a fork")
def test_a_template_that_can_not_start_is_a_reason(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(sys, "path", [])
    cause = "can't be started: ModuleNotFoundError"
    with Template(("no_other_test_asks_for_it",)) as template, pytest.raises(WorkerFailed, match=cause):
        run(os.getppid, start=template)


@pytest.mark.skipif(sys.platform != "linux", reason="reads /proc")
def test_it_ends_with_its_parent(tmp_path: Path) -> None:
    program = (
        "import os, sys; from pipeline.isolated import run; from tests.isolated.test_run import note;"
        f" run(note, {str(tmp_path / 'pid')!r})"
    )
    with subprocess.Popen([sys.executable, "-c", program]) as parent:
        deadline = time.monotonic() + 60
        while not (tmp_path / "pid").exists() and time.monotonic() < deadline:
            time.sleep(0.02)
        parent.kill()
    child = int((tmp_path / "pid").read_text())
    while Path(f"/proc/{child}").exists() and time.monotonic() < deadline:
        time.sleep(0.02)
    assert not Path(f"/proc/{child}").exists()


def note(path: str) -> None:
    Path(f"{path}.new").write_text(str(os.getpid()))
    Path(f"{path}.new").replace(path)
    time.sleep(600)
