"""Whole calls: which step a time belongs to, and which examples each row takes."""

from __future__ import annotations

import time
from collections.abc import Callable
from dataclasses import dataclass, replace
from functools import partial
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from pipeline.data.batches import Feed
from pipeline.measure.whole_call import BLOCKS, time_calls
from pipeline.measure.workers.call import STEPS, Call
from pipeline.plan import MeasureSettings
from tests.measure.fakes import job

SETTINGS = MeasureSettings(looks=(2, 3), min_calls=3, cell_ms=0.001, warmup_calls=0, warmup_ms=0.0)


@dataclass
class Clock:
    """A clock that stands still but where a step takes its time."""

    now: int = 0

    def __call__(self) -> int:
        return self.now

    def takes(self, nanoseconds: int, result: Any, *_: Any) -> Any:
        self.now += nanoseconds
        return result


def test_each_step_has_its_own_time_and_a_batch_adds_up(monkeypatch: pytest.MonkeyPatch) -> None:
    clock = Clock()
    monkeypatch.setattr(time, "perf_counter_ns", clock)
    made = Call(
        sources=["a", "b"],
        decode=partial(clock.takes, 1_000, None),
        prepare=partial(clock.takes, 20, {"x": np.zeros((1, 2))}),
        finish=partial(clock.takes, 7, None),
        size=3,
    )
    assert made.times(partial(clock.takes, 500, []), first=0) == (3_000, 60, 500, 7)
    nothing = replace(made, decode=None, finish=None)
    assert nothing.times(partial(clock.takes, 500, []), first=0) == (0, 60, 500, 0)


def test_a_batch_is_what_the_model_reads_of_the_examples_in_turn() -> None:
    fed: list[Feed] = []

    def session(feed: Feed) -> list[Any]:
        fed.append(feed)
        return []

    made = Call(sources=[0, 1, 2], decode=float, prepare=_prepared, finish=None, size=2)
    made.times(session, first=2)
    assert fed[0]["x"].tolist() == [[2.0], [0.0]]


def _prepared(number: float) -> Feed:
    return {"x": np.array([[number]])}


def _noted(file: Path, number: int) -> int:
    with file.open("a") as opened:
        opened.write(f"{number} ")
    return number


def test_rows_take_the_same_examples_and_one_that_fails_has_its_reason(tmp_path: Path) -> None:
    made = Call(sources=range(5), decode=None, prepare=_prepared, finish=None, size=1)
    decodes: dict[str, Callable[[int], int]] = {
        name: partial(_noted, tmp_path / f"{name}.txt") for name in ("base", "other")
    }
    jobs = {
        name: replace(job(tmp_path, name), call=replace(made, decode=decode))
        for name, decode in {**decodes, "broken": _broken}.items()
    }
    found = time_calls(jobs, SETTINGS, seed=0, progress=lambda done: None)
    assert list(found.failures) == ["broken"]
    assert "no picture" in found.failures["broken"]
    assert {key: np.shape(rounds) for key, rounds in found.rounds.items()} == dict.fromkeys(
        decodes, (2, BLOCKS, len(STEPS))
    )
    assert (tmp_path / "base.txt").read_text() == (tmp_path / "other.txt").read_text() != ""


def _broken(number: int) -> int:
    raise ValueError("there is no picture here")
