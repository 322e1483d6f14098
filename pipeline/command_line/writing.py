"""Writes files into a folder of the user's own: all of them or none, and none over another."""

from __future__ import annotations

import os
import shlex
from collections.abc import Iterable, Mapping
from pathlib import Path

from pipeline.errors import UserError, reporting_disk

CONF = "conf"
"""The folder of configurations within the user's."""
TO = "--to"


def check_free(paths: Iterable[Path]) -> None:
    """Raise UserError with the paths where something is already."""
    taken = [str(path) for path in paths if os.path.lexists(path)]
    if taken:
        exist = "exists" if len(taken) == 1 else "exist"
        raise UserError(
            f"{', '.join(taken)} {exist} already, and nothing is overwritten: type another name, or another folder "
            f"with {TO} FOLDER"
        )


def write(texts: Mapping[Path, str]) -> None:
    """Write these files, and the folders that they lie in. Raises SlimlineError where one can't be written; those
    written before it are removed then."""
    made: list[Path] = []
    try:
        for path, text in texts.items():
            with reporting_disk(path, f"type another folder with {TO} FOLDER"):
                path.parent.mkdir(parents=True, exist_ok=True)
                with path.open("x", encoding="utf-8") as file:
                    made.append(path)
                    file.write(text)
    except BaseException:
        for path in made:
            path.unlink(missing_ok=True)
        raise


def run_of(folder: Path, words: Iterable[str]) -> str:
    """The command of a run with the configurations in ``folder``."""
    return shlex.join(["python", "-m", "pipeline", "--config-dir", str(folder / CONF), *words])
