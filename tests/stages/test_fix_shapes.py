"""Fixed shapes: the batch and named axes are written into the model, and all shapes follow."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import onnx
import pytest
from onnx import helper, numpy_helper

from pipeline.artifact import Artifact, folder_digest
from pipeline.artifact.onnx_graph import fixed_batch_of, shape_of
from pipeline.artifact.proof import check_output
from pipeline.errors import Skipped, StageFailed, Unchanged
from pipeline.stages.fix_shapes import FixShapes
from tests.importing.graphs import model, numbers, save, value, weight
from tests.stages.models import ArrayDataset, Workplace


def artifact(made: onnx.ModelProto, folder: Path) -> Artifact:
    save(made, folder)
    return Artifact(folder, "onnx", folder_digest(folder))


def encoder_like(folder: Path) -> Artifact:
    """Two inputs of one batch and one length; the result is shaped by what the graph asks of its input."""
    nodes = [
        helper.make_node("Add", ["a", "b"], ["s"]),
        helper.make_node("MatMul", ["s", "w"], ["m"]),
        helper.make_node("Shape", ["m"], ["size"], start=0, end=2),
        helper.make_node("Concat", ["size", "rest"], ["wanted"], axis=0),
        helper.make_node("Reshape", ["m", "wanted"], ["y"]),
    ]
    rest = numpy_helper.from_array(np.array([-1], np.int64), "rest")
    inputs = [value(name, ["n", "length", 4]) for name in "ab"]
    return artifact(model(nodes, inputs, [value("y", ["n", "length", 3])], [weight("w", 4, 3), rest]), folder / "made")


def declared(found: Artifact) -> dict[str, Any]:
    graph = onnx.load(found.onnx_path).graph
    return {entry.name: shape_of(entry) for entry in (*graph.input, *graph.output)}


def test_the_batch_is_fixed_and_the_shapes_follow(workplace: Workplace, onnx_model: Artifact, feed: Any) -> None:
    fixed = workplace.build(FixShapes(), onnx_model)
    assert (fixed_batch_of(onnx_model, {}), fixed_batch_of(fixed, {})) == (None, 1)
    assert all(None not in shape for shape in declared(fixed).values())
    check_output(onnx_model, fixed, FixShapes.tolerance, feed)


def test_named_axes_are_fixed_wherever_they_stand(workplace: Workplace, tmp_path: Path) -> None:
    source = encoder_like(tmp_path)
    fixed = workplace.build(FixShapes(batch_size=2, axes={"length": 5}), source)
    assert declared(fixed) == {"a": (2, 5, 4), "b": (2, 5, 4), "y": (2, 5, 3)}
    assert "Shape" not in [node.op_type for node in onnx.load(fixed.onnx_path).graph.node]
    check_output(source, fixed, 1e-5, {"a": numbers(6, 5, 4), "b": numbers(6, 5, 4)})


def test_whole_shapes_are_given_by_input(workplace: Workplace, tmp_path: Path) -> None:
    fixed = workplace.build(FixShapes(shapes={"a": (None, 7, 4)}), encoder_like(tmp_path))
    assert declared(fixed) == {"a": (1, 7, 4), "b": (1, 7, 4), "y": (1, 7, 3)}


def test_the_batch_is_fixed_on_the_axis_that_the_data_has_it_on(workplace: Workplace, tmp_path: Path) -> None:
    nodes = [helper.make_node("ReduceSum", ["x", "first"], ["y"], keepdims=0)]
    first = numpy_helper.from_array(np.array([0], np.int64), "first")
    made = model(nodes, [value("x", ["length", None, 4])], [value("y", [None, 4])], [first])
    workplace.data = ArrayDataset("x", (5, 4), axis=1)
    fixed = workplace.build(FixShapes(batch_size=3), artifact(made, tmp_path / "made"))
    assert declared(fixed) == {"x": (None, 3, 4), "y": (3, 4)}


def test_what_stays_free_is_noted(workplace: Workplace, tmp_path: Path) -> None:
    workplace.build(FixShapes(), encoder_like(tmp_path))
    assert workplace.notes["left_free"] == "a [1, any, 4], b [1, any, 4]: name them in axes or shapes"


@pytest.mark.parametrize(
    ("stage", "reason"),
    [
        (FixShapes(axes={"seq": 5}), r"no free axis 'seq'; it has n, length"),
        (FixShapes(shapes={"c": (1, 5, 4)}), r"no input 'c'; it has a, b"),
        (FixShapes(shapes={"a": (1, 5, 3)}), r"input 'a' is a \[any, any, 4\], which \[1, 5, 3\] does not fit"),
    ],
)
def test_what_does_not_fit_is_refused(workplace: Workplace, tmp_path: Path, stage: FixShapes, reason: str) -> None:
    with pytest.raises(StageFailed, match=reason):
        workplace.build(stage, encoder_like(tmp_path))


def test_a_model_that_is_fixed_stays_or_is_refused(workplace: Workplace, onnx_model: Artifact) -> None:
    fixed = workplace.build(FixShapes(batch_size=4), onnx_model, "fixed")
    with pytest.raises(Unchanged, match="its shapes are fixed already"):
        workplace.build(FixShapes(batch_size=4), fixed, "again")
    with pytest.raises(Skipped, match="batch is fixed at 4 already: batch_size=4 fixes its other axes"):
        workplace.build(FixShapes(), fixed, "other")


def test_weights_beside_the_model_stay_beside_it(workplace: Workplace, tmp_path: Path) -> None:
    source = encoder_like(tmp_path)
    onnx.save(onnx.load(source.onnx_path), source.onnx_path, save_as_external_data=True, location="w", size_threshold=0)
    fixed = workplace.build(FixShapes(axes={"length": 5}), source)
    assert (fixed.path / "w").read_bytes() == (source.path / "w").read_bytes()
    check_output(source, fixed, 1e-5, {"a": numbers(6, 5, 4), "b": numbers(6, 5, 4)})
