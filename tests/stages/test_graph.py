"""Repairing graphs."""

from __future__ import annotations

import numpy as np
import onnx
import pytest
from onnx import TensorProto, helper, numpy_helper

from pipeline.errors import StageFailed
from pipeline.stages.graph import drop_unused, repair


def model(nodes: list[onnx.NodeProto]) -> onnx.ModelProto:
    graph = helper.make_graph(
        nodes,
        "small",
        [helper.make_tensor_value_info("x", TensorProto.FLOAT, [1])],
        [helper.make_tensor_value_info("y", TensorProto.FLOAT, [1])],
        [numpy_helper.from_array(np.ones(1, np.float32), "one")],
    )
    return helper.make_model(graph, opset_imports=[helper.make_opsetid("", 17)], ir_version=8)


def run(found: onnx.ModelProto, x: float) -> float:
    import onnxruntime

    session = onnxruntime.InferenceSession(found.SerializeToString(), providers=["CPUExecutionProvider"])
    (output,) = session.run(None, {"x": np.array([x], np.float32)})
    return float(output[0])


def test_a_sound_graph_is_left_alone() -> None:
    sound = model([helper.make_node("Add", ["x", "one"], ["y"])])
    before = sound.SerializeToString()
    assert repair(sound) == []
    assert sound.SerializeToString() == before


def test_nodes_are_put_behind_what_they_read() -> None:
    mixed = model([helper.make_node("Add", ["a", "one"], ["y"]), helper.make_node("Neg", ["x"], ["a"])])
    assert repair(mixed) == ["nodes stood before what they read"]
    assert run(mixed, 3.0) == -2.0


def test_a_name_given_twice_is_given_to_the_first_only() -> None:
    twice = model(
        [
            helper.make_node("Neg", ["x"], ["a"]),
            helper.make_node("Abs", ["a"], ["b"]),
            helper.make_node("Add", ["b", "one"], ["a"]),
            helper.make_node("Add", ["a", "b"], ["y"]),
        ]
    )
    assert repair(twice) == ["1 results had the name of another one"]
    assert run(twice, -2.0) == 5.0


def test_the_models_output_keeps_its_name_where_it_is_made_last() -> None:
    twice = model([helper.make_node("Neg", ["x"], ["y"]), helper.make_node("Add", ["y", "one"], ["y"])])
    assert repair(twice) == ["1 results had the name of another one"]
    assert run(twice, 3.0) == -2.0


def test_onnxruntimes_own_operators_are_declared() -> None:
    contributed = model([helper.make_node("Gelu", ["x"], ["y"], domain="com.microsoft")])
    assert repair(contributed) == ["the domain com.microsoft was not declared"]
    assert run(contributed, 0.0) == 0.0


def test_a_node_that_reads_what_nothing_makes_is_refused() -> None:
    broken = model([helper.make_node("Add", ["gone", "one"], ["y"], name="sum")])
    with pytest.raises(StageFailed, match="Add 'sum' reads 'gone', which nothing makes"):
        repair(broken)


def test_a_cycle_is_refused() -> None:
    round_about = model([helper.make_node("Add", ["b", "x"], ["y"]), helper.make_node("Neg", ["y"], ["b"])])
    with pytest.raises(StageFailed, match="the graph has a cycle"):
        repair(round_about)


def test_constants_that_nothing_reads_are_dropped() -> None:
    found = model([helper.make_node("Neg", ["x"], ["y"])])
    drop_unused(found)
    assert not found.graph.initializer
