"""Parameters and multiply-accumulate operations."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import onnx
import pytest
from onnx import TensorProto, helper, numpy_helper

from pipeline.artifact import Artifact
from pipeline.artifact.count import count
from pipeline.plan import Stage
from pipeline.stages.convert_fp16 import ConvertFp16
from pipeline.stages.quantize_dynamic import QuantizeDynamic
from pipeline.stages.quantize_static import QuantizeStatic
from tests.stages.models import WithOwnConv, Workplace, spec_of


def artifact(folder: Path, node: onnx.NodeProto, inputs: tuple[Any, ...], **weights: tuple[int, ...]) -> Artifact:
    """A model of one node, from x to y, with weights of the given shapes."""
    x = helper.make_tensor_value_info("x", TensorProto.FLOAT, inputs)
    y = helper.make_tensor_value_info("y", TensorProto.FLOAT, None)
    tensors = [numpy_helper.from_array(np.ones(shape, np.float32), name) for name, shape in weights.items()]
    graph = helper.make_graph([node], "graph", [x], [y], tensors)
    onnx.save(helper.make_model(graph, opset_imports=[helper.make_opsetid("", 18)]), folder / "model.onnx")
    return Artifact(folder, "onnx", "")


def test_a_convolution_costs_its_window_for_every_output(tmp_path: Path) -> None:
    node = helper.make_node("Conv", ["x", "w", "b"], ["y"], group=2, strides=[2, 2], pads=[1, 1, 1, 1])
    model = artifact(tmp_path, node, ("batch", 4, 8, 8), w=(6, 2, 3, 3), b=(6,))
    assert count(model) == (6 * 2 * 9 + 6, 6 * 4 * 4 * 2 * 9)


def test_a_transposed_convolution_costs_its_window_for_every_input(tmp_path: Path) -> None:
    node = helper.make_node("ConvTranspose", ["x", "w"], ["y"], strides=[2, 2])
    model = artifact(tmp_path, node, ("batch", 4, 8, 8), w=(4, 3, 2, 2))
    assert count(model) == (4 * 3 * 4, 4 * 8 * 8 * 3 * 4)


@pytest.mark.parametrize("transposed", [0, 1])
def test_a_gemm_costs_its_inner_axis_for_every_output(tmp_path: Path, transposed: int) -> None:
    node = helper.make_node("Gemm", ["x", "w", "b"], ["y"], transB=transposed)
    model = artifact(tmp_path, node, ("batch", 5), w=(7, 5) if transposed else (5, 7), b=(7,))
    assert count(model) == (42, 35)


def test_a_matrix_product_counts_its_stack(tmp_path: Path) -> None:
    model = artifact(tmp_path, helper.make_node("MatMul", ["x", "w"], ["y"]), ("batch", 3, 4, 5), w=(5, 6))
    assert count(model) == (30, 3 * 4 * 5 * 6)


def test_an_unknown_size_gives_no_macs_rather_than_wrong_ones(tmp_path: Path) -> None:
    model = artifact(tmp_path, helper.make_node("MatMul", ["x", "w"], ["y"]), ("batch", "tokens", 5), w=(5, 6))
    assert count(model) == (30, None)


def test_shapes_and_scalars_are_no_parameters(tmp_path: Path) -> None:
    model = artifact(tmp_path, helper.make_node("Mul", ["x", "s"], ["y"]), ("batch", 5), s=())
    assert count(model) == (0, 0)


def test_torch_and_onnx_agree_on_macs(torch_model: Artifact, onnx_model: Artifact) -> None:
    torch_parameters, torch_macs = count(torch_model)
    onnx_parameters, onnx_macs = count(onnx_model)
    assert torch_macs == onnx_macs
    assert torch_macs is not None
    assert torch_macs > 0
    # Exporting leaves one bias per channel of the two parameters of batch normalization.
    normalized = 8 + 3 * 8 - 8 + 3 * 16
    assert torch_parameters == (onnx_parameters or 0) + normalized


def test_a_models_other_forms_have_its_parameters_and_macs(workplace: Workplace, onnx_model: Artifact) -> None:
    stages: list[Stage] = [QuantizeStatic(), QuantizeDynamic(), ConvertFp16()]
    for index, stage in enumerate(stages):
        assert count(workplace.build(stage, onnx_model, str(index))) == count(onnx_model)


def test_a_subclass_of_a_layer_is_counted(workplace: Workplace) -> None:
    model = workplace.torch(WithOwnConv(), spec_of(WithOwnConv, {"image": (1, 8, 8)}, ["y"]))
    assert count(model) == (36, 6 * 6 * 4 * 9)
