import os
from collections.abc import Mapping, Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from pipeline.measure import schedule
from pipeline.measure.exclusive import measuring
from pipeline.measure.group import Subject
from pipeline.measure.latency import Measured, measure_latency
from pipeline.measure.race import Differences, Dropped, Judge
from pipeline.plan import MeasureSettings
from tests.measure.fakes import FEEDS, gone, subject

BASE, CLONE = "base@fake/1", "clone:base@fake/1"
SHORT = MeasureSettings(
    looks=(3,), blocks=4, cell_ms=0.1, min_calls=3, untimed_ms=0.0, warmup_calls=1, warmup_ms=0.0, half_width=1e-12
)


def race(subjects: Sequence[Subject], judge: Judge, settings: MeasureSettings = SHORT, **more: Any) -> Measured:
    references = {found.key: BASE for found in subjects if found.key != BASE}
    return measure_latency(subjects, references, [BASE], FEEDS, settings, seed=1, judge=judge, **more)


def drops(after: Mapping[str, int]) -> Judge:
    """A judge that drops each key after so many rounds."""
    return lambda differences, rounds: {key: "too slow" for key, number in after.items() if rounds >= number}


def rounds_of(measured: Measured, key: str) -> list[int]:
    samples = measured.samples
    return [int(number) for number in np.unique(samples.round[samples.subject == samples.subjects.index(key)])]


@pytest.fixture
def three(tmp_path: Path) -> list[Subject]:
    return [subject(tmp_path, name) for name in ("base", "a", "b")]


def test_what_is_dropped_is_timed_no_more_and_keeps_its_samples(three: list[Subject]) -> None:
    found = race(three, drops({"a@fake/1": 1}))
    assert found.failures == {}
    assert found.dropped == {"a@fake/1": Dropped(rounds=1, reason="too slow")}
    assert {key: rounds_of(found, key) for key in found.samples.subjects} == {
        BASE: [0, 1, 2],
        CLONE: [0, 1, 2],
        "a@fake/1": [0],
        "b@fake/1": [0, 1, 2],
    }
    assert len(found.times["a@fake/1"].load_ms) == 1
    assert found.samples.stopped == "cap"


def test_a_race_ends_where_nothing_is_left_to_judge(three: list[Subject]) -> None:
    found = race(three, drops({"a@fake/1": 1, "b@fake/1": 2}))
    assert (found.samples.rounds, found.samples.stopped) == (2, "decided")
    assert {key: left.rounds for key, left in found.dropped.items()} == {"a@fake/1": 1, "b@fake/1": 2}


def test_a_reference_and_its_clone_are_never_dropped(three: list[Subject]) -> None:
    found = race(three, drops({BASE: 1, CLONE: 1, "nobody": 1, "a@fake/1": 2}))
    assert list(found.dropped) == ["a@fake/1"]
    assert rounds_of(found, BASE) == rounds_of(found, CLONE) == [0, 1, 2]


def test_the_judge_sees_every_block_so_far_of_what_still_races(three: list[Subject]) -> None:
    asked: list[tuple[int, dict[str, list[int]]]] = []

    def judge(differences: Differences, rounds: int) -> dict[str, str]:
        asked.append((rounds, {key: [len(part) for part in parts] for key, parts in differences.items()}))
        return {"a@fake/1": "too slow"} if rounds == 1 else {}

    race(three, judge)
    assert asked == [
        (1, {"a@fake/1": [4], "b@fake/1": [4], CLONE: [4]}),
        (2, {"b@fake/1": [4, 4], CLONE: [4, 4]}),
        (3, {"b@fake/1": [4, 4, 4], CLONE: [4, 4, 4]}),
    ]


def test_a_difference_is_above_0_for_a_faster_model(tmp_path: Path) -> None:
    subjects = [subject(tmp_path, "base", call_ms=2.0), subject(tmp_path, "a", call_ms=0.02)]
    found = race(subjects, drops({"a@fake/1": 2}))
    assert [len(part) for part in found.differences["a@fake/1"]] == [4, 4]
    assert np.median(np.concatenate(found.differences["a@fake/1"])) > 0


def test_what_fails_is_no_loss_to_the_race(tmp_path: Path) -> None:
    subjects = [subject(tmp_path, "base"), subject(tmp_path, "a", refuse="no such operator"), subject(tmp_path, "b")]
    found = race(subjects, drops({"a@fake/1": 1, "b@fake/1": 2}))
    assert list(found.failures) == ["a@fake/1"]
    assert list(found.dropped) == ["b@fake/1"]
    assert found.samples.rounds == 2


def test_a_race_of_failures_ends_after_its_round(tmp_path: Path) -> None:
    found = race([subject(tmp_path, "base"), subject(tmp_path, "a", refuse="broken")], drops({}))
    assert (found.samples.rounds, found.samples.stopped) == (1, "decided")


def test_without_a_judge_a_baseline_by_itself_is_timed_to_the_end(tmp_path: Path) -> None:
    found = measure_latency([subject(tmp_path, "base")], {}, [BASE], FEEDS, SHORT, seed=1)
    assert (found.samples.rounds, found.samples.stopped) == (3, "cap")


def test_a_large_race_is_run_in_groups(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(schedule, "LARGEST_GROUP", 2)
    subjects = [subject(tmp_path, name) for name in ("base", "a", "b", "c")]
    found = race(subjects, drops({"a@fake/1": 1, "b@fake/1": 1}))
    assert list(found.dropped) == ["a@fake/1", "b@fake/1"]
    assert [plan["rounds"] for plan in found.samples.plans] == [1, 3]
    assert [len(part) for part in found.differences["c@fake/1"]] == [4, 4, 4]


def test_a_race_ends_with_its_budget(three: list[Subject]) -> None:
    found = race(three, drops({}), replace(SHORT, looks=(9,), budget_s=1e-9))
    assert (found.samples.rounds, found.samples.stopped) == (2, "budget")


def test_while_a_race_is_run_nobody_else_measures(three: list[Subject]) -> None:
    others: list[list[str]] = []

    def judge(differences: Differences, rounds: int) -> dict[str, str]:
        # A process that is measuring already joins its own measuring: only another one is told to wait.
        assert os.environ.pop("SLIMLINE_MEASURES")
        try:
            with measuring(exclusive=False) as said:
                others.append(list(said))
        finally:
            os.environ["SLIMLINE_MEASURES"] = str(os.getpid())
        return {"a@fake/1": "too slow", "b@fake/1": "too slow"}

    race(three, judge)
    assert "measured at the same time" in " ".join(others[0])


@pytest.mark.parametrize("start", ["fork", "spawn"])
def test_a_race_that_is_interrupted_leaves_no_process(start: Any, tmp_path: Path) -> None:
    file = tmp_path / "pid"
    subjects = [subject(tmp_path, "base"), subject(tmp_path, "a", pid_file=str(file))]

    def judge(differences: Differences, rounds: int) -> dict[str, str]:
        raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        race(subjects, judge, replace(SHORT, start=start))
    assert gone(int(file.read_text()))
