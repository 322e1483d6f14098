"""Turns Hydra's own errors into a line that says what exists and what to type."""

from __future__ import annotations

import os
from collections.abc import Iterator
from contextlib import contextmanager

from pipeline.command_line.arguments import advice
from pipeline.errors import SlimlineError, UserError
from pipeline.errors.names import unknown
from pipeline.libraries.plugins import configuration_folders

FULL_ERROR = "HYDRA_FULL_ERROR"


@contextmanager
def explained() -> Iterator[None]:
    """Turn Hydra's own errors into a line that says what exists."""
    from hydra.errors import HydraException
    from omegaconf.errors import OmegaConfBaseException

    wants_traceback = os.environ.get(FULL_ERROR) == "1"
    os.environ[FULL_ERROR] = "1"  # Hydra raises its errors then, and we print them in one line
    try:
        yield
    except (HydraException, OmegaConfBaseException) as error:
        if wants_traceback:
            raise
        raise UserError(_explain(error)) from error


@contextmanager
def as_raised() -> Iterator[None]:
    """Raise an error of ours that OmegaConf has wrapped, because a resolver raised it, as it was."""
    from omegaconf.errors import OmegaConfBaseException

    try:
        yield
    except OmegaConfBaseException as error:
        own = next((one for one in _chain(error) if isinstance(one, SlimlineError)), None)
        if own is None:
            raise
        raise own from error


def _chain(error: BaseException | None) -> Iterator[BaseException]:
    while error is not None:
        yield error
        error = error.__cause__ or error.__context__


def _explain(error: Exception) -> str:
    """Hydra's error in one line, with what exists where Hydra doesn't say it."""
    from hydra.errors import MissingConfigException, OverrideParseException
    from omegaconf.errors import ConfigAttributeError, ConfigKeyError

    cause = error.__cause__
    if isinstance(error, OverrideParseException):
        typed = error.override.removeprefix("++")
        return f"{typed} can't be read: {_reason(error.message)}; quote the value: {advice(typed)}"
    if isinstance(error, MissingConfigException) and error.missing_cfg_file:
        group, _, name = str(error.missing_cfg_file).rpartition("/")
        options = sorted({*(error.options or ()), *available(group)})
        return unknown(f"'{name}'", name, options, f"available in '{group}'")
    if isinstance(cause, ConfigKeyError | ConfigAttributeError) and cause.full_key and cause.parent_node is not None:
        keys = [str(key) for key in cause.parent_node if key != "hydra"]
        group = str(cause.full_key).rpartition(".")[0]
        if not keys and available(group):
            return f"{cause.full_key} does not exist: nothing is chosen from '{group}'; add {_choice(group)}"
        existing = keys if group else list(dict.fromkeys([*groups(), *keys]))
        return unknown(str(cause.full_key), str(cause.full_key).rpartition(".")[2], existing)
    text = " ".join(str(error).split())
    if cause is not None:
        text += f": {str(cause).splitlines()[0]}"
    return text


def _choice(group: str) -> str:
    """What to type to choose from a group."""
    return " or ".join(f"{group}={name}" for name in available(group))


def _reason(message: str) -> str:
    """The first line of Hydra's message, without its address."""
    return message.splitlines()[0].strip() if message else "it is not KEY=VALUE"


def groups() -> list[str]:
    """The configuration groups that ship, and those of plug-ins."""
    inside = (item for folder in configuration_folders() for item in folder.iterdir())
    return sorted({item.name for item in inside if item.is_dir() and not item.name.startswith("_")})


def available(group: str) -> list[str]:
    """The options of a group that ship, and those of plug-ins."""
    folders = [folder.joinpath(group) for folder in configuration_folders()]
    names = (item.name for folder in folders if folder.is_dir() for item in folder.iterdir())
    return sorted({name.removesuffix(".yaml") for name in names if name.endswith(".yaml")})
