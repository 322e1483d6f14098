"""Measures rows of a search's space in ordinary runs: what benchmarks/search.py is made of."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path

from rich.console import Console

from pipeline.analyse.recommend.eligible import Row, obstacles
from pipeline.plan import BASELINE, Plan
from pipeline.results.figures import Speedup
from pipeline.results.report import Report
from pipeline.run import loop
from pipeline.search.space import Candidate, space

Pair = tuple[str, str]
"""A variant and a target."""


def measure(plan: Plan, rows: Sequence[Candidate], against: Pair, out: Path, budget_s: float | None) -> None:
    """Measure some candidates in an ordinary run, against one of them; raises SlimlineError where the run fails."""
    own = reference(plan)
    variants = {BASELINE: plan.variants[BASELINE], own[0]: plan.variants[own[0]]}
    targets = {own[1]: plan.targets[own[1]], **{one.target.name: one.target for one in rows}}
    quiet = replace(
        plan.measure,
        reference="@".join(against),
        budget_s=budget_s,
        peaks=False,
        explain="none",
        energy_s=None,
        try_s=None,
    )
    run = replace(
        plan,
        search=None,
        variants={**variants, **{one.variant.name: one.variant for one in rows}},
        targets=targets,
        pairs=frozenset({own, *((one.variant.name, one.target.name) for one in rows)}),
        measure=quiet,
        output=out,
        command="python benchmarks/search.py",
    )
    with (out.parent / f"{out.name}.log").open("w") as log:
        loop.run(run, Console(file=log, width=120))


def reference(plan: Plan) -> Pair:
    """The row that a search compares with."""
    return plan.measure.reference_for(next(iter(plan.targets)))


def by_pair(plan: Plan) -> dict[Pair, Candidate]:
    """The candidates of a plan, and its reference."""
    return {(one.variant.name, one.target.name): one for one in space(plan)}


def answer_of(report: Report) -> Pair | None:
    """The row that a run recommends."""
    chosen = report.recommendation
    return None if chosen is None else (chosen.variant, chosen.target)


def speedups(report: Report) -> dict[Pair, Speedup]:
    """The speed-up of each row that has one."""
    rows = ((variant.name, row) for variant in report.variants for row in variant.results)
    return {(name, row.target): row.speedup for name, row in rows if row.speedup is not None}


def leaders_of(report: Report, own: Pair, most: int) -> list[Pair]:
    """The fastest rows of a grid that a run may recommend, the fastest first; its reference among them."""
    found = {own: 1.0}
    for variant in report.variants:
        for result in variant.results:
            row = Row(variant=variant.name, size_bytes=variant.size_bytes, result=result)
            pair = variant.name, result.target
            if result.status != "ok" or obstacles(row, report.constraints, is_reference=pair == own, noisy=False):
                continue
            found[pair] = 1.0 if result.speedup is None else result.speedup.value
    return sorted(found, key=lambda pair: -found[pair])[:most]
