"""A process that holds one model, and times it or has it predict whenever it is told to.

Commands come in as lines of JSON, and answers go out as such lines. The parent waits for each answer, so only one
worker is ever at work.
"""

from __future__ import annotations

import ctypes
import gc
import json
import os
import signal
import sys
import time
from collections.abc import Callable, Iterator, Mapping
from contextlib import suppress
from importlib import import_module
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from pipeline.bundle.slimline_infer.threads import allowed_threads
from pipeline.bundle.slimline_infer.values import first_line
from pipeline.kit.device.feeds import Arrays, Feeds
from pipeline.kit.device.predict import predict
from pipeline.machine.counters import increase, major_faults, peak_resident_bytes, run_delay_ns

_LONG_CALLS = 2
"""So many calls warm up a model whose calls are long."""
_PR_SET_PDEATHSIG = 1


class Worker:
    """What a process keeps between two commands."""

    def __init__(self) -> None:
        """Nothing is imported or loaded yet."""
        self.folder: Path = Path()
        self.row: Mapping[str, Any] = {}
        self.inputs: list[Mapping[str, Any]] = []
        self.runtime: Any = None
        self.session: Any = None
        self.feeds: Feeds | None = None
        self.feed: Arrays = {}
        self.long = False

    def start(self, told: Mapping[str, Any]) -> dict[str, Any]:
        """Import the runtime, then keep to the cores: the workers of a round import side by side."""
        self.folder, self.row, self.inputs = Path(told["folder"]), told["row"], told["inputs"]
        self.runtime = import_module(f"{__package__}.on_{self.row['runtime']}")
        if told["cores"] and hasattr(os, "sched_setaffinity"):
            os.sched_setaffinity(0, told["cores"])
        return {}

    def load(self, told: Mapping[str, Any]) -> dict[str, Any]:
        """Load the model, run it once, warm it up; from then on the garbage collector rests."""
        threads, fewer = allowed_threads(self.runtime.wanted_threads(self.row["session"]))
        began = time.perf_counter_ns()
        self.session = self.runtime.Session(self.folder / self.row["model"], self.row["session"], threads)
        loaded = time.perf_counter_ns()
        self.feeds = Feeds(self.folder, self.inputs, self.session.inputs)
        self.feed = self.feeds.first(self.row["batch_size"])
        called = time.perf_counter_ns()
        self.session(self.feed)
        first = time.perf_counter_ns()
        warm = time_calls(self.session, self.feed, min(told["calls"], _LONG_CALLS), 0)
        self.long = told["long_ns"] is not None and min(warm, default=0) >= told["long_ns"]
        if not self.long:
            left = told["calls"] - len(warm), told["warmup_ns"] - sum(warm)
            warm += time_calls(self.session, self.feed, *left)
        gc.collect()
        gc.disable()
        return {
            "load_ns": loaded - began,
            "first_ns": first - called,
            "warm_ns": float(np.median(warm or [first - called])),
            "peak_bytes": peak_resident_bytes(),
            "fewer_threads": fewer,
        }

    def cell(self, told: Mapping[str, Any]) -> dict[str, Any]:
        """Time the model: untimed calls fill the caches, then ``calls`` or more until they took ``cell_ns``; a long
        call is timed alone."""
        delay, faults = run_delay_ns(), major_faults()
        if self.long:
            durations = time_calls(self.session, self.feed, 1, 0)
        else:
            time_calls(self.session, self.feed, 1 if told["untimed_ns"] else 0, told["untimed_ns"])
            durations = time_calls(self.session, self.feed, told["calls"], told["cell_ns"])
        return {
            "durations_ns": durations,
            "run_delay_ns": increase(delay, run_delay_ns()),
            "major_faults": increase(faults, major_faults()),
        }

    def predict(self, told: Mapping[str, Any]) -> dict[str, Any]:
        """Run the first examples, compare the first with the golden outputs, and keep the outputs in files."""
        threads, _ = allowed_threads(self.runtime.wanted_threads(self.row["session"]))
        self.session = self.runtime.Session(self.folder / self.row["model"], self.row["session"], threads)
        feeds = Feeds(self.folder, self.inputs, self.session.inputs)
        golden = self.row["golden"]
        return predict(
            self.session,
            feeds,
            self.row,
            Path(told["out"]),
            told["examples"],
            self.folder / golden if golden else None,
        )


def time_calls(call: Callable[[Arrays], list[NDArray[Any]]], feed: Arrays, calls: int, total_ns: int) -> list[int]:
    """Call until both ``calls`` and ``total_ns`` are reached; returns each call's duration in nanoseconds."""
    clock = time.perf_counter_ns
    durations: list[int] = []
    total = 0
    while total < total_ns or len(durations) < calls:
        began = clock()
        call(feed)
        duration = clock() - began
        durations.append(duration)
        total += duration
    return durations


def main() -> None:
    """Carry out commands until the parent closes its end. A command that fails is answered with the reason."""
    _follow_parent()
    answers = os.fdopen(os.dup(1), "w", encoding="utf-8")
    os.dup2(2, 1)  # what a library prints is no answer
    worker = Worker()
    for told in _commands():
        answers.write(json.dumps(_answer(worker, told)) + "\n")
        answers.flush()


def _commands() -> Iterator[dict[str, Any]]:
    for line in sys.stdin:
        yield json.loads(line)


def _answer(worker: Worker, told: Mapping[str, Any]) -> dict[str, Any]:
    try:
        answer: dict[str, Any] = getattr(worker, told["do"])(told)
        return answer
    except BaseException as error:  # noqa: BLE001  a runtime raises what it likes: the row's reason
        return {"failed": first_line(error)}


def _follow_parent() -> None:
    """Leave Ctrl-C to the parent, and end with it even if it ends without a word, where the system can do that."""
    signal.signal(signal.SIGINT, signal.SIG_IGN)
    if sys.platform == "linux":
        with suppress(AttributeError, OSError):
            ctypes.CDLL(None).prctl(_PR_SET_PDEATHSIG, signal.SIGKILL)
