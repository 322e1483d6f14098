"""The bars of each layer's sensitivity."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

from pipeline.report.charts.pruning import pruning_panel
from pipeline.report.charts.sensitivity import sensitivity_panel
from pipeline.results.report import VariantResult
from tests.report import example


def variant(notes: dict[str, Any]) -> VariantResult:
    found = next(variant for variant in example.typical().variants if variant.stages)
    return replace(found, stages=[replace(found.stages[0], notes=notes)])


def test_every_layer_has_a_bar_and_says_its_precision() -> None:
    layers = [
        {"node": "conv_1", "op": "Conv", "sqnr_db": 18.0, "drop": 0.02},
        {"node": "conv_2", "op": "Conv", "sqnr_db": 41.0, "drop": 0.0},
        {"node": "idle", "op": "Conv", "sqnr_db": None, "drop": 0.0},
    ]
    panel = sensitivity_panel(variant({"sensitivity": layers, "kept_in_float": ["conv_1"]}))
    assert panel is not None
    assert panel.words.endswith(": conv_1 18.0 dB (float); conv_2 41.0 dB (int8)")


def test_a_variant_that_was_not_judged_has_none() -> None:
    assert sensitivity_panel(variant({"quantized": "all"})) is None


def test_every_group_pruned_alone_has_its_scores() -> None:
    groups = [
        {"layers": ["stem"], "score": {"0.25": 0.91, "0.5": 0.62}},
        {"layers": ["conv1", "conv2"], "score": {"0.25": 0.93, "0.5": 0.9}},
    ]
    panel = pruning_panel(variant({"pruned_alone": {"metric": "accuracy", "before": 0.94, "groups": groups}}))
    assert panel is not None
    assert panel.title.endswith("(whole: 94.00 %)")
    assert panel.words.endswith(
        "stem by 25.00 %: 91.00 %; stem by 50.00 %: 62.00 %; "
        "conv1 and 1 more by 25.00 %: 93.00 %; conv1 and 1 more by 50.00 %: 90.00 %"
    )
    assert pruning_panel(variant({"channels": {}})) is None
