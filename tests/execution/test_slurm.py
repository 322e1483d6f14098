"""Jobs of SLURM; processes of this machine stand in for them, as submitit has it."""

from __future__ import annotations

import time
from collections.abc import Iterator
from pathlib import Path

import pytest

from pipeline.errors import StageFailed, UserError, WorkerFailed
from pipeline.execution import Slurm
from pipeline.execution.slurm import Jobs
from pipeline.isolated import Limits
from pipeline.isolated.template import Template
from tests.execution.calls import dying_once, failing, here, placed, saying

pytest.importorskip("submitit")


@pytest.fixture(scope="module")
def jobs(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Jobs]:
    folder = tmp_path_factory.mktemp("slurm")
    with Slurm(cluster="local", folder=str(folder), retries=1).open(Template()) as opened:
        assert isinstance(opened, Jobs)
        yield opened
    assert not folder.exists()


def test_a_job_gives_its_result_and_is_heard(jobs: Jobs) -> None:
    value, _, _ = jobs.run(placed(here, "x", where={"slurm_nodelist": "node7"}))
    said: list[tuple[float, str]] = []
    assert value == "x"
    assert jobs.run(placed(saying, hear=said.append)) == "done"
    assert said == [(0.5, "half way")]


def test_a_job_ends_when_its_time_is_over(jobs: Jobs) -> None:
    with pytest.raises(WorkerFailed, match="the time for it was over"):
        jobs.run(placed(time.sleep, 5.0, limits=Limits(until=time.monotonic())))


def test_an_error_of_ours_is_raised_as_it_was(jobs: Jobs) -> None:
    with pytest.raises(StageFailed, match="a layer has no weights"):
        jobs.run(placed(failing))


def test_a_job_that_dies_is_submitted_again(jobs: Jobs, tmp_path: Path) -> None:
    assert jobs.run(placed(dying_once, tmp_path / "mark")) == "alive"


def test_what_can_not_be_is_said(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    monkeypatch.setenv("PATH", str(tmp_path))
    with pytest.raises(UserError, match=r"run on a login node, or type execution\.cluster=local"):
        Slurm().check()
    with pytest.raises(UserError, match="type slurm or local"):
        Slurm(cluster="pbs").check()
    Slurm(cluster="local").check()
    assert Slurm().node_problem({"slurm_constraint": "amx"}) is None
    assert "there is no resource" in str(Slurm().node_problem({"resource": "edge"}))
