"""Quantization-aware training."""

from __future__ import annotations

from dataclasses import dataclass, replace
from importlib.util import find_spec
from typing import Any

import numpy as np
import onnx
import onnxruntime
import pytest
import torch
from numpy.typing import NDArray
from onnx import numpy_helper
from torch import Tensor, nn

from pipeline.artifact import Artifact, folder_digest
from pipeline.artifact.proof import check_output
from pipeline.artifact.torch_module import example_inputs, load_module, load_spec
from pipeline.data.dataset import Split, SplitName
from pipeline.errors import Skipped, StageFailed
from pipeline.metrics import Cosine
from pipeline.stages import quantize_aware
from pipeline.stages.finetune import Finetune
from pipeline.stages.quantize_aware import QuantizeAware
from tests.stages.models import (
    SHAPE,
    MemoryDataset,
    TextDataset,
    TwoOutputs,
    Workplace,
    op_types,
    sentences,
    spec_of,
)
from tests.stages.refusal import refusal

STAGE = QuantizeAware(epochs=2, batch_size=16, learning_rate=0.05)
needs_torchao = pytest.mark.skipif(find_spec("torchao") is None, reason="needs the extra qat")


class Mixed(nn.Module):
    """What small networks for images are made of: ReLU6 in place, gates, pooling, dropout, layers without a ReLU."""

    def __init__(self) -> None:
        super().__init__()
        self.first = nn.Conv2d(1, 8, 3, padding=1, bias=False)
        self.first_norm = nn.BatchNorm2d(8, eps=1e-3)
        self.depthwise = nn.Conv2d(8, 8, 3, padding="same", groups=8)
        self.depthwise_norm = nn.BatchNorm2d(8)
        self.clip = nn.ReLU6(inplace=True)
        self.gate = nn.Conv2d(8, 8, 1)
        self.side = nn.Conv2d(8, 8, 1)
        self.rows = nn.Linear(6, 6)
        self.hidden = nn.Linear(16 * 9, 16)
        self.head = nn.Linear(16, 4)
        self.dropout = nn.Dropout(0.5)

    def forward(self, image: Tensor) -> Tensor:
        x = self.clip(self.first_norm(self.first(image)))
        x = self.clip(self.depthwise_norm(self.depthwise(x)))
        x = x * torch.sigmoid(self.gate(x.mean((2, 3), keepdim=True)))
        x = nn.functional.max_pool2d(x, 2)
        x = torch.cat([x, nn.functional.leaky_relu(self.side(x))], 1)
        x = nn.functional.avg_pool2d(torch.relu(self.rows(x)), 2)
        x = torch.relu(self.hidden(self.dropout(x.flatten(1))))
        result: Tensor = self.head(self.dropout(x))
        return result


class LinearHead(nn.Module):
    """A linear layer on an image's values."""

    def __init__(self) -> None:
        super().__init__()
        self.head = nn.Linear(144, 4)

    def forward(self, image: Tensor) -> Tensor:
        result: Tensor = self.head(image.flatten(1))
        return result


class HalfHead(nn.Module):
    """A linear layer in half precision."""

    def __init__(self) -> None:
        super().__init__()
        self.head = nn.Linear(144, 4).half()

    def forward(self, image: Tensor) -> Tensor:
        result: Tensor = self.head(image.flatten(1).half()).float()
        return result


class BatchDecides(nn.Module):
    """A model that does something else for a batch of two."""

    def __init__(self) -> None:
        super().__init__()
        self.head = nn.Linear(144, 4)

    def forward(self, image: Tensor) -> Tensor:
        result: Tensor = self.head(image.flatten(1) * (2 if image.shape[0] == 2 else 1))
        return result


class NoProducts(nn.Module):
    """A model with nothing to quantize."""

    def __init__(self) -> None:
        super().__init__()
        self.scale = nn.Parameter(torch.ones(4))

    def forward(self, image: Tensor) -> Tensor:
        return image.flatten(1)[:, :4] * self.scale


@dataclass(frozen=True)
class Labelled(TextDataset):
    """Sentences of random tokens, of four classes."""

    def split(self, name: SplitName) -> Split:
        found = super().split(name)
        return Split(found.inputs, np.arange(len(found)) % 4)


def loaded_op_types(artifact: Artifact, folder: Any) -> set[str]:
    """The operators that ONNX Runtime runs, after its own fusions."""
    options = onnxruntime.SessionOptions()
    options.log_severity_level = 3
    options.optimized_model_filepath = str(folder / "loaded.onnx")
    onnxruntime.InferenceSession(artifact.onnx_path, options, providers=["CPUExecutionProvider"])
    return {node.op_type for node in onnx.load(folder / "loaded.onnx").graph.node}


def weights(artifact: Artifact) -> list[tuple[NDArray[Any], NDArray[Any]]]:
    """The 8-bit weights and their scales."""
    graph = onnx.load(artifact.onnx_path).graph
    tensors = {tensor.name: numpy_helper.to_array(tensor) for tensor in graph.initializer}
    return [
        (tensors[node.input[0]], tensors[node.input[1]])
        for node in graph.node
        if node.op_type == "DequantizeLinear" and node.input[0] in tensors and tensors[node.input[0]].ndim > 1
    ]


@pytest.fixture(scope="module")
def training(tmp_path_factory: pytest.TempPathFactory) -> Workplace:
    """Where the model of ``trained`` was trained."""
    return Workplace(tmp_path_factory.mktemp("training"), MemoryDataset(train=192))


@pytest.fixture(scope="module")
def trained(training: Workplace, torch_model: Artifact) -> Artifact:
    return training.build(replace(STAGE, epochs=4), torch_model)


@needs_torchao
def test_the_network_learns_with_the_rounding_that_it_runs_with(
    torch_model: Artifact, trained: Artifact, training: Workplace
) -> None:
    history = training.notes["validation_accuracy_by_epoch"]
    assert len(history) == 4
    assert history[-1] > training.notes["validation_accuracy_before"]
    assert history[-1] > 0.5
    assert abs(training.notes["validation_accuracy"] - history[-1]) <= 1 / 32
    assert training.notes["quantized"] == "7 products"
    assert training.progress == sorted(training.progress)
    check_output(torch_model, trained, None, training.context().feed("calibration", 20))


@needs_torchao
def test_onnxruntime_runs_every_product_in_integers(workplace: Workplace, trained: Artifact) -> None:
    written = op_types(trained)
    assert written["Conv"] == 6
    assert written["QuantizeLinear"] > 6
    assert "BatchNormalization" not in written
    running = loaded_op_types(trained, workplace.folder)
    assert {"QLinearConv", "QLinearAdd", "QGemm"} <= running
    assert not {"Conv", "Gemm", "MatMul", "Add"} & running


@needs_torchao
def test_names_and_the_free_batch_are_those_of_the_model(trained: Artifact) -> None:
    graph = onnx.load(trained.onnx_path).graph
    assert [value.name for value in graph.input] == ["image"]
    assert [value.name for value in graph.output] == ["logits"]
    assert graph.input[0].type.tensor_type.shape.dim[0].dim_param
    assert not any(node.metadata_props for node in graph.node)


@needs_torchao
def test_weights_have_a_scale_per_channel_and_the_bits_that_the_processor_bears_and_nothing_is_printed(
    workplace: Workplace,
    torch_model: Artifact,
    training: Workplace,
    trained: Artifact,
    capfd: pytest.CaptureFixture[str],
) -> None:
    workplace.isa = training.isa | {"avx512_vnni"}
    made = workplace.build(replace(STAGE, epochs=1, max_examples=32), torch_model)
    assert workplace.notes["training_examples"] == 32
    assert capfd.readouterr() == ("", "")
    for artifact, isa, largest in ((trained, training.isa, 64), (made, workplace.isa, 127)):
        found = weights(artifact)
        assert STAGE.machine_key(isa) == {"reduce_range": largest == 64}
        assert len(found) == 7
        for values, scales in found:
            assert scales.shape == (len(values),)
            assert values.dtype == np.int8
            assert np.abs(values).reshape(len(values), -1).max(1).tolist() == [largest] * len(values)


@needs_torchao
def test_the_building_blocks_of_small_networks_run_in_integers(workplace: Workplace) -> None:
    torch.manual_seed(0)
    workplace.data = MemoryDataset(train=192)
    source = workplace.torch(Mixed(), spec_of(Mixed, {"image": SHAPE}, ["logits"]))
    fitted = workplace.build(Finetune(epochs=6, batch_size=16, learning_rate=0.05), source, "fitted")
    quantized = workplace.build(STAGE, fitted, "quantized")
    assert workplace.notes["validation_accuracy_before"] > 0.9
    assert workplace.notes["validation_accuracy"] > 0.9
    running = loaded_op_types(quantized, workplace.folder)
    assert {
        "QLinearConv", "QLinearMul", "QLinearConcat", "QLinearSigmoid", "QLinearLeakyRelu", "QLinearAveragePool",
        "MatMulIntegerToFloat", "QGemm",
    } <= running  # fmt: skip
    assert not {"Conv", "Gemm", "MatMul", "Clip", "BatchNormalization", "Dropout"} & running


@needs_torchao
def test_the_linear_layers_of_a_text_encoder_run_in_integers(workplace: Workplace, torch_encoder: Artifact) -> None:
    workplace.data = Labelled(calibration=64)
    quantized = workplace.build(replace(STAGE, epochs=1, learning_rate=1e-4), torch_encoder)
    running = loaded_op_types(quantized, workplace.folder)
    assert {"MatMulIntegerToFloat", "QGemm", "LayerNormalization"} <= running
    assert not {"QLinearAdd", "QLinearSoftmax"} & running
    assert workplace.notes["quantized"] == "13 products"
    check_output(torch_encoder, quantized, None, sentences())


@needs_torchao
def test_what_the_graph_makes_itself_moves_with_its_parameters(torch_encoder: Artifact) -> None:
    from pipeline.stages.quantization.fake_quantization import prepare

    spec = load_spec(torch_encoder.path)
    network = prepare(load_module(torch_encoder.path), example_inputs(spec), spec.inputs, 127)
    network.move("meta")
    devices = {str(node.kwargs["device"]) for node in network.graph.graph.nodes if "device" in node.kwargs}
    assert devices == {"meta"} == {parameter.device.type for parameter in network.parameters()}


@needs_torchao
def test_a_channel_of_almost_nothing_keeps_its_bias(workplace: Workplace) -> None:
    module = LinearHead()
    with torch.no_grad():
        module.head.weight[1] = 1e-12
        module.head.bias[1] = 100.0
    source = workplace.torch(module, spec_of(LinearHead, {"image": SHAPE}, ["logits"]))
    quantized = workplace.build(replace(STAGE, epochs=1, learning_rate=1e-9, weight_decay=0), source)
    feed = workplace.context().feed("calibration", 8)
    session = onnxruntime.InferenceSession(quantized.onnx_path, providers=["CPUExecutionProvider"])
    (logits,) = session.run(None, feed)
    np.testing.assert_allclose(logits[:, 1], 100.0, rtol=1e-3)


@needs_torchao
def test_the_seed_decides_the_result_of_a_stopped_training_that_goes_on_too(
    workplace: Workplace, torch_model: Artifact
) -> None:
    stage = replace(STAGE, augmentation=("flip", "crop"))
    whole = workplace.build(stage, torch_model, "whole")
    lines: list[str] = []

    def stop_in_the_second_epoch(done: float, line: str) -> None:
        lines.append(line)
        if line.startswith("epoch 2/2"):
            raise KeyboardInterrupt

    context = replace(workplace.context(), progress=stop_in_the_second_epoch)
    with pytest.raises(KeyboardInterrupt):
        stage(torch_model, workplace.new("stopped"), context)
    lines.clear()
    out = workplace.new("resumed")
    stage(torch_model, out, replace(context, progress=lambda done, line: lines.append(line)))
    assert all(line.startswith("epoch 2/2") for line in lines[:-1])
    assert folder_digest(out) == whole.digest
    assert not list(context.work.glob("*.ckpt"))


def test_without_torchao_the_row_is_skipped_saying_what_to_install(
    workplace: Workplace, torch_model: Artifact, monkeypatch: pytest.MonkeyPatch
) -> None:
    def nothing(name: str) -> Any:
        return None

    monkeypatch.setattr(quantize_aware, "find_spec", nothing)
    with pytest.raises(Skipped, match=r"needs torchao, which is not installed: install the extra qat"):
        workplace.build(STAGE, torch_model)


@needs_torchao
def test_a_data_set_without_labels_is_refused(workplace: Workplace, torch_model: Artifact) -> None:
    workplace.data = MemoryDataset(labels=False)
    with pytest.raises(StageFailed, match="training needs labels, and the train split of memory has none"):
        workplace.build(STAGE, torch_model)


@needs_torchao
def test_a_model_without_classes_is_refused(workplace: Workplace, torch_model: Artifact) -> None:
    context = replace(workplace.context(), metric=Cosine())
    with pytest.raises(StageFailed, match="metric cosine is for models without classes"):
        STAGE(torch_model, workplace.new("out"), context)


@needs_torchao
def test_too_few_examples_are_refused(workplace: Workplace, torch_model: Artifact) -> None:
    with pytest.raises(Skipped, match=r"one batch of 512 .* there are 64: set batch_size to 64 or less"):
        workplace.build(replace(STAGE, batch_size=512), torch_model)


@needs_torchao
def test_models_that_it_can_not_train_are_refused(workplace: Workplace) -> None:
    two_outputs = workplace.torch(TwoOutputs(), spec_of(TwoOutputs, {"image": SHAPE}, ["f", "logits"]), "two_outputs")
    with pytest.raises(StageFailed, match="classifiers with one output"):
        workplace.build(STAGE, two_outputs, "a")
    nothing = workplace.torch(NoProducts(), spec_of(NoProducts, {"image": SHAPE}, ["logits"]), "nothing")
    with pytest.raises(StageFailed, match="nothing to quantize"):
        workplace.build(STAGE, nothing, "b")
    half = workplace.torch(HalfHead(), spec_of(HalfHead, {"image": SHAPE}, ["logits"]), "half")
    with pytest.raises(StageFailed, match=r"takes models with weights in float32, and this one has float16"):
        workplace.build(STAGE, half, "half_built")
    own_way = workplace.torch(BatchDecides(), spec_of(BatchDecides, {"image": SHAPE}, ["logits"]), "own_way")
    with pytest.raises(StageFailed, match=r"torch.export can't follow the model with a free batch"):
        workplace.build(STAGE, own_way, "c")


def test_fields_out_of_range_are_refused() -> None:
    assert "stage.epochs must be at least 1 (got 0)" in refusal(QuantizeAware, epochs=0)
    assert "stage.learning_rate must be above 0 (got 0)" in refusal(QuantizeAware, learning_rate=0)
    assert "stage.max_examples must be at least 1 (got 0)" in refusal(QuantizeAware, max_examples=0)
