"""The configurations of a group that can be named on the command line as they are."""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping, Sequence
from importlib.resources import files
from itertools import takewhile
from pathlib import Path
from typing import Any

from pipeline.libraries.plugins import configuration_folders

Node = Mapping[str, Any]


def configurations(group: str, folders: Sequence[Path] = ()) -> dict[str, Node]:
    """The configurations that have a value for each key, by name: those that ship, those of plug-ins, and those in the
    user's own ``folders`` (``--config-dir``)."""
    from omegaconf import MISSING, OmegaConf

    found: dict[str, Node] = {}
    for name, text in _texts(group, folders):
        plain = OmegaConf.to_container(OmegaConf.create(text))
        if isinstance(plain, dict) and MISSING not in plain.values():
            found[name] = {str(key): value for key, value in plain.items()}
    return dict(sorted(found.items()))


def described(group: str, folders: Sequence[Path] = ()) -> dict[str, str]:
    """The first sentence of the comment at the head of each configuration of a group, by name; empty where it has
    none."""
    return {name: _described(text) for name, text in sorted(_texts(group, folders))}


def _texts(group: str, folders: Sequence[Path]) -> Iterator[tuple[str, str]]:
    for folder in (*configuration_folders(), *folders):
        inside = folder.joinpath(group)
        for file in inside.iterdir() if inside.is_dir() else ():
            if file.name.endswith(".yaml"):
                yield file.name.removesuffix(".yaml"), file.read_text(encoding="utf-8")


def _described(text: str) -> str:
    head = takewhile(lambda line: line.startswith("#"), text.splitlines())
    said = " ".join(line.lstrip("# ") for line in head if "@package" not in line)
    return re.split(r"(?<=[\w)'][.]) (?=[A-Z])", said)[0]


def default_of(group: str) -> str:
    """The option of a group that a run takes where none is typed."""
    return defaults_of(group)[0]


def defaults_of(group: str) -> list[str]:
    """The options of a group that a run takes where none is typed."""
    from omegaconf import OmegaConf

    text = files("pipeline.conf").joinpath("config.yaml").read_text(encoding="utf-8")
    entries: Sequence[Any] = OmegaConf.to_container(OmegaConf.create(text).defaults)  # type: ignore[assignment]
    chosen = next(entry[group] for entry in entries if isinstance(entry, dict) and group in entry)
    return [str(name) for name in chosen] if isinstance(chosen, list) else [str(chosen)]
