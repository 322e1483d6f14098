"""Dynamic quantization."""

from __future__ import annotations

from typing import Any

import numpy as np
import onnx
import pytest
from numpy.typing import NDArray
from onnxruntime.tools.symbolic_shape_infer import SymbolicShapeInference

from pipeline.artifact import Artifact
from pipeline.artifact.proof import check_output
from pipeline.errors import StageFailed, Unchanged
from pipeline.stages.export import ExportOnnx
from pipeline.stages.graphs import library
from pipeline.stages.quantize_dynamic import QuantizeDynamic
from tests.stages.models import (
    ArrayDataset,
    NamedLayer,
    TextDataset,
    Workplace,
    encoder,
    encoder_spec,
    op_types,
    sentences,
    spec_of,
)
from tests.stages.refusal import refusal

Feed = dict[str, NDArray[Any]]


@pytest.mark.parametrize("weight_type", ["int8", "uint8"])
@pytest.mark.parametrize("per_channel", [False, True])
def test_the_quantized_model_is_close_and_all_its_products_are_integer(
    workplace: Workplace, onnx_model: Artifact, feed: Feed, weight_type: Any, per_channel: bool
) -> None:
    stage = QuantizeDynamic(weight_type=weight_type, per_channel=per_channel)
    quantized = workplace.build(stage, onnx_model)
    assert check_output(onnx_model, quantized, None, feed)["cosine_min"] > 0.99
    assert op_types(quantized)["ConvInteger"] == 6
    assert op_types(quantized)["MatMulInteger"] == 1
    assert workplace.notes["quantized"] == {"Conv": "6 of 6", "Gemm": "1 of 1"}


@pytest.mark.parametrize("name", ["MatMul", "Gemm"])
def test_only_the_operators_asked_for_are_quantized(workplace: Workplace, onnx_model: Artifact, name: str) -> None:
    workplace.build(QuantizeDynamic(op_types=(name,)), onnx_model)
    assert workplace.notes["quantized"] == {"Conv": "0 of 6", "Gemm": "1 of 1"}


def test_excluded_nodes_stay_in_float(workplace: Workplace, onnx_model: Artifact) -> None:
    first = next(node.name for node in onnx.load(onnx_model.onnx_path).graph.node if node.op_type == "Conv")
    workplace.build(QuantizeDynamic(exclude_nodes=(first,), exclude_op_types=("Gemm",)), onnx_model)
    assert workplace.notes["quantized"] == {"Conv": "5 of 6", "Gemm": "0 of 1"}


@pytest.mark.parametrize(
    ("isa", "reduced"), [({"avx2"}, True), ({"avx2", "avx512_vnni"}, False), ({"asimd"}, False), (set(), False)]
)
def test_the_weights_range_follows_the_processor(
    workplace: Workplace, onnx_model: Artifact, isa: set[str], reduced: bool
) -> None:
    workplace.isa = frozenset(isa)
    model = onnx.load(workplace.build(QuantizeDynamic(), onnx_model).onnx_path)
    weights = [onnx.numpy_helper.to_array(tensor) for tensor in model.graph.initializer]
    largest = max(int(np.abs(array.astype(int)).max()) for array in weights if array.dtype == np.int8)
    assert largest == (64 if reduced else 127)
    assert workplace.notes["reduce_range"] == reduced
    assert QuantizeDynamic().machine_key(frozenset(isa)) == {"reduce_range": reduced}


def test_values_of_unknown_type_are_quantized_as_float(workplace: Workplace) -> None:
    source = workplace.torch(NamedLayer(), spec_of(NamedLayer, {"x": (4,)}, ["y"]))
    exported = workplace.build(ExportOnnx(exporter="torchscript"), source, "exported")
    model = onnx.load(exported.onnx_path)
    gemm = next(node for node in model.graph.node if node.op_type == "Gemm")
    # An operator that ONNX's shape inference does not know hides its output's type.
    model.opset_import.append(onnx.helper.make_opsetid("com.microsoft", 1))
    model.graph.node.insert(0, onnx.helper.make_node("QuickGelu", ["x"], ["hidden"], domain="com.microsoft"))
    gemm.input[0] = "hidden"
    onnx.save(model, exported.onnx_path)
    workplace.data = ArrayDataset("x", (4,))
    quantized = workplace.build(QuantizeDynamic(), exported)
    feed = {"x": np.random.default_rng(0).normal(size=(8, 4)).astype(np.float32)}
    assert check_output(exported, quantized, None, feed)["cosine_min"] > 0.9


def test_weights_beside_the_model_are_quantized_too(
    workplace: Workplace, onnx_model: Artifact, feed: Feed, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(library, "SINGLE_FILE_BYTES", 0)
    quantized = workplace.build(QuantizeDynamic(), onnx_model)
    assert check_output(onnx_model, quantized, None, feed)["cosine_min"] > 0.99


def test_what_matches_nothing_is_refused_with_what_exists(workplace: Workplace, onnx_model: Artifact) -> None:
    with pytest.raises(StageFailed, match=r"op_types: 'LSTM' matches no operator type; there are Add, Conv, Gemm"):
        workplace.build(QuantizeDynamic(op_types=("LSTM",)), onnx_model, "a")
    with pytest.raises(StageFailed, match=r"exclude_nodes: 'foo' matches no node; there are node_"):
        workplace.build(QuantizeDynamic(exclude_nodes=("foo",)), onnx_model, "b")


def test_a_model_without_weights_is_refused(workplace: Workplace) -> None:
    values = [onnx.helper.make_tensor_value_info(name, onnx.TensorProto.FLOAT, ("batch", 2)) for name in ("x", "y")]
    graph = onnx.helper.make_graph([onnx.helper.make_node("Relu", ["x"], ["y"])], "graph", values[:1], values[1:])
    folder = workplace.new("relu")
    onnx.save(onnx.helper.make_model(graph, opset_imports=[onnx.helper.make_opsetid("", 18)]), folder / "model.onnx")
    workplace.data = ArrayDataset("x", (2,))
    with pytest.raises(Unchanged, match="the model has no Conv, ConvTranspose, Gemm, MatMul"):
        workplace.build(QuantizeDynamic(), Artifact(folder, "onnx", ""))


def test_unknown_weight_types_are_refused() -> None:
    assert "stage.weight_type must be 'int8' or 'uint8' (got 'int3')" in refusal(QuantizeDynamic, weight_type="int3")


def test_a_model_that_symbolic_shape_inference_cannot_follow_is_quantized(workplace: Workplace) -> None:
    spec = encoder_spec(num_classes=None, token_types=2)
    source = workplace.build(ExportOnnx(), workplace.torch(encoder(spec), spec))
    with pytest.raises(TypeError):
        SymbolicShapeInference.infer_shapes(onnx.load(source.onnx_path))
    workplace.data = TextDataset()
    quantized = workplace.build(QuantizeDynamic(), source, "quantized")
    assert op_types(quantized)["MatMulInteger"] >= 12
    assert check_output(source, quantized, None, sentences())["cosine_min"] > 0.99
