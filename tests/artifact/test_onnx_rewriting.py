"""Repairing graphs."""

from __future__ import annotations

import numpy as np
import onnx
import pytest
from onnx import TensorProto, helper, numpy_helper

from pipeline.artifact.onnx_graph import inner_reads
from pipeline.artifact.onnx_rewriting import drop_unused, expose_inner_reads, name_nodes, repair
from pipeline.errors import StageFailed


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


def branching() -> onnx.ModelProto:
    """y = r + 1 where x is above zero and -r elsewhere, with r = relu(-x): both branches read r, no other node does."""
    branches = {
        name: helper.make_graph(
            [helper.make_node(op_type, ["r", *more], [name])],
            name,
            [],
            [helper.make_tensor_value_info(name, TensorProto.FLOAT, [1])],
        )
        for name, op_type, more in (("then", "Add", ["one"]), ("else", "Neg", []))
    }
    zero = numpy_helper.from_array(np.zeros(1, np.float32), "zero")
    found = model(
        [
            helper.make_node("Greater", ["x", "zero"], ["positive"]),
            helper.make_node("If", ["positive"], ["y"], then_branch=branches["then"], else_branch=branches["else"]),
            helper.make_node("Neg", ["x"], ["a"]),
            helper.make_node("Relu", ["a"], ["r"], name="relu"),
        ]
    )
    found.graph.initializer.append(zero)
    return found


def test_what_a_branch_reads_is_made_before() -> None:
    found = branching()
    assert repair(found) == ["nodes stood before what they read"]
    assert [node.op_type for node in found.graph.node] == ["Greater", "Neg", "Relu", "If"]
    assert (run(found, 2.0), run(found, -2.0)) == (1.0, -2.0)


def test_a_branch_that_reads_what_nothing_makes_is_refused() -> None:
    broken = branching()
    broken.graph.node[3].output[0] = "other"
    with pytest.raises(StageFailed, match="If '' reads 'r', which nothing makes"):
        repair(broken)


def test_what_branches_read_gets_a_reader_in_the_main_graph() -> None:
    found = branching()
    assert expose_inner_reads(found) == 1
    (reader,) = (node for node in found.graph.node if node.op_type == "Identity")
    (conditional,) = (node for node in found.graph.node if node.op_type == "If")
    assert list(reader.input) == ["r"]
    assert set(inner_reads(conditional)) == {reader.output[0], "one"}
    assert (run(found, 2.0), run(found, -2.0)) == (1.0, -2.0)


def test_constants_that_only_a_branch_reads_are_kept() -> None:
    found = branching()
    drop_unused(found)
    assert {tensor.name for tensor in found.graph.initializer} == {"one", "zero"}


def test_nodes_get_names_of_their_own() -> None:
    found = model([helper.make_node("Neg", ["x"], ["a"]), helper.make_node("Neg", ["a"], ["b"], name="Neg_0")])
    found.graph.node.append(helper.make_node("Neg", ["b"], ["y"], name="Neg_0"))
    assert name_nodes(found) == 2
    assert len({node.name for node in found.graph.node} - {""}) == 3
