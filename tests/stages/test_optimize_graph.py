"""Graph optimization ahead of time."""

from __future__ import annotations

from typing import Any

import pytest

from pipeline.artifact import Artifact
from pipeline.artifact.proof import check_output
from pipeline.stages.optimize_graph import OptimizeGraph
from tests.stages.models import TextDataset, Workplace, op_types, sentences
from tests.stages.refusal import refusal


@pytest.mark.parametrize("level", ["basic", "extended", "all"])
def test_the_optimized_model_computes_the_same(
    workplace: Workplace, onnx_model: Artifact, feed: dict[str, Any], level: Any
) -> None:
    stage = OptimizeGraph(level=level)
    optimized = workplace.build(stage, onnx_model)
    assert check_output(onnx_model, optimized, stage.tolerance, feed)["cosine_min"] > 0.9999
    before, after = map(int, workplace.notes["nodes"].split(" to "))
    assert after <= before + 2


def test_extended_fuses_into_onnxruntimes_own_operators(workplace: Workplace, onnx_model: Artifact) -> None:
    assert "FusedConv" in op_types(workplace.build(OptimizeGraph(), onnx_model))


def test_a_transformer_can_be_optimized(workplace: Workplace, onnx_encoder: Artifact) -> None:
    workplace.data = TextDataset()
    optimized = workplace.build(OptimizeGraph(), onnx_encoder)
    assert check_output(onnx_encoder, optimized, OptimizeGraph.tolerance, sentences())["cosine_min"] > 0.9999


def test_only_a_layout_for_this_processor_depends_on_the_machine() -> None:
    isa = frozenset({"avx2"})
    assert OptimizeGraph(level="all").machine_key(isa) == {"isa": ["avx2"]}
    assert OptimizeGraph(level="extended").machine_key(isa) == {}


def test_an_unknown_level_is_refused() -> None:
    assert "stage.level must be 'basic', 'extended' or 'all' (got 'most')" in refusal(OptimizeGraph, level="most")
