"""Products that share constants, and Gemms with factors: quantized, each computes what it did."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import onnx
import pytest
from onnx import numpy_helper

from pipeline.artifact import Artifact
from pipeline.artifact.run import run
from pipeline.plan import Stage
from pipeline.stages.convert_fp16 import ConvertFp16
from pipeline.stages.quantization.products import plain_gemms, separate_constants
from pipeline.stages.quantize_dynamic import QuantizeDynamic
from pipeline.stages.quantize_static import QuantizeStatic
from pipeline.stages.quantize_weights import QuantizeWeights
from pipeline.stages.smooth_quant import SmoothQuant
from tests.stages import onnx_models as graphs
from tests.stages.models import Workplace
from tests.stages.quantization.test_preparation import on_graph, sqnr

STAGES: list[Stage] = [
    QuantizeStatic(),
    QuantizeStatic(format="qoperator"),
    QuantizeDynamic(),
    QuantizeWeights(bits=8),
    ConvertFp16(),
]


@pytest.mark.parametrize("stage", STAGES)
def test_products_that_share_constants_stay_what_they_were(workplace: Workplace, tmp_path: Path, stage: Stage) -> None:
    assert sqnr(workplace, stage, on_graph(workplace, tmp_path, graphs.shared_constants())) > 30
    assert "done_instead" not in workplace.notes


@pytest.mark.parametrize("stage", STAGES)
def test_a_gemms_factors_are_kept(workplace: Workplace, tmp_path: Path, stage: Stage) -> None:
    assert sqnr(workplace, stage, on_graph(workplace, tmp_path, graphs.scaled_gemms())) > 30
    assert "done_instead" not in workplace.notes
    assert set(workplace.notes.get("quantized", {"": "2 of 2"}).values()) == {"2 of 2"}


def test_the_factors_of_smoothing_are_not_quantized(workplace: Workplace, tmp_path: Path) -> None:
    """Some channels never fire: one step for the factors of all would leave nothing of the others."""
    source = on_graph(workplace, tmp_path, graphs.shared_constants())
    smoothed = workplace.build(SmoothQuant(), source, "smoothed")
    assert sqnr(workplace, QuantizeStatic(), smoothed) > 30
    assert "done_instead" not in workplace.notes


@pytest.mark.parametrize("stage", STAGES)
def test_inputs_that_are_left_empty_are_no_values(workplace: Workplace, tmp_path: Path, stage: Stage) -> None:
    model = graphs.unnamed_convolutions()
    for node in model.graph.node:
        if node.op_type in ("Conv", "Gemm"):
            node.input[2] = ""
    assert sqnr(workplace, stage, on_graph(workplace, tmp_path, model)) > 20
    assert "done_instead" not in workplace.notes


def test_plain_gemms_compute_the_same(tmp_path: Path) -> None:
    model = graphs.scaled_gemms()
    feed = {"x": np.random.default_rng(0).normal(size=(5, 16)).astype(np.float32)}
    (before,) = run(graphs.saved(model, tmp_path / "a"), feed)
    plain_gemms(model)
    (after,) = run(graphs.saved(model, tmp_path / "b"), feed)
    np.testing.assert_allclose(after, before, rtol=1e-5, atol=1e-5)
    left = {entry.name for node in model.graph.node if node.op_type == "Gemm" for entry in node.attribute}
    assert left == {"transB"}


def test_only_what_can_not_be_shared_is_copied() -> None:
    model = graphs.shared_constants()
    separate_constants(model)
    _, _, second, total, _, third = model.graph.node
    (first,) = (node for node in model.graph.node if node.name == "first")
    assert first.input[1] == third.input[1] == "w", "their channels lie on the same axis"
    assert second.input[1] != "w"
    assert len({second.input[2], third.input[2], total.input[1]}) == 3
    values = {tensor.name: numpy_helper.to_array(tensor) for tensor in model.graph.initializer}
    np.testing.assert_array_equal(values[second.input[1]], values["w"])


def test_a_copy_of_the_model_is_made(workplace: Workplace, tmp_path: Path) -> None:
    source: Artifact = on_graph(workplace, tmp_path, graphs.shared_constants())
    before = source.onnx_path.read_bytes()
    workplace.build(QuantizeStatic(), source)
    assert source.onnx_path.read_bytes() == before
    assert onnx.load(source.onnx_path).graph.output[1].name == "w"
