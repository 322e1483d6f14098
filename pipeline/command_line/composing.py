"""Composes the configuration of a run that is only looked at, without the folders and logs of Hydra's own jobs."""

from __future__ import annotations

import shlex
from collections.abc import Collection, Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

from pipeline.command_line.arguments import FLAGS_WITH_VALUE, flags_and_overrides, for_hydra, quoted
from pipeline.command_line.hydra_errors import groups
from pipeline.errors import UserError

if TYPE_CHECKING:
    from omegaconf import DictConfig

_FOLDER = frozenset(("--config-dir", "-cd"))
_NAME = frozenset(("--config-name", "-cn"))


@dataclass(frozen=True, slots=True, kw_only=True)
class Composed:
    """A configuration as a run would get it."""

    cfg: DictConfig
    output: Path
    """The folder that the run would make."""
    command: str
    """The command of the run."""


def composed(argv: Sequence[str], commands: Collection[str]) -> Composed:
    """The configuration that these words stand for; makes no folder, where ``config.register`` was told so.

    Raises UserError for a flag that does not belong here, and Hydra's own errors.
    """
    from hydra import compose, initialize_config_module
    from omegaconf import flag_override

    flags, _ = flags_and_overrides(argv)
    overrides = for_hydra(argv, commands, groups())[len(flags) :]
    name = "config"
    for flag, value in _parted(flags):
        if flag in _FOLDER:
            overrides.append(f"hydra.searchpath=[{quoted(f'file://{_existing(flag, value)}')}]")
        elif flag in _NAME:
            name = value
        else:
            raise UserError(f"{flag} can't be given here: only --config-dir DIR, --config-name NAME and KEY=VALUE can")
    with initialize_config_module("pipeline.conf", version_base="1.3"):
        cfg = compose(name, overrides, return_hydra_config=True)
        output = Path(str(cfg.hydra.run.dir))
        with flag_override(cfg, ["struct", "readonly"], [False, False]):
            del cfg["hydra"]
    return Composed(cfg=cfg, output=output, command=shlex.join(["python", "-m", "pipeline", *argv]))


def _parted(flags: Sequence[str]) -> Iterator[tuple[str, str]]:
    """Each flag with its value, which follows it or stands behind an equals sign."""
    words = iter(flags)
    for word in words:
        flag, equals, value = word.partition("=")
        yield flag, value if equals else next(words, "") if flag in FLAGS_WITH_VALUE else ""


def _existing(flag: str, value: str) -> Path:
    folder = Path(value).expanduser().resolve()
    if not folder.is_dir():
        raise UserError(f"{flag} {value}: there is no such folder (looked in {Path.cwd()})")
    return folder
