"""Is a bundle's folder what was written? Nothing in it is loaded or run here."""

from __future__ import annotations

import json
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any

from pipeline.artifact import file_digest
from pipeline.bundle import manifest as manifests
from pipeline.bundle.check import Check, from_problems
from pipeline.bundle.onnx_file import is_inside

CACHE = "__pycache__"
"""Python's own, made when a user imports infer.py; it is not read when a bundle is verified."""


def read_manifest(folder: Path) -> dict[str, Any]:
    """The manifest, which must have been checked."""
    manifest: dict[str, Any] = json.loads((folder / manifests.MANIFEST_FILE).read_bytes())
    return manifest


def check_manifest(folder: Path) -> list[Check]:
    """The manifest is there, valid by its schema and unchanged, and names no path outside the folder."""
    path = folder / manifests.MANIFEST_FILE
    if not path.is_file() or path.is_symlink():
        return [Check("manifest", False, f"{manifests.MANIFEST_FILE} is missing, or is not a plain file")]
    valid = from_problems("manifest", manifests.problems(path.read_bytes()), "valid by its schema, and unchanged")
    if not valid.passed:
        return [valid]
    outside = [
        f"{manifests.MANIFEST_FILE} names '{name}', which leads outside the folder"
        for name in read_manifest(folder)["files"]
        if not is_inside(name)
    ]
    return [valid, from_problems("paths", outside, "every path in the manifest stays inside the folder")]


def check_files(folder: Path) -> list[Check]:
    """Every file of the manifest is there and has its sha256, and there is no other."""
    digests: Mapping[str, str] = read_manifest(folder)["files"]
    present = {path.relative_to(folder).as_posix(): path for path in _entries(folder)}
    del present[manifests.MANIFEST_FILE]
    links = sorted(name for name, path in present.items() if path.is_symlink())
    missing = [f"{name} is missing" for name in sorted(set(digests) - set(present))]
    missing += [f"{name} is a link, not a file" for name in links]
    changed = [
        f"{name} was changed: its sha256 is not the manifest's"
        for name in sorted((set(digests) & set(present)) - set(links))
        if file_digest(present[name]) != digests[name]
    ]
    unexpected = [f"{name} is not in the manifest" for name in sorted(set(present) - set(digests))]
    return [
        from_problems("files present", missing, f"all {len(digests)} files of the manifest are there"),
        from_problems("files unchanged", changed, "every file has the sha256 of the manifest"),
        from_problems("no other files", unexpected, "nothing else lies in the folder"),
    ]


def _entries(folder: Path) -> Iterator[Path]:
    """Files and links below a folder; links are not followed."""
    for path in folder.rglob("*"):
        if CACHE in path.relative_to(folder).parts[:-1]:
            continue
        if path.is_symlink() or not path.is_dir():
            yield path
