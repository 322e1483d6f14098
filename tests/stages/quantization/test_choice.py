"""Which nodes a quantizer takes."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import onnx
import pytest

from pipeline.errors import Misnamed
from pipeline.plan import Stage
from pipeline.stages.quantization.choice import chosen_nodes
from pipeline.stages.quantize_dynamic import QuantizeDynamic
from pipeline.stages.quantize_static import QuantizeStatic
from tests.stages import onnx_models as graphs
from tests.stages.models import Workplace, op_types
from tests.stages.quantization.test_preparation import on_graph


def summed() -> onnx.ModelProto:
    """A MatMul and an Add, which preparing makes a Gemm of another name, before a Gemm."""
    nodes = [
        onnx.helper.make_node("MatMul", ["x", "w0"], ["m"], name="first"),
        onnx.helper.make_node("Add", ["m", "b0"], ["a"], name="sum"),
        onnx.helper.make_node("Relu", ["a"], ["r"], name="relu"),
        onnx.helper.make_node("Gemm", ["r", "w1", "b1"], ["y"], name="second"),
    ]
    weights = [graphs.weight("w0", 16, 12), graphs.weight("b0", 12), graphs.weight("w1", 12, 8), graphs.weight("b1", 8)]
    return graphs.graph_model(nodes, ("n", 16), ("n", 8), weights)


def prepared() -> onnx.ModelProto:
    model = summed()
    del model.graph.node[:2]
    merged = onnx.helper.make_node("Gemm", ["x", "w0", "b0"], ["a"], name="first/MatMulAddFusion")
    model.graph.node.insert(0, merged)
    return model


@pytest.mark.parametrize(
    ("fields", "excluded"),
    [
        ({"exclude_nodes": ("first",)}, ["first/MatMulAddFusion"]),
        ({"exclude_nodes": ("f*",)}, ["first/MatMulAddFusion"]),
        ({"exclude_nodes": ("first/MatMulAddFusion",)}, ["first/MatMulAddFusion"]),
        ({"exclude_nodes": (), "exclude_op_types": ("MatMul",)}, ["first/MatMulAddFusion"]),
        ({"exclude_nodes": (), "exclude_op_types": ("Gemm",)}, ["first/MatMulAddFusion", "second"]),
        ({"exclude_nodes": (), "op_types": ("MatMul",)}, ["second"]),
        ({"exclude_nodes": (), "op_types": ("Gemm",)}, []),
        ({"exclude_nodes": ()}, []),
    ],
)
def test_a_node_is_known_by_its_name_before_and_after(fields: dict[str, Any], excluded: list[str]) -> None:
    assert list(chosen_nodes(summed(), prepared(), **fields).excluded) == excluded


def test_a_node_without_a_name_is_known_by_its_weights() -> None:
    plain, later = summed(), prepared()
    plain.graph.node[0].name = later.graph.node[0].name = ""
    later.graph.node[0].name = "Gemm_0"
    choice = chosen_nodes(plain, later, exclude_nodes=(), op_types=("MatMul",))
    assert choice.excluded == ("second",)
    assert choice.op_types == ("Gemm", "MatMul")


def test_what_neither_model_has_is_refused() -> None:
    with pytest.raises(Misnamed, match=r"exclude_nodes: 'third' matches no node; there are first, sum, relu, second"):
        chosen_nodes(summed(), prepared(), exclude_nodes=("third",))


@pytest.mark.parametrize("stage", [QuantizeStatic, QuantizeDynamic])
@pytest.mark.parametrize(
    "fields", [{"exclude_nodes": ("first",)}, {"exclude_op_types": ("MatMul",)}, {"op_types": ("Gemm",)}]
)
def test_what_was_excluded_stays_in_float(
    workplace: Workplace, tmp_path: Path, stage: type[Stage], fields: dict[str, Any]
) -> None:
    workplace.build(stage(**fields), on_graph(workplace, tmp_path, summed()))
    assert workplace.notes["quantized"] == {"Gemm": "1 of 2" if "op_types" not in fields else "2 of 2"}


def test_products_of_activations_are_not_taken_for_quantized_ones(workplace: Workplace, tmp_path: Path) -> None:
    nodes = [
        onnx.helper.make_node("Gemm", ["x", "w0", "b0"], ["a"], name="first"),
        onnx.helper.make_node("Transpose", ["a"], ["t"], perm=[1, 0], name="turn"),
        onnx.helper.make_node("MatMul", ["a", "t"], ["s"], name="scores"),
        onnx.helper.make_node("MatMul", ["s", "a"], ["y"], name="mixed"),
    ]
    model = graphs.graph_model(nodes, (8, 16), (8, 12), [graphs.weight("w0", 16, 12), graphs.weight("b0", 12)])
    workplace.build(QuantizeDynamic(), on_graph(workplace, tmp_path, model))
    assert workplace.notes["quantized"] == {"Gemm": "1 of 1", "MatMul": "0 of 2"}


def test_a_recurrent_layer_is_quantized_dynamically(workplace: Workplace, tmp_path: Path) -> None:
    nodes = [
        onnx.helper.make_node("Transpose", ["x"], ["t"], perm=[1, 0, 2]),
        onnx.helper.make_node("LSTM", ["t", "W", "R", "B"], ["", "h"], hidden_size=8),
        onnx.helper.make_node("Squeeze", ["h", "zero"], ["y"]),
    ]
    weights = [graphs.weight("W", 1, 32, 6), graphs.weight("R", 1, 32, 8), graphs.weight("B", 1, 64)]
    weights.append(onnx.helper.make_tensor("zero", onnx.TensorProto.INT64, [1], [0]))
    source = on_graph(workplace, tmp_path, graphs.graph_model(nodes, ("n", 5, 6), ("n", 8), weights))
    quantized = workplace.build(QuantizeDynamic(), source)
    assert op_types(quantized)["DynamicQuantizeLSTM"] == 1
    assert workplace.notes["quantized"] == {"LSTM": "1 of 1"}
