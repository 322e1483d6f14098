"""NNCF's post-training quantization."""

from __future__ import annotations

import sys
from importlib.util import find_spec
from typing import Any

import numpy as np
import onnx
import pytest
from numpy.typing import NDArray
from onnx import helper

from pipeline.artifact import Artifact
from pipeline.artifact.count import count
from pipeline.artifact.onnx_graph import fixed_batch_of
from pipeline.artifact.proof import check_output
from pipeline.artifact.work import work
from pipeline.errors import Misnamed, Skipped, StageFailed, Unchanged
from pipeline.stages import quantize_nncf
from pipeline.stages.fix_shapes import FixShapes
from pipeline.stages.graphs import library
from pipeline.stages.quantize_nncf import QuantizeNncf, Written
from pipeline.stages.quantize_static import QuantizeStatic
from tests.stages.models import ArrayDataset, MemoryDataset, TextDataset, Workplace, sentences
from tests.stages.onnx_models import branching, graph_model, saved, weight

pytestmark = [
    pytest.mark.slow,
    pytest.mark.skipif(find_spec("nncf") is None, reason="needs the extra openvino"),
]
Feed = dict[str, NDArray[Any]]
FORMATS: tuple[Written, ...] = ("openvino", "onnx")


@pytest.fixture(scope="module")
def plain(onnx_model: Artifact, tmp_path_factory: pytest.TempPathFactory) -> Artifact:
    """The network, quantized with every setting as it is."""
    return Workplace(tmp_path_factory.mktemp("plain")).build(QuantizeNncf(), onnx_model)


@pytest.mark.parametrize("written", FORMATS)
def test_a_network_is_quantized_whole_in_both_formats(
    workplace: Workplace, onnx_model: Artifact, feed: Feed, written: Written, capfd: pytest.CaptureFixture[str]
) -> None:
    torch = sys.modules["torch"]
    quantized = workplace.build(QuantizeNncf(format=written), onnx_model)
    drift = check_output(onnx_model, quantized, None, feed)
    assert quantized.format == written
    assert drift["sqnr_db"] > 20
    assert sorted(workplace.notes["quantized"].values()) == ["1 of 1", "6 of 6"]
    assert (workplace.notes["calibration_examples"], workplace.notes["model_type"]) == (48, "other")
    assert count(quantized)[0] == pytest.approx(count(onnx_model)[0], rel=0.01)
    assert set(work(quantized).macs_by_type) == {"int8"}
    assert capfd.readouterr().out == ""
    assert sys.modules["torch"] is torch
    assert not any(np.isnan(value) for value in workplace.progress)


def test_the_same_again_is_the_same_to_the_byte(workplace: Workplace, onnx_model: Artifact, plain: Artifact) -> None:
    assert workplace.build(QuantizeNncf(), onnx_model).digest == plain.digest


def test_a_fixed_batch_stays_fixed_and_is_fed_whole(workplace: Workplace, onnx_model: Artifact, feed: Feed) -> None:
    fixed = workplace.build(FixShapes(batch_size=3), onnx_model, "fixed")
    quantized = workplace.build(QuantizeNncf(), fixed)
    assert fixed_batch_of(quantized, {}) == 3
    assert check_output(fixed, quantized, None, feed)["sqnr_db"] > 20


@pytest.mark.parametrize("written", FORMATS)
def test_what_is_named_stays_in_float(workplace: Workplace, onnx_model: Artifact, written: Written) -> None:
    graph = onnx.load(onnx_model.onnx_path).graph
    first = next(node.name for node in graph.node if node.op_type == "Conv")
    workplace.build(QuantizeNncf(format=written, exclude_nodes=(first,), exclude_op_types=("Gemm",)), onnx_model)
    assert sorted(workplace.notes["quantized"].values()) == ["0 of 1", "5 of 6"]


def test_weights_alone_need_no_examples(
    workplace: Workplace, onnx_model: Artifact, feed: Feed, empty: MemoryDataset
) -> None:
    stage = QuantizeNncf(weights_only=True)
    workplace.data = empty
    assert (set(stage.reads), set(QuantizeNncf().reads)) == (set(), {"calibration"})
    quantized = workplace.build(stage, onnx_model)
    assert sorted(workplace.notes["quantized"].values()) == ["1 of 1", "6 of 6"]
    assert check_output(onnx_model, quantized, None, feed)["sqnr_db"] > 30
    assert (work(quantized).weight_bytes or 0) < 0.5 * (work(onnx_model).weight_bytes or 0)
    with pytest.raises(ValueError, match="weights_only needs format=openvino"):
        QuantizeNncf(weights_only=True, format="onnx")


def test_a_model_with_attention_is_quantized_as_a_transformer(workplace: Workplace, onnx_encoder: Artifact) -> None:
    workplace.data = TextDataset()
    quantized = workplace.build(QuantizeNncf(), onnx_encoder, "as_told")
    assert workplace.notes["model_type"] == "transformer"
    assert check_output(onnx_encoder, quantized, None, sentences())["sqnr_db"] > 10
    smoothed = workplace.build(QuantizeNncf(smooth_quant=0.5), onnx_encoder, "smoothed")
    assert quantized.digest != smoothed.digest


def test_its_settings_reach_the_library(workplace: Workplace, onnx_model: Artifact, plain: Artifact) -> None:
    stages = {
        "mixed": QuantizeNncf(preset="mixed"),
        "slow": QuantizeNncf(fast_bias_correction=False),
        "few": QuantizeNncf(calibration_examples=4),
    }
    made = {workplace.build(stage, onnx_model, name).digest for name, stage in stages.items()}
    assert len(made | {plain.digest}) == len(stages) + 1


def test_a_layer_that_openvino_can_not_load_quantized_stays_in_float(workplace: Workplace) -> None:
    """OpenVINO's CPU plugin wants the weights of a GRU as constants."""
    nodes = [
        helper.make_node("GRU", ["x", "w", "r"], ["", "state"], name="gru", hidden_size=8),
        helper.make_node("MatMul", ["state", "v"], ["y"], name="product"),
    ]
    weights = [weight("w", 1, 24, 4), weight("r", 1, 24, 8), weight("v", 8, 3)]
    source = saved(graph_model(nodes, (5, "n", 4), (1, "n", 3), weights), workplace.folder / "gru")
    workplace.data = ArrayDataset("x", (5, 4), axis=1)
    quantized = workplace.build(QuantizeNncf(), source)
    assert workplace.notes["quantized"] == {"MatMul": "1 of 1"}
    assert workplace.notes["done_instead"].startswith("gru in float, since otherwise: OpenVINO can't load model.xml")
    assert fixed_batch_of(quantized, {"x": 1}) is None


def test_a_model_that_is_quantized_already_is_left_alone(workplace: Workplace, onnx_model: Artifact) -> None:
    quantized = workplace.build(QuantizeStatic(), onnx_model, "quantized")
    with pytest.raises(Skipped, match="already quantized"):
        workplace.build(QuantizeNncf(), quantized)


def test_where_all_is_excluded_nothing_has_changed(workplace: Workplace, onnx_model: Artifact) -> None:
    with pytest.raises(Unchanged, match=r"none of 6 Conv, 1 Gemm could be quantized"):
        workplace.build(QuantizeNncf(format="onnx", exclude_op_types=("Conv", "Gemm")), onnx_model)


def test_what_is_missing_is_said(
    workplace: Workplace, onnx_model: Artifact, empty: MemoryDataset, monkeypatch: pytest.MonkeyPatch
) -> None:
    with pytest.raises(Misnamed, match="exclude_nodes: 'absent' matches no node"):
        workplace.build(QuantizeNncf(exclude_nodes=("absent",)), onnx_model, "misnamed")
    workplace.data = empty
    with pytest.raises(StageFailed, match=r"set data\.calibration_size above 0"):
        workplace.build(QuantizeNncf(), onnx_model, "empty")
    monkeypatch.setattr(quantize_nncf, "find_spec", lambda name: None)
    with pytest.raises(Skipped, match=r"install the extra 'openvino' \(pip install nncf openvino\)"):
        workplace.build(QuantizeNncf(), onnx_model, "not_installed")


def test_the_weights_of_a_large_model_lie_beside_it(
    workplace: Workplace, onnx_model: Artifact, feed: Feed, monkeypatch: pytest.MonkeyPatch
) -> None:
    folder = workplace.new("large")
    model = onnx.load(onnx_model.onnx_path)
    onnx.save(model, folder / "model.onnx", save_as_external_data=True, location="weights", size_threshold=100)
    monkeypatch.setattr(library, "SINGLE_FILE_BYTES", 1000)
    quantized = workplace.build(QuantizeNncf(format="onnx"), Artifact(folder, "onnx", ""))
    assert (quantized.path / "model.onnx.data").exists()
    assert "done_instead" not in workplace.notes
    assert check_output(onnx_model, quantized, None, feed)["sqnr_db"] > 20


def test_branches_that_no_example_takes_stay_in_float(workplace: Workplace) -> None:
    """NNCF calibrates each branch on the examples that take it; here all take the first."""
    workplace.data = ArrayDataset(input="x", shape=(20,))
    source = saved(branching(), workplace.folder / "source")
    quantized = workplace.build(QuantizeNncf(), source)
    check_output(source, quantized, None, workplace.context().sample(8))
    said = "if in float, since otherwise: no calibration example takes one of the branches of 'if'"
    assert workplace.notes["done_instead"] == said
