"""The lines of a search on the terminal."""

from __future__ import annotations

from dataclasses import replace
from types import SimpleNamespace
from typing import Any

from pipeline.results.search import Drift, ScreenedSpeed, SearchTrial
from pipeline.search.telling import best, line, planned

DRIFT = Drift(
    delta=-0.004, low=-0.009, high=0.001, n=500, flips=6, margin=0.01, verdict="NO MEANINGFUL DROP", decidable=True
)
TRIAL = SearchTrial(
    variant="static_int8",
    target="openvino_cpu",
    chain="static_int8",
    changes=[],
    ending="kept",
    reason=None,
    speed=ScreenedSpeed(value=2.314, low=2.2, high=2.4, rounds=3),
    drift=DRIFT,
)


def test_a_trial_is_told_with_its_speed_its_drift_and_where_it_stands() -> None:
    assert line(TRIAL) == (
        "static_int8 on openvino_cpu: 2.31x (2.20 to 2.40, screened), drift \N{MINUS SIGN}0.40 pt; in the race"
    )


def test_a_trial_that_is_out_is_told_with_its_reason() -> None:
    out = replace(TRIAL, ending="slower", reason="it has at most 1.2x", drift=None)
    assert line(out).endswith("screened); slower: it has at most 1.2x")
    failed = replace(TRIAL, ending="failed", reason="no such node", speed=None, drift=None)
    assert line(failed) == "static_int8 on openvino_cpu; failed: no such node"
    assert line(replace(TRIAL, ending="finalist")).endswith("; a finalist")


def test_a_drift_has_the_words_of_its_metric_and_is_not_told_of_noise() -> None:
    assert "drift \N{MINUS SIGN}0.0040;" in line(TRIAL, "number")
    assert "drift" not in line(TRIAL, claimed=False)
    assert "drift" not in best(TRIAL, 4.0, claimed=False)


def test_the_best_so_far_is_called_screened() -> None:
    assert best(TRIAL, 95.0) == (
        "best so far (SCREENED, 1 min 35 s): static_int8 on openvino_cpu, 2.31x (2.20 to 2.40, screened), "
        "drift \N{MINUS SIGN}0.40 pt"
    )


def test_an_interval_without_an_end_is_told_as_such() -> None:
    open_ended = replace(TRIAL, speed=ScreenedSpeed(value=2.0, low=0.0, high=float("inf"), rounds=1))
    assert "2.00x (0.00 to inf, screened)" in line(open_ended)


def test_the_plan_counts_candidates_chains_and_runtimes_and_says_how_long_it_takes() -> None:
    candidates: Any = [
        SimpleNamespace(chain=chain, target=SimpleNamespace(name=target))
        for chain in ("baseline", "int8", "int8")
        for target in ("ort_cpu", "openvino_cpu")
    ]
    assert planned(candidates, 14, 600.0, 150.0) == (
        "6 candidates from 2 chains on 2 runtimes; 14 left out by rules; about 10 min 0 s (search.budget_s=600): "
        "up to 7 min 30 s for building and looking, 2 min 30 s for the proof"
    )
    assert planned(candidates[:1], 0, 60.0, 20.0).startswith("1 candidate from 1 chain on 1 runtime; about 1 min 0 s")
