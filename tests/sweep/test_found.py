"""The jobs of a sweep's folder: those that have samples, those that failed, and those that are missing."""

from __future__ import annotations

from pathlib import Path

import pytest

from pipeline.command_line.multirun import asked_jobs, is_sweep
from pipeline.errors import UserError
from pipeline.folders.outputs import claimed
from pipeline.results.record import save_record
from tests.sweep.example import INT8, SLOW_INT8, add_job, of_models, read, record, sweep_folder


@pytest.fixture
def half(tmp_path: Path) -> Path:
    """Of four jobs one has samples, one failed, one was killed and one never began."""
    sweep = sweep_folder(tmp_path / "half", {"model": ["a", "b"], "seed": ["0", "1"]})
    add_job(sweep, ["model=a", "seed=0"], record(INT8))
    add_job(sweep, ["model=a", "seed=1"], None, code=1, reason="out of memory")
    add_job(sweep, ["model=b", "seed=0"], None, code=None)
    return sweep


def test_a_job_without_samples_is_a_row_with_its_reason(half: Path) -> None:
    jobs = read(half).jobs
    assert [job.status for job in jobs] == ["ok", "failed", "stopped", "missing"]
    assert jobs[1].reason == "out of memory"
    assert jobs[3].settings == {"model": "b", "seed": "1"}


def test_the_sweep_says_how_many_jobs_are_missing(half: Path) -> None:
    found = read(half)
    assert found.asked == 4
    assert found.summary.startswith("1 of 4 jobs measured, 1 failed, 1 ended without a word, 1 never began.")


def test_a_job_is_repeated_into_its_own_folder(half: Path) -> None:
    missing = read(half).jobs[3]
    assert missing.repeat == f"python -m pipeline model=b seed=1 hydra.run.dir={half / '3'}"


def test_flags_that_every_job_needs_are_in_its_command(half: Path) -> None:
    kept = (half / "multirun.yaml").read_text()
    own = '{"path": "/my/conf", "schema": "file", "provider": "command-line"}'
    (half / "multirun.yaml").write_text(kept.replace('"config_sources": [', f'"config_sources": [{own}, '))
    (half / "2" / "job.json").unlink()
    begins = "python -m pipeline --config-dir /my/conf model=b"
    assert [job.repeat.startswith(begins) for job in read(half).jobs[2:]] == [True, True]


def test_a_job_that_was_repeated_counts_by_its_samples(half: Path) -> None:
    add_job(half, ["model=b", "seed=1"], record(INT8, model="b", seed=1))
    assert [job.status for job in read(half).jobs] == ["ok", "failed", "stopped", "ok"]


def test_a_job_has_the_rows_of_the_nodes_that_it_measured_on(half: Path) -> None:
    save_record(record(SLOW_INT8), half / "0" / "samples" / "nodes" / "edge")
    rows = {row.key: row for row in read(half).jobs[0].rows}
    there = rows["int8@ort_cpu@edge/1"]
    assert there.speedup is not None
    assert there.speedup.value < 1
    assert (rows["int8@ort_cpu/1"].standing, there.standing) == ("wins", "not compared")


def test_a_job_that_is_under_way_is_told_as_that(half: Path) -> None:
    with claimed(half / "2"):
        assert read(half).jobs[2].status == "running"


def test_damaged_samples_are_the_reason_of_their_job(half: Path) -> None:
    (half / "0" / "samples" / "record.json").write_text("{")
    job = read(half).jobs[0]
    assert job.status == "failed"
    assert "record.json can't be read" in str(job.reason)


def test_folders_that_are_not_called_by_numbers_are_found_by_what_they_were_asked_for(tmp_path: Path) -> None:
    sweep = sweep_folder(tmp_path / "named", {"model": ["a", "b"]})
    add_job(sweep, ["model=b"], record(INT8, model="b"), name="model=b")
    assert [(job.name, job.status) for job in read(sweep).jobs] == [("model=b", "ok"), ("0", "missing")]


def test_a_sweeper_that_chooses_as_it_goes_has_no_missing_jobs(tmp_path: Path) -> None:
    sweep = sweep_folder(tmp_path / "optuna", {"model": ["a", "b"]}, sweeper="hydra_plugins.optuna.Sweeper")
    add_job(sweep, ["model=a"], record(INT8))
    found = read(sweep)
    assert found.asked is None
    assert len(found.jobs) == 1


def test_the_order_of_the_missing_jobs_is_hydras(tmp_path: Path) -> None:
    sweep = sweep_folder(tmp_path / "order", {"model": ["a", "b"], "seed": ["range(0,2)"]})
    jobs = asked_jobs(sweep).jobs
    assert jobs is not None
    assert jobs[1] == ("model=a", "seed=1")


def test_a_runs_folder_is_no_sweep(tmp_path: Path) -> None:
    sweep = of_models(tmp_path / "sweep")
    assert is_sweep(sweep)
    assert not is_sweep(sweep / "0")


def test_a_sweeps_configuration_that_is_damaged_is_told_in_a_line(half: Path) -> None:
    (half / "multirun.yaml").write_text("hydra: [")
    with pytest.raises(UserError, match=r"multirun\.yaml, which Hydra wrote for the sweep, can't be read"):
        read(half)
