"""The configurations of a group that can be named on the command line as they are."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from importlib.resources import files
from pathlib import Path
from typing import Any

Node = Mapping[str, Any]


def configurations(group: str, folders: Sequence[Path] = ()) -> dict[str, Node]:
    """The configurations that have a value for each key, by name: those that ship, and those in the user's own
    ``folders`` (``--config-dir``)."""
    from omegaconf import MISSING, OmegaConf

    found: dict[str, Node] = {}
    for folder in (files("pipeline.conf"), *folders):
        inside = folder.joinpath(group)
        for file in inside.iterdir() if inside.is_dir() else ():
            if not file.name.endswith(".yaml"):
                continue
            plain = OmegaConf.to_container(OmegaConf.create(file.read_text(encoding="utf-8")))
            if isinstance(plain, dict) and MISSING not in plain.values():
                found[file.name.removesuffix(".yaml")] = {str(key): value for key, value in plain.items()}
    return dict(sorted(found.items()))


def default_of(group: str) -> str:
    """The option of a group that a run takes where none is typed."""
    from omegaconf import OmegaConf

    text = files("pipeline.conf").joinpath("config.yaml").read_text(encoding="utf-8")
    entries: Sequence[Any] = OmegaConf.to_container(OmegaConf.create(text).defaults)  # type: ignore[assignment]
    return next(str(entry[group]) for entry in entries if isinstance(entry, dict) and group in entry)
