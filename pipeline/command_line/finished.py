"""Reads the configuration of a finished run, as Hydra has kept it in the run's folder."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING

from pipeline.errors import UserError, first_line

if TYPE_CHECKING:
    from omegaconf import DictConfig

_CONFIGURATION = Path(".hydra", "config.yaml")
_HYDRA = Path(".hydra", "hydra.yaml")


def kept_configuration(folder: Path) -> DictConfig:
    """The configuration as it was composed for the run, with its store where the run found it; raises UserError where
    it can't be read."""
    from omegaconf import DictConfig, OmegaConf
    from omegaconf.errors import OmegaConfBaseException
    from yaml import YAMLError

    path = folder / _CONFIGURATION
    try:
        cfg = OmegaConf.create(path.read_text(encoding="utf-8"))
        assert isinstance(cfg, DictConfig)
        if "://" not in cfg.store.path:
            cfg.store.path = str(_store(folder, Path(cfg.store.path)))
    except (OSError, UnicodeDecodeError, OmegaConfBaseException, YAMLError, AssertionError) as error:
        raise UserError(f"{path}, the run's configuration, can't be read: {first_line(error)}") from error
    return cfg


def _store(folder: Path, store: Path) -> Path:
    """The run's store, also where the run was started in another folder than this command."""
    from omegaconf import OmegaConf

    if store.exists() or not (folder / _HYDRA).is_file():
        return store
    started_in = OmegaConf.select(OmegaConf.load(folder / _HYDRA), "hydra.runtime.cwd", default=".")
    return Path(str(started_in), store)
