"""Samples that a kit brought home: they are whole, they are the kit's, and nothing in them is run."""

from __future__ import annotations

import hashlib
import json
import re
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from pipeline.artifact import file_digest
from pipeline.bounds import CountFromZero, fitted
from pipeline.errors import UserError, first_line
from pipeline.kit.device.collected import COLUMNS
from pipeline.kit.device.samples import FACTS, HOME, KIT, LATENCY, SAMPLES_VERSION, SUMS
from pipeline.results.reading import load_record
from pipeline.results.record import Record

MOST_JSON_BYTES = 2**28
_SUM = re.compile(r"([0-9a-f]{64})  ([^\n]+)")
_NAME = re.compile(r"[0-9A-Za-z_-]{1,40}")


@dataclass(frozen=True, slots=True, kw_only=True)
class Started:
    """The starts of a row's processes, a value a round, and what the first one held."""

    load_ms: list[float]
    first_inference_ms: list[float]
    peak_memory_bytes: int | None = None
    fewer_threads: str | None = None
    """Why its session had fewer threads than at home."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Outputs:
    """A model's outputs on the kit's examples, or why there are none."""

    folder: str
    examples: int = 0
    repeat: float = 0.0
    golden: float | None = None
    """The difference from home's outputs of the same examples, as a share of the largest value."""
    failed: str | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class Facts:
    """What the device told beside calls and outputs."""

    kit: str
    name: str
    created: str
    machine: dict[str, Any]
    budget_s: float | None
    interrupted: bool
    rows: dict[str, Started]
    failures: dict[str, str]
    predicted: dict[str, Outputs]
    latency: dict[str, Any]
    command: str = "python kit.py"
    busy: CountFromZero = 0
    """How many cores were kept busy on purpose while it timed."""
    samples_version: int = SAMPLES_VERSION


@dataclass(frozen=True, slots=True, kw_only=True)
class Brought:
    """Samples that were found whole."""

    folder: Path
    kit: Mapping[str, Any]
    """The kit's own description."""
    facts: Facts
    home: Record
    """The run that the kit was packed from, without its samples."""
    columns: Mapping[str, NDArray[Any]]
    digest: str
    """The digest over all files, as the kit printed it."""
    files: frozenset[str] = field(default_factory=frozenset)


def is_brought(folder: Path) -> bool:
    """Whether a folder holds a kit's samples."""
    return (folder / FACTS).is_file() and (folder / KIT).is_file()


def brought(folder: Path) -> Brought:
    """Read a kit's samples; raises UserError where they are not whole, were changed, or can't be read."""
    if not (folder / SUMS).is_file():
        raise UserError(
            f"{folder} has no {SUMS}: the kit was ended before it had written everything, or the folder was not copied "
            "whole; copy it again, or run the kit again"
        )
    sums = (folder / SUMS).read_text(encoding="utf-8", errors="replace")
    files = _checked(folder, sums)
    try:
        facts = _facts(_json(folder / FACTS))
        kit = _json(folder / KIT)
        with np.load(folder / LATENCY, allow_pickle=False) as arrays:
            columns = {name: arrays[name] for name in COLUMNS}
        home = load_record(folder / HOME)
    except (OSError, ValueError, LookupError, EOFError) as error:
        raise UserError(f"{folder} can't be read: {first_line(error)}") from error
    if facts.kit != kit.get("id"):
        raise UserError(f"{folder} holds samples of kit {facts.kit}, and the description of kit {kit.get('id')}")
    digest = hashlib.sha256(sums.encode()).hexdigest()
    return Brought(folder=folder, kit=kit, facts=facts, home=home, columns=columns, digest=digest, files=files)


def _checked(folder: Path, sums: str) -> frozenset[str]:
    """The names of the files that the list names, all of them as they were written."""
    found: set[str] = set()
    for line in sums.splitlines():
        entry = _SUM.fullmatch(line)
        if entry is None:
            raise UserError(f"{folder / SUMS} is no list of digests")
        wanted, name = entry.groups()
        path = folder / name
        if Path(name).is_absolute() or ".." in Path(name).parts or path.is_symlink() or not path.is_file():
            raise UserError(f"{name} is missing in {folder}: copy the whole folder again")
        if file_digest(path) != wanted:
            raise UserError(f"{name} in {folder} was changed since the kit wrote it: copy the folder again")
        found.add(name)
    missing = [name for name in (FACTS, KIT, LATENCY, f"{HOME}/record.json") if name not in found]
    if missing:
        raise UserError(f"{folder / SUMS} does not name {missing[0]}: these are no samples of a kit")
    return frozenset(found)


def _json(path: Path) -> dict[str, Any]:
    if path.stat().st_size > MOST_JSON_BYTES:
        raise ValueError(f"{path.name} is too large")
    found = json.loads(path.read_bytes())
    if not isinstance(found, dict):
        raise ValueError(f"{path.name} holds no object")
    return found


def _facts(plain: Mapping[str, Any]) -> Facts:
    version = plain.get("samples_version")
    if version != SAMPLES_VERSION:
        raise ValueError(f"{FACTS} has version {version}, and this slimline reads {SAMPLES_VERSION}")
    problems: list[str] = []
    facts: Facts = fitted(dict(plain), Facts, FACTS, problems)
    if problems:
        raise ValueError("; ".join(problems[:3]))
    if not _NAME.fullmatch(facts.name):
        raise ValueError(f"{FACTS} names a device by other than letters and digits")
    return facts
