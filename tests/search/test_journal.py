"""The journal of a search: what has ended stays, what was stopped in the middle waits again."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import pytest

from pipeline.errors.contained import RAISING
from pipeline.results.search import Drift, ScreenedSpeed, SearchTrial
from pipeline.search.journal import Journal

TRIAL = SearchTrial(
    variant="int8",
    target="ort",
    chain="int8",
    changes=[],
    ending="kept",
    reason=None,
    speed=ScreenedSpeed(value=2.0, low=1.9, high=2.1, rounds=3),
    drift=Drift(
        delta=-0.01, low=-0.02, high=0.0, n=200, flips=3, margin=0.01, verdict="UNDECIDED", decidable=False, needed=900
    ),
)


def journal(folder: Path) -> Journal:
    opened = Journal(path=folder / "search.journal", seed=0)
    opened.open()
    return opened


def test_what_has_ended_is_there_again(tmp_path: Path) -> None:
    failed = SearchTrial(variant="x", target="ort", chain="x", changes=["a=1"], ending="failed", reason="it broke")
    first = journal(tmp_path)
    first.end("one", TRIAL)
    first.end("two", failed)
    assert journal(tmp_path).ended == {"one": TRIAL, "two": failed}


def test_a_sample_that_was_stopped_is_no_trial_and_one_that_ended_has_its_values(tmp_path: Path) -> None:
    first = journal(tmp_path)
    sample = first.sample({"int8@ort:smooth.alpha": (0.2, 0.8)})
    assert 0.2 <= sample.params["int8@ort:smooth.alpha"] <= 0.8
    first.end("one", TRIAL, sample)
    first.sample({"int8@ort:smooth.alpha": (0.2, 0.8)})
    again = journal(tmp_path)
    assert again.ended == {"one": TRIAL}
    assert again.samples == [sample.params]


def test_samples_learn_from_those_before(tmp_path: Path) -> None:
    """Of two objectives and a limit that only high values keep, the later samples are high."""
    first = journal(tmp_path)
    name, drawn = "int8@ort:smooth.alpha", []
    for number in range(30):
        sample = first.sample({name: (0.0, 1.0)})
        value = sample.params[name]
        drawn.append(value)
        delta = -0.05 * (1 - value)
        drift = Drift(delta=delta, low=delta, high=delta, n=9, flips=1, margin=0.01, verdict="DROP", decidable=False)
        first.end(str(number), replace(TRIAL, drift=drift), sample)
    assert sum(drawn[-10:]) / 10 > 0.7


def test_what_is_no_journal_is_begun_anew(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delenv(RAISING, raising=False)
    (tmp_path / "search.journal").write_text("no journal\nat all\n")
    opened = journal(tmp_path)
    opened.end("one", TRIAL)
    assert journal(tmp_path).ended == {"one": TRIAL}


def test_a_search_that_is_over_leaves_its_journal_to_its_run(tmp_path: Path) -> None:
    first = journal(tmp_path)
    first.end("one", TRIAL)
    first.finish(tmp_path / "run" / "samples" / "search.journal")
    assert journal(tmp_path).ended == {}
    assert journal(tmp_path / "run" / "samples").ended == {"one": TRIAL}
