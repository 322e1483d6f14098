"""What a sweep's report says of its jobs, its chains and its seeds."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import pytest

from pipeline.results.sweep import Sweep, SweepChain
from tests.sweep.example import INT8, add_job, of_models, of_seeds, read, record, sweep_folder


@pytest.fixture(scope="module")
def models(tmp_path_factory: pytest.TempPathFactory) -> Sweep:
    return read(of_models(tmp_path_factory.mktemp("models") / "sweep"))


@pytest.fixture(scope="module")
def seeds(tmp_path_factory: pytest.TempPathFactory) -> Sweep:
    return read(of_seeds(tmp_path_factory.mktemp("seeds") / "sweep"))


def chain(found: Sweep, variant: str) -> SweepChain:
    return next(one for one in found.chains if one.variant == variant)


def test_only_settings_that_differ_are_told(models: Sweep) -> None:
    assert models.varied == {"model": ["a", "b", "c"]}
    assert models.jobs[0].settings == {"model": "a"}


def test_each_job_has_the_recommendation_of_its_own_report(models: Sweep) -> None:
    best = [job.best.variant for job in models.jobs if job.best is not None and job.best.recommended]
    assert best == ["int8", "pruned", "int8"]


def test_a_chain_is_told_by_the_jobs_in_which_it_wins_and_is_slow(models: Sweep) -> None:
    assert chain(models, "int8").standings == {"wins": ["0", "2"], "slower": ["1"]}
    assert chain(models, "int8").sentence == (
        "int8 on ort_cpu wins in 2 of 3 jobs: model=a (2.00x), model=c (2.00x); it is slower than the baseline in "
        "model=b (0.80x)."
    )


def test_a_chain_that_loses_too_much_in_one_job_is_told_so(models: Sweep) -> None:
    assert chain(models, "pruned").standings == {"wins": ["1"], "loses too much": ["2"]}


def test_a_chain_that_another_one_beats_is_told_so(tmp_path: Path) -> None:
    sweep = sweep_folder(tmp_path / "sweep", {"seed": ["0", "1"]})
    add_job(sweep, ["seed=0"], record(INT8, replace(INT8, name="faster", times_as_fast=3.0)))
    found = read(sweep)
    assert chain(found, "int8").standings == {"beaten": ["0"]}


def test_fields_that_differ_between_the_jobs_are_named(tmp_path: Path) -> None:
    sweep = sweep_folder(tmp_path / "sweep", {"model": ["a", "b"]})
    samples = record(INT8)
    add_job(sweep, ["model=a"], samples)
    stages = [replace(stage, fields={"opset": 21}) for stage in samples.variants[1].stages]
    variants = [samples.variants[0], replace(samples.variants[1], stages=stages)]
    add_job(sweep, ["model=b"], replace(samples, variants=variants))
    assert chain(read(sweep), "int8").differs == ["export.opset"]


def test_seeds_are_repetitions_with_the_spread_of_their_figures(seeds: Sweep) -> None:
    spread = next(one for one in seeds.seeds if one.variant == "int8" and one.settings == {"model": "a"})
    assert spread.seeds == ["0", "1", "2"]
    assert spread.speedup is not None
    assert spread.speedup.least == pytest.approx(2.0, rel=0.01)
    assert spread.speedup.largest == pytest.approx(2.4, rel=0.01)
    assert spread.change is not None
    assert spread.change.least == pytest.approx(-0.002)
    assert spread.overlapping is False
    assert not spread.same_bytes


def test_seeds_of_one_model_tell_only_the_machines_spread(tmp_path: Path) -> None:
    found = read(of_seeds(tmp_path / "sweep", seeds=2, same_bytes=True))
    assert all(spread.same_bytes for spread in found.seeds)


def test_jobs_of_different_machines_are_no_repetitions(tmp_path: Path) -> None:
    sweep = sweep_folder(tmp_path / "sweep", {"seed": ["0", "1"]})
    for seed, cpu in enumerate(("one processor", "another")):
        add_job(sweep, [f"seed={seed}"], record(INT8, seed=seed, cpu=cpu))
    found = read(sweep)
    assert found.machines == ["one processor", "another"]
    assert found.seeds == []
    assert any("2 machines" in note for note in found.notes)


def test_a_quick_look_recommends_nothing_and_says_what_leads(tmp_path: Path) -> None:
    sweep = sweep_folder(tmp_path / "sweep", {"seed": ["0", "1"]})
    samples = record(INT8)
    add_job(sweep, ["seed=0"], replace(samples, measure=replace(samples.measure, screening=True)))
    job = read(sweep).jobs[0]
    assert job.best is not None
    assert (job.best.variant, job.best.recommended) == ("int8", False)
    assert "quick look" in str(job.why_none)


def test_a_noisy_job_is_told(tmp_path: Path) -> None:
    from tests.analyse.synthetic import make_record

    sweep = sweep_folder(tmp_path / "sweep", {"seed": ["0", "1"]})
    add_job(sweep, ["seed=0"], make_record(INT8, clone_times_as_fast=1.3))
    job = read(sweep).jobs[0]
    assert job.noisy
    assert job.checks
    assert [row.standing for row in job.rows if row.variant == "int8"] == ["noisy"]
