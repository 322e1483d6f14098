"""Static quantization."""

from __future__ import annotations

from typing import Any, get_args

import numpy as np
import onnx
import onnxruntime
import pytest
from numpy.typing import NDArray

from pipeline.artifact import Artifact
from pipeline.artifact.proof import check_output
from pipeline.errors import StageFailed, Unchanged
from pipeline.stages.export import ExportOnnx
from pipeline.stages.graphs import library
from pipeline.stages.quantization import calibration
from pipeline.stages.quantization.calibration import Calibration
from pipeline.stages.quantization.nodes import has_attention
from pipeline.stages.quantize_aware import QuantizeAware
from pipeline.stages.quantize_dynamic import QuantizeDynamic
from pipeline.stages.quantize_nncf import QuantizeNncf
from pipeline.stages.quantize_static import QuantizeStatic
from tests.stages.models import MemoryDataset, TextDataset, Workplace, op_types, sentences
from tests.stages.refusal import refusal

Feed = dict[str, NDArray[Any]]
WEIGHTS: dict[type[Any], dict[str, str]] = {QuantizeDynamic: {"weight_type": "int8"}}


def loaded_op_types(artifact: Artifact, folder: Any) -> set[str]:
    """The operators that ONNX Runtime runs, after its own fusions."""
    options = onnxruntime.SessionOptions()
    options.log_severity_level = 3
    options.optimized_model_filepath = str(folder / "loaded.onnx")
    onnxruntime.InferenceSession(artifact.onnx_path, options, providers=["CPUExecutionProvider"])
    return {node.op_type for node in onnx.load(folder / "loaded.onnx").graph.node}


@pytest.mark.parametrize("method", get_args(Calibration))
def test_every_calibration_method_gives_a_close_model(
    workplace: Workplace, onnx_model: Artifact, feed: Feed, method: Calibration
) -> None:
    quantized = workplace.build(QuantizeStatic(calibration=method), onnx_model)
    drift = check_output(onnx_model, quantized, None, feed)
    assert drift["sqnr_db"] > 20
    assert drift["cosine_min"] > 0.99
    assert workplace.notes["quantized"] == {"Conv": "6 of 6", "Gemm": "1 of 1"}
    assert workplace.notes["calibration_examples"] == 48
    assert workplace.progress == sorted(workplace.progress)


def test_onnxruntime_runs_every_convolution_in_integers(workplace: Workplace, onnx_model: Artifact) -> None:
    quantized = workplace.build(QuantizeStatic(), onnx_model)
    running = loaded_op_types(quantized, workplace.folder)
    assert {"QLinearConv", "QLinearAdd", "QGemm"} <= running
    assert not {"Conv", "Gemm", "Add"} & running


def test_the_logits_are_not_rounded_to_256_levels(workplace: Workplace, onnx_model: Artifact) -> None:
    quantized = workplace.build(QuantizeStatic(), onnx_model)
    (output,) = onnx.load(quantized.onnx_path).graph.output
    makers = [node.op_type for node in onnx.load(quantized.onnx_path).graph.node if output.name in node.output]
    assert makers == ["Gemm"]


def test_entropy_and_percentile_cut_outliers_off(workplace: Workplace, onnx_model: Artifact) -> None:
    scales = {}
    for method in ("minmax", "entropy", "percentile"):
        stage = QuantizeStatic(calibration=method, percentile=95.0)
        model = onnx.load(workplace.build(stage, onnx_model, method).onnx_path)
        tensors = {tensor.name: onnx.numpy_helper.to_array(tensor) for tensor in model.graph.initializer}
        quantizers = [node for node in model.graph.node if node.op_type == "QuantizeLinear"]
        scales[method] = sum(float(tensors[node.input[1]]) for node in quantizers)
    assert scales["entropy"] < scales["minmax"]
    assert scales["percentile"] < scales["minmax"]


def test_the_batches_do_not_change_the_ranges(
    workplace: Workplace, onnx_model: Artifact, monkeypatch: pytest.MonkeyPatch
) -> None:
    whole = workplace.build(QuantizeStatic(), onnx_model, "whole")
    monkeypatch.setattr(calibration, "BATCH", 5)
    assert workplace.build(QuantizeStatic(), onnx_model, "pieces").digest == whole.digest


def test_large_activations_make_small_batches(
    workplace: Workplace, onnx_model: Artifact, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(calibration, "_MIB", 1)
    workplace.build(QuantizeStatic(max_memory_mb=1), onnx_model)
    assert len(workplace.progress) >= 48


@pytest.mark.parametrize("symmetric", [False, True])
def test_symmetric_activations_have_their_zero_in_the_middle(
    workplace: Workplace, onnx_model: Artifact, feed: Feed, symmetric: bool
) -> None:
    quantized = workplace.build(QuantizeStatic(symmetric=symmetric), onnx_model)
    model = onnx.load(quantized.onnx_path)
    tensors = {tensor.name: onnx.numpy_helper.to_array(tensor) for tensor in model.graph.initializer}
    zeros = {int(tensors[node.input[2]]) for node in model.graph.node if node.op_type == "QuantizeLinear"}
    assert (zeros <= {127, 128}) == symmetric
    assert check_output(onnx_model, quantized, None, feed)["cosine_min"] > 0.99


@pytest.mark.parametrize("per_channel", [False, True])
def test_per_channel_weights_have_a_scale_per_channel(
    workplace: Workplace, onnx_model: Artifact, per_channel: bool
) -> None:
    model = onnx.load(workplace.build(QuantizeStatic(per_channel=per_channel), onnx_model).onnx_path)
    tensors = {tensor.name: onnx.numpy_helper.to_array(tensor) for tensor in model.graph.initializer}
    sizes = {
        tensors[node.input[1]].size
        for node in model.graph.node
        if node.op_type == "DequantizeLinear" and tensors.get(node.input[0], np.zeros(0)).ndim == 4
    }
    assert sizes == ({8, 16} if per_channel else {1})


@pytest.mark.parametrize(
    ("isa", "asked", "weight_type", "expected"),
    [
        ({"avx2"}, None, "int8", True),
        ({"avx2", "avx512f"}, None, "int8", True),
        ({"avx2", "avx512f", "avx512_vnni"}, None, "int8", False),
        ({"avx2", "avx_vnni"}, None, "int8", False),
        ({"avx512f", "amx_int8"}, None, "int8", False),
        ({"asimd", "asimddp"}, None, "int8", False),
        ({"avx2"}, None, "uint8", False),
        ({"avx2"}, False, "int8", False),
        ({"avx512_vnni"}, True, "int8", True),
    ],
)
def test_the_weights_range_follows_the_processor_unless_asked(
    isa: set[str], asked: bool | None, weight_type: Any, expected: bool
) -> None:
    stage = QuantizeStatic(reduce_range=asked, weight_type=weight_type)
    assert stage.machine_key(frozenset(isa)) == {"reduce_range": expected}


@pytest.mark.parametrize(
    ("for_isa", "expected"), [("this", False), ("any", True), ("avx2", True), ("avx512_vnni", False), ("asimd", False)]
)
@pytest.mark.parametrize("kind", [QuantizeStatic, QuantizeDynamic, QuantizeNncf, QuantizeAware])
def test_the_weights_range_follows_the_processor_that_will_run_them(
    kind: type[Any], for_isa: str, expected: bool
) -> None:
    here = frozenset({"avx2", "avx512_vnni"})
    assert kind(for_isa=for_isa, **WEIGHTS.get(kind, {})).machine_key(here) == {"reduce_range": expected}
    assert kind(for_isa=for_isa, reduce_range=True).machine_key(here) == {"reduce_range": True}


@pytest.mark.parametrize(("isa", "largest"), [({"avx2"}, 64), ({"avx2", "avx512_vnni"}, 127)])
def test_a_reduced_range_uses_seven_bits(
    workplace: Workplace, onnx_model: Artifact, isa: set[str], largest: int
) -> None:
    workplace.isa = frozenset(isa)
    model = onnx.load(workplace.build(QuantizeStatic(), onnx_model).onnx_path)
    weights = [onnx.numpy_helper.to_array(tensor) for tensor in model.graph.initializer]
    assert max(int(np.abs(array.astype(int)).max()) for array in weights if array.dtype == np.int8) == largest
    assert workplace.notes["reduce_range"] == (largest == 64)


def test_excluded_nodes_and_types_stay_in_float(workplace: Workplace, onnx_model: Artifact) -> None:
    first = next(node.name for node in onnx.load(onnx_model.onnx_path).graph.node if node.op_type == "Conv")
    workplace.build(QuantizeStatic(exclude_nodes=(first,), exclude_op_types=("Gemm",)), onnx_model)
    assert workplace.notes["quantized"] == {"Conv": "5 of 6", "Gemm": "0 of 1"}


def test_an_excluded_node_that_does_not_exist_is_refused_with_what_exists(
    workplace: Workplace, onnx_model: Artifact
) -> None:
    with pytest.raises(StageFailed, match=r"exclude_nodes: 'nothing\*' matches no node; there are node_"):
        workplace.build(QuantizeStatic(exclude_nodes=("nothing*",)), onnx_model, "a")
    with pytest.raises(StageFailed, match=r"exclude_op_types: 'Foo' matches no operator type; there are Add, Conv,"):
        workplace.build(QuantizeStatic(exclude_op_types=("Foo",)), onnx_model, "b")


def test_a_model_with_nothing_left_to_quantize_is_refused(workplace: Workplace, onnx_model: Artifact) -> None:
    with pytest.raises(Unchanged, match="none of 6 Conv, 1 Gemm could be quantized"):
        workplace.build(QuantizeStatic(exclude_op_types=("Conv", "Gemm")), onnx_model)


def test_an_empty_calibration_set_is_refused(workplace: Workplace, onnx_model: Artifact, empty: MemoryDataset) -> None:
    workplace.data = empty
    with pytest.raises(StageFailed, match=r"needs calibration data: set data.calibration_size above 0"):
        workplace.build(QuantizeStatic(), onnx_model)


def test_calibration_data_of_the_wrong_shape_is_refused(workplace: Workplace, onnx_model: Artifact) -> None:
    workplace.data = MemoryDataset(shape=(3, 12, 12))
    with pytest.raises(StageFailed, match=r"ONNX Runtime can't run model\.onnx"):
        workplace.build(QuantizeStatic(), onnx_model)


def test_a_fixed_batch_is_calibrated_in_whole_batches(
    workplace: Workplace, torch_model: Artifact, onnx_model: Artifact, feed: Feed
) -> None:
    exported = workplace.build(ExportOnnx(dynamic_batch=False, exporter="torchscript"), torch_model, "fixed")
    quantized = workplace.build(QuantizeStatic(), exported)
    assert check_output(onnx_model, quantized, None, feed)["cosine_min"] > 0.99


def test_weights_beside_the_model_are_quantized_too(
    workplace: Workplace, onnx_model: Artifact, feed: Feed, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(library, "SINGLE_FILE_BYTES", 0)
    quantized = workplace.build(QuantizeStatic(), onnx_model)
    assert check_output(onnx_model, quantized, None, feed)["cosine_min"] > 0.99


def test_files_are_written_below_the_stages_own_folder_only(
    workplace: Workplace, onnx_model: Artifact, monkeypatch: pytest.MonkeyPatch, tmp_path: Any
) -> None:
    monkeypatch.setattr("tempfile.tempdir", str(tmp_path / "does-not-exist"))
    workplace.build(QuantizeStatic(), onnx_model)
    assert [path.name for path in onnx_model.path.iterdir()] == ["model.onnx"]
    assert {path.name for path in (workplace.folder / "out").iterdir()} == {"model.onnx"}


def test_nothing_is_printed(workplace: Workplace, onnx_model: Artifact, capfd: pytest.CaptureFixture[str]) -> None:
    workplace.build(QuantizeStatic(calibration="percentile"), onnx_model)
    assert capfd.readouterr() == ("", "")


def test_what_does_not_exist_is_refused() -> None:
    assert "stage.calibration must be 'minmax', 'entropy', " in refusal(QuantizeStatic, calibration="mean")
    assert "stage.for_isa must be 'this', 'any', 'avx2', " in refusal(QuantizeStatic, for_isa="vnni")
    assert "stage.percentile must be above 50 (got 0.99)" in refusal(QuantizeStatic, percentile=0.99)
    assert "'int16' or 'uint16' (got 'int4')" in refusal(QuantizeStatic, weight_type="int4")
    with pytest.raises(ValueError, match="set weight_type=int8"):
        QuantizeStatic(activation_type="int8", weight_type="uint8")


def test_of_a_transformer_only_the_products_are_quantized(workplace: Workplace, onnx_encoder: Artifact) -> None:
    workplace.data = TextDataset()
    feed = sentences()
    ours = workplace.build(QuantizeStatic(), onnx_encoder, "products")
    assert workplace.notes["op_types"] == ["Conv", "ConvTranspose", "Gemm", "MatMul"]
    kinds = tuple(sorted(set(op_types(onnx_encoder)) & {"Add", "Div", "MatMul", "Mul", "Softmax", "Transpose"}))
    everything = workplace.build(QuantizeStatic(op_types=kinds), onnx_encoder, "everything")
    found = [check_output(onnx_encoder, model, None, feed)["cosine_min"] for model in (ours, everything)]
    # The mask is -10,000 where there is no token: quantized with the scores, it leaves them no levels.
    assert found[0] > 0.99
    assert found[1] < found[0] - 0.01


def test_what_is_read_in_float_is_not_rounded_to_256_levels(workplace: Workplace, onnx_encoder: Artifact) -> None:
    """Between the products of a transformer everything runs in float."""
    workplace.data = TextDataset()
    quantized = workplace.build(QuantizeStatic(), onnx_encoder)
    nodes = onnx.load(quantized.onnx_path).graph.node
    makers = {name: node for node in nodes for name in node.output}
    readers = {name: node for node in nodes for name in node.input}
    rounded = [node for node in nodes if node.op_type == "QuantizeLinear" and makers[node.input[0]].op_type == "MatMul"]
    assert {readers[readers[node.output[0]].output[0]].op_type for node in rounded} <= {"MatMul", "Gemm"}
    assert "MatMulIntegerToFloat" in loaded_op_types(quantized, workplace.folder)


def test_convolution_networks_are_quantized_as_a_whole(onnx_model: Artifact) -> None:
    assert not has_attention(onnx.load(onnx_model.onnx_path))
