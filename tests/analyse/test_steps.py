"""What each step of a chain contributes."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest

from pipeline.analyse import analyse
from pipeline.analyse.steps import paths
from pipeline.results.reading import ROLES_BEFORE
from pipeline.results.record import AccuracySamples, Record, StageRecord, VariantRecord
from pipeline.results.report import Result, Step
from tests.analyse.synthetic import Made, make_record

EXPORT = ("export", "ExportOnnx")
PRUNE, FINETUNE, QUANTIZE = ("prune", "Prune"), ("finetune", "Finetune"), ("quantize", "QuantizeStatic")


def chain(*stages: tuple[str, str], **fields: object) -> list[StageRecord]:
    return [
        StageRecord(
            name=name,
            kind=kind,
            fields=dict(fields),
            key="",
            digest="",
            seconds=0.0,
            reused=False,
            role=ROLES_BEFORE.get(kind),
        )
        for name, kind in stages
    ]


CHAINS = {
    "baseline": chain(EXPORT),
    "cut": chain(PRUNE, EXPORT),
    "pruned": chain(PRUNE, FINETUNE, EXPORT),
    "pruned_int8": chain(PRUNE, FINETUNE, EXPORT, QUANTIZE),
}


def record(*variants: Made, **chains: list[StageRecord]) -> Record:
    made = make_record(*variants)
    stages = {**CHAINS, **chains}
    return replace(made, variants=[replace(entry, stages=stages[entry.name]) for entry in made.variants])


def row(found: Record, name: str) -> Result:
    return next(variant for variant in analyse(found).variants if variant.name == name).results[0]


def test_each_step_has_its_own_speed_up_and_change_of_accuracy() -> None:
    found = record(
        Made(name="cut", times_as_fast=2.0, lost=4_000),
        Made(name="pruned", times_as_fast=2.0, lost=50),
        Made(name="pruned_int8", times_as_fast=3.0, lost=80),
    )
    steps = row(found, "pruned_int8").steps
    assert [(step.stages, step.variant) for step in steps] == [
        (["prune"], "cut"),
        (["finetune"], "pruned"),
        (["quantize"], "pruned_int8"),
    ]
    for step, times, change in zip(steps, (2.0, 1.0, 1.5), (-0.4, 0.395, -0.003), strict=True):
        assert step.speedup is not None
        assert step.accuracy is not None
        assert step.speedup.low < times < step.speedup.high
        assert step.speedup.value == pytest.approx(times, rel=0.01)
        assert step.accuracy.value == pytest.approx(change)
        assert step.accuracy.low < change < step.accuracy.high


def test_stages_without_a_row_between_them_are_one_step() -> None:
    found = record(Made(name="pruned", times_as_fast=2.0), Made(name="pruned_int8", times_as_fast=3.0))
    steps = row(found, "pruned_int8").steps
    assert [(step.stages, step.variant) for step in steps] == [
        (["prune", "finetune"], "pruned"),
        (["quantize"], "pruned_int8"),
    ]


def test_a_chain_of_one_step_has_none() -> None:
    found = record(Made(name="pruned", times_as_fast=2.0))
    assert row(found, "baseline").steps == []
    assert row(found, "pruned").steps == []


def test_another_export_is_a_step_of_its_own() -> None:
    other = [*chain(EXPORT, exporter="torchscript")]
    variants = record(
        Made(name="other"), Made(name="other_int8"), other=other, other_int8=[*other, *chain(QUANTIZE)]
    ).variants
    assert paths(variants) == {"other_int8": [(["export"], "other"), (["quantize"], "other_int8")]}


def test_a_chain_that_exports_by_quantizing_begins_with_rows_exported_as_the_baseline() -> None:
    variants = record(
        Made(name="pruned"), Made(name="qat"), qat=chain(PRUNE, FINETUNE, ("quantize", "QuantizeAware"))
    ).variants
    assert paths(variants)["qat"] == [(["prune", "finetune"], "pruned"), (["quantize"], "qat")]


def test_a_beginning_that_was_not_built_is_passed_over() -> None:
    found = record(
        Made(name="cut", status="failed", reason="it broke"),
        Made(name="pruned", times_as_fast=2.0),
        Made(name="pruned_int8", times_as_fast=3.0),
    )
    assert [step.stages for step in row(found, "pruned_int8").steps] == [["prune", "finetune"], ["quantize"]]


def test_vectors_change_in_their_likeness_to_the_baselines() -> None:
    found = record(Made(name="pruned"), Made(name="pruned_int8"))
    angles = {"baseline": 0.0, "pruned": 0.1, "pruned_int8": 0.3}
    vectors = {
        f"{name}@ort_cpu": np.tile(np.array([[np.cos(angle), np.sin(angle)]], np.float32), (5, 1))
        for name, angle in angles.items()
    }
    found = replace(found, accuracy=AccuracySamples(labels=None, predictions=vectors, metric="cosine"))
    first, second = row(found, "pruned_int8").steps
    assert value(first) == pytest.approx(np.cos(0.1) - 1, abs=1e-6)
    assert value(second) == pytest.approx(np.cos(0.3) - np.cos(0.1), abs=1e-6)


def value(step: Step) -> float:
    assert step.accuracy is not None
    return step.accuracy.value


def test_a_row_that_was_not_timed_leaves_its_steps_without_a_speed_up() -> None:
    found = record(Made(name="pruned"), Made(name="pruned_int8"))
    subjects = [
        replace(entry, status="failed", reason="it broke") if entry.variant == "pruned" else entry
        for entry in found.subjects
    ]
    steps = row(replace(found, subjects=subjects), "pruned_int8").steps
    assert [step.speedup for step in steps] == [None, None]


def test_a_variant_without_a_baseline_has_no_way() -> None:
    only: list[VariantRecord] = [entry for entry in record(Made(name="pruned")).variants if entry.name != "baseline"]
    assert paths(only) == {}
