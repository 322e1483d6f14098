"""Biases and weights that make up for what quantization takes."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import get_args

import numpy as np
import onnx
import pytest
import torch
from onnx import TensorProto, helper, numpy_helper

from pipeline.artifact import Artifact
from pipeline.artifact.proof import check_output
from pipeline.artifact.run import run, session_at
from pipeline.stages.quantization.biases import biased, shift, steps
from pipeline.stages.quantization.learned_rounding import rounded
from pipeline.stages.quantization.simulated import Simulated
from pipeline.stages.quantize_mixed import QuantizeMixed
from pipeline.stages.quantize_static import Compensation, QuantizeStatic
from tests.stages import onnx_models as graphs
from tests.stages.models import TextDataset, Workplace, sentences
from tests.stages.quantization.test_preparation import on_graph


def parallel() -> onnx.ModelProto:
    """Three products side by side, of which one has its bias behind it and one has none; and one that reads both."""
    nodes = [
        helper.make_node("Gemm", ["x", "w0"], ["a"], transB=1, name="left"),
        helper.make_node("MatMul", ["x", "w1"], ["m"], name="product"),
        helper.make_node("Add", ["b1", "m"], ["b"], name="right"),
        helper.make_node("MatMul", ["x", "w3"], ["n"], name="bare"),
        helper.make_node("Add", ["a", "b"], ["c"], name="sum"),
        helper.make_node("Add", ["c", "n"], ["d"], name="total"),
        helper.make_node("Gemm", ["d", "w2", "b2"], ["y"], name="last"),
    ]
    weights = [graphs.weight("w0", 12, 20), graphs.weight("w1", 20, 12), graphs.weight("b1", 1, 12)]
    weights += [graphs.weight("w2", 12, 8), graphs.weight("b2", 8), graphs.weight("w3", 20, 12)]
    return graphs.graph_model(nodes, ("n", 20), ("n", 8), weights)


def test_biases_are_found_in_and_behind_products() -> None:
    found, alone = biased(parallel())
    assert [(place.node, place.channels, place.constant) for place in found] == [
        ("left", 12, None),
        ("right", 12, "b1"),
        ("last", 8, "b2"),
    ]
    assert alone == {"bare": "what is added to its result is not a constant for each channel"}


def test_a_step_has_what_does_not_depend_on_each_other() -> None:
    model = parallel()
    assert [[place.node for place in step] for step in steps(model, biased(model)[0])] == [["left", "right"], ["last"]]


@pytest.mark.parametrize("kind", [TensorProto.FLOAT, TensorProto.FLOAT16])
def test_a_shift_is_added_to_the_result(tmp_path: Path, kind: int) -> None:
    model = graphs.unnamed_convolutions(kind=kind)
    model.graph.node[0].name = "first"
    (place, *_), _ = biased(model)
    model.graph.output.append(helper.make_tensor_value_info("a", kind, None))
    feed = {"x": np.ones((4, 3, 8, 8), helper.tensor_dtype_to_np_dtype(kind))}
    _, before = run(graphs.saved(model, tmp_path / "before"), feed)
    shift(model, {place: np.arange(8.0)})
    _, after = run(graphs.saved(model, tmp_path / "after"), feed)
    difference = after.astype(float) - before
    np.testing.assert_allclose(difference, np.broadcast_to(np.arange(8)[:, None, None], difference.shape), atol=0.02)


def mean_errors(source: Artifact, quantized: Artifact, workplace: Workplace) -> float:
    """The mean of the output's error for each channel, as a share of the output's spread; the root mean square."""
    feed = workplace.context().feed("calibration")
    (expected,), (found,) = run(source, feed), run(quantized, feed)
    return float(np.sqrt(np.square((found - expected).mean(0)).mean()) / expected.std())


@pytest.mark.parametrize(
    "stage", [QuantizeStatic(), QuantizeStatic(format="qoperator"), QuantizeStatic(weight_type="uint8")]
)
@pytest.mark.parametrize("make", [graphs.uneven_channels, graphs.unnamed_convolutions, parallel])
def test_the_output_keeps_its_mean(
    workplace: Workplace, tmp_path: Path, stage: QuantizeStatic, make: Callable[[], onnx.ModelProto]
) -> None:
    source = on_graph(workplace, tmp_path, make())
    plain = workplace.build(QuantizeStatic(compensation="none", format=stage.format), source, "plain")
    assert "sqnr_db" not in workplace.notes
    corrected = workplace.build(stage, source, "corrected")
    told = workplace.notes["sqnr_db"]
    assert mean_errors(source, corrected, workplace) <= mean_errors(source, plain, workplace)
    if told["with_it"] > told["without_compensation"]:
        assert mean_errors(source, corrected, workplace) < 0.01
    assert corrected.size_bytes < plain.size_bytes + 1000


def test_solved_weights_come_nearer_on_other_examples(workplace: Workplace, tmp_path: Path) -> None:
    source = on_graph(workplace, tmp_path, graphs.uneven_channels())
    feed = workplace.context().feed("validation")
    found = {}
    for compensation in get_args(Compensation):
        built = workplace.build(QuantizeStatic(compensation=compensation), source, compensation)
        found[compensation] = check_output(source, built, None, feed)["sqnr_db"]
    assert workplace.notes["solved_weights"] >= 3
    assert found["full"] > found["none"] + 3
    assert found["bias"] >= found["none"]


@pytest.mark.parametrize(
    "stage", [QuantizeStatic(format="qoperator"), QuantizeStatic(weight_type="uint8", weight_symmetric=False)]
)
def test_weights_are_solved_in_every_form(workplace: Workplace, tmp_path: Path, stage: QuantizeStatic) -> None:
    source = on_graph(workplace, tmp_path, graphs.uneven_channels())
    feed = workplace.context().feed("validation")
    plain = workplace.build(replace(stage, compensation="none"), source, "plain")
    full = workplace.build(replace(stage, compensation="full"), source, "full")
    assert workplace.notes["solved_weights"] >= 3
    figures = [check_output(source, model, None, feed)["sqnr_db"] for model in (plain, full)]
    assert figures[1] > figures[0] + 2


def test_seven_bits_stay_seven_bits(workplace: Workplace, tmp_path: Path) -> None:
    stage = QuantizeStatic(compensation="full", reduce_range=True)
    full = workplace.build(stage, on_graph(workplace, tmp_path, graphs.uneven_channels()))
    arrays = [numpy_helper.to_array(tensor) for tensor in onnx.load(full.onnx_path).graph.initializer]
    assert max(int(np.abs(array.astype(int)).max()) for array in arrays if array.dtype == np.int8) <= 64


def test_what_is_simulated_is_what_runs(workplace: Workplace, tmp_path: Path) -> None:
    source = on_graph(workplace, tmp_path, graphs.uneven_channels())
    quantized = workplace.build(QuantizeStatic(compensation="none"), source)
    feed = workplace.context().feed("validation")
    simulated = Simulated(onnx.load(quantized.onnx_path))
    onnx.save(simulated.part(["y"], TensorProto.FLOAT), tmp_path / "simulated.onnx")
    (made,) = session_at(tmp_path / "simulated.onnx", integers=False).run(["y"], dict(feed))
    (expected,) = run(quantized, feed)
    np.testing.assert_allclose(made, expected, atol=0.01 * expected.std())


@pytest.mark.parametrize("outputs", [1, 7])
def test_errors_go_to_the_inputs_that_are_still_to_be_rounded(outputs: int) -> None:
    generator = torch.Generator().manual_seed(0)
    mixing = torch.randn(3, 24, 24, generator=generator).double()
    inputs = torch.randn(3, 500, 24, generator=generator).double() @ mixing
    weights = torch.randn(3, 24, outputs, generator=generator).double()
    step, low, high = (torch.tensor(value).double() for value in (0.1, -127, 127))
    made = rounded(weights, inputs.mT @ inputs, step, (low, high))
    assert torch.equal(made, made.round())
    assert made.abs().max() <= 127
    nearest = (weights / step).round()
    errors = [float((inputs @ (found * step - weights)).square().sum()) for found in (made, nearest)]
    assert errors[0] < 0.7 * errors[1]


def test_integers_keep_within_their_limits() -> None:
    weights = torch.full((1, 4, 2), 3.0).double()
    low, high = (torch.tensor(value).double() for value in (-2, 2))
    made = rounded(weights, torch.eye(4).double()[None], torch.tensor(1.0).double(), (low, high))
    assert torch.equal(made, torch.full_like(made, 2.0))


def test_without_compensation_the_model_is_still_quantized(
    workplace: Workplace, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    source = on_graph(workplace, tmp_path, graphs.uneven_channels())
    plain = workplace.build(QuantizeStatic(compensation="none"), source, "plain")

    def fails(*_: object) -> None:
        raise RuntimeError("no such operator")

    monkeypatch.setattr("pipeline.stages.quantization.compensation.Compensation.run", fails)
    assert workplace.build(QuantizeStatic(), source, "anyway").digest == plain.digest
    assert workplace.notes["compensation"] == "none: RuntimeError: no such operator"


def test_masked_places_do_not_count(workplace: Workplace, onnx_encoder: Artifact) -> None:
    workplace.data = TextDataset()
    quantized = workplace.build(QuantizeStatic(), onnx_encoder)
    assert workplace.notes["corrected_biases"] == 13
    assert check_output(onnx_encoder, quantized, None, sentences())["cosine_min"] > 0.98


def test_mixed_precision_corrects_what_it_keeps(workplace: Workplace, tmp_path: Path) -> None:
    source = on_graph(workplace, tmp_path, graphs.uneven_channels())
    workplace.build(QuantizeMixed(max_accuracy_drop=0.9), source)
    assert workplace.notes["corrected_biases"] == 5
    assert workplace.progress == sorted(workplace.progress)
