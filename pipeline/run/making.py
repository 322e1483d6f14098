"""Makes one entry of the store: here, or on a node that shares the store."""

from __future__ import annotations

import logging
import time
from collections.abc import Callable, Mapping
from contextlib import suppress
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

from pipeline.artifact import Artifact, Format
from pipeline.artifact.store import Entry
from pipeline.errors import CorruptEntry, WorkerFailed
from pipeline.folders.locks import InUse
from pipeline.isolated import run
from pipeline.libraries.installed import version
from pipeline.run.building import Said, Task, limits_for, run_stage
from pipeline.store import ModelStore, StorePlace, open_store

logger = logging.getLogger(__name__)


@dataclass(frozen=True, slots=True, kw_only=True)
class Made:
    """An entry, and what it took; ``new`` where it was not there before."""

    entry: Entry
    seconds: float = 0.0
    new: bool = False


@dataclass(frozen=True, slots=True, kw_only=True)
class Written:
    """What is to be noted of files that were written, and how long writing them took, without waiting for a place."""

    notes: Mapping[str, Any]
    seconds: float


@dataclass(frozen=True, slots=True, kw_only=True)
class FarStep:
    """A stage to build on another node. Its models are named by their keys: paths differ from node to node."""

    store: StorePlace
    key: str
    source_key: str
    original_key: str
    format: Format
    task: Task
    """The task with the paths of the machine that asks for it."""
    libraries: Mapping[str, str | None]
    """The versions that the entry's key stands for, by distribution."""


def get_or_make(
    store: ModelStore,
    key: str,
    label: str,
    format: Format,
    write: Callable[[Path], Written],
    begin: Callable[[], object] = lambda: None,
) -> Made:
    """The entry of ``key``, made by ``write`` where there is none. Nobody else makes it meanwhile; ``begin`` is called
    before the work."""
    with suppress(CorruptEntry):  # said below, by the one that builds it again
        if (entry := store.get(key)) is not None:
            return Made(entry=entry)
    with store.lock(key):
        if (entry := _made_meanwhile(store, key)) is not None:
            return Made(entry=entry)
        begin()
        with store.writing(key) as out:
            written = write(out)
            entry = store.put(key, out, format, label, {"notes": written.notes, "seconds": written.seconds})
        store.finish_work(key)
        return Made(entry=entry, seconds=written.seconds, new=True)


def run_stage_timed(task: Task, *, say: Callable[[Said], None]) -> Written:
    """Run a stage, and time it."""
    started = time.monotonic()
    notes = run_stage(task, say=say)
    return Written(notes=notes, seconds=time.monotonic() - started)


def make_there(step: FarStep, *, say: Callable[[Said], None]) -> tuple[float, bool]:
    """Build a stage on this node, into the store that the nodes share; returns the seconds, and whether it was built.

    Raises WorkerFailed where this node's libraries are others than the key says, or lacks the stage's source.
    """
    _check_libraries(step.libraries)
    with InUse() as in_use:
        store = open_store(step.store, in_use)
        source, original = (stored(step.store, store, key) for key in (step.source_key, step.original_key))

        def write(out: Path) -> Written:
            task = replace(step.task, source=source, original=original, out=out, work=store.work(step.key))
            return run(run_stage_timed, task, limits=limits_for(task.plan), hear=say)

        made = get_or_make(store, step.key, step.task.label, step.format, write)
        return made.seconds, made.new


def _check_libraries(expected: Mapping[str, str | None]) -> None:
    for name, wanted in expected.items():
        if (found := version(name)) != wanted:
            raise WorkerFailed(f"this node has {name} {found}, and the run's machine has {wanted}: install the same")


def stored(place: StorePlace, store: ModelStore, key: str) -> Artifact:
    """A model that a node of a run needs; raises WorkerFailed where this node does not find it."""
    entry = store.get(key)
    if entry is None:
        raise WorkerFailed(
            f"this node does not find the model {key[:12]} in {place}: store.path must be a folder that all nodes see"
        )
    return entry.artifact


def _made_meanwhile(store: ModelStore, key: str) -> Entry | None:
    try:
        return store.get(key)
    except CorruptEntry as error:
        logger.warning("%s: it is built again", error)
        store.remove(key)
        return None
