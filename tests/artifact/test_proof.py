"""A stage's output proves itself."""

from __future__ import annotations

import itertools
import shutil
import time
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np
import onnx
import pytest
from numpy.typing import NDArray
from onnx import TensorProto, helper

from pipeline.artifact import ONNX_FILE, Artifact
from pipeline.artifact.proof import CHECK_S, Floor, check_output
from pipeline.artifact.run import ran, run
from pipeline.errors import StageFailed
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
    with pytest.raises(StageFailed, match=r"output 'y' differs .* by up to 5, where the largest output is 5"):
        check_output(source, output, 1e-4, X)
    check_output(source, output, 1.0, X)


def test_values_that_became_infinite_are_refused(tmp_path: Path) -> None:
    source, output = graph_artifact(tmp_path / "a", node("Identity")), graph_artifact(tmp_path / "b", node("Log"))
    with pytest.raises(StageFailed, match=r"output 'y' is not finite .* first for example 2"):
        check_output(source, output, None, X)
    check_output(output, output, None, X)


def test_a_changed_shape_is_refused(tmp_path: Path, workplace: Workplace, torch_model: Artifact, feed: Feed) -> None:
    spec = resnet_spec()
    spec.factory["num_classes"] = 7  # type: ignore[index]
    other = workplace.torch(resnet(spec), spec)
    with pytest.raises(StageFailed, match=r"output 'logits' changed its shape .* from \[4\] to \[7\]"):
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


def wide_artifact(folder: Path, nodes: Sequence[onnx.NodeProto], *outputs: str) -> Artifact:
    """A model from x [N, 2] to outputs of no declared shape."""
    graph = helper.make_graph(
        list(nodes),
        "graph",
        [helper.make_tensor_value_info("x", TensorProto.FLOAT, ["batch", 2])],
        [helper.make_tensor_value_info(name, TensorProto.FLOAT, None) for name in outputs],
    )
    folder.mkdir()
    onnx.save(helper.make_model(graph, opset_imports=[helper.make_opsetid("", 18)], ir_version=10), folder / ONNX_FILE)
    return Artifact(folder, "onnx", "")


def test_outputs_without_a_batch_axis_are_left_out_by_name(tmp_path: Path) -> None:
    nodes = [helper.make_node("ReduceMean", ["x"], ["mean"], keepdims=0), helper.make_node("Neg", ["x"], ["y"])]
    source = wide_artifact(tmp_path / "a", nodes, "mean", "y")
    drift = check_output(source, wide_artifact(tmp_path / "b", nodes, "mean", "y"), 1e-6, X)
    assert drift["max_abs"] == 0.0
    assert drift["not_compared"] == ["'mean': no axis of its shape [] is the batch of 3"]


def test_a_model_none_of_whose_outputs_has_a_batch_is_not_refused(tmp_path: Path) -> None:
    source = wide_artifact(tmp_path / "a", [helper.make_node("ReduceMean", ["x"], ["y"], keepdims=0)], "y")
    drift = check_output(source, source, None, X)
    assert drift["sqnr_db"] is None
    assert len(drift["not_compared"]) == 1


def test_the_batch_may_lie_on_another_axis(tmp_path: Path) -> None:
    nodes = [helper.make_node("Transpose", ["x"], ["state"], perm=[1, 0])]
    state = wide_artifact(tmp_path / "a", nodes, "state")
    (found,) = run(state, X)
    np.testing.assert_array_equal(found, X["x"])
    nodes = [helper.make_node("Neg", ["x"], ["n"]), helper.make_node("Transpose", ["n"], ["state"], perm=[1, 0])]
    assert check_output(state, wide_artifact(tmp_path / "b", nodes, "state"), None, X)["max_abs"] == 10.0


def test_a_model_with_a_batch_of_one_written_inside_is_run_one_by_one(tmp_path: Path) -> None:
    nodes = [
        helper.make_node("Constant", [], ["shape"], value_ints=[1, 2]),
        helper.make_node("Reshape", ["x", "shape"], ["y"]),
    ]
    (found,) = run(wide_artifact(tmp_path / "a", nodes, "y"), X)
    np.testing.assert_array_equal(found, X["x"])


def test_an_output_that_has_lost_its_batch_is_refused(tmp_path: Path) -> None:
    source = wide_artifact(tmp_path / "a", [helper.make_node("Neg", ["x"], ["y"])], "y")
    mean = [helper.make_node("ReduceMean", ["x"], ["y"], keepdims=0)]
    with pytest.raises(StageFailed, match="output 'y' can't be compared with its source's any more: no axis"):
        check_output(source, wide_artifact(tmp_path / "b", mean, "y"), None, X)


def test_a_broken_output_is_refused_and_the_message_says_how_to_keep_it(tmp_path: Path) -> None:
    """Each output is judged alone: a broken small one does not hide behind a large one."""
    hundred = helper.make_node("Constant", [], ["hundred"], value_float=100.0)
    large = [hundred, helper.make_node("Mul", ["x", "hundred"], ["large"])]
    source = wide_artifact(tmp_path / "a", [*large, helper.make_node("Identity", ["x"], ["y"])], "large", "y")
    broken = wide_artifact(tmp_path / "b", [*large, helper.make_node("Abs", ["x"], ["y"])], "large", "y")
    floor = Floor(sqnr_db=3.0, override="variants.v.stages.quantize.min_sqnr_db")
    with pytest.raises(StageFailed) as refused:
        check_output(source, broken, None, X, floor)
    assert str(refused.value) == (
        "output 'y' is no longer its source's: the signal lies -2.6 dB above the error (SQNR, 3 examples), where at "
        "least 3 dB are asked for. To keep such a model: variants.v.stages.quantize.min_sqnr_db=null"
    )
    assert check_output(source, broken, None, X)["sqnr_db"] > 30
    check_output(source, broken, None, X, Floor(sqnr_db=-3.0, override=""))


def test_checking_leaves_the_artifacts_as_they_are(tmp_path: Path, onnx_model: Artifact, feed: Feed) -> None:
    copy = Artifact(tmp_path / "copy", "onnx", "")
    shutil.copytree(onnx_model.path, copy.path)
    check_output(onnx_model, copy, 1e-6, feed)
    assert [path.name for path in copy.path.iterdir()] == ["model.onnx"]
    assert copy.onnx_path.read_bytes() == onnx_model.onnx_path.read_bytes()


def test_a_model_of_a_fixed_batch_is_compared_in_calls_of_its_size(tmp_path: Path) -> None:
    """Here each result depends on the other examples of its call."""
    total = helper.make_node("ReduceSum", ["x"], ["total"], keepdims=0)
    nodes = [total, helper.make_node("Mul", ["x", "total"], ["y"])]
    source = graph_artifact(tmp_path / "a", *nodes)
    fixed = graph_artifact(tmp_path / "b", *nodes, shape=(1, 2))
    assert check_output(source, fixed, 1e-6, X)["max_abs"] == 0.0


def test_each_model_is_run_once(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """A model of 300 MB takes seconds each time, and a search has little time."""
    source = graph_artifact(tmp_path / "a", node("Relu"))
    fixed = graph_artifact(tmp_path / "b", node("Relu"), shape=(1, 2))
    calls: list[Artifact] = []

    def counted(artifact: Artifact, *arguments: Any, **settings: Any) -> Any:
        calls.append(artifact)
        return ran(artifact, *arguments, **settings)

    monkeypatch.setattr("pipeline.artifact.proof.ran", counted)
    check_output(source, fixed, 1e-6, X)
    assert calls == [source, fixed]


@pytest.mark.parametrize(("call_s", "examples"), [(0.001, None), (CHECK_S / 2, 32), (2 * CHECK_S, 16)])
def test_a_slow_model_is_checked_on_as_many_examples_as_there_is_time_for(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, call_s: float, examples: int | None
) -> None:
    clock = itertools.count()
    monkeypatch.setattr(time, "monotonic", lambda: call_s * next(clock))
    values = np.random.default_rng(0).uniform(-0.5, 0.5, (64, 2)).astype(np.float32)
    values[40] = -1e3  # seen only where all examples are
    first, second = (graph_artifact(tmp_path / kind, node(kind)) for kind in ("Identity", "Relu"))
    found = check_output(first, second, None, {"x": values})
    assert found.get("examples") == examples
    assert (found["max_abs"] > 1) == (examples is None)
