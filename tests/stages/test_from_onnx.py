"""A PyTorch model made of an ONNX model."""

from __future__ import annotations

import sys
from importlib.util import find_spec
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from onnx import TensorProto, helper, numpy_helper
from torch import nn

from pipeline.artifact import Artifact
from pipeline.artifact.proof import check_output
from pipeline.artifact.run import run
from pipeline.artifact.torch_module import export_program, load_module, load_spec
from pipeline.data.batches import Inputs
from pipeline.data.dataset import Split, SplitName
from pipeline.errors import Skipped, StageFailed, Unchanged
from pipeline.stages import from_onnx
from pipeline.stages.export import ExportOnnx
from pipeline.stages.finetune import Finetune
from pipeline.stages.from_onnx import FromOnnx
from pipeline.stages.prune import Prune
from pipeline.stages.pruning.graph_heads import find_attention_in_graph
from pipeline.stages.quantize_aware import QuantizeAware
from pipeline.stages.quantize_static import QuantizeStatic
from tests.stages.models import TextDataset, Workplace
from tests.stages.onnx_models import graph_model, saved, weight
from tests.stages.pruning.pruned_models import SPECS, varied

pytestmark = pytest.mark.skipif(find_spec("onnx2pytorch") is None, reason="needs the extra onnx-training")


class Vectors:
    """Random vectors [N, 20]; ``axis`` is where a model has the examples."""

    name = "vectors"
    class_names = ()
    calibration_size = 16

    def __init__(self, axis: int | None = 0) -> None:
        self.axis = axis

    def split(self, name: SplitName) -> Split:
        values = np.random.default_rng(len(name)).normal(size=(16, 20)).astype(np.float32)
        return Split(Inputs({"x": values}, {"x": self.axis} if self.axis else {}), np.arange(16) % 4)


class Tokens(Vectors):
    """Random tokens [N, 10]."""

    def split(self, name: SplitName) -> Split:
        return Split(Inputs({"ids": np.random.default_rng(0).integers(0, 50, (16, 10))}))


@pytest.fixture
def vectors(workplace: Workplace) -> Workplace:
    workplace.data = Vectors()
    return workplace


def proven(workplace: Workplace, source: Artifact, name: str = "module") -> Artifact:
    """The PyTorch model, which gives what the ONNX model gives."""
    made = workplace.build(FromOnnx(), source, name)
    check_output(source, made, FromOnnx.tolerance, workplace.context().sample(8))
    return made


def test_a_network_of_convolutions_is_pruned_trained_and_exported(workplace: Workplace, onnx_model: Artifact) -> None:
    module = proven(workplace, onnx_model)
    kinds = {type(layer) for layer in load_module(module.path).modules()}
    assert {nn.Conv2d, nn.Linear} <= kinds
    pruned = workplace.build(Prune(pruning_ratio=0.5, round_to=1), module, "pruned")
    assert workplace.notes["parameters"]["after"] < 0.6 * workplace.notes["parameters"]["before"]
    workplace.original = module
    tuned = workplace.build(Finetune(epochs=1, batch_size=32), pruned, "tuned")
    exported = workplace.build(ExportOnnx(), tuned, "exported")
    check_output(tuned, exported, ExportOnnx.tolerance, workplace.context().sample(8))


@pytest.mark.skipif(find_spec("torchao") is None, reason="needs the extra qat")
def test_a_network_of_convolutions_is_trained_with_quantization(workplace: Workplace, onnx_model: Artifact) -> None:
    module = proven(workplace, onnx_model)
    quantized = workplace.build(QuantizeAware(epochs=1, batch_size=32, learning_rate=1e-4), module, "quantized")
    assert workplace.notes["quantized"] == "7 products"
    drift = check_output(module, quantized, None, workplace.context().sample(8))
    assert drift["sqnr_db"] > 15


@pytest.mark.parametrize("operator", ["ReduceMean", "ReduceSum", "ReduceMax", "ReduceMin"])
@pytest.mark.parametrize("kept", [0, 1])
def test_reductions_can_be_followed_by_exporters(vectors: Workplace, tmp_path: Path, operator: str, kept: int) -> None:
    nodes = [
        helper.make_node("Reshape", ["x", "sizes"], ["a"], name="reshape"),
        helper.make_node(operator, ["a", "axes"], ["b"], keepdims=kept, name="reduce"),
        helper.make_node("Reshape", ["b", "flat"], ["c"], name="flatten"),
        helper.make_node("MatMul", ["c", "w"], ["y"], name="last"),
    ]
    numbers = {"sizes": [0, 2, 5, 2], "axes": [1, 3], "flat": [0, 5]}
    weights = [weight("w", 5, 4), *(numpy_helper.from_array(np.array(value), name) for name, value in numbers.items())]
    source = saved(graph_model(nodes, ("batch", 20), ("batch", 4), weights, opset=18), tmp_path / "source")
    made = proven(vectors, source).path
    program = export_program(load_module(made), (torch.zeros(3, 20),), load_spec(made).inputs)
    assert program.module()(torch.zeros(5, 20)).shape == (5, 4)


@pytest.mark.parametrize("fixture", ["onnx_encoder", "traced_encoder"])
def test_a_transformer_is_pruned_and_exported(workplace: Workplace, fixture: str, request: Any) -> None:
    workplace.data = TextDataset()
    source = request.getfixturevalue(fixture)
    module = proven(workplace, source)
    pruned = workplace.build(Prune(pruning_ratio=0.5, round_to=1), module, "pruned")
    assert list(workplace.notes["heads"].values()) == [[4, 2], [4, 2]]
    assert workplace.notes["parameters"]["after"] < 0.8 * workplace.notes["parameters"]["before"]
    exported = workplace.build(ExportOnnx(), pruned, "exported")
    check_output(pruned, exported, ExportOnnx.tolerance, workplace.context().sample(8))


@pytest.mark.parametrize("split", ["index", "interleaved", "chunk"])
def test_heads_go_where_one_layer_makes_queries_keys_and_values(workplace: Workplace, split: str) -> None:
    workplace.data = Tokens()
    spec = SPECS[f"fused_{split}"]()
    source = workplace.build(ExportOnnx(), workplace.torch(varied(spec), spec), "source")
    workplace.build(Prune(pruning_ratio=0.5, round_to=1), proven(workplace, source), "pruned")
    assert list(workplace.notes["heads"].values()) == [[4, 2]]


def test_a_softmax_over_classes_is_no_attention(workplace: Workplace, onnx_model: Artifact) -> None:
    module = load_module(proven(workplace, onnx_model).path)
    assert list(find_attention_in_graph(module, ())) == []


def test_what_normalizes_and_adds_is_trained_too(workplace: Workplace, onnx_encoder: Artifact) -> None:
    workplace.data = TextDataset()
    module = load_module(workplace.build(FromOnnx(), onnx_encoder).path)
    sizes = {parameter.numel() for _, parameter in module.named_parameters()}
    assert {4, 64} <= sizes  # the classes, and each layer normalization
    assert all(parameter.requires_grad for parameter in module.parameters())


def test_a_batch_that_is_written_inside_becomes_free(vectors: Workplace, tmp_path: Path) -> None:
    nodes = [
        helper.make_node("MatMul", ["x", "w"], ["a"], name="first"),
        helper.make_node("Reshape", ["a", "sizes"], ["b"], name="reshape"),
        helper.make_node("ReduceMean", ["b"], ["y"], axes=[2], keepdims=0, name="mean"),
    ]
    weights = [weight("w", 20, 32), numpy_helper.from_array(np.array([1, 4, 8]), "sizes")]
    source = saved(graph_model(nodes, (1, 20), (1, 4), weights), tmp_path / "source")
    made = proven(vectors, source)
    with torch.inference_mode():
        assert load_module(made.path)(torch.zeros(5, 20)).shape == (5, 4)


def test_sizes_that_the_graph_computes_stay_free(vectors: Workplace, tmp_path: Path) -> None:
    """As exporters write zeros_like, expand and a flattening: the batch is taken from a shape."""
    nodes = [
        helper.make_node("MatMul", ["x", "w"], ["a"], name="first"),
        helper.make_node("Shape", ["x"], ["s"], name="shape"),
        helper.make_node("Gather", ["s", "zero"], ["n"], name="batch"),
        helper.make_node("Unsqueeze", ["n", "axis"], ["n1"], name="listed"),
        helper.make_node("Mul", ["n1", "one"], ["n2"], name="times"),
        helper.make_node("Concat", ["n2", "rest"], ["sizes"], name="sizes", axis=0),
        helper.make_node("Reshape", ["a", "sizes"], ["b"], name="reshape"),
        helper.make_node("ReduceMean", ["b"], ["c"], axes=[2], keepdims=1, name="mean"),
        helper.make_node("Expand", ["c", "sizes"], ["d"], name="expand"),
        helper.make_node("ConstantOfShape", ["sizes"], ["e"], name="fill",
                         value=numpy_helper.from_array(np.array([0.5], np.float32))),
        helper.make_node("Add", ["d", "e"], ["f"], name="sum"),
        helper.make_node("Cast", ["n"], ["g"], name="float", to=TensorProto.FLOAT),
        helper.make_node("Div", ["f", "g"], ["y"], name="divided"),
    ]  # fmt: skip
    numbers = {"zero": 0, "axis": [0], "one": [1], "rest": [4, 8]}
    weights = [weight("w", 20, 32), *(numpy_helper.from_array(np.array(it), name) for name, it in numbers.items())]
    source = saved(graph_model(nodes, ("n", 20), ("n", 4, 8), weights), tmp_path / "source")
    made = proven(vectors, source)
    for exporter in ("dynamo", "torchscript"):
        exported = vectors.build(ExportOnnx(exporter=exporter), made, exporter)
        values = {"x": np.ones((5, 20), np.float32)}
        assert np.allclose(run(source, values)[0], run(exported, values)[0], atol=1e-5)


def test_the_channels_before_a_flattening_can_go(workplace: Workplace, tmp_path: Path) -> None:
    nodes = [
        helper.make_node("Conv", ["x", "w", "b"], ["a"], name="conv", kernel_shape=[3, 3]),
        helper.make_node("Relu", ["a"], ["r"], name="relu"),
        helper.make_node("GlobalAveragePool", ["r"], ["p"], name="pool"),
        helper.make_node("Reshape", ["p", "sizes"], ["f"], name="flatten"),
        helper.make_node("Gemm", ["f", "v"], ["y"], name="head"),
    ]
    weights = [weight("w", 16, 1, 3, 3), weight("b", 16), weight("v", 16, 4)]
    weights.append(numpy_helper.from_array(np.array([-1, 16]), "sizes"))
    model = graph_model(nodes, ("n", 1, 12, 12), ("n", 4), weights)
    model.graph.input[0].name = model.graph.node[0].input[0] = "image"
    module = proven(workplace, saved(model, tmp_path / "source"))
    workplace.build(Prune(pruning_ratio=0.5, round_to=1), module, "pruned")
    assert workplace.notes["channels"] == {"Conv_conv": [16, 8]}


def test_products_are_read_as_what_they_are(vectors: Workplace, tmp_path: Path) -> None:
    """A bias for all, one for each position, a matrix on the left, a stack of matrices, a bias that is read twice."""
    nodes = [
        helper.make_node("MatMul", ["x", "w"], ["a"], name="biased"),
        helper.make_node("Relu", ["x"], ["r"], name="between"),
        helper.make_node("Add", ["bias", "a"], ["b"], name="bias"),
        helper.make_node("Reshape", ["b", "sizes"], ["c"], name="reshape"),
        helper.make_node("MatMul", ["c", "v"], ["d"], name="positions"),
        helper.make_node("Add", ["d", "by_position"], ["e"], name="add.positions"),
        helper.make_node("MatMul", ["left", "e"], ["f"], name="left"),
        helper.make_node("MatMul", ["f", "stack"], ["g"], name="stack"),
        helper.make_node("Gemm", ["r", "u", "row"], ["h"], name="gemm", alpha=0.5, beta=2.0),
        helper.make_node("Flatten", ["g"], ["i"], name="flatten"),
        helper.make_node("Concat", ["h", "i"], ["y"], name="concat", axis=1),
    ]
    weights = [
        weight("w", 20, 12), weight("bias", 12), numpy_helper.from_array(np.array([-1, 3, 4]), "sizes"),
        weight("v", 4, 5), weight("by_position", 3, 5), weight("left", 2, 3), weight("stack", 1, 5, 4),
        weight("u", 20, 6), weight("row", 1, 6),
    ]  # fmt: skip
    source = saved(graph_model(nodes, ("n", 20), ("n", 14), weights), tmp_path / "source")
    module = load_module(proven(vectors, source).path)
    layers = {name: layer for name, layer in module.named_children() if isinstance(layer, nn.Linear)}
    assert {name: layer.bias is not None for name, layer in layers.items()} == {
        "MatMul_bias_1": True,
        "MatMul_positions": False,
        "Gemm_gemm": True,
    }


def test_a_mask_is_no_parameter(vectors: Workplace, tmp_path: Path) -> None:
    nodes = [
        helper.make_node("MatMul", ["x", "w"], ["a"], name="first"),
        helper.make_node("Add", ["a", "mask"], ["b"], name="mask"),
        helper.make_node("Softmax", ["b"], ["s"], name="softmax", axis=1),
        helper.make_node("Mul", ["s", "scale"], ["y"], name="scale"),
    ]
    mask = np.where(np.arange(80) < 40, 0, -np.inf).astype(np.float32)[None]
    weights = [weight("w", 20, 80), numpy_helper.from_array(mask, "mask"), weight("scale", 1, 80)]
    source = saved(graph_model(nodes, ("n", 20), ("n", 80), weights), tmp_path / "source")
    names = {name for name, _ in load_module(proven(vectors, source).path).named_parameters()}
    assert any(name.endswith("scale") for name in names)
    assert not any(name.endswith("mask") for name in names)


def test_what_the_library_can_not_read_is_named(vectors: Workplace, tmp_path: Path) -> None:
    node = helper.make_node("LSTM", ["s", "w", "r", "", "", "h"], ["", "y"], name="the_lstm", hidden_size=8)
    nodes = [helper.make_node("Unsqueeze", ["x", "axis"], ["s"], name="one"), node]
    weights = [
        weight("w", 1, 32, 20), weight("r", 1, 32, 8), weight("h", 1, 3, 8),
        numpy_helper.from_array(np.array([0]), "axis"),
    ]  # fmt: skip
    source = saved(graph_model(nodes, (3, 20), (1, 3, 8), weights), tmp_path / "source")
    with pytest.raises(StageFailed, match="can't read LSTM 'the_lstm'"):
        vectors.build(FromOnnx(), source)


def test_an_operator_that_the_library_lacks_is_named_in_words(vectors: Workplace, tmp_path: Path) -> None:
    node = helper.make_node("FusedMatMul", ["x", "w"], ["y"], name="the_product", domain="com.microsoft")
    model = graph_model([node], ("n", 20), ("n", 8), [weight("w", 20, 8)])
    model.opset_import.append(helper.make_opsetid("com.microsoft", 1))
    said = "onnx2pytorch can't read FusedMatMul 'the_product': it does not know this operator"
    with pytest.raises(StageFailed, match=said):
        vectors.build(FromOnnx(), saved(model, tmp_path / "source"))


def test_a_convolution_whose_weight_is_computed_is_named_in_words(vectors: Workplace, tmp_path: Path) -> None:
    nodes = [
        helper.make_node("Reshape", ["x", "shape"], ["p"]),
        helper.make_node("Neg", ["w"], ["k"]),
        helper.make_node("ReduceMax", ["x"], ["most"], keepdims=0),
        helper.make_node("Mul", ["k", "most"], ["m"]),
        helper.make_node("Conv", ["p", "m"], ["y"], name="the_convolution"),
    ]
    weights = [weight("w", 2, 1, 3, 3), numpy_helper.from_array(np.array([-1, 1, 4, 5]), "shape")]
    source = saved(graph_model(nodes, ("n", 20), ("n", 2, 2, 3), weights), tmp_path / "source")
    with pytest.raises(StageFailed, match="can't read Conv 'the_convolution': it did not foresee this form"):
        vectors.build(FromOnnx(), source)


def test_an_output_may_be_a_constant(vectors: Workplace, tmp_path: Path) -> None:
    nodes = [helper.make_node("MatMul", ["x", "w"], ["y"]), helper.make_node("Identity", ["c"], ["k"])]
    model = graph_model(nodes, ("n", 20), ("n", 8), [weight("w", 20, 8), weight("c", 4)])
    model.graph.output.append(helper.make_tensor_value_info("k", TensorProto.FLOAT, [4]))
    proven(vectors, saved(model, tmp_path / "source"))


@pytest.mark.parametrize("given", ["scales", "sizes"])
def test_a_resize_may_name_the_axes_of_pictures(vectors: Workplace, tmp_path: Path, given: str) -> None:
    scales, sizes = np.array([2, 3], np.float32), np.array([8, 15], np.int64)
    read = ["p", "", "by"] if given == "scales" else ["p", "", "", "by"]
    nodes = [
        helper.make_node("Reshape", ["x", "shape"], ["p"]),
        helper.make_node("Resize", read, ["y"], name="resize", mode="linear", axes=[2, 3]),
    ]
    weights = [
        numpy_helper.from_array(np.array([-1, 1, 4, 5]), "shape"),
        numpy_helper.from_array(scales if given == "scales" else sizes, "by"),
    ]
    model = graph_model(nodes, ("n", 20), ("n", 1, 8, 15), weights, opset=18)
    made = proven(vectors, saved(model, tmp_path / "source")).path
    export_program(load_module(made), (torch.zeros(3, 20),), load_spec(made).inputs)


def test_it_is_skipped_where_it_makes_no_sense(
    vectors: Workplace, torch_model: Artifact, onnx_model: Artifact, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    with pytest.raises(Unchanged, match="is a PyTorch model"):
        vectors.build(FromOnnx(), torch_model, "a")
    nodes = [helper.make_node("MatMul", ["x", "w"], ["y"], name="product")]
    source = saved(graph_model(nodes, (20, "n"), (20, "n"), [weight("w", 20, 20)]), tmp_path / "source")
    vectors.data = Vectors(axis=1)
    with pytest.raises(Skipped, match="has the examples in axis 1"):
        vectors.build(FromOnnx(), source, "b")
    monkeypatch.setitem(sys.modules, "pipeline.artifact.onnx_network", None)
    with pytest.raises(Skipped, match=r"can't be imported \(.*\): torchvision, which it needs, has to be the build"):
        vectors.build(FromOnnx(), onnx_model, "d")
    monkeypatch.setattr(from_onnx, "find_spec", lambda name: None)
    with pytest.raises(Skipped, match="pip install onnx2pytorch"):
        vectors.build(FromOnnx(), onnx_model, "c")


def test_a_quantized_model_is_skipped(workplace: Workplace, onnx_model: Artifact) -> None:
    quantized = workplace.build(QuantizeStatic(), onnx_model, "quantized")
    with pytest.raises(Skipped, match="already quantized"):
        workplace.build(FromOnnx(), quantized)


def test_the_text_has_no_large_weights(workplace: Workplace, onnx_model: Artifact) -> None:
    made = workplace.build(FromOnnx(), onnx_model)
    assert len(load_spec(made.path).factory["graph"]) < onnx_model.size_bytes / 4
    first = run(made, workplace.context().sample(4))
    assert np.abs(first[0]).max() > 0
