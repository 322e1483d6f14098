"""The commands that look before anything is built."""

from __future__ import annotations

from rich.console import Console

from pipeline.inspection import dry_run as dry_runs
from pipeline.inspection.inspect import inspect as look_at
from pipeline.inspection.inspection import ABOUT, SCHEMA_VERSION, Inspection, Suggested
from pipeline.inspection.plan import dry_run as plan_out
from pipeline.inspection.telling import tell_inspection
from pipeline.inspection.telling_plan import tell_dry_run
from pipeline.plan import Plan
from pipeline.report.document import print_document, print_schema


def inspect(plan: Plan, suggested: Suggested, console: Console, *, as_json: bool = False) -> int:
    """Look at the model of a plan and print what it is; returns 2 where a run would refuse it, else 0."""
    found = look_at(plan, suggested, Console(stderr=True) if as_json else console)
    if as_json:
        print_document(found, console)
    else:
        tell_inspection(found, console)
    return 2 if found.problems else 0


def inspection_schema(console: Console) -> int:
    """Print the JSON Schema of what ``inspect --json`` prints."""
    print_schema(Inspection, "inspection", SCHEMA_VERSION, ABOUT, console)
    return 0


def dry_run(plan: Plan, console: Console, *, as_json: bool = False) -> int:
    """Print what a run of a plan would do; nothing is done."""
    found = plan_out(plan)
    if as_json:
        print_document(found, console)
    else:
        tell_dry_run(found, console)
    return 0


def dry_run_schema(console: Console) -> int:
    """Print the JSON Schema of what ``plan --json`` prints."""
    print_schema(dry_runs.DryRun, "plan", dry_runs.SCHEMA_VERSION, dry_runs.ABOUT, console)
    return 0
