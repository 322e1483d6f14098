"""Checks whether a plan fits together: all problems at once, before any work, without I/O."""

from __future__ import annotations

from inspect import signature
from typing import get_args

from pipeline.bounds import BatchSize, NotNegative, Seed, Threads, fitted, out_of_bounds
from pipeline.errors.names import meant, unknown
from pipeline.plan.chains import misfit
from pipeline.plan.plan import Grid, Plan
from pipeline.plan.roles import Role
from pipeline.plan.settings import BASELINE, MeasureSettings, Scenario
from pipeline.plan.stage import Variant, role_of


def check(plan: Plan) -> list[str]:
    """Everything that is wrong with the plan; empty where it fits together."""
    return [
        *_check_numbers(plan),
        *_check_selection(plan),
        *(problem for variant in plan.variants.values() for problem in _check_variant(plan, variant)),
        *check_measure(plan.measure),
        *_check_reference(plan),
        *out_of_bounds(plan.constraints, "constraints"),
        *out_of_bounds(plan.limits, "limits"),
    ]


def _check_numbers(plan: Plan) -> list[str]:
    problems: list[str] = []
    fitted(plan.batch_sizes, tuple[BatchSize, ...], "batch_sizes", problems)
    fitted(plan.seed, Seed, "seed", problems)
    fitted(plan.store_max_gb, NotNegative, "store.max_gb", problems)
    for target in plan.targets.values():
        fitted(target.threads, Threads, f"target.{target.name}.threads", problems)
    return problems


def _check_selection(plan: Plan) -> list[str]:
    problems = []
    if BASELINE not in plan.variants:
        names = ",".join([BASELINE, *plan.variants])
        problems.append(f"every variant is compared with the baseline, which is not selected: type variant=[{names}]")
    if not plan.targets:
        problems.append("no target is selected: type target=[ort_cpu]")
    if not plan.batch_sizes:
        problems.append("batch_sizes is empty: type batch_sizes=[1]")
    if len(set(plan.batch_sizes)) != len(plan.batch_sizes):
        problems.append(f"batch_sizes must be different (got {list(plan.batch_sizes)})")
    if plan.grid not in get_args(Grid):
        problems.append(f"grid must be one of {', '.join(get_args(Grid))} (got {plan.grid})")
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
            + {"torch": "put an export stage before it", "onnx": "put it before the export stage"}.get(
                found, f"put it before {before[-1]}" if before else ""
            )
        )
    problems.extend(
        f"variants.{variant.name}.stages.{name}: its role must be one of {', '.join(get_args(Role))} (got {role})"
        for name, stage in variant.stages.items()
        if (role := role_of(stage)) not in (None, *get_args(Role))
    )
    for name, stage in variant.stages.items():
        problems += out_of_bounds(stage, f"variants.{variant.name}.stages.{name}")
    if plan.data.calibration_size < 1 and "calibration_size" in signature(type(plan.data)).parameters:
        problems.extend(
            f"variants.{variant.name}.stages.{name} needs calibration data: set data.calibration_size above 0"
            for name, stage in variant.stages.items()
            if "calibration" in stage.reads
        )
    return problems


def check_measure(measure: MeasureSettings) -> list[str]:
    """Everything that is wrong with the settings of ``measure`` by themselves, a line each."""
    problems = out_of_bounds(measure, "measure")
    if not measure.looks or list(measure.looks) != sorted(set(measure.looks)):
        problems.append(f"measure.looks must hold rising numbers of rounds (got {list(measure.looks)})")
    if measure.stages and "model" not in measure.stages:
        problems.append(f"measure.stages lacks the model: type measure.stages=[{','.join([*measure.stages, 'model'])}]")
    return problems + _check_scenarios(measure)


def _check_reference(plan: Plan) -> list[str]:
    reference = plan.measure.reference
    if reference is None:
        return []
    variant, _, target = reference.partition("@")
    if variant in plan.variants and target in plan.targets:
        return []
    rows = [f"{one}@{on}" for one in plan.variants for on in plan.targets]
    return [
        f"measure.reference={reference} must be variant@target: {meant(reference, rows)}out of variants "
        f"{', '.join(plan.variants)} and targets {', '.join(plan.targets)}"
    ]


def _check_scenarios(measure: MeasureSettings) -> list[str]:
    available = get_args(Scenario)
    problems = [
        unknown(f"measure.scenarios: {name}", name, available) for name in measure.scenarios if name not in available
    ]
    if len(set(measure.scenarios)) != len(measure.scenarios):
        problems.append(f"measure.scenarios must be different (got {', '.join(measure.scenarios)})")
    needs = {"measure.server_qps=200": measure.server_qps, "measure.server_latency_ms=20": measure.server_latency_ms}
    missing = [example for example, value in needs.items() if value is None]
    if "Server" in measure.scenarios and missing:
        problems.append(f"measure.scenarios: Server needs a rate and a latency bound: type {' '.join(missing)}")
    return problems
