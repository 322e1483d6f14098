"""Another machine's rows beside a run's own, in one report. Each machine's verdicts stay those of its own run."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

from pipeline.analyse.assemble import analyse
from pipeline.results.reading import load_nodes
from pipeline.results.record import Record
from pipeline.results.report import Elsewhere, Report, Result, VariantResult, at


def report_of(record: Record, run: Path) -> Report:
    """The report of a run's record, with the rows of the nodes that it has measured on; raises ValueError for samples
    that can't be read."""
    report = analyse(record)
    for name, there in load_nodes(run).items():
        report = beside(report, analyse(there), name)
    return report


def beside(home: Report, there: Report, name: str) -> Report:
    """The home run's report with the rows of the machine ``name`` in it, on targets called ``target@name``."""
    rows = {variant.name: variant.results for variant in there.variants}
    return replace(
        home,
        variants=[_with(variant, rows.get(variant.name, []), name) for variant in home.variants],
        targets={**home.targets, **{at(target, name): found for target, found in there.targets.items()}},
        margins={**home.margins, **{at(target, name): margin for target, margin in there.margins.items()}},
        elsewhere=[
            *home.elsewhere,
            Elsewhere(
                name=name,
                machine=there.machine,
                created=there.created,
                summary=there.summary,
                recommendation=there.recommendation,
                why_none=there.why_none,
                noise=there.noise,
            ),
        ],
        notes=[*home.notes, *(note for note in there.notes if note not in home.notes)],
        faults=[*home.faults, *there.faults],
    )


def _with(variant: VariantResult, results: list[Result], name: str) -> VariantResult:
    return replace(variant, results=[*variant.results, *(_renamed(result, name) for result in results)])


def _renamed(result: Result, name: str) -> Result:
    """The row under its joined target, and what it is compared with."""
    speedup = result.speedup
    if speedup is not None:
        reference = replace(speedup.reference, target=at(speedup.reference.target, name))
        speedup = replace(speedup, reference=reference)
    return replace(result, target=at(result.target, name), speedup=speedup)
