"""Fusion of transformers."""

from __future__ import annotations

import sys
from importlib.util import find_spec
from typing import Any

import onnx_ir as ir
import pytest
from onnxscript.rewriter import ort_fusions

from pipeline.artifact import Artifact
from pipeline.artifact.proof import check_output
from pipeline.errors import Skipped, StageFailed
from pipeline.stages import fuse
from pipeline.stages.export import ExportOnnx
from pipeline.stages.fuse import Fuse
from pipeline.stages.quantize_dynamic import QuantizeDynamic
from tests.stages.models import TextDataset, Workplace, op_types, sentences
from tests.stages.refusal import refusal


def agrees(source: Artifact, fused: Artifact) -> bool:
    return bool(check_output(source, fused, Fuse.tolerance, sentences())["cosine_min"] > 0.9999)


def test_onnxruntime_fuses_what_the_older_exporter_writes(workplace: Workplace, traced_encoder: Artifact) -> None:
    fused = workplace.build(Fuse(), traced_encoder)
    assert workplace.notes["fused"]["Attention"] == 2
    assert workplace.notes["fused"]["SkipLayerNormalization"] == 4
    assert op_types(fused)["Attention"] == 2
    assert agrees(traced_encoder, fused)


def test_onnxscript_fuses_what_the_dynamo_exporter_writes(workplace: Workplace, onnx_encoder: Artifact) -> None:
    fused = workplace.build(Fuse(engine="onnxscript"), onnx_encoder)
    assert set(workplace.notes["fused"]) & {"Attention", "MultiHeadAttention"}
    assert agrees(onnx_encoder, fused)


@pytest.mark.parametrize("engine", ["onnxruntime", "onnxscript"])
def test_a_graph_without_a_pattern_is_skipped_with_the_other_engine_named(
    workplace: Workplace, onnx_model: Artifact, engine: Any
) -> None:
    with pytest.raises(Skipped, match=r"nothing was fused: try engine=\w+, which knows graphs exported with exporter="):
        workplace.build(Fuse(engine=engine), onnx_model)


def test_a_fused_model_can_be_quantized_dynamically(workplace: Workplace, traced_encoder: Artifact) -> None:
    workplace.data = TextDataset()
    fused = workplace.build(Fuse(), traced_encoder)
    quantized = workplace.build(QuantizeDynamic(), fused, "quantized")
    assert "QAttention" in op_types(quantized)
    assert check_output(traced_encoder, quantized, None, sentences())["cosine_min"] > 0.95


def test_an_engine_that_breaks_is_a_reason_and_not_a_crash(
    workplace: Workplace, onnx_encoder: Artifact, monkeypatch: pytest.MonkeyPatch
) -> None:
    def broken(model: ir.Model) -> None:
        raise RuntimeError("Graph is not a DAG\nat node 7")

    monkeypatch.setattr(ort_fusions, "optimize_for_ort", broken)
    with pytest.raises(StageFailed, match=r"onnxscript could not fuse this graph \(Runtime.*Graph is not a DAG\): try"):
        workplace.build(Fuse(engine="onnxscript"), onnx_encoder)


def test_what_an_engine_left_out_of_order_is_repaired(
    workplace: Workplace, onnx_encoder: Artifact, monkeypatch: pytest.MonkeyPatch
) -> None:
    whole = ort_fusions.optimize_for_ort

    def reversed_graph(model: ir.Model) -> tuple[ir.Model, Any]:
        model, counted = whole(model)
        nodes = list(model.graph)
        model.graph.remove(nodes)
        model.graph.extend(reversed(nodes))
        return model, counted

    monkeypatch.setattr(ort_fusions, "optimize_for_ort", reversed_graph)
    fused = workplace.build(Fuse(engine="onnxscript"), onnx_encoder)
    assert workplace.notes["repaired"] == "nodes stood before what they read"
    assert agrees(onnx_encoder, fused)


def test_the_deprecated_package_names_its_successor_where_it_is_missing(
    workplace: Workplace, traced_encoder: Artifact, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(fuse, "find_spec", lambda name: None)
    with pytest.raises(Skipped, match="not installed: install the extra 'legacy'; its successor is engine=onnxruntime"):
        workplace.build(Fuse(engine="onnxruntime-tools"), traced_encoder)


@pytest.mark.skipif(find_spec("onnxruntime_tools") is None, reason="needs the extra legacy")
class TestLegacy:
    def test_a_newer_opset_names_the_successor(self, workplace: Workplace, traced_encoder: Artifact) -> None:
        message = r"up to opset 12, and this one has opset 17.*its successor is engine=onnxruntime"
        with pytest.raises(Skipped, match=message):
            workplace.build(Fuse(engine="onnxruntime-tools"), traced_encoder)

    def test_it_fuses_opset_12_in_a_process_of_its_own(self, workplace: Workplace, torch_encoder: Artifact) -> None:
        old = workplace.build(ExportOnnx(exporter="torchscript", opset=12), torch_encoder, "old")
        fused = workplace.build(Fuse(engine="onnxruntime-tools"), old)
        assert workplace.notes["fused"] == {"BiasGelu": 2, "SkipLayerNormalization": 4}
        assert agrees(old, fused)
        assert "onnxruntime_tools" not in sys.modules


@pytest.mark.parametrize(
    ("fields", "message"),
    [
        ({"engine": "magic"}, "stage.engine must be 'onnxruntime', 'onnxscript' or 'onnxruntime-tools' (got 'magic')"),
        ({"model_type": "llama"}, "stage.model_type must be 'bert', "),
        ({"num_heads": -1}, "stage.num_heads must be at least 0 (got -1)"),
    ],
)
def test_wrong_fields_are_refused(fields: dict[str, Any], message: str) -> None:
    assert message in refusal(Fuse, **fields)
