"""Whether a plan fits together: all problems at once, before any work, without I/O."""

from __future__ import annotations

from dataclasses import fields
from typing import get_args

from pipeline.artifact import Format
from pipeline.plan import BASELINE, Constraints, Grid, MeasureSettings, Plan, Scenario, Variant

LONGEST_ENERGY_S = 60
"""A package's counter wraps around after some 65 kJ: at 500 W, after two minutes."""
_POSITIVE = (
    "half_width",
    "noisy_half_width",
    "cell_ms",
    "min_calls",
    "budget_s",
    "deadline_ms",
    "price_per_hour",
    "scenario_s",
    "try_s",
    "server_qps",
    "server_latency_ms",
)
"""The settings of ``measure`` that must be above 0 where they are set."""


def misfit(variant: Variant, source: Format) -> str | None:
    """The first stage that does not accept what comes before it, or None where the chain fits."""
    current = source
    for name, stage in variant.stages.items():
        if current not in stage.accepts:
            return name
        current = stage.produces
    return None


def check(plan: Plan) -> list[str]:
    """Everything that is wrong with the plan, all at once, before any work; empty where it fits together."""
    return [
        *_check_selection(plan),
        *(problem for variant in plan.variants.values() for problem in _check_variant(plan, variant)),
        *check_measure(plan.measure),
        *_check_reference(plan),
        *_check_constraints(plan.constraints),
    ]


def _check_selection(plan: Plan) -> list[str]:
    problems = []
    if BASELINE not in plan.variants:
        names = ",".join([BASELINE, *plan.variants])
        problems.append(f"every variant is compared with the baseline, which is not selected: type variant=[{names}]")
    if not plan.targets:
        problems.append("no target is selected: type target=[ort_cpu]")
    if not plan.batch_sizes:
        problems.append("batch_sizes is empty: type batch_sizes=[1]")
    if any(size < 1 for size in plan.batch_sizes) or len(set(plan.batch_sizes)) != len(plan.batch_sizes):
        problems.append(f"batch_sizes must be different whole numbers above 0 (got {list(plan.batch_sizes)})")
    if plan.grid not in get_args(Grid):
        problems.append(f"grid must be one of {', '.join(get_args(Grid))} (got {plan.grid})")
    for target in plan.targets.values():
        if target.threads < 1:
            problems.append(f"target.{target.name}.threads must be at least 1 (got {target.threads})")
    return problems


def _check_variant(plan: Plan, variant: Variant) -> list[str]:
    problems = []
    name = misfit(variant, "torch")
    if name is not None:
        stage = variant.stages[name]
        before = list(variant.stages)[: list(variant.stages).index(name)]
        found = variant.stages[before[-1]].produces if before else "torch"
        problems.append(
            f"variants.{variant.name}.stages.{name} needs {' or '.join(sorted(stage.accepts))} but gets {found} "
            f"from {before[-1] if before else 'the model'}: the order is {' -> '.join(variant.stages)}; "
            + ("put an export stage before it" if found == "torch" else "put it before the export stage")
        )
    if plan.data.calibration_size < 1:
        problems.extend(
            f"variants.{variant.name}.stages.{name} needs calibration data: set data.calibration_size above 0"
            for name, stage in variant.stages.items()
            if "calibration" in stage.reads
        )
    return problems


def check_measure(measure: MeasureSettings) -> list[str]:
    """What is wrong with the settings of ``measure`` by themselves, a line each."""
    problems = []
    if not measure.looks or list(measure.looks) != sorted(set(measure.looks)) or measure.looks[0] < 3:
        problems.append(f"measure.looks must rise and start at 3 rounds or more (got {list(measure.looks)})")
    if measure.blocks < 4:
        problems.append(f"measure.blocks must be at least 4 (got {measure.blocks})")
    if not 0 < measure.alpha < 0.5:
        problems.append(f"measure.alpha must lie between 0 and 0.5 (got {measure.alpha})")
    for name in _POSITIVE:
        value = getattr(measure, name)
        if value is not None and value <= 0:
            problems.append(f"measure.{name} must be above 0 (got {value})")
    return problems + _check_scenarios(measure) + _check_energy(measure)


def _check_reference(plan: Plan) -> list[str]:
    reference = plan.measure.reference
    if reference is None:
        return []
    variant, _, target = reference.partition("@")
    if variant in plan.variants and target in plan.targets:
        return []
    return [
        f"measure.reference={reference} must be variant@target out of variants "
        f"{', '.join(plan.variants)} and targets {', '.join(plan.targets)}"
    ]


def _check_scenarios(measure: MeasureSettings) -> list[str]:
    available = get_args(Scenario)
    problems = [
        f"measure.scenarios: {name} does not exist; available: {', '.join(available)}"
        for name in measure.scenarios
        if name not in available
    ]
    if len(set(measure.scenarios)) != len(measure.scenarios):
        problems.append(f"measure.scenarios must be different (got {', '.join(measure.scenarios)})")
    needs = {"measure.server_qps=200": measure.server_qps, "measure.server_latency_ms=20": measure.server_latency_ms}
    missing = [example for example, value in needs.items() if value is None]
    if "Server" in measure.scenarios and missing:
        problems.append(f"measure.scenarios: Server needs a rate and a latency bound: type {' '.join(missing)}")
    return problems


def _check_energy(measure: MeasureSettings) -> list[str]:
    if measure.energy_s is None or 0 < measure.energy_s <= LONGEST_ENERGY_S:
        return []
    return [
        f"measure.energy_s must be above 0 and at most {LONGEST_ENERGY_S}, since a counter may wrap around more than "
        f"once in a longer time; or null (got {measure.energy_s})"
    ]


def _check_constraints(constraints: Constraints) -> list[str]:
    problems = []
    for limit in fields(constraints):
        value = getattr(constraints, limit.name)
        if value is not None and value <= 0:
            problems.append(f"constraints.{limit.name} must be above 0 (got {value})")
    drop = constraints.max_accuracy_drop
    if drop is not None and drop >= 1:
        problems.append(f"constraints.max_accuracy_drop is a fraction: 0.01 is one point (got {drop})")
    return problems
