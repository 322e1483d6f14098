"""Which graphs of a run are mapped, and what they are compared with."""

from __future__ import annotations

import io
import json
from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any

import jsonschema
import pytest
from rich.console import Console

from pipeline.artifact import Artifact, Format
from pipeline.errors import WorkerFailed
from pipeline.plan import MeasureSettings, Plan, Stage, Variant
from pipeline.report import report_schema
from pipeline.results.map import VariantMap
from pipeline.results.record import VariantRecord
from pipeline.run import loop, mapping
from pipeline.run.built import Built
from pipeline.run.mapping import chain_of, map_variants, reference_in
from pipeline.stages.compensate import Compensate
from pipeline.stages.equalize import Equalize
from pipeline.stages.export import ExportOnnx
from pipeline.stages.prune import Prune
from pipeline.stages.quantize_nncf import QuantizeNncf
from pipeline.stages.quantize_static import QuantizeStatic
from tests.example import Scale, plan

MAPPED = MeasureSettings(
    profile="test", looks=(3,), blocks=4, cell_ms=0.5, screening=True, energy_s=None, peaks=False, probe=False
)
BASELINE = Artifact(Path("baseline"), "onnx", "exported")


def built(*artifacts: Artifact, format: Format = "onnx") -> Built:
    record = VariantRecord(
        name="variant", status="ok", reason=None, stages=[], format=format, digest="d", path=None, size_bytes=None,
        parameters=None, macs=None,
    )  # fmt: skip
    return Built(record, list(artifacts))


def chained(
    stages: dict[str, Stage], formats: Sequence[Format], digests: Sequence[str]
) -> tuple[list[str], int | None]:
    """The stages of each model of the chain, and the one that errors are taken against."""
    variant = Variant(name="variant", stages=stages)
    models = [Artifact(Path(digest), format, digest) for format, digest in zip(formats, digests, strict=True)]
    chain = chain_of(variant, built(*models))
    return [step.stage for step in chain], reference_in(variant, chain, BASELINE)


def test_a_quantized_baseline_is_compared_with_the_baseline() -> None:
    stages: dict[str, Stage] = {"export": ExportOnnx(), "quantize": QuantizeStatic()}
    found = chained(stages, ["torch", "onnx", "onnx"], ["source", "exported", "int8"])
    assert found == (["export", "quantize"], None)


def test_a_pruned_model_that_is_quantized_is_compared_with_itself_before() -> None:
    stages: dict[str, Stage] = {
        "prune": Prune(), "compensate": Compensate(), "export": ExportOnnx(), "quantize": QuantizeStatic(),
    }  # fmt: skip
    found = chained(stages, ["torch", "torch", "torch", "onnx", "onnx"], ["source", "cut", "mended", "small", "int8"])
    assert found == (["prune + compensate", "quantize"], 0)


def test_values_that_a_stage_scales_are_compared_after_it() -> None:
    stages: dict[str, Stage] = {"export": ExportOnnx(), "equalize": Equalize(), "quantize": QuantizeStatic()}
    found = chained(stages, ["torch", "onnx", "onnx", "onnx"], ["source", "exported", "even", "int8"])
    assert found == (["export", "equalize", "quantize"], 1)


def test_a_model_that_becomes_openvinos_is_a_graph_as_the_one_before() -> None:
    stages: dict[str, Stage] = {"export": ExportOnnx(), "quantize": QuantizeNncf()}
    found = chained(stages, ["torch", "onnx", "openvino"], ["source", "exported", "int8"])
    assert found == (["export", "quantize"], None)


def test_a_pruned_model_alone_is_compared_with_the_baseline() -> None:
    stages: dict[str, Stage] = {"prune": Prune(), "export": ExportOnnx()}
    assert chained(stages, ["torch", "torch", "onnx"], ["source", "cut", "small"]) == (["prune"], None)


def scaled(folder: Path, **changes: Any) -> Plan:
    """A plan with a stage that makes every weight a tenth larger."""
    chains = {"baseline": {}, "scaled": {"scale": Scale(by=1.1)}}
    return plan(folder, chains, **{"measure": MAPPED, **changes})


@pytest.mark.parametrize("changes", [{"map": False}, {"explain": "none"}])
def test_a_run_that_asks_for_no_map_makes_none(tmp_path: Path, changes: dict[str, Any]) -> None:
    chosen = scaled(tmp_path, measure=replace(MAPPED, **changes))
    models = {name: built(BASELINE) for name in chosen.variants}
    assert map_variants(chosen, models, chosen.data.split("test"), lambda *_: None) == []


def test_another_format_and_a_process_that_dies_are_reasons(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def dies(*_: object, **__: object) -> VariantMap:
        raise WorkerFailed("its process was killed")

    monkeypatch.setattr(mapping, "run", dies)
    model = tmp_path / "model"
    model.mkdir()
    (model / "model.onnx").write_bytes(b"")
    onnx = built(Artifact(model, "onnx", "o"))
    chains = {"baseline": {}, "killed": {"scale": Scale()}, "other": {"scale": Scale()}}
    chosen = plan(tmp_path, chains, measure=MAPPED)
    models = {
        "baseline": built(Artifact(model, "onnx", "b")),
        "killed": Built(onnx.record, [onnx.artifact, onnx.artifact]),
        "other": built(Artifact(model, "torch", "v"), format="torch"),
    }
    said: list[str] = []
    found = map_variants(chosen, models, chosen.data.split("test"), lambda label, done, text: said.append(text))
    assert [(one.variant, one.reason) for one in found] == [
        ("killed", "its process was killed"),
        (
            "other",
            "its model is in the format torch, and a map is drawn of graphs in ONNX and in OpenVINO's own format",
        ),
    ]
    assert said[-1] == "0 graphs beside the baseline's, the report says why not of 2 more"


@pytest.mark.parametrize(
    ("most", "free", "said"),
    [(10, None, "a map is made of"), (11, 142, "it would hold about 0.00 MB of memory")],
)
def test_a_large_model_is_told_so_without_being_read(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, most: int, free: int | None, said: str
) -> None:
    monkeypatch.setattr(mapping, "MOST_BYTES", most)
    monkeypatch.setattr(mapping, "available_memory_bytes", lambda: free)
    model = tmp_path / "model"
    model.mkdir()
    (model / "model.onnx").write_bytes(bytes(11))
    artifact = Artifact(model, "onnx", "b")
    chosen = scaled(tmp_path)
    models = {name: built(artifact) for name in chosen.variants}
    (found,) = map_variants(chosen, models, chosen.data.split("test"), lambda *_: None)
    assert said in (found.reason or "")


def test_maps_that_take_too_long_leave_the_others_out(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(mapping, "LIMIT_S", -1.0)
    chosen = scaled(tmp_path)
    models = {name: built(BASELINE) for name in chosen.variants}
    (found,) = map_variants(chosen, models, chosen.data.split("test"), lambda *_: None)
    assert "all they may take together" in (found.reason or "")


@pytest.mark.slow
@pytest.mark.usefixtures("undrawn")
def test_a_run_has_its_map_in_its_record_and_its_report(tmp_path: Path) -> None:
    chosen = scaled(tmp_path)
    assert loop.run(chosen, Console(file=io.StringIO())) == 0
    report = json.loads((chosen.output / "report.json").read_text())
    jsonschema.validate(report, report_schema())
    (found,) = report["maps"]
    assert (found["variant"], found["reason"], found["examples"]) == ("scaled", None, 8)
    last = found["places"][-1]
    assert [node["stage"] for node in last["after"]] == ["scale"]
    assert last["own_sqnr_db"] == pytest.approx(20.0, abs=0.01)  # an error of a tenth of the signal
    assert last["after_ms"] is not None
    assert "scaled beside the baseline" in (chosen.output / "report.html").read_text()
