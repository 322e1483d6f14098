"""SmoothQuant."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import onnx
import pytest
import torch
from torch import Tensor, nn

from pipeline.artifact import Artifact
from pipeline.artifact.proof import check_output
from pipeline.errors import Skipped, StageFailed
from pipeline.stages.export import ExportOnnx
from pipeline.stages.quantize_static import QuantizeStatic
from pipeline.stages.smooth_quant import SmoothQuant, find_groups
from tests.stages.models import MemoryDataset, TextDataset, Workplace, op_types, sentences, spec_of
from tests.stages.refusal import refusal


class Outliers(nn.Module):
    """A normalization whose first channel is a hundred times larger than the others, then a product."""

    def __init__(self) -> None:
        super().__init__()
        self.norm = nn.LayerNorm(12)
        self.layer = nn.Linear(12, 8)
        with torch.no_grad():
            self.norm.weight[0] = 100.0
            self.layer.weight[:, 0] /= 100.0

    def forward(self, image: Tensor) -> Tensor:
        result: Tensor = self.layer(self.norm(image)).mean((1, 2))
        return result


@pytest.fixture
def outliers(workplace: Workplace) -> Artifact:
    torch.manual_seed(0)
    spec = spec_of(Outliers, {"image": (1, 12, 12)}, ["y"])
    return workplace.build(ExportOnnx(), workplace.torch(Outliers(), spec), "outliers")


def test_the_smoothed_model_computes_the_same(workplace: Workplace, onnx_encoder: Artifact) -> None:
    workplace.data = TextDataset()
    smoothed = workplace.build(SmoothQuant(alpha=0.5), onnx_encoder)
    assert check_output(onnx_encoder, smoothed, SmoothQuant.tolerance, sentences())["cosine_min"] > 0.9999
    assert workplace.notes["smoothed"] == 13
    assert set(workplace.notes["alphas"].values()) == {0.5}
    assert smoothed.size_bytes < 1.1 * onnx_encoder.size_bytes


def test_a_normalization_that_feeds_products_alone_takes_the_division_in(
    workplace: Workplace, outliers: Artifact
) -> None:
    smoothed = workplace.build(SmoothQuant(insert=False), outliers)
    assert (workplace.notes["smoothed"], workplace.notes["inserted"]) == (1, 0)
    assert op_types(smoothed) == op_types(outliers)


def test_a_residual_keeps_the_normalization_as_it_is(onnx_encoder: Artifact) -> None:
    groups = find_groups(onnx.load(onnx_encoder.onnx_path))
    assert all(group.norm is None for group in groups)
    assert sum(len(group.products) for group in groups) == 13


def test_quantization_loses_less_afterwards(workplace: Workplace, outliers: Artifact) -> None:
    feed = workplace.context().feed("calibration", 20)
    stage = QuantizeStatic(per_channel=False)
    plain = workplace.build(stage, outliers, "plain")
    smoothed = workplace.build(stage, workplace.build(SmoothQuant(), outliers, "smoothed"), "quantized")
    losses = [check_output(outliers, found, None, feed)["sqnr_db"] for found in (plain, smoothed)]
    assert losses[1] > losses[0] + 3


def test_each_tensor_gets_the_strength_with_the_least_error(workplace: Workplace, onnx_encoder: Artifact) -> None:
    workplace.data = TextDataset()
    smoothed = workplace.build(SmoothQuant(), onnx_encoder)
    assert len(set(workplace.notes["alphas"].values())) > 1
    losses = []
    for number, source in enumerate((onnx_encoder, smoothed)):
        quantized = workplace.build(QuantizeStatic(compensation="none"), source, f"quantized_{number}")
        losses.append(check_output(onnx_encoder, quantized, None, sentences())["sqnr_db"])
    assert losses[1] > losses[0]


def test_batches_do_not_change_the_factors(
    workplace: Workplace, outliers: Artifact, monkeypatch: pytest.MonkeyPatch
) -> None:
    whole = workplace.build(SmoothQuant(), outliers, "whole")
    monkeypatch.setattr("pipeline.stages.quantization.channel_ranges._BATCH", 5)
    assert workplace.build(SmoothQuant(), outliers, "pieces").digest == whole.digest


def test_without_data_it_says_what_to_set(workplace: Workplace, outliers: Artifact) -> None:
    workplace.data = MemoryDataset(calibration=0)
    with pytest.raises(StageFailed, match=r"set data\.calibration_size above 0"):
        workplace.build(SmoothQuant(), outliers)


def test_a_model_without_products_is_skipped(workplace: Workplace, outliers: Artifact) -> None:
    model = onnx.load(outliers.onnx_path)
    for node in model.graph.node:
        if node.op_type in ("MatMul", "Gemm"):
            node.input[1], node.input[0] = node.input[0], node.input[1]
    assert find_groups(model) == []


def test_the_skip_is_said(workplace: Workplace, onnx_encoder: Artifact) -> None:
    with pytest.raises(Skipped, match="no matrix product with constant weights to smooth"):
        workplace.build(replace(SmoothQuant(), insert=False), onnx_encoder)


@pytest.mark.parametrize("alpha", [0.0, 1.0])
def test_wrong_fields_are_refused(alpha: float) -> None:
    assert "stage.alpha must be " in refusal(SmoothQuant, alpha=alpha)


def test_the_largest_values_are_those_of_all_examples(workplace: Workplace, outliers: Artifact) -> None:
    workplace.build(SmoothQuant(), outliers)
    assert np.isclose(max(workplace.progress), 0.9)
