"""Gives a command what it needs of the system: enough open files, and one folder for all temporary files, also those of
its processes, so that the next run finds and removes a killed run's files."""

from __future__ import annotations

import os
import sys
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from pipeline.errors import TEMPORARY_ADVICE, TEMPORARY_PREFIX, UserError, in_words, require_space
from pipeline.folders.locks import owned_folder, sweep

_FEWEST_FILES, _MOST_FILES = 128, 4096
_SPACE_BYTES = 1_000_000


@contextmanager
def own_surroundings() -> Iterator[None]:
    """Give both to the block; raises UserError where the system gives too little."""
    allow_open_files()
    with own_temporary_files():
        yield


def allow_open_files() -> None:
    """Let this process open as many files as it may; raises UserError where that is too few for any run."""
    if sys.platform == "win32":
        return
    import resource

    soft, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    wanted = _MOST_FILES if hard == resource.RLIM_INFINITY else min(hard, _MOST_FILES)
    if soft != resource.RLIM_INFINITY and soft < wanted:
        resource.setrlimit(resource.RLIMIT_NOFILE, (wanted, hard))
        soft = wanted
    if soft != resource.RLIM_INFINITY and soft < _FEWEST_FILES:
        raise UserError(
            f"a process may open {soft} files here, and a run needs {_FEWEST_FILES}: type 'ulimit -n 1024' before the "
            "command, or ask who set the limit"
        )


@contextmanager
def own_temporary_files() -> Iterator[Path]:
    """Let this process and those that it starts write temporary files into one new folder, which goes with the block.

    Folders that killed runs have left are removed first. Raises UserError or OutOfSpace where none can be made.
    """
    try:
        parent = Path(tempfile.gettempdir())
    except FileNotFoundError as error:
        raise UserError(f"temporary files can be written nowhere: {TEMPORARY_ADVICE}") from error
    for folder in parent.glob(f"{TEMPORARY_PREFIX}*"):
        sweep(folder)
    require_space(parent, _SPACE_BYTES, TEMPORARY_ADVICE)
    try:
        with owned_folder(parent, TEMPORARY_PREFIX) as folder, _taken(folder):
            yield folder
    except OSError as error:
        if error.filename is None or not Path(str(error.filename)).name.startswith(TEMPORARY_PREFIX):
            raise
        raise in_words(error, parent, TEMPORARY_ADVICE) from error


@contextmanager
def _taken(folder: Path) -> Iterator[None]:
    """Both ways in which a process learns where temporary files go: Python's own, and what its children read.

    What torch.compile has compiled lies there too, unless TORCHINDUCTOR_CACHE_DIR names another place.
    """
    before = tempfile.tempdir, os.environ.get("TMPDIR")
    tempfile.tempdir = os.environ["TMPDIR"] = str(folder)
    try:
        yield
    finally:
        tempfile.tempdir = before[0]
        if before[1] is None:
            os.environ.pop("TMPDIR", None)
        else:
            os.environ["TMPDIR"] = before[1]
