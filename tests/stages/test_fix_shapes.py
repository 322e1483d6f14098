"""Fixed shapes: the batch and named axes are written into the model, and all shapes follow."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import numpy as np
import onnx
import pytest
from numpy.typing import NDArray
from onnx import helper, numpy_helper

from pipeline.artifact import Artifact, folder_digest
from pipeline.artifact.onnx_graph import fixed_batch_of, shape_of
from pipeline.artifact.proof import check_output
from pipeline.artifact.run import ran
from pipeline.data.batches import Inputs
from pipeline.data.dataset import Split, SplitName
from pipeline.errors import StageFailed, Unchanged
from pipeline.stages.fix_shapes import FixShapes
from pipeline.stages.quantize_static import QuantizeStatic
from tests.importing.graphs import model, numbers, save, value, weight
from tests.stages.models import ArrayDataset, TextDataset, Workplace, sentences
from tests.stages.onnx_models import saved


@dataclass(frozen=True)
class Arrays:
    """The same arrays in every split, the examples first."""

    arrays: Mapping[str, NDArray[Any]]
    axes: Mapping[str, int | None] = field(default_factory=dict)
    name: str = "arrays"
    calibration_size: int = 40
    class_names: Sequence[str] = ()

    def split(self, name: SplitName) -> Split:
        return Split(Inputs(dict(self.arrays), self.axes))


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


def test_free_axes_take_the_sizes_of_the_data(workplace: Workplace, tmp_path: Path) -> None:
    workplace.data = Arrays({name: numbers(6, 5, 4) for name in "ab"})
    source = encoder_like(tmp_path)
    fixed = workplace.build(FixShapes(batch_size=2), source)
    assert declared(fixed) == {"a": (2, 5, 4), "b": (2, 5, 4), "y": (2, 5, 3)}
    assert "left_free" not in workplace.notes
    check_output(source, fixed, 1e-5, workplace.context().sample(6))


def test_named_sizes_come_before_those_of_the_data(workplace: Workplace, tmp_path: Path) -> None:
    workplace.data = Arrays({name: numbers(6, 5, 4) for name in "ab"})
    source = encoder_like(tmp_path)
    named = workplace.build(FixShapes(axes={"length": 7}), source, "named")
    whole = workplace.build(FixShapes(shapes={"a": (None, 7, 4)}), source, "whole")
    assert declared(named) == declared(whole) == {"a": (1, 7, 4), "b": (1, 7, 4), "y": (1, 7, 3)}


def test_a_value_that_serves_the_whole_call_gets_its_size(workplace: Workplace, tmp_path: Path) -> None:
    nodes = [helper.make_node("Add", ["x", "shift"], ["y"])]
    inputs = [value("x", ["n", "length"]), value("shift", ["size"])]
    source = artifact(model(nodes, inputs, [value("y", ["n", "length"])], []), tmp_path / "made")
    workplace.data = Arrays({"x": numbers(6, 4), "shift": np.ones((6, 4), np.float32)}, {"shift": None})
    fixed = workplace.build(FixShapes(batch_size=2), source)
    assert declared(fixed) == {"x": (2, 4), "shift": (4,), "y": (2, 4)}
    check_output(source, fixed, 1e-5, workplace.context().sample(6))


def test_two_inputs_with_one_name_for_two_sizes_get_each_its_own(workplace: Workplace, tmp_path: Path) -> None:
    nodes = [helper.make_node("Add", ["x", "shift"], ["y"])]
    inputs = [value("x", ["n", "size"]), value("shift", ["n", "size"])]
    source = artifact(model(nodes, inputs, [value("y", ["n", None])], []), tmp_path / "made")
    workplace.data = Arrays({"x": numbers(6, 4), "shift": numbers(6, 1)})
    fixed = workplace.build(FixShapes(), source)
    assert declared(fixed) == {"x": (1, 4), "shift": (1, 1), "y": (1, 4)}


def test_an_input_without_a_declared_shape_gets_that_of_the_data(workplace: Workplace, tmp_path: Path) -> None:
    made = model([helper.make_node("Relu", ["x"], ["y"])], [value("x", ["n", 4])], [value("y", ["n", 4])], [])
    made.graph.input[0].type.tensor_type.ClearField("shape")
    workplace.data = Arrays({"x": numbers(6, 4)})
    fixed = workplace.build(FixShapes(batch_size=3), artifact(made, tmp_path / "made"))
    assert declared(fixed) == {"x": (3, 4), "y": (3, 4)}


def test_the_batch_is_fixed_on_the_axis_that_the_data_has_it_on(workplace: Workplace, tmp_path: Path) -> None:
    nodes = [helper.make_node("ReduceSum", ["x", "first"], ["y"], keepdims=0)]
    first = numpy_helper.from_array(np.array([0], np.int64), "first")
    made = model(nodes, [value("x", ["length", None, 4])], [value("y", [None, 4])], [first])
    workplace.data = ArrayDataset("x", (5, 4), axis=1)
    source = artifact(made, tmp_path / "made")
    batch = workplace.build(FixShapes(batch_size=3, from_data=False), source, "batch")
    assert declared(batch) == {"x": (None, 3, 4), "y": (3, 4)}
    fixed = workplace.build(FixShapes(batch_size=3), source, "all")
    assert declared(fixed) == {"x": (5, 3, 4), "y": (3, 4)}


def test_what_stays_free_is_noted(workplace: Workplace, tmp_path: Path) -> None:
    workplace.build(FixShapes(from_data=False), encoder_like(tmp_path))
    assert workplace.notes["left_free"] == (
        "a [1, any, 4], b [1, any, 4]: name them in axes or shapes, or set from_data=true"
    )


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
    with pytest.raises(Unchanged, match="batch is fixed at 4 already: batch_size=4 fixes its other axes"):
        workplace.build(FixShapes(), fixed, "other")


def test_weights_beside_the_model_stay_beside_it(workplace: Workplace, tmp_path: Path) -> None:
    source = encoder_like(tmp_path)
    onnx.save(onnx.load(source.onnx_path), source.onnx_path, save_as_external_data=True, location="w", size_threshold=0)
    fixed = workplace.build(FixShapes(axes={"length": 5}), source)
    assert (fixed.path / "w").read_bytes() == (source.path / "w").read_bytes()
    check_output(source, fixed, 1e-5, {"a": numbers(6, 5, 4), "b": numbers(6, 5, 4)})


def test_a_quantized_model_may_get_other_integer_kernels(workplace: Workplace, onnx_encoder: Artifact) -> None:
    """ONNX Runtime makes a Gemm of a product and a sum where it knows the shapes, and rounds at another place then."""
    workplace.data = TextDataset()
    quantized = workplace.build(QuantizeStatic(), onnx_encoder, "quantized")
    fixed = workplace.build(FixShapes(batch_size=1), quantized, "fixed")
    feed = sentences()
    [before], [after] = (ran(each, feed).outputs for each in (quantized, fixed))
    assert np.abs(before - after).max() > FixShapes.tolerance * np.abs(before).max(), "the kernels are others"
    check_output(quantized, fixed, FixShapes.tolerance, feed)


def test_a_quantized_model_that_computes_something_else_is_refused(
    workplace: Workplace, onnx_encoder: Artifact
) -> None:
    workplace.data = TextDataset()
    quantized = workplace.build(QuantizeStatic(), onnx_encoder, "quantized")
    changed = onnx.load(quantized.onnx_path)
    tensors = {tensor.name: tensor for tensor in changed.graph.initializer}
    pairs = [node.input for node in changed.graph.node if node.op_type == "DequantizeLinear"]
    first = next(scale for values, scale, _ in pairs if values in tensors and len(tensors[values].dims) == 2)
    scale = tensors[first]
    scale.CopyFrom(numpy_helper.from_array(numpy_helper.to_array(scale) * np.float32(1.1), first))
    broken = saved(changed, workplace.folder / "changed")
    with pytest.raises(StageFailed, match="differs from its source's"):
        check_output(quantized, broken, FixShapes.tolerance, sentences())
