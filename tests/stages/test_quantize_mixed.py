"""Mixed precision."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import onnx
import pytest

from pipeline.artifact import Artifact
from pipeline.artifact.proof import check_output
from pipeline.errors import StageFailed
from pipeline.stages.quantization import sensitivity
from pipeline.stages.quantization.sensitivity import Loss
from pipeline.stages.quantize_mixed import QuantizeMixed, _ladder, _Trials
from pipeline.stages.quantize_static import QuantizeStatic
from tests.stages.models import MemoryDataset, Workplace, op_types
from tests.stages.refusal import refusal


@pytest.fixture
def losses(monkeypatch: pytest.MonkeyPatch) -> dict[int, float]:
    """The drop of a whole model by how many of its products run in float; 0 for what is not named."""
    drops: dict[int, float] = {}

    def judged(self: sensitivity.Judge, candidate: Artifact) -> Loss:
        model = onnx.load(candidate.onnx_path)
        restored = {node.output[0] for node in model.graph.node if node.op_type == "DequantizeLinear"}
        products = [node for node in model.graph.node if node.op_type in ("Conv", "Gemm")]
        in_float = sum(not set(node.input[:2]) <= restored for node in products)
        drop = drops.get(in_float, 0.0)
        return Loss(sqnr_db=20.0 + in_float, drop=drop, certain_drop=drop)

    monkeypatch.setattr(sensitivity.Judge, "__call__", judged)
    return drops


def test_every_layer_is_judged_alone_and_the_most_sensitive_comes_first(
    workplace: Workplace, onnx_model: Artifact, feed: dict[str, Any]
) -> None:
    stage = QuantizeMixed(max_accuracy_drop=0.5, measured=1)
    mixed = workplace.build(stage, onnx_model)
    layers = workplace.notes["sensitivity"]
    assert len(layers) == 7
    assert [layer["sqnr_db"] for layer in layers] == sorted(layer["sqnr_db"] for layer in layers)
    assert {layer["op"] for layer in layers} == {"Conv", "Gemm"}
    assert workplace.notes["kept_in_float"] == []
    assert check_output(onnx_model, mixed, None, feed)["cosine_min"] > 0.99
    assert workplace.progress == sorted(workplace.progress)


def test_most_layers_alone_lose_less_than_all_together(workplace: Workplace, onnx_model: Artifact) -> None:
    workplace.build(QuantizeMixed(max_accuracy_drop=0.5, measured=1), onnx_model)
    whole = workplace.build(QuantizeStatic(compensation="none"), onnx_model, "whole")
    feed = workplace.context().feed("validation")
    together = check_output(onnx_model, whole, None, feed)["sqnr_db"]
    alone = [layer["sqnr_db"] for layer in workplace.notes["sensitivity"]]
    assert sorted(alone)[len(alone) // 2] > together + 3


@pytest.mark.parametrize(
    ("loss", "kept"),
    [
        (Loss(sqnr_db=20.0, drop=0.004, certain_drop=-0.01), True),
        (Loss(sqnr_db=20.0, drop=0.0067, certain_drop=-0.01), False),
        (Loss(sqnr_db=20.0, drop=0.0067, certain_drop=-0.01, expected_drop=0.001), True),
        (Loss(sqnr_db=20.0, drop=0.02, certain_drop=0.008, expected_drop=0.001), False),
        (Loss(sqnr_db=20.0, drop=0.0, certain_drop=-0.02, expected_drop=0.03), True),
    ],
    ids=["few flips", "one flip of 150", "one flip, and no probability", "for certain", "no flip"],
)
def test_one_flip_of_few_examples_is_no_drop_where_the_probabilities_stay(loss: Loss, kept: bool) -> None:
    assert loss.within(0.005) is kept


def test_with_few_examples_a_model_that_only_rounds_is_kept(workplace: Workplace, onnx_model: Artifact) -> None:
    """A single flip of 24 examples is a drop of 4 points."""
    stage = QuantizeMixed(examples=24, measured=1)
    workplace.build(stage, onnx_model)
    (choice,) = workplace.notes["choices"]
    assert abs(choice["expected_drop"]) < 0.005
    assert choice["sqnr_db"] > 10


def test_layers_stay_in_float_until_the_accuracy_is_kept(
    workplace: Workplace, onnx_model: Artifact, losses: dict[int, float]
) -> None:
    losses.update({0: 0.3, 1: 0.2})
    mixed = workplace.build(QuantizeMixed(max_accuracy_drop=0.1, measured=1), onnx_model)
    assert len(workplace.notes["kept_in_float"]) == 2
    assert op_types(mixed)["Conv"] == 6
    assert workplace.notes["choices"] == [
        {"kept_in_float": 2, "drop": 0.0, "expected_drop": None, "sqnr_db": 22.0, "times_as_fast": None}
    ]


def test_of_the_choices_that_keep_the_accuracy_the_fastest_is_taken(
    workplace: Workplace, onnx_model: Artifact, losses: dict[int, float]
) -> None:
    workplace.speeds = {"1 in float": 1.8, "0 in float": 1.5}
    workplace.build(QuantizeMixed(max_accuracy_drop=0.1, measured=3), onnx_model)
    assert workplace.compared == ["0 in float", "1 in float", "2 in float"]
    assert len(workplace.notes["kept_in_float"]) == 1


def test_a_faster_choice_is_judged_before_it_is_taken(
    workplace: Workplace, onnx_model: Artifact, losses: dict[int, float]
) -> None:
    workplace.speeds = {"1 in float": 1.8, "0 in float": 1.5}
    losses[1] = 0.3
    workplace.build(QuantizeMixed(max_accuracy_drop=0.1, measured=3), onnx_model)
    assert workplace.notes["kept_in_float"] == []
    assert [choice["drop"] for choice in workplace.notes["choices"]] == [0.0, 0.3, None]


def test_where_nothing_keeps_the_accuracy_it_says_how_close_it_came(
    workplace: Workplace, onnx_model: Artifact, losses: dict[int, float]
) -> None:
    losses.update({0: 0.3, 6: 0.22})
    with pytest.raises(
        StageFailed,
        match=r"with the 6 most sensitive of 7 layers in float, .* within 0\.1 \(it drops 0\.2200 at best\)",
    ):
        workplace.build(QuantizeMixed(max_accuracy_drop=0.1), onnx_model)


@pytest.mark.parametrize(
    ("lost", "tried"),
    [((), [0]), ((0, 1), [0, 6, 2, 1]), ((0, 1, 2, 3, 4), [0, 6, 2, 3, 4]), ((0,), [0, 6, 2, 1])],
    ids=["none in float", "two", "most", "one"],
)
def test_the_first_choice_that_keeps_the_accuracy_is_found_by_halves(
    workplace: Workplace,
    onnx_model: Artifact,
    losses: dict[int, float],
    monkeypatch: pytest.MonkeyPatch,
    lost: Sequence[int],
    tried: Sequence[int],
) -> None:
    losses.update(dict.fromkeys(lost, 0.3))
    judged: list[int] = []
    whole = _Trials.judged

    def counted(self: _Trials, kept: Sequence[str]) -> tuple[Any, Loss]:
        judged.append(len(kept))
        return whole(self, kept)

    monkeypatch.setattr(_Trials, "judged", counted)
    workplace.build(QuantizeMixed(max_accuracy_drop=0.1, measured=1), onnx_model)
    assert judged == tried
    assert len(workplace.notes["kept_in_float"]) == min(set(tried) - set(lost))


def test_what_static_excludes_stays_in_float(workplace: Workplace, onnx_model: Artifact) -> None:
    static = QuantizeStatic(exclude_op_types=("Gemm",))
    workplace.build(QuantizeMixed(max_accuracy_drop=0.5, measured=1, static=static), onnx_model)
    assert workplace.notes["quantized"] == {"Conv": "6 of 6", "Gemm": "0 of 1"}


def test_without_labels_the_models_own_answers_count(workplace: Workplace, onnx_model: Artifact) -> None:
    workplace.data = MemoryDataset(labels=False)
    workplace.build(QuantizeMixed(max_accuracy_drop=0.5, measured=1), onnx_model)
    assert all(0 <= layer["drop"] <= 1 for layer in workplace.notes["sensitivity"])


def test_an_empty_validation_split_is_refused(workplace: Workplace, onnx_model: Artifact) -> None:
    workplace.data = MemoryDataset(validation=0)
    with pytest.raises(StageFailed, match="judged on the validation split, which is empty"):
        workplace.build(QuantizeMixed(), onnx_model)


def test_the_ladder_never_leaves_everything_in_float() -> None:
    assert list(_ladder(30)) == [0, 1, 2, 3, 4, 6, 8, 12, 16, 24]
    assert list(_ladder(1)) == [0]


@pytest.mark.parametrize(
    ("fields", "message"),
    [
        ({"max_accuracy_drop": 1.0}, "stage.max_accuracy_drop must be below 1 (got 1.0)"),
        ({"measured": 0}, "stage.measured must be at least 1 (got 0)"),
    ],
)
def test_wrong_fields_are_refused(fields: dict[str, Any], message: str) -> None:
    assert message in refusal(QuantizeMixed, **fields)
