"""Mending ONNX graphs."""

from __future__ import annotations

from typing import Any

import numpy as np
import onnx
import pytest
from onnx import TensorProto, helper, numpy_helper

from pipeline.artifact.onnx_graph import all_graphs, all_nodes, opset, shape_of
from pipeline.importing.clean import clean, raised
from tests.importing.graphs import FLOAT, branches, model, two_layers, value, weight


def test_nodes_get_names_of_their_own_inside_branches_too() -> None:
    made = branches()
    made.graph.node[1].name = made.graph.node[2].name = "twice"
    notes = clean(made)
    names = [node.name for node in all_nodes(made.graph)]
    assert len(set(names)) == len(names)
    assert "" not in names
    assert "twice" in names
    assert "6 nodes had no name, 1 node had another's name" in notes


def test_constant_nodes_become_weights_inside_branches_too() -> None:
    made = branches()
    clean(made)
    assert all(node.op_type != "Constant" for node in all_nodes(made.graph))
    scales = [float(numpy_helper.to_array(graph.initializer[0])) for graph in list(all_graphs(made.graph))[1:]]
    assert sorted(scales) == [2.0, 3.0]


@pytest.mark.parametrize(
    ("attribute", "wanted"), [("value_float", 1.5), ("value_ints", [1, 2]), ("value_int", 7), ("value_floats", [0.5])]
)
def test_a_constant_of_any_kind_becomes_a_weight(attribute: str, wanted: Any) -> None:
    made = two_layers()
    made.graph.node.add().CopyFrom(helper.make_node("Constant", [], ["c"], **{attribute: wanted}))
    clean(made)
    array = numpy_helper.to_array(next(tensor for tensor in made.graph.initializer if tensor.name == "c"))
    np.testing.assert_array_equal(array, np.asarray(wanted))
    assert array.dtype in (np.float32, np.int64)


def test_a_constant_that_is_an_output_stays() -> None:
    made = two_layers()
    made.graph.node.add().CopyFrom(helper.make_node("Constant", [], ["c"], value_float=1.0))
    made.graph.output.add().CopyFrom(value("c", []))
    clean(made)
    assert [node.op_type for node in made.graph.node].count("Constant") == 1


def test_nodes_stand_behind_what_they_and_their_branches_read() -> None:
    made = branches()
    assert "nodes stood before what they read" in clean(made)
    onnx.checker.check_model(made, full_check=True)
    assert made.graph.node[-1].op_type == "If"


def test_sorted_nodes_keep_their_order() -> None:
    made = two_layers()
    before = [node.output[0] for node in made.graph.node]
    assert "nodes stood before what they read" not in clean(made)
    assert [node.output[0] for node in made.graph.node] == before


def test_values_inside_branches_get_names_of_their_own() -> None:
    made = branches()
    clean(made)
    results = [name for node in all_nodes(made.graph) for name in node.output]
    assert len(set(results)) == len(results)


def test_weights_are_no_inputs() -> None:
    made = two_layers(opset=9, ir=3, inputs=[value("x", ["n", 6]), value("w0", [6, 5]), value("w1", [5, 3])])
    notes = clean(made)
    assert [entry.name for entry in made.graph.input] == ["x"]
    assert made.ir_version == 7
    assert "2 weights stood among the inputs" in notes


def test_sizes_of_zero_and_minus_one_mean_any() -> None:
    made = two_layers(inputs=[value("x", [-1, 6])], outputs=[value("y", [0, 3])])
    clean(made)
    assert [shape_of(entry) for entry in (*made.graph.input, *made.graph.output)] == [(None, 6), (None, 3)]
    assert not made.graph.input[0].type.tensor_type.shape.dim[0].HasField("dim_value")


@pytest.mark.parametrize("declared", [[1, 7], [4], ["n", 4], [1, 3]])
def test_a_wrongly_declared_output_gets_the_shape_that_follows(declared: list[int | str]) -> None:
    made = two_layers(outputs=[value("y", declared)], value_info=[value("a", ["n", 99])])
    assert "the file declares wrong shapes of 'y', 'a'" in clean(made)
    assert shape_of(made.graph.output[0]) == (None, 3)
    assert not made.graph.value_info


def test_what_is_declared_for_one_example_only_is_dropped() -> None:
    made = two_layers(inputs=[value("x", [-1, 6])], outputs=[value("y", [1, 3])], value_info=[value("a", [1, 5])])
    clean(made)
    assert shape_of(made.graph.output[0]) == (None, 3)
    assert not made.graph.value_info


def test_wrongly_declared_types_are_dropped() -> None:
    made = two_layers(
        outputs=[value("y", ["n", 3], TensorProto.INT64)], value_info=[value("r", ["n", 5], TensorProto.INT32)]
    )
    clean(made)
    onnx.checker.check_model(made, full_check=True)
    assert made.graph.output[0].type.tensor_type.elem_type == TensorProto.FLOAT
    assert not made.graph.value_info


def test_what_can_not_be_inferred_stays_declared() -> None:
    nodes = [helper.make_node("Compress", ["x", "which"], ["y"], axis=1)]
    which = numpy_helper.from_array(np.array([True, False, True, False, False, False]), "which")
    made = model(nodes, [value("x", ["n", 6])], [value("y", ["n", 2]), value("x", ["n", 6])], [which])
    assert clean(made) == ["1 node had no name"]
    assert [shape_of(entry) for entry in made.graph.output] == [(None, 2), (None, 6)]


def test_a_missing_domain_is_declared_and_the_main_one_has_its_short_name() -> None:
    nodes = [
        helper.make_node("Relu", ["x"], ["r"], domain="ai.onnx"),
        helper.make_node("Gelu", ["r"], ["y"], domain="com.microsoft"),
    ]
    made = model(nodes, [value("x", ["n", 6])], [value("y", ["n", 6])])
    made.opset_import[0].domain = "ai.onnx"
    clean(made)
    assert {entry.domain: entry.version for entry in made.opset_import} == {"": 17, "com.microsoft": 1}
    assert made.graph.node[0].domain == ""


@pytest.mark.parametrize("version", [17, 16])
def test_functions_are_put_in_place_of_their_calls(version: int) -> None:
    body = [helper.make_node("MatMul", ["x", "w"], ["m"]), helper.make_node("Relu", ["m"], ["y"])]
    function = helper.make_function("own", "Layer", ["x", "w"], ["y"], body, [helper.make_opsetid("", version)])
    made = model(
        [helper.make_node("Layer", ["x", "w0"], ["y"], domain="own")],
        [value("x", ["n", 6])],
        [value("y", ["n", 5])],
        [weight("w0", 6, 5)],
        domains={"own": 1},
        functions=[function],
    )
    assert "the functions Layer were put in place of their calls" in clean(made)
    assert [node.op_type for node in made.graph.node] == ["MatMul", "Relu"]


def test_sparse_weights_become_dense() -> None:
    values = numpy_helper.from_array(np.array([2.0, 3.0], np.float32), "w0")
    places = numpy_helper.from_array(np.array([0, 7], np.int64), "places")
    sparse = helper.make_sparse_tensor(values, places, [6, 5])
    made = two_layers(weights=[weight("w1", 5, 3)], sparse_initializer=[sparse])
    clean(made)
    dense = numpy_helper.to_array(next(tensor for tensor in made.graph.initializer if tensor.name == "w0"))
    wanted = np.zeros((6, 5), np.float32)
    wanted[0, 0], wanted[1, 2] = 2, 3
    np.testing.assert_array_equal(dense, wanted)


def test_a_clean_graph_has_nothing_to_mend() -> None:
    made = two_layers()
    clean(made)
    assert clean(made) == []


def test_an_old_opset_is_raised() -> None:
    scales = numpy_helper.from_array(np.array([1, 1, 2, 2], np.float32), "sizes")
    nodes = [helper.make_node("Upsample", ["x", "sizes"], ["y"], mode="nearest")]
    made = model(nodes, [value("x", ["n", 2, 3, 3])], [value("y", ["n", 2, 6, 6])], [scales], opset=9)
    clean(made)
    newer = raised(made)
    assert opset(newer) == 13
    assert [node.op_type for node in newer.graph.node] == ["Resize"]
    assert all(node.name for node in newer.graph.node)


def test_types_are_kept() -> None:
    made = two_layers(value_info=[value("a", ["n", 5], FLOAT)])
    clean(made)
    assert made.graph.value_info[0].type.tensor_type.elem_type == TensorProto.FLOAT
