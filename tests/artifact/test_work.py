"""The work that a model is at least: multiply-accumulates by type, and bytes."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import onnx
import pytest
from onnx import TensorProto, helper, numpy_helper

from pipeline.artifact import Artifact
from pipeline.artifact.count import count
from pipeline.artifact.work import work
from pipeline.plan import Stage
from pipeline.stages.convert_fp16 import ConvertFp16
from pipeline.stages.quantize_dynamic import QuantizeDynamic
from pipeline.stages.quantize_static import QuantizeStatic
from tests.stages.models import Workplace

IMAGE, FEATURES = 4 * 1 * 8 * 8, 4 * 2 * 8 * 8
"""Bytes of one example's input, and of what a convolution makes of it."""


def artifact(folder: Path, *nodes: onnx.NodeProto, shape: tuple[Any, ...] = ("batch", 1, 8, 8)) -> Artifact:
    """A model from x to y whose kernel w has 2 channels of 3x3, with the constants that quantizing needs."""
    x = helper.make_tensor_value_info("x", TensorProto.FLOAT, shape)
    y = helper.make_tensor_value_info("y", TensorProto.FLOAT, None)
    constants: dict[str, Any] = {
        "w": np.ones((2, 1, 3, 3), np.float32),
        "w8": np.ones((2, 1, 3, 3), np.int8),
        "two": np.full((), 2, np.float32),
        "scale": np.ones((), np.float32),
        "zero": np.zeros((), np.uint8),
        "zero_w": np.zeros((), np.int8),
        "flat": np.array([0, -1]),
    }
    used = {name for node in nodes for name in node.input}
    tensors = [numpy_helper.from_array(array, name) for name, array in constants.items() if name in used]
    graph = helper.make_graph(list(nodes), "graph", [x], [y], tensors)
    onnx.save(helper.make_model(graph, opset_imports=[helper.make_opsetid("", 18)]), folder / "model.onnx")
    return Artifact(folder, "onnx", "")


def conv(source: str, out: str, kernel: str = "w") -> onnx.NodeProto:
    return helper.make_node("Conv", [source, kernel], [out], pads=[1, 1, 1, 1])


def test_inputs_are_read_and_outputs_written(tmp_path: Path) -> None:
    found = work(artifact(tmp_path, conv("x", "y")))
    assert found.weight_bytes == 4 * 18
    assert found.activation_bytes == IMAGE + FEATURES


def test_what_lies_between_two_operators_is_written_and_read(tmp_path: Path) -> None:
    pool = helper.make_node("GlobalAveragePool", ["a"], ["y"])
    assert work(artifact(tmp_path, conv("x", "a"), pool)).activation_bytes == IMAGE + 2 * FEATURES + 4 * 2


@pytest.mark.parametrize(
    "between",
    [
        helper.make_node("Relu", ["a"], ["b"]),
        helper.make_node("Mul", ["a", "two"], ["b"]),
        helper.make_node("Reshape", ["a", "flat"], ["b"]),
    ],
)
def test_an_operator_on_single_elements_adds_no_tensor(tmp_path: Path, between: onnx.NodeProto) -> None:
    last = helper.make_node("Softmax", ["b"], ["y"])
    assert work(artifact(tmp_path, conv("x", "a"), between, last)).activation_bytes == IMAGE + 3 * FEATURES


def test_a_tensor_that_two_operators_read_has_to_exist(tmp_path: Path) -> None:
    relu = helper.make_node("Relu", ["a"], ["b"])
    add = helper.make_node("Add", ["a", "b"], ["y"])
    assert work(artifact(tmp_path, conv("x", "a"), relu, add)).activation_bytes == IMAGE + 5 * FEATURES


def test_a_view_of_the_last_tensor_costs_nothing(tmp_path: Path) -> None:
    view = helper.make_node("Flatten", ["a"], ["y"])
    assert work(artifact(tmp_path, conv("x", "a"), view)).activation_bytes == IMAGE + FEATURES


def test_a_quantized_convolution_moves_bytes_where_the_original_moved_floats(tmp_path: Path) -> None:
    nodes = [
        helper.make_node("QuantizeLinear", ["x", "scale", "zero"], ["q"]),
        helper.make_node("DequantizeLinear", ["q", "scale", "zero"], ["d"]),
        helper.make_node("DequantizeLinear", ["w8", "scale", "zero_w"], ["dw"]),
        conv("d", "a", "dw"),
        helper.make_node("QuantizeLinear", ["a", "scale", "zero"], ["qa"]),
        helper.make_node("DequantizeLinear", ["qa", "scale", "zero"], ["y"]),
    ]
    found = work(artifact(tmp_path, *nodes))
    assert found.macs_by_type == {"int8": 2 * 64 * 9}
    assert found.weight_bytes == 18 + 4 + 1 + 1
    # The input and its quantized form, the quantized features, and the output as floats.
    assert found.activation_bytes == IMAGE + 2 * IMAGE // 4 + 2 * FEATURES // 4 + FEATURES


def test_quantized_weights_alone_leave_a_product_in_fp32(tmp_path: Path) -> None:
    restore = helper.make_node("DequantizeLinear", ["w8", "scale", "zero_w"], ["dw"])
    assert work(artifact(tmp_path, restore, conv("x", "y", "dw"))).macs_by_type == {"fp32": 2 * 64 * 9}


def test_an_unknown_size_gives_no_bytes_rather_than_wrong_ones(tmp_path: Path) -> None:
    nodes = [conv("x", "a"), helper.make_node("Softmax", ["a"], ["y"])]
    found = work(artifact(tmp_path, *nodes, shape=("batch", 1, "height", 8)))
    assert (found.macs_by_type, found.activation_bytes) == ({}, None)
    assert found.weight_bytes == 4 * 18


@pytest.mark.parametrize(
    ("stage", "kinds"),
    [(QuantizeStatic(), {"int8"}), (QuantizeDynamic(), {"int8"}), (ConvertFp16(), {"fp16"})],
)
def test_a_models_other_forms_keep_its_macs_under_their_types(
    workplace: Workplace, onnx_model: Artifact, stage: Stage, kinds: set[str]
) -> None:
    made = workplace.build(stage, onnx_model, "made")
    found, before = work(made), work(onnx_model)
    assert set(found.macs_by_type) == kinds
    assert sum(found.macs_by_type.values()) == count(onnx_model)[1]
    assert (found.weight_bytes or 0) < (before.weight_bytes or 0)
    assert found.activation_bytes is not None


def test_of_a_torch_model_macs_and_weights_are_known(torch_model: Artifact, onnx_model: Artifact) -> None:
    found = work(torch_model)
    assert found.macs_by_type == work(onnx_model).macs_by_type
    assert (found.weight_bytes or 0) > 0
    assert found.activation_bytes is None
