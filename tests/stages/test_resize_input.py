"""Another size of the input, behind the input."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import onnx
import onnxruntime
import pytest
from numpy.typing import NDArray
from onnx import TensorProto, helper, numpy_helper

from pipeline.artifact import Artifact
from pipeline.artifact.count import count
from pipeline.artifact.proof import check_output
from pipeline.errors import StageFailed
from pipeline.stages.quantize_static import QuantizeStatic
from pipeline.stages.resize_input import ResizeInput
from tests.stages.models import Workplace, op_types
from tests.stages.refusal import refusal

Feed = dict[str, NDArray[Any]]


def saved(workplace: Workplace, nodes: list[Any], inputs: list[Any], output: Any, constants: list[Any]) -> Artifact:
    out = workplace.new("source")
    graph = helper.make_graph(nodes, "g", inputs, [output], constants)
    onnx.save(helper.make_model(graph, opset_imports=[helper.make_opsetid("", 18)], ir_version=9), out / "model.onnx")
    return Artifact(out, "onnx", "")


def sequence_model(workplace: Workplace, length: int | str) -> Artifact:
    """The sum of what the mask lets through, over the sequence."""
    nodes = [
        helper.make_node("Mul", ["ids", "mask"], ["kept"]),
        helper.make_node("Cast", ["kept"], ["float"], to=TensorProto.FLOAT),
        helper.make_node("ReduceSum", ["float", "axes"], ["y"], keepdims=1),
    ]
    inputs = [helper.make_tensor_value_info(name, TensorProto.INT64, ["batch", length]) for name in ("ids", "mask")]
    output = helper.make_tensor_value_info("y", TensorProto.FLOAT, ["batch", 1])
    return saved(workplace, nodes, inputs, output, [numpy_helper.from_array(np.array([1]), "axes")])


def flat_model(workplace: Workplace, flatten: Any, constants: list[Any]) -> Artifact:
    """A layer on the pixels of images of 4 x 4."""
    weight = numpy_helper.from_array(np.ones((16, 3), np.float32), "w")
    nodes = [flatten, helper.make_node("Gemm", ["flat", "w"], ["y"], name="layer")]
    image = helper.make_tensor_value_info("image", TensorProto.FLOAT, ["batch", 1, 4, 4])
    output = helper.make_tensor_value_info("y", TensorProto.FLOAT, ["batch", 3])
    return saved(workplace, nodes, [image], output, [weight, *constants])


def run(artifact: Artifact, feed: Feed) -> NDArray[Any]:
    session = onnxruntime.InferenceSession(str(artifact.onnx_path), providers=["CPUExecutionProvider"])
    result: NDArray[Any] = session.run(None, feed)[0]
    return result


@pytest.mark.parametrize(("scale", "side"), [(0.5, 6), (2.0, 24), (0.3, 3)])
def test_the_model_computes_on_another_size_and_is_fed_the_same(
    workplace: Workplace, onnx_model: Artifact, feed: Feed, scale: float, side: int
) -> None:
    resized = workplace.build(ResizeInput(scale=scale), onnx_model)
    check_output(onnx_model, resized, None, feed)
    before, after = count(onnx_model), count(resized)
    assert after[0] == before[0]
    assert before[1] is not None
    assert after[1] is not None
    assert (after[1] < before[1]) == (scale < 1)
    assert workplace.notes["elements"] == {"before": 144, "after": side**2, "times": side**2 / 144}
    shapes = onnx.load(resized.onnx_path).graph
    assert [dim.dim_value for dim in shapes.input[0].type.tensor_type.shape.dim][2:] == [12, 12]
    inner = next(value for value in shapes.value_info if value.name.endswith("_resized"))
    assert [dim.dim_value for dim in inner.type.tensor_type.shape.dim][2:] == [side, side]


def test_a_quantized_model_is_resized_too(workplace: Workplace, onnx_model: Artifact, feed: Feed) -> None:
    quantized = workplace.build(QuantizeStatic(), onnx_model, "quantized")
    check_output(quantized, workplace.build(ResizeInput(scale=0.5), quantized), None, feed)


def test_it_may_come_twice(workplace: Workplace, onnx_model: Artifact, feed: Feed) -> None:
    once = workplace.build(ResizeInput(scale=0.5), onnx_model, "once")
    twice = workplace.build(ResizeInput(scale=2.0), once, "twice")
    assert op_types(twice)["Resize"] == 2
    check_output(onnx_model, twice, None, feed)


@pytest.mark.parametrize("length", [6, "length"])
@pytest.mark.parametrize(
    ("scale", "seen"), [(0.5, [0, 1, 2]), (1.5, [0, 1, 2, 3, 4, 5, 0, 1, 2]), (2.0, [0, 1, 2, 3, 4, 5] * 2)]
)
def test_sequences_are_cut_or_repeated_all_alike(
    workplace: Workplace, length: int | str, scale: float, seen: list[int]
) -> None:
    resized = workplace.build(ResizeInput(scale=scale), sequence_model(workplace, length))
    feed = {"ids": np.arange(6)[None].repeat(2, 0), "mask": np.array([[1] * 6, [0, 1, 0, 1, 0, 1]])}
    expected = [sum(seen), sum(value for value in seen if value % 2)]
    assert run(resized, feed)[:, 0].tolist() == expected
    times = workplace.notes["elements"]["times"]
    assert times == scale


def test_a_layer_that_wants_its_pixels_is_named(workplace: Workplace) -> None:
    flatten = helper.make_node("Flatten", ["image"], ["flat"], axis=1)
    with pytest.raises(StageFailed, match=r"has the size of its input baked in: .*Gemm"):
        workplace.build(ResizeInput(scale=0.5), flat_model(workplace, flatten, []))


@pytest.mark.parametrize("scale", [0.5, 2.0])
def test_a_reshape_to_a_fixed_size_is_refused(workplace: Workplace, scale: float) -> None:
    shape = numpy_helper.from_array(np.array([-1, 16]), "shape")
    reshape = helper.make_node("Reshape", ["image", "shape"], ["flat"])
    with pytest.raises(StageFailed, match="has the size of its input baked in"):
        workplace.build(ResizeInput(scale=scale), flat_model(workplace, reshape, [shape]))


def test_a_model_without_images_or_sequences_says_what_it_has(workplace: Workplace) -> None:
    x = helper.make_tensor_value_info("x", TensorProto.FLOAT, ["batch", 8])
    y = helper.make_tensor_value_info("y", TensorProto.FLOAT, ["batch", 8])
    source = saved(workplace, [helper.make_node("Relu", ["x"], ["y"])], [x], y, [])
    with pytest.raises(StageFailed, match=r"no input to resize.* x float \[any, 8\]"):
        workplace.build(ResizeInput(), source)


def test_nothing_may_be_left_over(workplace: Workplace, onnx_model: Artifact) -> None:
    with pytest.raises(StageFailed, match=r"scale 0\.05 leaves nothing of input 'image', of which a side is 12"):
        workplace.build(ResizeInput(scale=0.05), onnx_model)


@pytest.mark.parametrize("scale", [0.0, -1.0, 1.0, float("inf"), float("nan")])
def test_a_scale_that_can_not_be_is_refused(scale: float) -> None:
    assert "stage" in refusal(ResizeInput, scale=scale)


def test_what_a_node_computes_inside_it_is_rewired_too(workplace: Workplace, tmp_path: Path) -> None:
    y = helper.make_tensor_value_info("inner", TensorProto.FLOAT, None)
    branch = helper.make_graph([helper.make_node("GlobalAveragePool", ["image"], ["inner"])], "branch", [], [y])
    node = helper.make_node("If", ["always"], ["y"], then_branch=branch, else_branch=branch)
    image = helper.make_tensor_value_info("image", TensorProto.FLOAT, ["batch", 1, 4, 4])
    output = helper.make_tensor_value_info("y", TensorProto.FLOAT, ["batch", 1, 1, 1])
    always = numpy_helper.from_array(np.array(True), "always")
    resized = workplace.build(ResizeInput(scale=0.5), saved(workplace, [node], [image], output, [always]))
    inner = onnx.load(resized.onnx_path).graph.node[-1].attribute[0].g
    assert inner.node[0].input[0] == "image_resized"
