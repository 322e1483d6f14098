"""Export to ONNX."""

from __future__ import annotations

from typing import Any

import numpy as np
import onnx
import onnxruntime
import pytest
import torch
from numpy.typing import NDArray

from pipeline.artifact import Artifact
from pipeline.artifact.proof import check_output
from pipeline.artifact.run import run
from pipeline.artifact.torch_module import ModelInput, ModelSpec, make_module
from pipeline.errors import StageFailed
from pipeline.stages.export import Exporter, ExportOnnx
from tests.stages.models import (
    Deciding,
    FixedBatch,
    NamedLayer,
    SixteenBits,
    TwoInputs,
    TwoOutputs,
    Untraceable,
    Workplace,
    op_types,
    spec_of,
)
from tests.stages.refusal import refusal

Feed = dict[str, NDArray[Any]]


@pytest.mark.parametrize("exporter", ["dynamo", "torchscript"])
def test_the_exported_model_agrees_with_its_source_at_any_batch(
    workplace: Workplace, torch_model: Artifact, feed: Feed, exporter: Exporter
) -> None:
    exported = workplace.build(ExportOnnx(exporter=exporter), torch_model)
    drift = check_output(torch_model, exported, ExportOnnx.tolerance, feed)
    assert drift["cosine_min"] > 0.99999
    session = onnxruntime.InferenceSession(exported.onnx_path, providers=["CPUExecutionProvider"])
    assert session.run(None, {"image": feed["image"][:7]})[0].shape == (7, 4)


@pytest.mark.parametrize("exporter", ["dynamo", "torchscript"])
def test_the_number_of_tokens_stays_free(workplace: Workplace, exporter: Exporter) -> None:
    spec = ModelSpec(
        factory={"_target_": "torch.nn.Embedding", "num_embeddings": 9, "embedding_dim": 2},
        inputs=(ModelInput(name="ids", shape=(4,), dtype="int64", longest=8),),
        outputs=("states",),
    )
    exported = workplace.build(ExportOnnx(exporter=exporter), workplace.torch(make_module(spec), spec))
    session = onnxruntime.InferenceSession(exported.onnx_path, providers=["CPUExecutionProvider"])
    assert session.get_inputs()[0].shape == ["batch", "length"]
    assert session.run(None, {"ids": np.ones((3, 7), np.int64)})[0].shape == (3, 7, 2)


def test_batch_normalization_is_folded_into_the_convolutions(onnx_model: Artifact) -> None:
    assert op_types(onnx_model)["BatchNormalization"] == 0
    assert op_types(onnx_model)["Conv"] == 6


def test_inputs_and_outputs_have_the_names_of_the_spec(onnx_model: Artifact) -> None:
    graph = onnx.load(onnx_model.onnx_path).graph
    assert [value.name for value in graph.input] == ["image"]
    assert [value.name for value in graph.output] == ["logits"]


def test_the_model_is_one_file_without_paths_of_this_machine(onnx_model: Artifact) -> None:
    assert [path.name for path in onnx_model.path.iterdir()] == ["model.onnx"]
    assert b".py" not in onnx_model.onnx_path.read_bytes()


def test_exporting_twice_gives_the_same_bytes(
    workplace: Workplace, torch_model: Artifact, onnx_model: Artifact
) -> None:
    assert workplace.build(ExportOnnx(), torch_model).digest == onnx_model.digest


def test_without_dynamic_batch_the_batch_is_1(workplace: Workplace, torch_model: Artifact, feed: Feed) -> None:
    exported = workplace.build(ExportOnnx(dynamic_batch=False), torch_model)
    assert onnx.load(exported.onnx_path).graph.input[0].type.tensor_type.shape.dim[0].dim_value == 1
    check_output(torch_model, exported, ExportOnnx.tolerance, feed)


def test_dynamic_batch_changes_nothing_in_an_onnx_source_and_says_so(
    workplace: Workplace, onnx_model: Artifact
) -> None:
    exported = workplace.build(ExportOnnx(dynamic_batch=False), onnx_model)
    assert exported.digest == onnx_model.digest
    assert "the stage fix_shapes fixes its batch" in workplace.notes["dynamic_batch"]


def test_an_onnx_source_is_handed_on_with_its_external_data(workplace: Workplace, onnx_model: Artifact) -> None:
    out = workplace.new("external")
    (out / "weights").mkdir()
    model = onnx.load(onnx_model.onnx_path)
    onnx.save(model, out / "model.onnx", save_as_external_data=True, location="weights/all.bin")
    source = Artifact(out, "onnx", "")
    passed = workplace.build(ExportOnnx(), source)
    assert (passed.path / "model.onnx").read_bytes() == (out / "model.onnx").read_bytes()
    assert (passed.path / "weights/all.bin").read_bytes() == (out / "weights/all.bin").read_bytes()


def test_an_output_named_like_a_layer_loads(workplace: Workplace) -> None:
    spec = spec_of(NamedLayer, {"x": (4,)}, ["embedding"])
    source = workplace.torch(NamedLayer(), spec)
    exported = workplace.build(ExportOnnx(), source)
    feed = {"x": np.random.default_rng(0).normal(size=(5, 4)).astype(np.float32)}
    check_output(source, exported, 1e-5, feed)


def test_several_inputs_and_outputs_keep_their_order(workplace: Workplace) -> None:
    source = workplace.torch(TwoInputs(), spec_of(TwoInputs, {"left": (4,), "right": (4,)}, ["sum"]))
    exported = workplace.build(ExportOnnx(), source, "inputs")
    rng = np.random.default_rng(0)
    feed = {name: rng.normal(size=(5, 4)).astype(np.float32) for name in ("left", "right")}
    check_output(source, exported, 1e-5, feed)
    source = workplace.torch(TwoOutputs(), spec_of(TwoOutputs, {"image": (1, 8, 8)}, ["features", "logits"]), "two")
    exported = workplace.build(ExportOnnx(exporter="torchscript"), source, "outputs")
    assert [array.shape for array in run(exported, {"image": np.zeros((3, 1, 8, 8), np.float32)})] == [
        (3, 16, 8, 8),
        (3, 4),
    ]


def test_an_output_without_a_name_is_refused_with_the_names_found(workplace: Workplace) -> None:
    source = workplace.torch(TwoOutputs(), spec_of(TwoOutputs, {"image": (1, 8, 8)}, ["features"]))
    with pytest.raises(StageFailed, match=r"names features, and the model returns 2 .*outputs=\[output_0,output_1\]"):
        workplace.build(ExportOnnx(), source)


def test_a_model_that_depends_on_its_batch_is_refused_and_can_be_exported_with_a_batch_of_1(
    workplace: Workplace,
) -> None:
    source = workplace.torch(FixedBatch(), spec_of(FixedBatch, {"x": (4,)}, ["y"]))
    with pytest.raises(StageFailed, match=r"could not leave the batch of input 'x' free.* set dynamic_batch=false"):
        workplace.build(ExportOnnx(), source, "free")
    exported = workplace.build(ExportOnnx(dynamic_batch=False, exporter="torchscript"), source, "fixed")
    check_output(source, exported, 1e-5, {"x": np.ones((3, 4), np.float32)})


def test_what_the_exporter_cannot_follow_fails_with_its_reason(workplace: Workplace) -> None:
    source = workplace.torch(Untraceable(), spec_of(Untraceable, {"x": (4,)}, ["y"]))
    with pytest.raises(StageFailed, match=r"^the dynamo exporter could not export the model: .*\S"):
        workplace.build(ExportOnnx(), source)


def test_what_one_exporter_can_not_follow_is_exported_by_the_other_and_it_is_said(workplace: Workplace) -> None:
    spec = ModelSpec(
        factory={"_target_": "tests.stages.models.scripted"},
        inputs=(ModelInput(name="x", shape=(4,)),),
        outputs=("y",),
    )
    source = workplace.torch(make_module(spec), spec)
    exported = workplace.build(ExportOnnx(), source)
    check_output(source, exported, 1e-5, {"x": np.ones((3, 4), np.float32)})
    assert "The torchscript exporter could" in workplace.notes["export"]


def test_a_model_whose_code_decides_by_values_is_refused_with_the_reason(workplace: Workplace) -> None:
    source = workplace.torch(Deciding(), spec_of(Deciding, {"x": (4,)}, ["y"]))
    with pytest.raises(StageFailed, match="decides by the values of tensors, which no exporter follows"):
        workplace.build(ExportOnnx(), source)


@pytest.mark.parametrize("dtype", [torch.float16, torch.bfloat16])
def test_a_model_with_16_bit_weights_is_exported(workplace: Workplace, dtype: torch.dtype) -> None:
    spec = spec_of(SixteenBits, {"x": (4,)}, ["y"], dtype=str(dtype).removeprefix("torch."))
    source = workplace.torch(make_module(spec), spec)
    exported = workplace.build(ExportOnnx(), source)
    check_output(source, exported, 1e-4, {"x": np.ones((3, 4), np.float32)})
    assert ("widened" in workplace.notes) == (dtype == torch.bfloat16)


def test_unknown_exporters_and_opsets_are_refused() -> None:
    assert "stage.exporter must be 'dynamo' or 'torchscript' (got 'onnx')" in refusal(ExportOnnx, exporter="onnx")
    with pytest.raises(ValueError, match=r"opset must lie between 18 and 23 with exporter dynamo \(got 11\)"):
        ExportOnnx(opset=11)
