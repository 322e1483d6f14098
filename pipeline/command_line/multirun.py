"""A sweep as Hydra tells it: the folder that it writes into, and the jobs that it asks for."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from contextvars import ContextVar
from itertools import product
from pathlib import Path
from typing import Any

from hydra.core.override_parser.overrides_parser import OverridesParser
from hydra.core.override_parser.types import Override
from hydra.errors import HydraException
from hydra.experimental.callback import Callback
from omegaconf import DictConfig, OmegaConf
from omegaconf.errors import OmegaConfBaseException
from yaml import YAMLError

from pipeline.errors import UserError, first_line
from pipeline.sweep.found import OVERRIDES, AskedJobs

FILE = "multirun.yaml"
"""What Hydra's own sweeper writes into a sweep's folder before the first job."""
_MODE = "hydra.mode=MULTIRUN"
_BASIC = "hydra._internal.core_plugins.basic_sweeper.BasicSweeper"
_begun: ContextVar[list[Path] | None] = ContextVar("begun", default=None)


class Watcher(Callback):
    """Notes the folder of a sweep that begins (``hydra.callbacks``)."""

    def on_multirun_start(self, config: DictConfig, **kwargs: Any) -> None:
        """Hydra calls this."""
        folders = _begun.get()
        if folders is not None:
            folders.append(Path(str(config.hydra.sweep.dir)))


@contextmanager
def watching() -> Iterator[list[Path]]:
    """Give a list, which gets the folder of each sweep that begins in the block."""
    folders: list[Path] = []
    token = _begun.set(folders)
    try:
        yield folders
    finally:
        _begun.reset(token)


def is_sweep(folder: Path) -> bool:
    """Whether a folder is a sweep's."""
    return (folder / FILE).is_file()


def asked_jobs(folder: Path) -> AskedJobs:
    """What a sweep was asked for; raises UserError where its configuration can't be read."""
    with _reading(folder / FILE):
        kept: Any = OmegaConf.load(folder / FILE).hydra
        sweeper: Any = OmegaConf.to_container(kept.sweeper, resolve=False)
        typed: Any = OmegaConf.to_container(kept.overrides.task, resolve=False)
        own: Any = OmegaConf.to_container(kept.overrides.hydra, resolve=False)
        words = [*(f"{key}={value}" for key, value in (sweeper.get("params") or {}).items()), *typed]
        given = [source.path for source in kept.runtime.config_sources if source.provider == "command-line"]
        return AskedJobs(
            jobs=_products(OverridesParser.create().parse_overrides(words)) if sweeper["_target_"] == _BASIC else None,
            typed=[*typed, *(word for word in own if word != _MODE)],
            flags=[word for path in given for word in ("--config-dir", path)],
        )
    raise AssertionError("what is read is returned")


def overrides_in(folders: Sequence[Path]) -> dict[Path, tuple[str, ...]]:
    """The overrides of each job's folder, as Hydra has kept them; raises UserError where they can't be read."""
    found = {}
    for folder in folders:
        with _reading(folder / OVERRIDES):
            words: Any = OmegaConf.to_container(OmegaConf.load(folder / OVERRIDES), resolve=False)
            found[folder] = tuple(map(str, words))
    return found


@contextmanager
def _reading(path: Path) -> Iterator[None]:
    try:
        yield
    except (OSError, ValueError, TypeError, KeyError, OmegaConfBaseException, YAMLError, HydraException) as error:
        raise UserError(f"{path}, which Hydra wrote for the sweep, can't be read: {first_line(error)}") from error


def _products(overrides: Sequence[Override]) -> list[tuple[str, ...]] | None:
    """Each combination, in the order in which Hydra's own sweeper counts them."""
    choices: dict[str, list[str]] = {}
    for override in overrides:
        if override.is_sweep_override() and not override.is_discrete_sweep():
            return None
        key = override.get_key_element()
        values = override.sweep_string_iterator() if override.is_sweep_override() else [_value(override)]
        choices[key] = [f"{key}={value}" for value in values]
    return list(product(*choices.values()))


def _value(override: Override) -> str:
    return str(override.get_value_element_as_str())
