"""A graph in OpenVINO's own format, read without OpenVINO."""

from __future__ import annotations

from importlib.util import find_spec
from pathlib import Path

import onnx
import pytest
from onnx import TensorProto, helper

from pipeline.artifact import Artifact
from pipeline.artifact.onnx_graph import fixed_batch_of
from pipeline.artifact.openvino_file import (
    Unreadable,
    channels,
    element_types,
    input_shapes,
    is_quantized,
    output_names,
    problems,
    read_graph,
    weight_bytes,
)
from tests.artifact.openvino_models import converted

pytestmark = pytest.mark.skipif(find_spec("openvino") is None, reason="needs the extra openvino")


def odd_names(folder: Path) -> Artifact:
    """An input whose name holds a comma, and two outputs."""
    values = [helper.make_tensor_value_info(name, TensorProto.FLOAT, ["n", 4]) for name in ("x,a b", "y", "0")]
    nodes = [helper.make_node("Relu", ["x,a b"], ["y"]), helper.make_node("Neg", ["y"], ["0"])]
    graph = helper.make_graph(nodes, "graph", values[:1], values[1:])
    model = helper.make_model(graph, opset_imports=[helper.make_opsetid("", 17)], ir_version=8)
    onnx.save(model, folder / "model.onnx")
    return converted(Artifact(folder, "onnx", ""), folder / "converted")


def test_inputs_and_outputs_have_the_names_of_the_model(tmp_path: Path) -> None:
    graph = read_graph(odd_names(tmp_path).openvino_path)
    assert input_shapes(graph) == {"x,a b": (None, 4)}
    assert output_names(graph) == ["y", "0"]


def test_a_network_tells_its_weights_and_channels(onnx_model: Artifact, tmp_path: Path) -> None:
    model = converted(onnx_model, tmp_path / "made")
    graph = read_graph(model.openvino_path)
    assert weight_bytes(graph) == (model.path / "model.bin").stat().st_size
    assert element_types(graph) <= {"f32", "i64"}
    assert not is_quantized(graph)
    assert len(channels(graph)) == 5  # of six convolutions one reads a single channel
    assert list(problems(graph, weight_bytes(graph))) == []
    assert fixed_batch_of(model, {}) is None


def test_a_fixed_batch_is_read(tmp_path: Path) -> None:
    model = odd_names(tmp_path)
    text = model.openvino_path.read_text()
    model.openvino_path.write_text(text.replace('shape="?,4"', 'shape="3,4"'))
    assert fixed_batch_of(model, {}) == 3
    model.openvino_path.write_text(text.replace('shape="?,4"', 'shape="..."'))
    assert fixed_batch_of(model, {}) is None


def test_what_would_run_more_than_the_model_is_a_problem(onnx_model: Artifact, tmp_path: Path) -> None:
    model = converted(onnx_model, tmp_path / "made")
    size = (model.path / "model.bin").stat().st_size
    text = model.openvino_path.read_text()
    model.openvino_path.write_text(text.replace('type="ReLU" version="opset1"', 'type="Own" version="extension"'))
    graph = read_graph(model.openvino_path)
    assert list(problems(graph, size)) == ["extension::Own is an operator of an extension"]
    assert all("of a file that has 100" in text for text in list(problems(graph, 100))[1:])
    assert len(list(problems(graph, 100))) > 2


@pytest.mark.parametrize(
    ("text", "reason"),
    [
        ('<!DOCTYPE net [<!ENTITY a SYSTEM "/etc/passwd">]><net><layers/></net>', "a document type"),
        ("<net><layers>", "it is not XML"),
        ("<other/>", "it holds no graph"),
    ],
)
def test_a_file_that_is_no_graph_says_why(tmp_path: Path, text: str, reason: str) -> None:
    (tmp_path / "model.xml").write_text(text)
    with pytest.raises(Unreadable, match=reason):
        read_graph(tmp_path / "model.xml")
