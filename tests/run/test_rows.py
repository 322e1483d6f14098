"""Which rows a run has, and why not."""

from __future__ import annotations

from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any, ClassVar

import pytest

from pipeline.artifact import Artifact, Format
from pipeline.backends.onnxruntime import OnnxRuntime
from pipeline.errors import BackendUnavailable, Skipped
from pipeline.plan import Stage, Target, Variant
from pipeline.results.record import StageRecord, Status, VariantRecord
from pipeline.run.built import Built
from pipeline.run.rows import rows, runnable
from pipeline.stages.export import ExportOnnx
from pipeline.stages.fix_shapes import FixShapes
from pipeline.stages.quantize_aware import QuantizeAware
from tests.example import NeedsTorch, Scale, linear_model, plan


class Missing(OnnxRuntime):
    """A runtime that is not installed here."""

    def check(self, target: Target) -> None:
        raise BackendUnavailable("no such accelerator")


@dataclass(frozen=True, slots=True, kw_only=True)
class Torchlike(OnnxRuntime):
    name: ClassVar[str] = "torch"
    runs: ClassVar[frozenset[Format]] = frozenset({"torch"})


@dataclass(frozen=True, slots=True, kw_only=True)
class OpenVinolike(OnnxRuntime):
    name: ClassVar[str] = "openvino"
    runs: ClassVar[frozenset[Format]] = frozenset({"onnx", "openvino"})


@pytest.fixture(autouse=True)
def folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.chdir(tmp_path)
    return tmp_path


def built(
    name: str, formats: list[Format], status: Status = "ok", reason: str | None = None, batch: int | str = "batch"
) -> Built:
    """A variant whose artifacts lie in the folders 0, 1, … of the working directory."""
    for index, kind in enumerate(formats):
        if kind == "onnx":
            Path(str(index)).mkdir(exist_ok=True)
            linear_model(Path(str(index), "model.onnx"), batch=batch)
    record = VariantRecord(
        name=name, status=status, reason=reason, stages=[], format=None, digest=None, path=None, size_bytes=None,
        parameters=None, macs=None,
    )  # fmt: skip
    return Built(record, [Artifact(Path(str(index)), kind, str(index)) for index, kind in enumerate(formats)])


def test_a_missing_provider_is_a_skipped_row_with_the_reason(tmp_path: Path) -> None:
    targets = {
        "ort_cpu": Target(name="ort_cpu", backend=OnnxRuntime()),
        "npu": Target(name="npu", backend=Missing()),
    }
    found = rows(plan(tmp_path, {"baseline": {}}, targets=targets), {"baseline": built("baseline", ["onnx"])})
    assert [(row.record.target, row.record.status, row.record.reason) for row in found] == [
        ("ort_cpu", "ok", None),
        ("npu", "skipped", "no such accelerator"),
    ]


def test_a_variant_that_failed_has_failed_rows_with_its_reason(tmp_path: Path) -> None:
    chosen = plan(tmp_path, {"v": {}}, batch_sizes=(1, 8))
    found = rows(chosen, {"v": built("v", [], "failed", "it broke")})
    assert [(row.record.status, row.record.reason, row.artifact) for row in found] == [("failed", "it broke", None)] * 2


def test_a_variant_for_another_device_says_how_to_ask_for_it(tmp_path: Path) -> None:
    chosen = replace(plan(tmp_path, {}), variants={"fp16": Variant(name="fp16", stages={}, devices=("cuda",))})
    [row] = rows(chosen, {"fp16": built("fp16", ["onnx"])})
    assert row.record.status == "skipped"
    assert row.record.reason == "fp16 is not measured on cpu unless asked: variants.fp16.devices=[cuda,cpu]"


def test_a_variant_with_a_fixed_batch_skips_the_other_batch_sizes(tmp_path: Path) -> None:
    chosen = plan(tmp_path, {"baseline": {}, "fixed": {}}, batch_sizes=(1, 32))
    found = rows(chosen, {"baseline": built("baseline", ["onnx"]), "fixed": built("fixed", ["torch", "onnx"], batch=1)})
    assert [row.record.status for row in found] == ["ok", "ok", "ok", "skipped"]
    assert found[3].record.reason == (
        "the model's batch is fixed at 1: type batch_sizes=[1], or take a model of a free batch"
    )


def test_a_variant_whose_stage_fixes_the_batch_names_the_stage(tmp_path: Path) -> None:
    variant = Variant(name="fixed", stages={"fix": FixShapes()})
    chosen = replace(plan(tmp_path, {}, batch_sizes=(8,)), variants={"fixed": variant})
    [row] = rows(chosen, {"fixed": built("fixed", ["onnx", "onnx"], batch=1)})
    assert row.record.reason == (
        "the model's batch is fixed at 1: type batch_sizes=[1], or variants.fixed.stages.fix.batch_size=8"
    )


def test_a_chains_beginning_is_sent_to_the_whole_chain(tmp_path: Path) -> None:
    variant = Variant(name="fixed.fix", stages={"fix": FixShapes()}, devices=("cpu",))
    cuda = Target(name="gpu", backend=OnnxRuntime(), device="cuda")
    chosen = replace(plan(tmp_path, {}, batch_sizes=(8,)), variants={"fixed.fix": variant})
    chosen = replace(chosen, targets={**chosen.targets, "gpu": cuda})
    batch, device = rows(chosen, {"fixed.fix": built("fixed.fix", ["onnx", "onnx"], batch=1)})
    assert str(batch.record.reason).endswith("or variants.fixed.stages.fix.batch_size=8")
    assert str(device.record.reason).endswith("unless asked: variants.fixed.devices=[cpu,cuda]")


def test_one_at_a_time_has_only_rows_that_differ_from_the_first_in_one_thing(tmp_path: Path) -> None:
    targets = {name: Target(name=name, backend=OnnxRuntime()) for name in ("first", "second")}
    names = ["baseline", "int8"]
    chosen = plan(tmp_path, {name: {} for name in names}, targets=targets, batch_sizes=(4, 1, 8), grid="one_at_a_time")
    found = rows(chosen, {name: built(name, ["onnx"]) for name in names})
    assert [row.record.key for row in found] == [
        "baseline@first/4", "baseline@first/1", "baseline@first/8", "baseline@second/4", "int8@first/4",
    ]  # fmt: skip
    assert {row.record.status for row in found} == {"ok"}


def test_a_ladder_of_threads_ends_at_the_cores_that_there_are(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("pipeline.run.rows.available_cores", lambda: 2)
    targets = {f"t{count}": Target(name=f"t{count}", backend=OnnxRuntime(), threads=count) for count in (1, 2, 4)}
    reason = "t4 asks for 4 threads, and 2 cores are available here"
    for grid, expected in (("one_at_a_time", [None, None, reason]), ("all", [None, None, None])):
        chosen = plan(tmp_path, {"baseline": {}}, targets=targets, grid=grid)
        assert [row.record.reason for row in rows(chosen, {"baseline": built("baseline", ["onnx"])})] == expected


def test_openvinos_format_runs_on_openvino_alone(tmp_path: Path) -> None:
    targets = {
        "ort_cpu": Target(name="ort_cpu", backend=OnnxRuntime()),
        "openvino_cpu": Target(name="openvino_cpu", backend=OpenVinolike()),
    }
    variant = Variant(name="int8", stages={"quantize": Scale()})
    chosen = replace(plan(tmp_path, {}, targets=targets), variants={"int8": variant})
    (tmp_path / "1").mkdir()
    (tmp_path / "1" / "model.xml").write_text('<net><layers><layer type="Parameter" name="x"/></layers></net>')
    found = rows(chosen, {"int8": built("int8", ["onnx", "openvino"])})
    assert [row.record.status for row in found] == ["skipped", "ok"]
    assert found[0].record.reason == (
        "onnxruntime can't run OpenVINO's own format, which quantize writes: type target=[openvino_cpu]"
    )
    assert found[1].artifact is not None
    assert found[1].artifact.format == "openvino"


TORCH = Target(name="torch_cpu", backend=Torchlike())
EXPORT: Stage = ExportOnnx()


@pytest.mark.parametrize(
    ("stages", "formats", "expected"),
    [
        ({"export": EXPORT}, ["torch", "onnx"], "0"),
        ({"prune": NeedsTorch(), "export": EXPORT}, ["torch", "torch", "onnx"], "1"),
    ],
)
def test_a_pytorch_target_runs_the_last_pytorch_model(
    stages: dict[str, Stage], formats: list[Format], expected: str
) -> None:
    assert runnable(Variant(name="v", stages=stages), built("v", formats), TORCH).digest == expected


def test_a_pytorch_target_does_not_run_a_model_that_later_stages_changed() -> None:
    variant = Variant(name="v", stages={"export": EXPORT, "quantize": Scale()})
    with pytest.raises(Skipped, match="torch can't run what quantize makes"):
        runnable(variant, built("v", ["torch", "onnx", "onnx"]), TORCH)


def test_a_pytorch_target_does_not_run_what_a_stage_trains_while_it_writes_onnx() -> None:
    variant = Variant(name="qat_int8", stages={"quantize": QuantizeAware()})
    with pytest.raises(Skipped, match="can't run what quantize makes; it would run another model"):
        runnable(variant, built("qat_int8", ["torch", "onnx"]), TORCH)


def test_an_onnx_target_needs_an_onnx_model() -> None:
    variant = Variant(name="v", stages={"prune": NeedsTorch()})
    with pytest.raises(Skipped, match="v has no onnx model for onnxruntime"):
        runnable(variant, built("v", ["torch", "torch"]), Target(name="ort_cpu", backend=OnnxRuntime()))


def test_what_a_stage_did_otherwise_is_a_remark_on_its_rows(tmp_path: Path) -> None:
    found = built("v", ["onnx", "onnx"])
    notes: list[dict[str, Any]] = [
        {"changed_nothing": "nothing was fused"},
        {"done_instead": "one scale per tensor, since otherwise: no kernel"},
        {"drift": {"not_compared": ["'picked': no axis of its shape [5, 3] is the batch of 16"]}},
    ]
    stages = [
        StageRecord(name=name, kind="", fields={}, key="", digest="", seconds=0.0, reused=False, notes=each)
        for name, each in zip(("fuse", "quantize", "other"), notes, strict=True)
    ]
    chosen = plan(tmp_path, {"v": {"a": Scale()}})
    (row,) = rows(chosen, {"v": replace(found, record=replace(found.record, stages=stages))})
    assert row.record.remarks == [
        "fuse changed nothing: nothing was fused",
        "quantize: one scale per tensor, since otherwise: no kernel",
        "an output is not compared with the source's, 'picked': no axis of its shape [5, 3] is the batch of 16",
    ]
