"""The program of a bundle, as this version of slimline writes it."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from importlib.resources import files
from typing import Any

from pipeline.bundle.slimline_infer.values import printable
from pipeline.libraries.revision import named, revision

PROGRAM = "infer.py"
SERVER = "serve.py"
PARTS = "slimline_infer"
RUNTIME_PART = "on_"


def program(runtime: str) -> dict[str, bytes]:
    """The files of the program that runs a model on a runtime, by name."""
    package = files("pipeline.bundle")
    parts = {
        f"{PARTS}/{entry.name}": entry.read_bytes()
        for entry in package.joinpath(PARTS).iterdir()
        if entry.name.endswith(".py")
    }
    others = {name for name in parts if name.startswith(f"{PARTS}/{RUNTIME_PART}")} - {
        f"{PARTS}/{RUNTIME_PART}{runtime}.py"
    }
    kept = {name: content for name, content in sorted(parts.items()) if name not in others}
    return {name: package.joinpath(name).read_bytes() for name in (PROGRAM, SERVER)} | kept


def other_program(manifest: Mapping[str, Any], names: Sequence[str]) -> list[str]:
    """Why these files of the program are refused, and what to do; a line each."""
    if not names:
        return []
    made, mine = named(manifest["slimline"]), named(revision())
    why = f"{mine} writes"
    if made != mine:
        why = (
            f"this {mine} writes, and the bundle says that {printable(made)} made it: verify it with that one, or "
            f"write it anew: python -m pipeline bundle RUN {printable(manifest['name'])}"
        )
    return [f"{printable(name)} is not the one that {why}" for name in names]
