"""The times and causes on the map: which kernel belongs to which place."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

import pytest

from pipeline.analyse.assemble import analyse
from pipeline.results.map import MapNode, MapPlace, VariantMap
from pipeline.results.record import Record
from tests.analyse.synthetic import Made, make_record


def node(op: str, makes: str) -> MapNode:
    return MapNode(name=f"node_{makes}", op=op, makes=makes)


PLACES = [
    MapPlace(tensor="x", block="", reads=[], before=[], after=[node("QuantizeLinear", "x_8")]),
    MapPlace(tensor="conv", block="", reads=[0], before=[node("Conv", "conv")], after=[node("Conv", "conv")]),
    MapPlace(tensor="relu_1", block="", reads=[1], before=[node("Relu", "relu_1")], after=[node("Relu", "relu_1")]),
    MapPlace(tensor="y", block="", reads=[2], before=[node("Gemm", "y")], after=[node("Gemm", "y")]),
]


def kernel(name: str, op: str, ms: float) -> dict[str, Any]:
    return {"name": name, "op": op, "provider": "CPUExecutionProvider", "type": "float", "ms": ms}


def profile(*nodes: dict[str, Any]) -> dict[str, Any]:
    return {"calls": 10, "call_ms": 10.0, "nodes": list(nodes), "channels": []}


BEFORE = profile(kernel("relu_1_nchwc", "Conv", 6.0), kernel("node_y", "Gemm", 3.0), kernel("ReorderOutput", "R", 1.0))
AFTER = profile(
    kernel("node_x_8", "QuantizeLinear", 1.0),
    kernel("node_conv_token_12", "QLinearConv", 2.0),
    kernel("relu_1", "Relu", 1.0),
    kernel("node_y", "Cast", 0.5),
    kernel("y", "DynamicQuantizeLinear", 5.5),
)


def record(before: dict[str, Any] | None = BEFORE, after: dict[str, Any] | None = AFTER) -> Record:
    made = make_record(Made(name="int8", times_as_fast=0.5))
    profiles = {"baseline": before, "int8": after}
    subjects = [replace(subject, profile=profiles[subject.variant]) for subject in made.subjects]
    return replace(made, subjects=subjects, maps=[VariantMap(variant="int8", against="baseline", places=PLACES)])


def timed(**profiles: Any) -> VariantMap:
    (found,) = analyse(record(**profiles)).maps
    return found


def test_a_kernel_belongs_to_the_node_that_it_is_named_after() -> None:
    after = [place.after_ms for place in timed().places]
    assert after == pytest.approx([0.4, 0.8, 0.4, 2.4], rel=0.02)  # parts of the median call of 4 ms


def test_the_slowest_kernel_of_a_place_is_named_first() -> None:
    assert timed().places[3].kernels == ["DynamicQuantizeLinear", "Cast"]


def test_a_kernel_that_is_named_after_its_last_node_stands_where_it_begins() -> None:
    places = timed().places
    assert [place.before_ms is None for place in places] == [True, False, True, False]
    assert places[1].before_ms == pytest.approx(1.2, rel=0.02)
    assert places[1].saved_ms == pytest.approx(0.4, rel=0.05)


def test_a_kernel_whose_name_leads_nowhere_is_told_beside_the_places() -> None:
    assert timed().before_elsewhere_ms == pytest.approx(0.2, rel=0.02)


def test_a_number_at_the_end_of_a_name_is_a_part_of_it() -> None:
    found = timed(after=profile(kernel("relu_1_9", "Relu", 5.0), kernel("y", "Gemm", 5.0)))
    assert found.places[2].after_ms is None
    assert found.after_elsewhere_ms == pytest.approx(2.0, rel=0.02)


def test_a_cause_stands_at_the_places_of_its_operators() -> None:
    found = timed()
    (cause,) = found.causes
    assert "taking the activations' ranges anew" in cause
    assert [place.causes for place in found.places] == [[], [], [], [0]]


@pytest.mark.parametrize("missing", ["before", "after"])
def test_without_a_profile_of_both_there_are_no_times(missing: str) -> None:
    found = timed(**{missing: None})
    assert found.target is None
    assert {place.after_ms for place in found.places} == {None}


def test_a_runtime_that_names_nothing_after_the_graph_gives_no_times() -> None:
    assert timed(after=profile(kernel("gemm_kernel_nn", "gemm", 10.0))).target is None
