"""A stage's output proves itself."""

from __future__ import annotations

import shutil
from pathlib import Path
from typing import Any

import numpy as np
import onnx
import pytest
from numpy.typing import NDArray
from onnx import TensorProto, helper

from pipeline.artifact import Artifact
from pipeline.errors import StageFailed
from pipeline.stages.check import check_output, run
from tests.stages.models import Workplace, resnet, resnet_spec

Feed = dict[str, NDArray[Any]]


def graph_artifact(folder: Path, *nodes: onnx.NodeProto, shape: tuple[Any, ...] = ("batch", 2)) -> Artifact:
    """A model from x to y."""
    values = [helper.make_tensor_value_info(name, TensorProto.FLOAT, shape) for name in ("x", "y")]
    graph = helper.make_graph(list(nodes), "graph", values[:1], values[1:])
    opsets = [helper.make_opsetid("", 18), helper.make_opsetid("nowhere", 1)]
    model = helper.make_model(graph, opset_imports=opsets, ir_version=10)
    folder.mkdir()
    onnx.save(model, folder / "model.onnx")
    return Artifact(folder, "onnx", "")


def node(op_type: str) -> onnx.NodeProto:
    return helper.make_node(op_type, ["x"], ["y"])


X = {"x": np.array([[1.0, 2.0], [3.0, 4.0], [0.0, -5.0]], np.float32)}


def test_the_same_model_has_no_drift(tmp_path: Path) -> None:
    first = graph_artifact(tmp_path / "a", node("Identity"))
    second = graph_artifact(tmp_path / "b", node("Identity"))
    assert check_output(first, second, 1e-6, X) == {
        "sqnr_db": None,
        "cosine": pytest.approx(1.0),
        "cosine_min": pytest.approx(1.0),
        "max_abs": 0.0,
        "worst_example": 0,
    }


def test_drift_is_what_the_definitions_say(tmp_path: Path) -> None:
    drift = check_output(
        graph_artifact(tmp_path / "a", node("Identity")), graph_artifact(tmp_path / "b", node("Relu")), None, X
    )
    assert drift["sqnr_db"] == pytest.approx(10 * np.log10(55 / 25))
    assert drift["max_abs"] == 5.0
    assert drift["worst_example"] == 2
    # Relu turns the third example into zero, which has no angle to anything.
    assert drift["cosine"] == pytest.approx(1.0)


def test_an_exact_stage_must_stay_within_its_tolerance(tmp_path: Path) -> None:
    source, output = graph_artifact(tmp_path / "a", node("Identity")), graph_artifact(tmp_path / "b", node("Relu"))
    with pytest.raises(StageFailed, match=r"output 0 differs .* by up to 5, where the largest output is 5"):
        check_output(source, output, 1e-4, X)
    check_output(source, output, 1.0, X)


def test_values_that_became_infinite_are_refused(tmp_path: Path) -> None:
    source, output = graph_artifact(tmp_path / "a", node("Identity")), graph_artifact(tmp_path / "b", node("Log"))
    with pytest.raises(StageFailed, match=r"output 0 is not finite .* first for example 2"):
        check_output(source, output, None, X)
    check_output(output, output, None, X)


def test_a_changed_shape_is_refused(tmp_path: Path, workplace: Workplace, torch_model: Artifact, feed: Feed) -> None:
    spec = resnet_spec()
    spec.factory["num_classes"] = 7  # type: ignore[index]
    other = workplace.torch(resnet(spec), spec)
    with pytest.raises(StageFailed, match=r"outputs' shapes .* changed from \[\[4\]\] to \[\[7\]\]"):
        check_output(torch_model, other, None, feed)


def test_a_model_that_breaks_the_onnx_rules_is_refused(tmp_path: Path) -> None:
    source = graph_artifact(tmp_path / "a", node("Identity"))
    broken = graph_artifact(tmp_path / "b", helper.make_node("Relu", ["nothing"], ["y"]))
    with pytest.raises(StageFailed, match=r"the output is not a valid ONNX model: .*topologically sorted"):
        check_output(source, broken, None, X)


def test_a_model_that_onnxruntime_does_not_load_is_refused(tmp_path: Path) -> None:
    source = graph_artifact(tmp_path / "a", node("Identity"))
    foreign = helper.make_node("NoSuchOperator", ["x"], ["y"], domain="nowhere")
    unknown = graph_artifact(tmp_path / "b", foreign)
    with pytest.raises(StageFailed, match=r"ONNX Runtime can't load model.onnx: .*nowhere"):
        check_output(source, unknown, None, X)


def test_data_without_the_models_input_is_refused_with_what_there_is(torch_model: Artifact, image: Any) -> None:
    with pytest.raises(StageFailed, match=r"no input 'image', which the model reads: the data has picture"):
        run(torch_model, {"picture": image})


@pytest.mark.parametrize("model", ["torch_model", "onnx_model"])
def test_data_of_the_wrong_shape_is_refused(model: str, request: pytest.FixtureRequest) -> None:
    artifact: Artifact = request.getfixturevalue(model)
    with pytest.raises(StageFailed, match="can't run"):
        run(artifact, {"image": np.zeros((2, 3, 12, 12), np.float32)})


def test_a_fixed_batch_is_filled_up(tmp_path: Path) -> None:
    fixed = graph_artifact(tmp_path / "a", node("Neg"), shape=(2, 2))
    (found,) = run(fixed, X)
    assert (found == -X["x"]).all()


def test_outputs_without_a_batch_axis_are_refused(tmp_path: Path) -> None:
    mean = helper.make_node("ReduceMean", ["x"], ["y"], keepdims=0)
    source = graph_artifact(tmp_path / "a", mean, shape=("a", "b"))
    with pytest.raises(StageFailed, match="axis 0 must be the batch"):
        run(source, X)


def test_checking_leaves_the_artifacts_as_they_are(tmp_path: Path, onnx_model: Artifact, feed: Feed) -> None:
    copy = Artifact(tmp_path / "copy", "onnx", "")
    shutil.copytree(onnx_model.path, copy.path)
    check_output(onnx_model, copy, 1e-6, feed)
    assert [path.name for path in copy.path.iterdir()] == ["model.onnx"]
    assert copy.onnx_path.read_bytes() == onnx_model.onnx_path.read_bytes()
