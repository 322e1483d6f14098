"""A finished run's configuration is read from its folder."""

from __future__ import annotations

from pathlib import Path

import pytest
from omegaconf import OmegaConf

from pipeline.command_line.composing import composed
from pipeline.command_line.finished import kept_configuration
from pipeline.config import build, register
from pipeline.errors import UserError


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    """The folder of a run of a baseline."""
    register(make_folders=False)
    (tmp_path / ".hydra").mkdir()
    cfg = composed(["variant=[baseline]", "target=[ort_cpu]", "seed=7"], ()).cfg
    (tmp_path / ".hydra" / "config.yaml").write_text(OmegaConf.to_yaml(cfg))
    (tmp_path / ".hydra" / "hydra.yaml").write_text("hydra: {runtime: {cwd: /where/it/ran}}\n")
    return tmp_path


def test_its_plan_is_what_was_composed(folder: Path) -> None:
    plan = build(kept_configuration(folder), folder, "python -m pipeline")
    assert (plan.seed, list(plan.variants), plan.output) == (7, ["baseline"], folder)


def test_its_store_is_found_from_another_folder(folder: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(folder)
    assert kept_configuration(folder).store.path == "/where/it/ran/models/store"
    (folder / "models" / "store").mkdir(parents=True)
    assert kept_configuration(folder).store.path == "models/store"


@pytest.mark.parametrize("damaged", ["a: [", "[1, 2]", "seed: 1", None])
def test_a_configuration_that_can_not_be_read_is_one_line(folder: Path, damaged: str | None) -> None:
    path = folder / ".hydra" / "config.yaml"
    path.unlink() if damaged is None else path.write_text(damaged)
    with pytest.raises(UserError, match=r"config\.yaml, the run's configuration, can't be read"):
        kept_configuration(folder)
