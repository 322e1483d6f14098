"""Calibrating with what there is."""

from __future__ import annotations

from pathlib import Path
from typing import get_args

import pytest

from pipeline.artifact import Artifact
from pipeline.plan import Stage
from pipeline.stages.export import ExportOnnx
from pipeline.stages.quantization.calibration import Calibration
from pipeline.stages.quantize_static import QuantizeStatic
from pipeline.stages.smooth_quant import SmoothQuant
from tests.stages import onnx_models as graphs
from tests.stages.models import MemoryDataset, Workplace, op_types
from tests.stages.quantization.test_preparation import on_graph, sqnr


@pytest.mark.parametrize("count", [1, 20, 33])
def test_any_number_of_examples_will_do(workplace: Workplace, onnx_model: Artifact, count: int) -> None:
    workplace.data = MemoryDataset(calibration=count)
    assert op_types(workplace.build(QuantizeStatic(), onnx_model))["QuantizeLinear"]
    assert workplace.notes["calibration_examples"] == count


@pytest.mark.parametrize("stage", [QuantizeStatic(), SmoothQuant()])
def test_a_fixed_batch_is_filled_up(workplace: Workplace, torch_model: Artifact, stage: Stage) -> None:
    fixed = workplace.build(ExportOnnx(dynamic_batch=False), torch_model, "fixed")
    workplace.data = MemoryDataset(calibration=3)
    assert workplace.build(stage, fixed).onnx_path.is_file()


@pytest.mark.parametrize("method", get_args(Calibration))
def test_infinite_activations_have_finite_ranges(workplace: Workplace, tmp_path: Path, method: Calibration) -> None:
    source = on_graph(workplace, tmp_path, graphs.masked())
    assert sqnr(workplace, QuantizeStatic(calibration=method), source) > 20
    assert workplace.notes["quantized"] == {"Conv": "1 of 1", "Gemm": "1 of 1"}
    assert "done_instead" not in workplace.notes
