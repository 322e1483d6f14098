"""Accuracy against latency: the margin, the scale, and rows that would press the others together."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

from pipeline.report.charts.tradeoff import tradeoff_panel
from pipeline.report.rows import groups
from pipeline.results.figures import Reference
from pipeline.results.report import Report
from tests.report import example


def drawn(report: Report) -> dict[str, Any]:
    panel = tradeoff_panel(groups(report)[0])
    assert panel is not None
    return panel.spec


def values(spec: dict[str, Any], layer: dict[str, Any]) -> list[dict[str, Any]]:
    found: list[dict[str, Any]] = spec["datasets"][(layer.get("data") or spec["data"])["name"]]
    return found


def points(spec: dict[str, Any]) -> dict[str, dict[str, Any]]:
    layer = next(layer for layer in spec["layer"] if layer["mark"]["type"] == "point")
    return {item["words"].partition(":")[0]: item for item in values(spec, layer)}


def with_a_broken_row() -> Report:
    report = example.typical()
    speed = example.speedup(0.05, "SLOWER", Reference(variant="baseline", target="ort_cpu", batch_size=1))
    row = example.result(8.4, found=example.accuracy(0.1, -0.8385, "FAILS MARGIN"), speed=speed)
    return replace(report, variants=[*report.variants, example.variant("broken", [row])])


def test_latency_is_on_a_logarithmic_scale() -> None:
    layers = [layer for layer in drawn(example.typical())["layer"] if layer["mark"]["type"] == "point"]
    assert [layer["encoding"]["x"]["scale"]["type"] for layer in layers] == ["log"]


def test_the_margin_is_drawn() -> None:
    spec = drawn(example.typical())
    margin = next(found for layer in spec["layer"] for found in values(spec, layer) if found.get("name") == "margin")
    assert round(margin["accuracy"], 2) == 92.91  # 93.85 % less 0.94 points


def test_a_row_far_from_the_others_stands_at_the_edge_with_its_figures() -> None:
    before, after = points(drawn(example.typical())), points(drawn(with_a_broken_row()))
    assert after["broken"]["kind"] == "beyond the edge"
    assert "10.00 % at 8.400 ms" in after["broken"]["name"]
    assert after["broken"]["accuracy"] > 85
    assert after["static_int8"]["accuracy"] == before["static_int8"]["accuracy"]


def test_the_recommended_row_is_named_in_bold() -> None:
    spec = drawn(example.typical())
    texts = [layer for layer in spec["layer"] if layer["mark"]["type"] == "text"]
    bold = [values(spec, layer)[0]["name"] for layer in texts if layer["mark"].get("fontWeight") == "bold"]
    assert bold == ["static_int8"]
