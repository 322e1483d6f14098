"""What explanations propose is tried: what can be, what it brings, and what is left."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest

from pipeline.analyse import analyse
from pipeline.backends.onnxruntime import OnnxRuntime
from pipeline.plan import Constraints, MeasureSettings, Plan, Target
from pipeline.results.change import BatchSizes, Change, StageField, StageSwapped, Targets, Threads
from pipeline.results.explanation import Cause, Explanation
from pipeline.results.header import Machine, TargetRecord
from pipeline.results.record import AccuracySamples, LatencySamples, Record, SubjectRecord, Trial
from pipeline.results.report import Report
from pipeline.run.build import builder
from pipeline.run.tries import proposals, try_changes
from pipeline.stages.quantize_dynamic import QuantizeDynamic
from tests.example import Arrays, Scale, plan

pytestmark = pytest.mark.slow

REAL = MeasureSettings(
    profile="test", looks=(3,), blocks=4, cell_ms=0.5, screening=True, energy_s=None, peaks=False, try_s=60.0
)


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Where all plans have their model and their store, so that a variant is built once."""
    return tmp_path_factory.mktemp("tries")


def chosen(folder: Path, **changes: Any) -> Plan:
    stages: dict[str, dict[str, Any]] = {
        "baseline": {},
        "scaled": {"a": Scale()},
        "int8": {"quantize": QuantizeDynamic()},
    }
    return plan(folder, stages, **{"measure": REAL, **changes})


def recorded(of: Plan) -> Record:
    """The plan's variants as they are built, and a row each on the first target that was not timed."""
    with builder(of, lambda *_: None) as making:
        variants = [making.build(variant).record for variant in of.variants.values()]
    target = next(iter(of.targets))
    rows = [
        SubjectRecord(variant=variant.name, target=target, device="cpu", batch_size=1, status="ok", reason=None)
        for variant in variants
    ]
    return Record(
        command="",
        created="",
        model="",
        data="",
        seed=0,
        machine=Machine(),
        constraints=Constraints(),
        measure=MeasureSettings(explain="all"),
        targets={target: TargetRecord(device="cpu", backend="onnxruntime")},
        batch_sizes=[1],
        variants=variants,
        subjects=rows,
        latency=LatencySamples.concatenate([]),
        accuracy=AccuracySamples(labels=None, predictions={}, metric="accuracy"),
    )


@pytest.fixture(scope="module")
def record(folder: Path) -> Record:
    return recorded(chosen(folder))


def explained(record: Record, **changes: Sequence[Change]) -> Report:
    """The report on it, with causes that propose these changes by variant."""
    report = analyse(record)
    variants = []
    for variant in report.variants:
        causes = [Cause(what="slow", share=None, change=change) for change in changes.get(variant.name, ())]
        found = Explanation(
            causes=causes, operators=[], nodes=[], between_ms=0.0, reference_between_ms=0.0, providers={}
        )
        variants.append(replace(variant, results=[replace(row, explanation=found) for row in variant.results]))
    return replace(report, variants=variants)


def of_a(field: str, value: Any) -> Change:
    return StageField(variant="scaled", stage="a", field=field, value=value)


def by(value: float) -> Change:
    return of_a("by", value)


def tried(of: Plan, record: Record, **changes: Sequence[Change]) -> list[Trial]:
    return try_changes(of, record, explained(record, **changes), of.data.split("test"), lambda *_: None)


def test_a_change_is_built_and_timed_beside_the_rows_reference(folder: Path, record: Record) -> None:
    (trial,) = tried(chosen(folder), record, scaled=[by(3.0)])
    assert (trial.subject, trial.change) == ("scaled@ort_cpu/1", "variants.scaled.stages.a.by=3.0")
    found = trial.outcome
    assert (found.variant, found.against, found.reason) == (None, "baseline", None)
    assert found.value is not None
    assert found.low is not None
    assert found.high is not None
    assert 0 < found.low <= found.value <= found.high


def test_static_instead_of_dynamic_quantization_is_tried(folder: Path, record: Record) -> None:
    static = "pipeline.stages.quantize_static.QuantizeStatic"
    change = StageSwapped(variant="int8", stage="quantize", by="quantize_static", kind=static)
    (trial,) = tried(chosen(folder), record, int8=[change])
    assert (trial.subject, trial.change, trial.outcome.reason) == ("int8@ort_cpu/1", str(change), None)
    assert trial.outcome.value is not None


def test_a_larger_batch_is_compared_with_the_reference_at_that_batch(folder: Path, record: Record) -> None:
    (trial,) = tried(chosen(folder), record, scaled=[BatchSizes(sizes=(1, 8))])
    assert trial.outcome.against == "baseline at batch 8"
    assert trial.outcome.value is not None


def test_what_fails_and_what_changes_nothing_are_told_as_such(folder: Path, record: Record, tmp_path: Path) -> None:
    trials = tried(
        chosen(folder),
        record,
        scaled=[of_a("fail", "broken"), of_a("log", str(tmp_path / "log"))],
    )
    assert [trial.outcome.reason for trial in trials] == [
        "a: RuntimeError: broken",
        "it makes the very same model",
    ]
    assert all(trial.outcome.value is None for trial in trials)


def test_a_change_that_does_not_go_with_another_setting_is_told_as_such(folder: Path) -> None:
    parallel = Target(name="ort_cpu", backend=OnnxRuntime(), threads=2, session={"execution_mode": "parallel"})
    of = chosen(folder, targets={"ort_cpu": parallel})
    (trial,) = tried(of, recorded(of), scaled=[Threads(target="ort_cpu", threads=1)])
    assert trial.outcome.value is None
    assert "execution_mode=parallel needs threads" in str(trial.outcome.reason)


def test_what_the_plan_has_already_is_not_tried(folder: Path, record: Record) -> None:
    assert tried(chosen(folder), record, scaled=[by(2.0), BatchSizes(sizes=(1,))]) == []


def test_a_stage_that_took_long_is_not_built_again(tmp_path: Path) -> None:
    log = tmp_path / "built"
    of = plan(tmp_path, {"baseline": {}, "scaled": {"a": Scale(log=str(log))}}, measure=REAL)
    record = recorded(of)
    slow = [
        replace(variant, stages=[replace(stage, seconds=31.0) for stage in variant.stages])
        for variant in record.variants
    ]
    before = log.read_text()
    assert tried(of, replace(record, variants=slow), scaled=[by(3.0)]) == []
    assert log.read_text() == before


def test_too_little_time_for_an_interval_means_no_figure(folder: Path, record: Record) -> None:
    of = chosen(folder, measure=replace(REAL, try_s=2.0))
    assert tried(of, record, scaled=[by(3.0)]) == []


def test_nothing_is_tried_unless_it_is_asked_for(folder: Path, record: Record) -> None:
    of = chosen(folder, measure=replace(REAL, try_s=None))
    assert tried(of, record, scaled=[by(3.0)]) == []


def test_every_rows_first_proposal_comes_before_any_second_one(folder: Path, record: Record) -> None:
    of = chosen(folder)
    first, second = by(3.0), by(4.0)
    other = StageField(variant="int8", stage="quantize", field="op_types", value=("MatMul",))
    report = explained(record, scaled=[first, second, first], int8=[Targets(names=("ort_cuda",)), other])
    assert [entry.change for entry in proposals(of, record, report)] == [first, other, second]


def test_a_target_that_is_missing_here_is_a_reason(
    folder: Path, record: Record, monkeypatch: pytest.MonkeyPatch
) -> None:
    from pipeline.errors import BackendUnavailable

    of = chosen(folder, targets={"ort_cpu": Target(name="ort_cpu", backend=OnnxRuntime())}, data=Arrays())
    report = explained(record, scaled=[by(3.0)])

    def refuse(self: OnnxRuntime, target: Target) -> None:
        raise BackendUnavailable("it is gone")

    monkeypatch.setattr(OnnxRuntime, "check", refuse)
    (trial,) = try_changes(of, record, report, of.data.split("test"), lambda *_: None)
    assert trial.outcome.reason == "it is gone"
