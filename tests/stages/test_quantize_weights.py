"""Weight-only quantization."""

from __future__ import annotations

from pathlib import Path
from typing import Any, Literal

import numpy as np
import onnx
import pytest

from pipeline.artifact import Artifact
from pipeline.artifact.count import count
from pipeline.artifact.proof import check_output
from pipeline.errors import Unchanged
from pipeline.stages.quantize_weights import QuantizeWeights
from tests.stages import onnx_models as graphs
from tests.stages.models import MemoryDataset, TextDataset, Workplace, op_types, sentences
from tests.stages.refusal import refusal


@pytest.fixture
def workplace(tmp_path: Path) -> Workplace:
    return Workplace(tmp_path, TextDataset())


COSINES = {(4, "rtn"): 0.9, (4, "hqq"): 0.9, (8, "rtn"): 0.999}


@pytest.mark.parametrize(("bits", "method"), list(COSINES))
def test_every_product_with_constant_weights_is_quantized(
    workplace: Workplace, onnx_encoder: Artifact, bits: Literal[4, 8], method: Any
) -> None:
    quantized = workplace.build(QuantizeWeights(bits=bits, method=method), onnx_encoder)
    assert op_types(quantized)["MatMulNBits"] == 13
    assert workplace.notes["quantized"] == {"MatMul": "13 of 17"}
    assert check_output(onnx_encoder, quantized, None, sentences())["cosine_min"] > COSINES[bits, method]


def test_four_bits_take_less_room_than_eight(workplace: Workplace, onnx_encoder: Artifact) -> None:
    four, eight = (workplace.build(QuantizeWeights(bits=bits), onnx_encoder, str(bits)) for bits in (4, 8))
    assert four.size_bytes < eight.size_bytes < onnx_encoder.size_bytes


def test_the_number_of_parameters_stays(workplace: Workplace, onnx_encoder: Artifact) -> None:
    before, after = count(onnx_encoder)[0], count(workplace.build(QuantizeWeights(), onnx_encoder))[0]
    assert before == after


def test_asymmetric_weights_have_zero_points(workplace: Workplace, onnx_encoder: Artifact) -> None:
    inputs = {}
    for symmetric in (True, False):
        model = onnx.load(workplace.build(QuantizeWeights(symmetric=symmetric), onnx_encoder, str(symmetric)).onnx_path)
        inputs[symmetric] = {len(node.input) for node in model.graph.node if node.op_type == "MatMulNBits"}
    assert inputs == {True: {3}, False: {4}}


def test_the_products_precision_is_written_down(workplace: Workplace, onnx_encoder: Artifact) -> None:
    model = onnx.load(workplace.build(QuantizeWeights(), onnx_encoder).onnx_path)
    levels = {
        entry.i
        for node in model.graph.node
        if node.op_type == "MatMulNBits"
        for entry in node.attribute
        if entry.name == "accuracy_level"
    }
    assert levels == {4}


def test_excluded_products_stay_in_float(workplace: Workplace, onnx_model: Artifact, onnx_encoder: Artifact) -> None:
    name = next(node.name for node in onnx.load(onnx_encoder.onnx_path).graph.node if node.op_type == "Gemm")
    quantized = workplace.build(QuantizeWeights(exclude_nodes=(name,)), onnx_encoder)
    assert op_types(quantized)["MatMulNBits"] == 12
    workplace.data = MemoryDataset()
    with pytest.raises(Unchanged, match="none of 1 MatMul could be quantized"):
        workplace.build(QuantizeWeights(exclude_nodes=("*",)), onnx_model, "none")


def test_weights_in_double_precision_are_left_alone(workplace: Workplace, tmp_path: Path) -> None:
    model = graphs.graph_model(
        [onnx.helper.make_node("MatMul", ["x", "w"], ["y"])],
        ("n", 4),
        ("n", 4),
        [onnx.numpy_helper.from_array(np.eye(4), "w")],
        kind=onnx.TensorProto.DOUBLE,
    )
    with pytest.raises(Unchanged, match="constant weights in float32 or float16"):
        workplace.build(QuantizeWeights(), graphs.saved(model, tmp_path / "double"))


@pytest.mark.parametrize(
    ("fields", "message"),
    [
        ({"bits": 3}, "stage.bits must be 4 or 8 (got 3)"),
        ({"block_size": 24}, "block_size must be a power of two from 16 on"),
        ({"method": "gptq"}, "stage.method must be 'rtn' or 'hqq' (got 'gptq')"),
        ({"bits": 8, "method": "hqq"}, "method=hqq has zero points in floating point"),
        ({"accuracy_level": 5}, "stage.accuracy_level must be 1, 2, 3 or 4 (got 5)"),
    ],
)
def test_wrong_fields_are_refused(fields: dict[str, Any], message: str) -> None:
    assert message in refusal(QuantizeWeights, **fields)
