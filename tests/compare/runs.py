"""Runs that never happened, to be compared."""

from dataclasses import replace
from pathlib import Path
from typing import Any

from pipeline.compare.comparison import compare
from pipeline.compare.runs import Run
from pipeline.plan import GateRules
from pipeline.results.comparison import Comparison, RowChange
from pipeline.results.record import Record, save_record
from tests.analyse.synthetic import Made, make_record

INT8 = Made(name="int8", times_as_fast=2.0)
ROW = "int8@ort_cpu/1"
BASELINE_ROW = "baseline@ort_cpu/1"


def a_run(*made: Made, seed: int = 1, **more: Any) -> Run:
    """A run with the fixed model beside it."""
    more.setdefault("probe_times_as_fast", 1.0)
    return Run(folder=Path(f"run{seed}"), record=make_record(*(made or (INT8,)), seed=seed, **more))


def rebuilt(run: Run, variant: str, digest: str = "cd" * 32, **fields: Any) -> Run:
    """The same run with other bytes of a variant, whose stage has these fields beside."""
    variants = [
        replace(one, digest=digest, stages=[replace(stage, fields={**stage.fields, **fields}) for stage in one.stages])
        if one.name == variant
        else one
        for one in run.record.variants
    ]
    return Run(folder=run.folder, record=replace(run.record, variants=variants))


def with_record(run: Run, **changes: Any) -> Run:
    """The same run with other facts."""
    return Run(folder=run.folder, record=replace(run.record, **changes))


def compared(*runs: Run, rules: GateRules | None = None, gate: bool = True) -> Comparison:
    """The last run compared with those before it, the first of which is the latest."""
    *before, after = runs
    return compare(before, after, rules or GateRules(), gate=gate)


def row_of(found: Comparison, key: str = ROW) -> RowChange:
    return next(row for row in found.rows if row.key == key)


def outcome_of(found: Comparison, judged: str, key: str = ROW) -> str:
    assert found.gate is not None
    return next(check.outcome for check in found.gate.checks if (check.row, check.judged) == (key, judged))


def written(record: Record, folder: Path) -> Path:
    """A run's folder with the record."""
    save_record(record, folder / "samples")
    return folder
