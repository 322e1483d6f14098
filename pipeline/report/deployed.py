"""The bundle in a run's folder, as the page names it."""

from __future__ import annotations

import json
import shlex
from dataclasses import dataclass
from pathlib import Path

from pipeline.results.report import Report

FOLDER = "deploy"
_MANIFEST = "manifest.json"


@dataclass(frozen=True, slots=True, kw_only=True)
class Deployed:
    """A bundle: its folder, and the command that verifies it."""

    folder: str
    command: str


def deployed(report: Report, folder: Path) -> Deployed | None:
    """The recommended variant's bundle in this run's folder; None where there is none."""
    if report.recommendation is None:
        return None
    bundle = folder / FOLDER / report.recommendation.variant
    try:
        manifest = json.loads((bundle / _MANIFEST).read_text(encoding="utf-8"))
    except (OSError, ValueError):
        return None
    command = verify_command(bundle, loads_code=manifest.get("runtime") == "torch")
    return Deployed(folder=str(bundle), command=command)


def verify_command(bundle: Path, *, loads_code: bool) -> str:
    """The command that lets a bundle prove itself; a model that is code is only run on purpose."""
    return f"python -m pipeline verify {shlex.quote(str(bundle))}{' --run-infer' if loads_code else ''}"
