"""What an ONNX graph and its file tell of themselves."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import onnx
import pytest
from onnx import TensorProto, helper, numpy_helper

from pipeline.artifact import Artifact
from pipeline.inspection.graph import read_file, read_graph
from pipeline.stages.quantize_static import QuantizeStatic
from tests.importing.graphs import model, save, two_layers, value, weight
from tests.stages.conftest import onnx_model as onnx_model
from tests.stages.conftest import torch_model as torch_model
from tests.stages.models import Workplace


def artifact(made: onnx.ModelProto, folder: Path) -> Artifact:
    return Artifact(save(made, folder), "onnx", "")


def test_operators_are_counted_with_the_most_frequent_first(tmp_path: Path) -> None:
    found = read_graph(artifact(two_layers(), tmp_path), {})
    assert list(found.operators.items()) == [("MatMul", 2), ("Relu", 1)]
    assert found.opset == 17


def test_operators_of_other_sets_carry_the_name_of_their_set(tmp_path: Path) -> None:
    node = helper.make_node("Gelu", ["x"], ["y"], domain="com.microsoft")
    made = model([node], [value("x", ["n", 6])], [value("y", ["n", 6])], domains={"com.microsoft": 1})
    assert read_graph(artifact(made, tmp_path), {}).operators == {"com.microsoft.Gelu": 1}


def test_free_axes_keep_their_names(tmp_path: Path) -> None:
    made = model(
        [helper.make_node("Identity", ["x"], ["y"])], [value("x", ["n", "tokens", 4])], [value("y", ["n", None, 4])]
    )
    found = read_graph(artifact(made, tmp_path), {})
    assert found.shapes == {"x": ["n", "tokens", 4]}
    assert found.outputs[0].shape == ["n", None, 4]


def test_macs_are_those_of_one_example_of_the_data(tmp_path: Path) -> None:
    made = model(
        [helper.make_node("MatMul", ["x", "w"], ["y"])],
        [value("x", ["n", "tokens", 4])],
        [value("y", ["n", "tokens", 3])],
        [weight("w", 4, 3)],
    )
    source = artifact(made, tmp_path)
    assert read_graph(source, {}).macs is None
    assert read_graph(source, {"x": (1, 5, 4)}).macs == 5 * 4 * 3
    assert read_graph(source, {"x": (1, 5, 4)}).parameters == 12


def test_macs_are_told_where_sizes_are_computed_from_a_free_axis(tmp_path: Path) -> None:
    computed = [
        helper.make_node("Shape", ["x"], ["sizes"], start=1, end=2),
        helper.make_node("Squeeze", ["sizes"], ["tokens"]),
        helper.make_node("Range", ["zero", "tokens", "one"], ["places"]),
        helper.make_node("Gather", ["x", "places"], ["all"], axis=1),
        helper.make_node("MatMul", ["all", "w"], ["y"]),
    ]
    scalars = [numpy_helper.from_array(np.array(number), name) for number, name in ((0, "zero"), (1, "one"))]
    made = model(
        computed,
        [value("x", ["n", "length", 4])],
        [value("y", ["n", "length", 3])],
        [*scalars, weight("w", 4, 3)],
    )
    found = read_graph(artifact(made, tmp_path), {"x": (1, 5, 4)})
    assert found.macs == 5 * 4 * 3
    assert found.macs_at == {"n": 1, "length": 5}


def test_weights_are_told_by_their_type(onnx_model: Artifact, tmp_path: Path) -> None:
    whole = read_graph(onnx_model, {})
    assert list(whole.weights) == ["float32"]
    assert whole.quantized is None
    quantized = read_graph(Workplace(tmp_path).build(QuantizeStatic(), onnx_model), {})
    assert quantized.weights["int8"] > quantized.weights.get("float32", 0)
    assert quantized.quantized is not None
    assert quantized.quantized.startswith("the model is already quantized (")
    assert sum(quantized.weights.values()) == quantized.parameters == whole.parameters


def test_weights_of_four_bits_are_told_by_their_bits(tmp_path: Path) -> None:
    packed = numpy_helper.from_array(np.zeros((32, 2, 16), np.uint8), "w")
    node = helper.make_node(
        "MatMulNBits", ["x", "w", "scales"], ["y"], domain="com.microsoft", K=64, N=32, bits=4, block_size=32
    )
    made = model(
        [node],
        [value("x", ["n", 64])],
        [value("y", ["n", 32])],
        [packed, weight("scales", 64)],
        domains={"com.microsoft": 1},
    )
    assert read_graph(artifact(made, tmp_path), {}).weights == {"uint4": 64 * 32}


def test_an_outputs_maker_is_found_behind_what_only_moves_numbers(tmp_path: Path) -> None:
    nodes = [
        helper.make_node("MatMul", ["x", "w"], ["a"]),
        helper.make_node("Add", ["a", "b"], ["c"]),
        helper.make_node("Identity", ["c"], ["y"]),
        helper.make_node("Softmax", ["c"], ["p"]),
        helper.make_node("Add", ["x", "x"], ["z"]),
    ]
    outputs = [value(name, None) for name in ("y", "p", "z")]
    made = model(nodes, [value("x", ["n", 6])], outputs, [weight("w", 6, 3), weight("b", 3)])
    found = {one.name: (one.maker, one.weighted) for one in read_graph(artifact(made, tmp_path), {}).outputs}
    assert found == {"y": ("MatMul", True), "p": ("Softmax", False), "z": ("Add", False)}


def test_a_file_tells_its_producer_its_operators_and_its_external_data(tmp_path: Path) -> None:
    big = numpy_helper.from_array(np.zeros((64, 64), np.float32), "w")
    made = model(
        [helper.make_node("MatMul", ["x", "w"], ["y"])],
        [value("x", ["n", 64], TensorProto.FLOAT)],
        [value("y", ["n", 64])],
        [big],
        domains={"com.microsoft": 1},
    )
    made.producer_name, made.producer_version = "pytorch", "2.9"
    path = tmp_path / "m.onnx"
    onnx.save(made, path, save_as_external_data=True, location="m.data", size_threshold=0)
    found = read_file(path)
    assert (found.producer, found.opset, found.ir_version) == ("pytorch 2.9", 17, 8)
    assert found.domains == {"com.microsoft": 1}
    assert [(one.name, one.size_bytes) for one in found.external] == [("m.data", 64 * 64 * 4)]
    assert found.size_bytes == path.stat().st_size + 64 * 64 * 4


@pytest.mark.parametrize("names", [("", ""), ("", "2")])
def test_a_file_without_a_producer_says_none(tmp_path: Path, names: tuple[str, str]) -> None:
    made = two_layers()
    made.producer_name, made.producer_version = names
    onnx.save(made, tmp_path / "m.onnx")
    assert read_file(tmp_path / "m.onnx").producer == (names[1] or None)
