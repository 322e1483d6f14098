"""The four factors, on runs whose effects are known exactly."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from dataclasses import replace
from typing import Any

import numpy as np
import pytest
from numpy.typing import NDArray

from pipeline.analyse import analyse
from pipeline.plan import MeasureSettings
from pipeline.results.factors import Axis, Factors, Level
from pipeline.results.header import TargetRecord
from pipeline.results.reading import ROLES_BEFORE
from pipeline.results.record import (
    AccuracySamples,
    Record,
    StageRecord,
    SubjectRecord,
    VariantRecord,
    subject_key,
)
from tests.analyse.synthetic import BLOCKS, CALLS, ROUNDS, Made, make_record, samples_from

MACS = 64_000_000
CPU = {"backend": "onnxruntime", "device": "cpu", "threads": 1, "session": {}}
Chain = Sequence[tuple[str, dict[str, Any], dict[str, Any]]]
EXPORT: tuple[str, dict[str, Any], dict[str, Any]] = ("ExportOnnx", {"exporter": "dynamo"}, {})
PRUNE: tuple[str, dict[str, Any], dict[str, Any]] = ("Prune", {"pruning_ratio": 0.5}, {})
RESIZE: dict[str, Any] = {"resized": "resolution", "elements": {"times": 0.25}}


def variant(name: str, chain: Chain = (EXPORT,), macs: int | None = MACS) -> VariantRecord:
    stages = [
        StageRecord(name=kind.lower(), kind=kind, fields=fields, key="k", digest="d", seconds=1.0, reused=False,
                    notes=notes, role=ROLES_BEFORE.get(kind))
        for kind, fields, notes in chain
    ]  # fmt: skip
    return VariantRecord(
        name=name, status="ok", reason=None, stages=stages, format="onnx", digest="d", path="p", size_bytes=1,
        parameters=10, macs=macs,
    )  # fmt: skip


def pruned(name: str, macs: int | None, *more: str) -> VariantRecord:
    return variant(name, [("Prune", {"pruning_ratio": name}, {}), *((kind, {}, {}) for kind in more), EXPORT], macs)


def run(
    times_ms: Mapping[tuple[str, str, int], float],
    variants: Sequence[VariantRecord] = (),
    targets: Mapping[str, Mapping[str, Any]] | None = None,
    wrong: Mapping[str, int] | None = None,
    measure: MeasureSettings | None = None,
    spread: float = 0.003,
) -> Record:
    """A run of these rows (variant, target, batch size) around baseline, ort_cpu, 1; ``wrong`` of 1,000 answers."""
    rows = {("baseline", "ort_cpu", 1): 2.0, **times_ms}
    places = {"ort_cpu": CPU, **(targets or {})}
    random = np.random.default_rng(0)
    drift = random.normal(0, 0.1, (ROUNDS, BLOCKS, 1))
    durations: dict[str, NDArray[np.float64]] = {
        subject_key(*row): time * np.exp(drift + random.normal(0, spread, (ROUNDS, BLOCKS, CALLS)))
        for row, time in rows.items()
    }
    predictions = {
        f"{name}@{target}": (np.arange(1000) < (wrong or {}).get(name, 0)).astype(np.int64) for name, target, _ in rows
    }
    subjects = [
        SubjectRecord(
            variant=name, target=target, device=places[target]["device"], batch_size=size, status="ok", reason=None
        )
        for name, target, size in rows
    ]
    return replace(
        make_record(Made(name="baseline"), measure=measure),
        variants=[variant("baseline"), *variants],
        targets={name: TargetRecord(**place) for name, place in places.items()},
        batch_sizes=list(dict.fromkeys([1, *(size for _, _, size in rows)])),
        subjects=subjects,
        latency=samples_from(durations),
        accuracy=AccuracySamples(labels=np.zeros(1000, np.int64), predictions=predictions, metric="accuracy"),
        grid="one_at_a_time",
    )


def found(record: Record) -> Factors:
    factors = analyse(record).factors
    assert factors is not None
    return factors


def only_axis(record: Record) -> Axis:
    [axis] = found(record).axes
    return axis


def level(axis: Axis, label: str) -> Level:
    return next(entry for entry in axis.levels if entry.label == label)


def test_a_run_of_every_combination_has_no_factors() -> None:
    assert analyse(make_record(Made(name="fast", times_as_fast=2))).factors is None


def test_time_in_proportion_to_the_work_has_elasticity_one() -> None:
    ladder = [pruned("half", MACS // 2), pruned("quarter", MACS // 4)]
    axis = only_axis(run({("half", "ort_cpu", 1): 1.0, ("quarter", "ort_cpu", 1): 0.5}, ladder))
    assert (axis.factor, axis.name, axis.unit) == ("architecture", "pruning", "MACs")
    assert [entry.label for entry in axis.levels] == ["baseline", "half", "quarter"]
    assert axis.elasticity is not None
    assert axis.elasticity.low < 1 < axis.elasticity.high
    assert axis.elasticity.doubling.value == pytest.approx(2, abs=0.02)
    assert axis.stops_paying is None
    gain = level(axis, "quarter").gain
    assert gain is not None
    assert gain.low < 4 < gain.high
    step = level(axis, "quarter").step
    assert step is not None
    assert step.value == pytest.approx(2, abs=0.01)


def test_it_says_from_where_on_more_does_not_pay() -> None:
    times = {2: 2.0 * 2 / 1.5, 4: 2.0 * 4 / 1.8, 8: 2.0 * 8 / 1.81, 16: 2.0 * 16 / 3.0}
    axis = only_axis(run({("baseline", "ort_cpu", size): time for size, time in times.items()}))
    assert (axis.factor, axis.name, axis.stops_paying) == ("input", "batch", "batch 4")
    assert level(axis, "batch 2").time_ms == pytest.approx(2.0 / 1.5, rel=0.1)
    gain = level(axis, "batch 4").gain
    assert gain is not None
    assert gain.value == pytest.approx(1.8, abs=0.01)


def test_models_of_the_same_work_are_no_step_apart() -> None:
    ladder = [pruned("raw", MACS // 2), pruned("tuned", MACS // 2, "Finetune"), pruned("small", MACS // 4)]
    times = {("raw", "ort_cpu", 1): 1.0, ("tuned", "ort_cpu", 1): 1.0, ("small", "ort_cpu", 1): 0.5}
    axis = only_axis(run(times, ladder))
    assert level(axis, "tuned").step is None
    assert axis.stops_paying is None
    assert [(entry.label, entry.note) for entry in axis.levels] == [
        ("baseline", None), ("raw", "not fine-tuned"), ("tuned", None), ("small", "not fine-tuned"),
    ]  # fmt: skip


@pytest.mark.parametrize(
    ("chain", "macs", "expected"),
    [
        ([PRUNE, ("Finetune", {}, {}), EXPORT], MACS // 2, ("architecture", "pruning", "MACs")),
        ([EXPORT, ("ResizeInput", {}, RESIZE)], MACS // 4, ("input", "resolution", "input size")),
        ([EXPORT, ("QuantizeStatic", {}, {})], MACS, ("software", "precision", None)),
        ([EXPORT, ("ConvertFp16", {}, {})], MACS, ("software", "precision", None)),
        ([EXPORT, ("QuantizeMixed", {}, {})], MACS, ("software", "precision", None)),
        ([EXPORT, ("QuantizeWeights", {}, {})], MACS, ("software", "precision", None)),
        ([("QuantizeAware", {}, {})], MACS, ("software", "precision", None)),
        ([EXPORT, ("SmoothQuant", {}, {}), ("QuantizeStatic", {}, {})], MACS, ("software", "precision", None)),
        ([PRUNE, ("Recalibrate", {}, {}), EXPORT], MACS // 2, ("architecture", "pruning", "MACs")),
        ([EXPORT, ("MyOwn", {}, {})], MACS, ("software", "myown", None)),
        ([EXPORT, ("MyOwn", {}, {})], MACS // 2, ("architecture", "myown", "MACs")),
        ([("ExportOnnx", {"exporter": "torchscript"}, {})], MACS, ("software", "exporter", None)),
        ([EXPORT, ("Fuse", {}, {})], MACS, ("software", "fuse", None)),
        ([("LowRank", {}, {}), EXPORT], MACS // 2, ("architecture", "lowrank", "MACs")),
        ([PRUNE, EXPORT], None, ("architecture", "pruning", "parameters")),
    ],
)
def test_a_variant_belongs_to_what_its_stages_change(
    chain: Chain, macs: int | None, expected: tuple[str, str, str | None]
) -> None:
    axis = only_axis(run({("other", "ort_cpu", 1): 1.0}, [variant("other", chain, macs)]))
    assert (axis.factor, axis.name, axis.unit) == expected


@pytest.mark.parametrize(
    ("target", "expected", "label"),
    [
        ({**CPU, "threads": 2}, ("hardware", "threads", "threads"), "2 threads"),
        ({**CPU, "device": "cuda"}, ("hardware", "device", None), "cuda"),
        ({**CPU, "session": {"graph_level": "basic"}}, ("software", "graph optimization", None), "basic"),
        ({**CPU, "session": {"spinning": True}}, ("software", "spinning", None), "True"),
        ({**CPU, "backend": "torch", "session": {"compile": False}}, ("software", "runtime", None), "other"),
    ],
)
def test_a_target_belongs_to_what_it_changes(
    target: dict[str, Any], expected: tuple[str, str, str | None], label: str
) -> None:
    axis = only_axis(run({("baseline", "other", 1): 1.0}, targets={"other": target}))
    assert (axis.factor, axis.name, axis.unit) == expected
    assert [entry.label for entry in axis.levels][1] == label


def test_what_changes_two_things_is_left_out_and_named() -> None:
    both = variant("both", [PRUNE, EXPORT, ("QuantizeStatic", {}, {})], MACS // 2)
    gpu = {"backend": "torch", "device": "cuda", "threads": 1, "session": {}}
    factors = found(run({("both", "ort_cpu", 1): 0.5, ("baseline", "gpu", 1): 0.1}, [both], {"gpu": gpu}))
    assert factors.axes == []
    assert factors.mixed == ["both@ort_cpu/1", "baseline@gpu/1"]


def test_a_session_that_says_what_is_the_default_is_the_same_target() -> None:
    same = {**CPU, "session": {"graph_level": "all"}}
    assert found(run({("baseline", "same", 1): 2.0}, targets={"same": same})).axes == []


def test_factors_are_ranked_by_what_they_buy_for_sure_and_at_no_price() -> None:
    int8 = variant("int8", [EXPORT, ("QuantizeStatic", {}, {})])
    record = run(
        {
            ("int8", "ort_cpu", 1): 1.25,
            ("half", "ort_cpu", 1): 0.5,
            ("baseline", "two", 1): 1.0,
            ("baseline", "ort_cpu", 8): 16.0,
        },
        [int8, pruned("half", MACS // 2)],
        {"two": {**CPU, "threads": 2}},
        wrong={"half": 500},
        spread=0.03,
    )
    factors = found(record)
    assert [(entry.factor, entry.level and entry.level.label) for entry in factors.ranking] == [
        ("hardware", "2 threads"), ("software", "int8"), ("architecture", None), ("input", None),
    ]  # fmt: skip
    assert factors.ranking[2].priced is not None
    assert factors.ranking[2].priced.label == "half"
    assert factors.summary.startswith("On this machine hardware buys most: 2 threads, ")
    assert "Then software: int8 (precision), 1." in factors.summary
    assert "Architecture and input alone buy nothing that keeps the accuracy." in factors.summary
    assert "At the price of accuracy: half (pruning), " in factors.summary
    assert "(accuracy 50.00 %, not fine-tuned)" in factors.summary


def test_a_gain_that_is_not_sure_buys_nothing() -> None:
    factors = found(run({("baseline", "ort_cpu", 8): 15.9}, spread=0.3))
    assert all(entry.level is None for entry in factors.ranking)
    assert factors.summary.startswith("No factor buys speed for sure while the accuracy is kept.")
    assert "Of architecture, hardware and software no other level could be measured here." in factors.summary


def test_without_the_base_row_nothing_is_compared() -> None:
    record = run({("baseline", "ort_cpu", 8): 16.0})
    subjects = [replace(record.subjects[0], status="failed", reason="it broke"), *record.subjects[1:]]
    factors = found(replace(record, subjects=subjects))
    assert factors.axes == []
    assert factors.caution == (
        "The base row baseline@ort_cpu/1 was not measured (it broke), so nothing can be compared."
    )


def test_a_quick_look_says_that_it_is_one() -> None:
    measure = MeasureSettings(profile="quick", screening=True)
    caution = found(run({("baseline", "ort_cpu", 8): 16.0}, measure=measure)).caution
    assert caution is not None
    assert caution.startswith("measure=quick is a quick look")


def test_an_elasticity_from_one_round_has_no_bounds() -> None:
    record = run({("baseline", "ort_cpu", 8): 16.0})
    first = record.latency.round == 0
    columns = {name: getattr(record.latency, name)[first] for name in ("subject", "round", "block", "position")}
    samples = replace(record.latency, duration_ns=record.latency.duration_ns[first], **columns)
    elasticity = only_axis(replace(record, latency=samples)).elasticity
    assert elasticity is not None
    assert (elasticity.low, elasticity.high) == (-math.inf, math.inf)
    assert (elasticity.doubling.low, elasticity.doubling.high) == (0, math.inf)
