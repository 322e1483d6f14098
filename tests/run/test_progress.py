"""What a run shows while it works, and what it says before."""

from __future__ import annotations

import io
import time
from dataclasses import replace
from pathlib import Path

import pytest
from rich.console import Console

from pipeline.plan import Variant
from pipeline.run import progress
from pipeline.run.build import builder
from pipeline.run.keys import Keys
from pipeline.run.outlook import Outlook, outlook
from pipeline.run.progress import ProgressDisplay
from tests.example import Scale, plan


@pytest.fixture(autouse=True)
def _drawn_at_once(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(progress, "REFRESH_S", 0.0)


@pytest.fixture
def file() -> io.StringIO:
    return io.StringIO()


@pytest.fixture
def console(file: io.StringIO) -> Console:
    return Console(file=file, width=120, force_terminal=True, color_system=None, legacy_windows=False)


def last_frame(file: io.StringIO) -> str:
    """What was drawn last."""
    frames = [line for line in file.getvalue().replace("\r", "\n").splitlines() if "%" in line]
    return frames[-1]


def test_a_step_that_never_ends_goes_when_the_next_one_begins(console: Console, file: io.StringIO) -> None:
    with ProgressDisplay(console) as display:
        display.step("fp16: convert", 0.0, "")
        file.truncate(0)
        display.step("static_int8: quantize", 0.5, "calibrating")
        drawn = file.getvalue()
    assert "static_int8: quantize" in drawn
    assert "fp16" not in drawn


def test_the_live_line_tells_the_time_that_is_left(console: Console, file: io.StringIO) -> None:
    with ProgressDisplay(console) as display:
        display.expect({"pruned: finetune": 100.0, "pruned: export": 20.0})
        display.step("pruned: finetune", 0.25, "epoch 1")
        assert "about 1 min 35 s left" in last_frame(file)
        display.expect({"latency on cpu": None})
        display.step("pruned: finetune", 0.5, "epoch 2")
        assert "at least 1 min 10 s left" in last_frame(file)
        display.step("pruned: finetune", 1.0, "100 s")
        display.expect({"latency on cpu": 60.0})
        display.step("pruned: export", 0.0, "")
        assert "about 1 min 20 s left" in last_frame(file)
        display.step("pruned: export", 1.0, "20 s")
        display.step("latency on cpu", 0.95, "")
        assert "left" not in last_frame(file)


def test_a_step_that_nobody_knows_tells_by_itself_how_long_it_takes(
    console: Console, file: io.StringIO, monkeypatch: pytest.MonkeyPatch
) -> None:
    now = 1000.0
    monkeypatch.setattr(time, "monotonic", lambda: now)
    with ProgressDisplay(console) as display:
        display.expect({"accuracy": None})
        display.step("accuracy", 0.0, "")
        now += 1.0
        display.step("accuracy", 0.04, "")
        assert "left" not in last_frame(file)
        now += 9.0
        display.step("accuracy", 0.25, "")
        assert "about 30.0 s left" in last_frame(file)
        display.expect({"proposed changes": None})
        display.step("accuracy", 0.25, "")
        assert "at least 30.0 s left" in last_frame(file)
        display.step("accuracy", 1.0, "")
        display.step("peaks", 0.0, "")
        now += 9.0
        display.step("peaks", 0.5, "")
        assert "left" not in last_frame(file)  # it is no part of what is known to come


def test_what_comes_behind_the_building_is_known_before(tmp_path: Path) -> None:
    chosen = plan(tmp_path, {"baseline": {}, "scaled": {"a": Scale()}})
    assert chosen.measure.explain == "none"
    assert outlook(chosen, Keys(plan=chosen)).measuring == ["latency on cpu", "accuracy"]
    whole = replace(chosen, measure=replace(chosen.measure, explain="all", map=True, try_s=30.0))
    expected = ["map", "latency on cpu", "accuracy", "proposed changes"]
    assert outlook(whole, Keys(plan=whole)).measuring == expected
    alone = replace(whole, variants={"baseline": whole.variants["baseline"]})
    assert outlook(alone, Keys(plan=alone)).measuring == expected[1:]


def test_a_pipe_gets_a_line_for_each_step_that_is_over() -> None:
    file = io.StringIO()
    with ProgressDisplay(Console(file=file, width=120)) as display:
        display.step("baseline: export", 0.5, "")
        display.step("baseline: export", 1.0, "2.0 s")
    assert file.getvalue() == "  baseline: export: 2.0 s\n"


def test_what_is_to_be_built_is_counted_once_and_timed_by_earlier_ones() -> None:
    parts = {"baseline: export": 61.0, "pruned: prune": None}
    told = Outlook(variants=2, targets=1, building=parts, measuring=["latency on cpu"], budget_s=240.0)
    assert str(told) == (
        "2 variants on 1 target: 2 models to build (about 1 min 1 s, going by earlier ones; not known for 1); then "
        "measuring, at most 4 min 0 s for the latencies"
    )
    assert told.parts == {**parts, "latency on cpu": None}


@pytest.mark.slow
def test_what_lies_in_the_store_is_not_to_be_built(tmp_path: Path) -> None:
    chosen = plan(tmp_path, {"baseline": {}, "scaled": {"a": Scale()}, "again": {"a": Scale()}})
    assert outlook(chosen, Keys(plan=chosen)).building == {"model linear": None, "scaled: a": None}
    with builder(chosen, lambda label, done, text: None) as making:
        making.build(chosen.variants["scaled"])
    assert outlook(chosen, Keys(plan=chosen)).building == {}
    changed = replace(chosen, variants={"scaled": Variant(name="scaled", stages={"a": Scale(by=3.0)})})
    [(label, seconds)] = outlook(changed, Keys(plan=changed)).building.items()
    assert label == "scaled: a"
    assert seconds is not None
