"""The import of an ONNX model: what was done is told, and the result gives what the file gives."""

from __future__ import annotations

from collections.abc import Mapping
from functools import partial
from pathlib import Path
from typing import Any

import numpy as np
import onnx
import pytest
from numpy.typing import NDArray
from onnx import TensorProto, helper, numpy_helper

from pipeline.artifact import Artifact
from pipeline.artifact.onnx_graph import all_nodes, fixed_batch_of, opset, shape_of
from pipeline.artifact.run import run
from pipeline.errors import UserError
from pipeline.importing.step import import_onnx
from tests.importing.graphs import branches, model, numbers, save, two_layers, value, weight

X = {"x": numbers(8, 6)}
IMAGES = {"x": numbers(8, 2, 4, 4)}


def imported(
    made: onnx.ModelProto, folder: Path, feed: Mapping[str, NDArray[Any]] = X
) -> tuple[onnx.ModelProto, dict[str, list[str]]]:
    notes = import_onnx(save(made, folder), feed)
    return onnx.load(folder / "model.onnx"), notes


def outputs(folder: Path, feed: Mapping[str, NDArray[Any]] = X) -> list[NDArray[Any]]:
    return run(Artifact(folder, "onnx", ""), feed)


@pytest.mark.parametrize("make", [two_layers, partial(branches, inner_sorted=True)])
def test_the_result_is_clean_and_gives_what_the_file_gives(tmp_path: Path, make: Any) -> None:
    before = outputs(save(make(), tmp_path / "before"))
    found, notes = imported(make(), tmp_path / "after")
    assert all(node.name for node in all_nodes(found.graph))
    np.testing.assert_allclose(outputs(tmp_path / "after")[0], before[0], rtol=1e-6)
    assert notes["import"][-1] == "it gives what the file gives, up to rounding: compared on 8 examples"
    assert "warnings" not in notes


def test_a_file_that_loads_only_when_it_is_clean_is_taken_and_told(tmp_path: Path) -> None:
    _, notes = imported(branches(), tmp_path)
    assert "nodes stood before what they read" in notes["warnings"][0]
    assert outputs(tmp_path)[0].shape == (8, 3)


def test_a_name_that_is_defined_twice_is_repaired(tmp_path: Path) -> None:
    nodes = [
        helper.make_node("MatMul", ["x", "w0"], ["y"]),
        helper.make_node("Relu", ["y"], ["y"]),
    ]
    made = model(nodes, [value("x", ["n", 6])], [value("y", ["n", 3])], [weight("w0", 6, 3)])
    _, notes = imported(made, tmp_path)
    assert "1 results had the name of another one" in notes["warnings"][0]
    wanted = np.maximum(X["x"] @ numpy_helper.to_array(made.graph.initializer[0]), 0)
    np.testing.assert_allclose(outputs(tmp_path)[0], wanted, rtol=1e-5)


def test_a_format_that_is_newer_than_the_runtime_is_lowered(tmp_path: Path) -> None:
    found, notes = imported(two_layers(ir=99), tmp_path)
    assert found.ir_version == 8
    assert "the file's format is 8 now (ir_version, it was 99)" in notes["warnings"][0]


def test_nothing_is_said_of_a_clean_file(tmp_path: Path) -> None:
    imported(two_layers(), tmp_path)
    assert import_onnx(tmp_path, X) == {}


def reshaped(*sizes: int, free: bool = False) -> onnx.ModelProto:
    """y = reshape(x, sizes) · w; with ``free`` no size of x is declared."""
    nodes = [helper.make_node("Reshape", ["x", "s"], ["r"]), helper.make_node("MatMul", ["r", "w"], ["y"])]
    shape = numpy_helper.from_array(np.array(sizes, np.int64), "s")
    declared: list[int | str] = ["n", "a", "b"] if free else ["n", 2, 3]
    return model(nodes, [value("x", declared)], [value("y", ["n", 4])], [shape, weight("w", 5 if free else 6, 4)])


@pytest.mark.parametrize(("sizes", "batch"), [((1, 6), 1), ((4, 6), 4), ((-1, 6), None), ((2, 6), 2)])
def test_a_batch_that_is_written_inside_is_found_by_trying(
    tmp_path: Path, sizes: tuple[int, ...], batch: int | None
) -> None:
    _, notes = imported(reshaped(*sizes), tmp_path, {"x": numbers(8, 2, 3)})
    assert fixed_batch_of(Artifact(tmp_path, "onnx", ""), {}) == batch
    said = [f"its batch is declared as free, and it takes {batch} only: it is declared so now"]
    assert [text.split(" (")[0] for text in notes.get("warnings", [])] == (said if batch else [])


def test_a_batch_that_flows_into_the_first_row_is_found(tmp_path: Path) -> None:
    nodes = [helper.make_node("Reshape", ["x", "s"], ["y"])]
    shape = numpy_helper.from_array(np.array([1, -1], np.int64), "s")
    made = model(nodes, [value("x", ["n", 6])], [value("y", [1, "m"])], [shape])
    imported(made, tmp_path)
    assert fixed_batch_of(Artifact(tmp_path, "onnx", ""), {}) == 1


def test_a_state_with_its_batch_on_another_axis_leaves_the_batch_free(tmp_path: Path) -> None:
    nodes = [helper.make_node("Add", ["x", "x"], ["y"]), helper.make_node("Unsqueeze", ["y", "zero"], ["state"])]
    zero = numpy_helper.from_array(np.array([0], np.int64), "zero")
    made = model(nodes, [value("x", ["n", 6])], [value("y", ["n", 6]), value("state", [1, "n", 6])], [zero])
    found, notes = imported(made, tmp_path)
    assert fixed_batch_of(Artifact(tmp_path, "onnx", ""), {}) is None
    assert "warnings" not in notes
    assert shape_of(found.graph.output[1]) == (1, None, 6)


def test_an_output_whose_shape_only_shows_when_it_is_run_is_declared_free(tmp_path: Path) -> None:
    nodes = [helper.make_node("Compress", ["x", "which"], ["y"], axis=1)]
    which = numpy_helper.from_array(np.array([True, False, True, False, False, False]), "which")
    found, notes = imported(model(nodes, [value("x", ["n", 6])], [value("y", ["n", 3])], [which]), tmp_path)
    assert shape_of(found.graph.output[0]) == (None, None)
    assert "the file declares a wrong shape of 'y'" in notes["import"]


def test_an_opset_that_can_not_be_raised_stays_and_is_told(tmp_path: Path) -> None:
    """Hardmax means another thing from opset 13 on, and ONNX's converter leaves it as it is."""
    made = model(
        [helper.make_node("Hardmax", ["x"], ["y"], axis=1)],
        [value("x", ["n", 2, 4, 4])],
        [value("y", ["n", 2, 4, 4])],
        opset=11,
    )
    found, notes = imported(made, tmp_path, IMAGES)
    assert opset(found) == 11
    assert notes["warnings"] == [
        "its opset stays 11, and stages that need 13 do without: raised, output 0 differs by up to 1, where the "
        "largest is 1"
    ]


def test_an_old_opset_is_raised_and_told(tmp_path: Path) -> None:
    found, notes = imported(two_layers(opset=11, ir=6), tmp_path)
    assert opset(found) == 13
    assert "its opset is 13 now, it was 11" in notes["import"]


def test_an_input_without_a_shape_gets_the_axes_of_the_data(tmp_path: Path) -> None:
    found, notes = imported(two_layers(inputs=[value("x", None)], outputs=[value("y", None)]), tmp_path)
    assert shape_of(found.graph.input[0]) == (None, None)
    assert len(shape_of(found.graph.output[0]) or ()) == 2
    assert "warnings" not in notes


def test_bfloat16_becomes_float32_where_it_can_not_be_run(tmp_path: Path) -> None:
    kind = TensorProto.BFLOAT16
    narrow = helper.make_tensor("w0", kind, [6, 3], numbers(18).tolist())
    nodes = [helper.make_node("MatMul", ["x", "w0"], ["y"])]
    made = model(nodes, [value("x", ["n", 6], kind)], [value("y", ["n", 3], kind)], [narrow])
    _, notes = imported(made, tmp_path)
    [array] = outputs(tmp_path)
    np.testing.assert_allclose(array, X["x"] @ numpy_helper.to_array(narrow).astype(np.float32), rtol=1e-5)
    assert "and so it can: bfloat16 is computed as float32, with the same weights" in notes["warnings"][0]
    assert "input 'x' takes float32: NumPy has no bfloat16" in notes["import"]


def test_bfloat16_weights_that_are_only_stored_stay(tmp_path: Path) -> None:
    narrow = helper.make_tensor("w", TensorProto.BFLOAT16, [6, 3], numbers(18).tolist())
    nodes = [
        helper.make_node("Cast", ["w"], ["wide"], to=TensorProto.FLOAT),
        helper.make_node("MatMul", ["x", "wide"], ["y"]),
    ]
    found, notes = imported(model(nodes, [value("x", ["n", 6])], [value("y", ["n", 3])], [narrow]), tmp_path)
    assert found.graph.initializer[0].data_type == TensorProto.BFLOAT16
    assert "warnings" not in notes


def test_maps_of_probabilities_become_a_tensor_and_other_kinds_are_left_out(tmp_path: Path) -> None:
    maps = helper.make_map_type_proto(TensorProto.INT64, helper.make_tensor_type_proto(TensorProto.FLOAT, None))
    numbers_only = helper.make_tensor_type_proto(TensorProto.FLOAT, None)
    nodes = [
        helper.make_node("MatMul", ["x", "w0"], ["p"]),
        helper.make_node("ZipMap", ["p"], ["probabilities"], domain="ai.onnx.ml", classlabels_int64s=[0, 1, 2]),
        helper.make_node("SequenceConstruct", ["p"], ["all"]),
    ]
    results = [
        helper.make_value_info("probabilities", helper.make_sequence_type_proto(maps)),
        helper.make_value_info("all", helper.make_sequence_type_proto(numbers_only)),
    ]
    made = model(nodes, [value("x", ["n", 6])], results, [weight("w0", 6, 3)], domains={"ai.onnx.ml": 3})
    found, notes = imported(made, tmp_path)
    assert [entry.name for entry in found.graph.output] == ["probabilities"]
    assert outputs(tmp_path)[0].shape == (8, 3)
    assert "output 'all' is left out: it is a sequence, no tensor" in notes["import"]


def test_a_model_without_a_tensor_to_compare_is_refused(tmp_path: Path) -> None:
    kind = helper.make_sequence_type_proto(helper.make_tensor_type_proto(TensorProto.FLOAT, None))
    nodes = [helper.make_node("SequenceConstruct", ["x"], ["all"])]
    with pytest.raises(UserError, match="none of its outputs is a tensor"):
        imported(model(nodes, [value("x", ["n", 6])], [helper.make_value_info("all", kind)]), tmp_path)


def test_outputs_that_are_inputs_or_weights_and_inputs_that_nothing_reads_are_taken(tmp_path: Path) -> None:
    made = two_layers(inputs=[value("x", ["n", 6]), value("unread", ["n", 2])])
    made.graph.output.extend([value("x", ["n", 6]), value("w1", [5, 3])])
    _, notes = imported(made, tmp_path, {**X, "unread": numbers(8, 2)})
    assert "warnings" not in notes
    assert outputs(tmp_path, {**X, "unread": numbers(8, 2)})[0].shape == (8, 3)


def test_a_dropout_that_is_left_on_is_told(tmp_path: Path) -> None:
    ratio, on = (
        numpy_helper.from_array(np.array(0.5, np.float32), "ratio"),
        numpy_helper.from_array(np.array(True), "on"),
    )
    nodes = [helper.make_node("Dropout", ["x", "ratio", "on"], ["y"])]
    made = model(nodes, [value("x", ["n", 64])], [value("y", ["n", 64])], [ratio, on])
    # Of six numbers the same ones were dropped twice now and then.
    _, notes = imported(made, tmp_path, {"x": np.ones((2, 64), np.float32)})
    assert notes["warnings"][0].startswith("its outputs for one and the same input differ from call to call")


def test_an_example_that_depends_on_those_beside_it_is_told(tmp_path: Path) -> None:
    nodes = [
        helper.make_node("ReduceMean", ["x"], ["mean"], axes=[0], keepdims=1),
        helper.make_node("Sub", ["x", "mean"], ["y"]),
    ]
    _, notes = imported(model(nodes, [value("x", ["n", 6])], [value("y", ["n", 6])]), tmp_path)
    assert notes["warnings"][0].startswith("what it says of an example depends on the examples beside it")


def test_strings_and_optional_inputs_are_taken(tmp_path: Path) -> None:
    words = ["good", "bad"]
    nodes = [
        helper.make_node(
            "TfIdfVectorizer", ["text"], ["tf"], mode="TF", min_gram_length=1, max_gram_length=1, max_skip_count=0,
            ngram_counts=[0], ngram_indexes=[0, 1], pool_strings=words,
        ),
        helper.make_node("Clip", ["tf", "", "most"], ["y"]),
    ]  # fmt: skip
    most = numpy_helper.from_array(np.array(1, np.float32), "most")
    made = model(nodes, [value("text", ["n", 3], TensorProto.STRING)], [value("y", ["n", 2])], [most])
    feed = {"text": np.array([["good", "bad", "bad"], ["good", "good", "so"]])}
    imported(made, tmp_path, feed)
    np.testing.assert_array_equal(outputs(tmp_path, feed)[0], [[1, 1], [1, 0]])


def test_a_model_that_does_not_load_is_refused_with_the_reason(tmp_path: Path) -> None:
    nodes = [helper.make_node("NoSuchThing", ["x"], ["y"], domain="com.microsoft")]
    with pytest.raises(UserError, match=r"does not load: .*NoSuchThing"):
        imported(model(nodes, [value("x", ["n", 6])], [value("y", ["n", 6])]), tmp_path)


def test_a_model_that_does_not_run_is_refused_with_the_reason(tmp_path: Path) -> None:
    with pytest.raises(UserError, match=r"does not run: .*Reshape"):
        imported(reshaped(1, 5, free=True), tmp_path, {"x": numbers(8, 2, 3)})
