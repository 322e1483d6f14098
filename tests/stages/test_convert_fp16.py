"""Half precision."""

from __future__ import annotations

from typing import Any

import onnx
import pytest
from numpy.typing import NDArray
from onnx import TensorProto

from pipeline.artifact import Artifact
from pipeline.artifact.proof import check_output
from pipeline.errors import StageFailed
from pipeline.stages.convert_fp16 import ConvertFp16
from tests.stages.models import Workplace

Feed = dict[str, NDArray[Any]]


def element_types(artifact: Artifact) -> tuple[int, int]:
    graph = onnx.load(artifact.onnx_path).graph
    return graph.input[0].type.tensor_type.elem_type, graph.output[0].type.tensor_type.elem_type


@pytest.mark.parametrize("keep_io_types", [True, False])
def test_the_converted_model_agrees_and_is_half_the_size(
    workplace: Workplace, onnx_model: Artifact, feed: Feed, keep_io_types: bool
) -> None:
    converted = workplace.build(ConvertFp16(keep_io_types=keep_io_types), onnx_model)
    assert check_output(onnx_model, converted, None, feed)["sqnr_db"] > 45
    weights = {tensor.data_type for tensor in onnx.load(converted.onnx_path).graph.initializer if tensor.dims}
    assert TensorProto.FLOAT not in weights
    outer = TensorProto.FLOAT if keep_io_types else TensorProto.FLOAT16
    assert element_types(converted) == (outer, outer)
    assert workplace.notes["clipped_weights"] == 0


def test_kept_operators_stay_in_float32(workplace: Workplace, onnx_model: Artifact, feed: Feed) -> None:
    converted = workplace.build(ConvertFp16(keep_ops=("Gemm",)), onnx_model)
    graph = onnx.load(converted.onnx_path).graph
    kinds = {tensor.name: tensor.data_type for tensor in graph.initializer}
    gemm = next(node for node in graph.node if node.op_type == "Gemm")
    conv = next(node for node in graph.node if node.op_type == "Conv")
    assert kinds[gemm.input[1]] == TensorProto.FLOAT
    assert kinds[conv.input[1]] == TensorProto.FLOAT16
    check_output(onnx_model, converted, None, feed)


def test_weights_too_large_for_half_precision_are_counted(workplace: Workplace, onnx_model: Artifact) -> None:
    model = onnx.load(onnx_model.onnx_path)
    weights = next(tensor for tensor in model.graph.initializer if len(tensor.dims) == 4)
    large = onnx.numpy_helper.to_array(weights).copy()
    large.flat[:2] = (1e6, -1e6)
    weights.CopyFrom(onnx.numpy_helper.from_array(large, weights.name))
    source = Artifact(workplace.new("large"), "onnx", "")
    onnx.save(model, source.onnx_path)
    with pytest.raises(StageFailed, match=r"the signal lies 0\.6 dB above the error"):
        workplace.build(ConvertFp16(), source, "refused")
    workplace.build(ConvertFp16(min_sqnr_db=None), source)
    assert workplace.notes["clipped_weights"] == 2


def test_an_operator_that_the_model_has_not_is_refused(workplace: Workplace, onnx_model: Artifact) -> None:
    with pytest.raises(StageFailed, match=r"keep_ops: 'Softmax' matches no operator type; there are Add, Conv, Gemm"):
        workplace.build(ConvertFp16(keep_ops=("Softmax",)), onnx_model)
