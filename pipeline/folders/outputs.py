"""Makes a run's folder, its own even where many runs start in the same second; and ``outputs/latest``."""

from __future__ import annotations

import itertools
import logging
import shutil
import time
import uuid
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from dataclasses import dataclass, field
from pathlib import Path

from pipeline.errors import UserError, require_space
from pipeline.folders.locks import exclusively, unused

logger = logging.getLogger(__name__)

OUTPUTS = "outputs"
LATEST = "latest"
LOG = "slimline.log"
_LEFTOVERS = ("deploy/.*.new", "deploy/.*.old", ".report.*.tmp", "samples/*.tmp")
"""What a run writes under another name until it is whole."""
_DEPTHS = range(1, 5)
"""How deep runs lie below outputs: a day and a time, or multirun, a day, a time and a number."""
_SPACE_BYTES = 4_000_000
"""What a run writes at least."""
_PATIENCE_S, _PAUSE_S = 5.0, 0.01


def new_folder(wanted: str) -> str:
    """Make this folder, or the first of ``wanted-2``, ``wanted-3`` … that nobody has made yet, and return its path.

    A folder that can't be made is returned as it is: whoever writes into it says why.
    """
    for number in itertools.count(1):
        folder = Path(wanted if number == 1 else f"{wanted}-{number}")
        try:
            folder.parent.mkdir(parents=True, exist_ok=True)
            folder.mkdir()
        except FileExistsError:
            if folder.parent.is_dir():
                continue
            return wanted
        except OSError:
            return wanted
        return str(folder)
    raise AssertionError("numbers have no end")


@dataclass(frozen=True, slots=True, kw_only=True)
class MadeOnce:
    """Makes each folder that it is asked for once. A copy that another process gets knows those that were made, so a
    job there writes into its sweep's folder and makes none of its own."""

    make: Callable[[str], str]
    made: dict[str, str] = field(default_factory=dict)

    def __call__(self, wanted: str) -> str:
        """The path of the folder, which may have a number behind it."""
        if wanted not in self.made:
            self.made[wanted] = self.make(wanted)
        return self.made[wanted]


@contextmanager
def claimed(folder: Path) -> Iterator[None]:
    """The folder, made where it is missing, belongs to this run until the block ends. Files that a killed run has left
    half-written in it are removed. Raises UserError where another run writes into it, OutOfSpace where its disk is
    full."""
    folder.mkdir(parents=True, exist_ok=True)
    require_space(folder, _SPACE_BYTES)
    with exclusively(folder) as free:
        if free is False:
            raise UserError(f"another run writes into {folder} now: type another folder, hydra.run.dir=FOLDER")
        _sweep(folder)
        yield


def point_latest_at(folder: Path) -> None:
    """Let ``outputs/latest`` name the newest run, where the run lies below a folder called outputs."""
    outputs = outputs_of(folder)
    if outputs is None:
        return
    latest = outputs / LATEST
    if latest.exists() and not latest.is_symlink():
        logger.warning("%s is not a link, so it is left as it is", latest)
        return
    with _alone_in(outputs) as alone:
        for link in outputs.glob(f".{LATEST}-*") if alone else ():
            link.unlink(missing_ok=True)  # of a killed run
        temporary = outputs / f".{LATEST}-{uuid.uuid4().hex[:12]}"
        try:
            temporary.symlink_to(folder.absolute().relative_to(outputs.absolute()))
            temporary.replace(latest)
        except OSError as error:
            temporary.unlink(missing_ok=True)
            logger.warning("%s does not name this run: %s", latest, error.strerror)


def sweep_outputs(folder: Path) -> None:
    """Remove the files that killed runs have left half-written below the outputs that a run's folder lies in. Their
    folders and logs stay."""
    outputs = outputs_of(folder)
    if outputs is None:
        return
    for log in (log for depth in _DEPTHS for log in outputs.glob(f"{'*/' * depth}{LOG}")):
        if _leftovers(log.parent):
            with unused(log.parent) as free:
                if free:
                    _sweep(log.parent)


def outputs_of(folder: Path) -> Path | None:
    """The folder called outputs that a run's folder lies below."""
    return next((parent for parent in folder.absolute().parents if parent.name == OUTPUTS), None)


@contextmanager
def _alone_in(folder: Path) -> Iterator[bool]:
    """Wait until no other run is at work in the folder, a few seconds at most; whether that is so."""
    deadline = time.monotonic() + _PATIENCE_S
    while True:
        with exclusively(folder) as free:
            if free is not False or time.monotonic() >= deadline:
                yield bool(free)
                return
        time.sleep(_PAUSE_S)


def _leftovers(run: Path) -> list[Path]:
    """Samples without their record, which is written last, are of no use to anybody."""
    found = [path for pattern in _LEFTOVERS for path in run.glob(pattern)]
    samples = run / "samples"
    return [*found, *([samples] if samples.is_dir() and not (samples / "record.json").exists() else [])]


def _sweep(run: Path) -> None:
    for path in _leftovers(run):
        with suppress(OSError):
            if path.is_dir() and not path.is_symlink():
                shutil.rmtree(path)
            else:
                path.unlink()
