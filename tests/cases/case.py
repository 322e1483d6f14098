"""A case: an input, what is typed, and what must come out."""

from __future__ import annotations

import json
import os
import re
import subprocess
import sys
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Literal

from tests.cases.making import Make

ROOT = Path(__file__).resolve().parents[2]
LONGEST_S = 300
Status = Literal["ok", "failed", "skipped"]


@dataclass(frozen=True, slots=True)
class Outcome:
    """What one run left."""

    code: int
    said: str
    """Standard output and standard error."""
    folder: Path
    """Of the case."""
    out: Path
    """Of the run."""

    @property
    def report(self) -> Mapping[str, Any] | None:
        """``report.json``; None where there is none."""
        path = self.out / "report.json"
        report: Mapping[str, Any] | None = json.loads(path.read_text()) if path.exists() else None
        return report

    def variants(self) -> Mapping[str, Mapping[str, Any]]:
        """The report's variants by name."""
        return {} if self.report is None else {variant["name"]: variant for variant in self.report["variants"]}

    def row(self, variant: str) -> Mapping[str, Any]:
        """The variant's first row; empty where there is none."""
        results = self.variants().get(variant, {}).get("results", [])
        row: Mapping[str, Any] = results[0] if results else {}
        return row


Check = Callable[[Outcome], str | None]
"""What is wrong with an outcome; None where nothing is."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Expected:
    """What must come out. Never a traceback; with code 0 or 1 there is a report."""

    code: int = 0
    rows: Mapping[str, Status | tuple[Status, ...]] = field(default_factory=dict)
    """By variant; those that are not named are ok."""
    says: Sequence[str] = ()
    """Patterns that the output has."""
    never: Sequence[str] = ()
    """Patterns that the output does not have."""
    checks: Sequence[Check] = ()


@dataclass(frozen=True, slots=True, kw_only=True)
class Case:
    """``make`` writes the input, ``typed`` are the arguments (``{case}`` is the folder)."""

    make: Callable[[Make], None]
    typed: Sequence[str]
    expected: Expected = Expected()
    environment: Mapping[str, str | None] = field(default_factory=dict)
    """Changes of the environment; None removes a variable."""
    script: bool = False
    """Started as ``slimline`` from the folder ``project`` of the case, and not by ``python -m pipeline``."""
    change: Callable[[Path], None] | None = None
    """What changes in the folder before a second run on the same store, which is judged too."""
    at_once: int = 1
    """How many runs start together."""

    @property
    def name(self) -> str:
        """The maker's name."""
        return self.make.__name__

    def run(self, folder: Path) -> list[str]:
        """Carry it out in an empty folder and return what is wrong."""
        made = subprocess.run(
            [sys.executable, "-m", "tests.cases", "make", self.name, str(folder)],
            cwd=ROOT, capture_output=True, text=True, check=False,
        )  # fmt: skip
        if made.returncode:
            return [f"the input could not be made: {made.stderr.strip().splitlines()[-1]}"]
        outcomes = self._started(folder, [f"out{index}" for index in range(self.at_once)])
        if self.change is not None:
            self.change(folder)
            outcomes += self._started(folder, ["again"])
        return [problem for outcome in outcomes for problem in judged(self.expected, outcome)]

    def _started(self, folder: Path, outs: Iterable[str]) -> list[Outcome]:
        running = [(out, self._start(folder, out)) for out in outs]
        return [_ended(process, folder, folder / out) for out, process in running]

    def _start(self, folder: Path, out: str) -> subprocess.Popen[str]:
        program = [str(Path(sys.executable).parent / "slimline")] if self.script else [sys.executable, "-m", "pipeline"]
        typed = [argument.replace("{case}", str(folder)) for argument in self.typed]
        where = [f"store.path={folder / 'store'}", f"hydra.run.dir={folder / out}"]
        changed = {"PYTHONPATH": str(folder), **self.environment}
        return subprocess.Popen(
            [*program, *typed, *where],
            cwd=folder / "project" if self.script else ROOT,
            env={name: value for name, value in {**os.environ, **changed}.items() if value is not None},
            stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True, errors="replace",
        )  # fmt: skip


def judged(expected: Expected, outcome: Outcome) -> list[str]:
    """What is wrong with an outcome, a line each."""
    problems = []
    if outcome.code != expected.code:
        problems.append(f"ended with {outcome.code}, not {expected.code}")
    if "Traceback (most recent call last)" in outcome.said:
        problems.append("a traceback")
    if expected.code in (0, 1) and outcome.report is None:
        problems.append("no report")
    said = " ".join(outcome.said.split())
    problems += [f"does not say: {pattern}" for pattern in expected.says if not re.search(pattern, said)]
    problems += [f"says: {pattern}" for pattern in expected.never if re.search(pattern, said)]
    problems += [found for check in expected.checks if (found := check(outcome)) is not None]
    return problems + _wrong_rows(expected, outcome)


def _wrong_rows(expected: Expected, outcome: Outcome) -> list[str]:
    problems = [f"no variant {name}" for name in expected.rows if outcome.report and name not in outcome.variants()]
    for name, variant in outcome.variants().items():
        wanted = expected.rows.get(name, "ok")
        allowed = (wanted,) if isinstance(wanted, str) else wanted
        for row in variant["results"]:
            if row["status"] not in allowed:
                problems.append(f"{name} is {row['status']}, not {' or '.join(allowed)}: {row['reason']}")
    return problems


def _ended(process: subprocess.Popen[str], folder: Path, out: Path) -> Outcome:
    try:
        said, _ = process.communicate(timeout=LONGEST_S)
    except subprocess.TimeoutExpired:
        process.kill()
        said = f"{process.communicate()[0]}\nstill running after {LONGEST_S} s"
    return Outcome(process.returncode, said, folder, out)
