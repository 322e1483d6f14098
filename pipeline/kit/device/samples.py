"""The folder that is carried home: every call, every output, the machine, and a digest over all of it."""

from __future__ import annotations

import hashlib
import json
import os
import shutil
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

SAMPLES_VERSION = 1
FACTS, LATENCY, SUMS, KIT = "samples.json", "latency.npz", "SHA256SUMS", "kit.json"
HOME, OUTPUTS = "home", "outputs"
_CHUNK = 2**20


def keep(folder: Path, facts: Mapping[str, Any], columns: Mapping[str, NDArray[Any]]) -> None:
    """Write what was measured so far; each file appears whole."""
    temporary = folder / f".{LATENCY}.tmp.npz"
    np.savez_compressed(temporary, **columns)  # type: ignore[arg-type]
    temporary.replace(folder / LATENCY)
    _write(folder / FACTS, json.dumps({"samples_version": SAMPLES_VERSION, **facts}, indent=1) + "\n")


def begin(out: Path, kit_folder: Path) -> Path:
    """A folder beside ``out`` that holds the samples until they are whole, with what home needs to read them."""
    work = out.with_name(f".{out.name}.{os.getpid()}.new")
    (work / OUTPUTS).mkdir(parents=True)
    shutil.copyfile(kit_folder / KIT, work / KIT)
    shutil.copytree(kit_folder / HOME, work / HOME)
    return work


def finish(work: Path, out: Path) -> str:
    """Write the digests of all files and give the folder its name; returns the digest over them all."""
    sums = "".join(f"{sha256_of(path)}  {path.relative_to(work).as_posix()}\n" for path in files_in(work))
    _write(work / SUMS, sums)
    work.replace(out)
    return hashlib.sha256(sums.encode()).hexdigest()


def files_in(folder: Path) -> list[Path]:
    """The files of a folder, in order, without the list of digests itself."""
    return sorted(path for path in folder.rglob("*") if path.is_file() and path.name != SUMS)


def sha256_of(path: Path) -> str:
    """The sha256 of a file."""
    digest = hashlib.sha256()
    with path.open("rb") as file:
        while part := file.read(_CHUNK):
            digest.update(part)
    return digest.hexdigest()


def _write(path: Path, text: str) -> None:
    temporary = path.with_name(f".{path.name}.tmp")
    temporary.write_text(text, encoding="utf-8")
    temporary.replace(path)
