"""One layer quantized, the others in float, from that layer on."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace
from pathlib import Path

import numpy as np
import onnx
import onnxruntime
import pytest
from onnx import TensorProto, helper

from pipeline.artifact import Artifact
from pipeline.artifact.proof import drift
from pipeline.artifact.run import Outputs, run, session_at
from pipeline.data.batches import Feed
from pipeline.stages.quantization.alone import Alone
from pipeline.stages.quantization.calibrated import Calibrated
from pipeline.stages.quantization.nodes import products
from pipeline.stages.quantization.simulated import Simulated
from pipeline.stages.quantize_static import QuantizeStatic
from tests.stages import onnx_models as graphs
from tests.stages.models import ArrayDataset, Workplace

STATIC = QuantizeStatic(compensation="none", min_sqnr_db=None)


class Trial:
    """A model, ready for its layers to be quantized one at a time."""

    def __init__(self, workplace: Workplace, source: Artifact, static: QuantizeStatic = STATIC) -> None:
        self.static, self.workplace, self.source = static, workplace, source
        self.context = workplace.context()
        self.calibrated: Calibrated = static.settled(source, workplace.new("whole"), self.context, None)
        self.quantized = onnx.load(workplace.folder / "whole" / "model.onnx")
        self.loaded: list[onnx.ModelProto] = []

    def session(self, part: onnx.ModelProto) -> onnxruntime.InferenceSession:
        self.loaded.append(part)
        path = self.workplace.folder / "part.onnx"
        onnx.save(part, path)
        return session_at(path, integers=False)

    def alone(self, size: int = 16, most_bytes: int = 2**30) -> Alone:
        return Alone(
            model=self.calibrated.model,
            simulated=Simulated(onnx.ModelProto.FromString(self.quantized.SerializeToString())),
            session=self.session,
            size=size,
            most_bytes=most_bytes,
        )

    @property
    def names(self) -> list[str]:
        return [node.name for node in products(self.calibrated.model)]

    def whole(self, name: str, feed: Feed) -> Outputs:
        """The slow way: the whole model with every other node excluded, run as it is written."""
        others = [node.name for node in self.calibrated.model.graph.node if node.name != name]
        out = self.workplace.new(f"alone-{len(list(self.workplace.folder.iterdir()))}")
        self.static.write(self.calibrated, others, out, self.context)
        return run(Artifact(out, "onnx", ""), feed)


def test_a_layer_by_itself_does_what_it_does_in_a_model_that_is_else_in_float(
    workplace: Workplace, onnx_model: Artifact
) -> None:
    trial = Trial(workplace, onnx_model)
    feed = trial.context.feed("validation")
    own = run(onnx_model, feed)
    found = dict(trial.alone().outputs(trial.names, feed))
    assert list(found) == trial.names
    for name, outputs in found.items():
        assert outputs is not None
        near, far = (drift(own, other)["sqnr_db"] for other in (outputs, trial.whole(name, feed)))
        assert near == pytest.approx(far, abs=3.0), name


def test_what_comes_before_a_layer_runs_once(workplace: Workplace, onnx_model: Artifact) -> None:
    trial = Trial(workplace, onnx_model)
    every = {node.name for node in trial.calibrated.model.graph.node}
    list(trial.alone().outputs(trial.names, trial.context.feed("validation")))
    ran = [{node.name for node in part.graph.node} & every for part in trial.loaded]
    last = trial.names[-1]
    assert len(ran[-1]) < 4, "the last layer's trial has the last layer, and what is behind it"
    assert sum(trial.names[0] in names for names in ran) == 2, "the first layer's trial, and the way to the second"
    assert sum(last in names for names in ran) == len(trial.names)


def test_a_layer_that_stays_in_float_is_not_run(workplace: Workplace, onnx_model: Artifact) -> None:
    trial = Trial(workplace, onnx_model, replace(STATIC, exclude_op_types=("Gemm",)))
    found = dict(trial.alone().outputs(trial.names, trial.context.feed("validation")))
    assert [name for name, outputs in found.items() if outputs is None] == trial.names[-1:]


def test_fewer_examples_run_where_the_values_between_layers_take_too_much(
    workplace: Workplace, onnx_model: Artifact
) -> None:
    trial = Trial(workplace, onnx_model)
    feed = trial.context.feed("validation")
    every, few = (dict(trial.alone(8, most).outputs(trial.names, feed)) for most in (2**30, 10_000))
    for name in trial.names[1:]:
        one, other = every[name], few[name]
        assert one is not None
        assert other is not None
        assert (len(one[0]), len(other[0])) == (32, 8)
        np.testing.assert_allclose(one[0][:8], other[0], rtol=1e-4, atol=1e-5)


def chained(nodes: Callable[[str, str], list[onnx.NodeProto]]) -> onnx.ModelProto:
    """Two products, and something between them."""
    every = [
        helper.make_node("MatMul", ["x", "w0"], ["a"], name="first"),
        *nodes("a", "b"),
        helper.make_node("MatMul", ["b", "w1"], ["c"], name="second"),
        helper.make_node("Add", ["c", "a"], ["y"], name="sum"),
    ]
    weights = [graphs.weight("w0", 20, 12), graphs.weight("w1", 12, 12)]
    return graphs.graph_model(every, ("n", 20), ("n", 12), weights)


def halves(source: str, made: str) -> list[onnx.NodeProto]:
    """By way of a sequence, which is no array that could be handed on."""
    zero, one = (
        helper.make_node("Constant", [], [f"{made}_{at}"], value=helper.make_tensor("v", TensorProto.INT64, [], [at]))
        for at in (0, 1)
    )
    return [
        zero,
        one,
        helper.make_node("SplitToSequence", [source], [f"{made}_s"], axis=1, keepdims=1, name="split"),
        helper.make_node("ConcatFromSequence", [f"{made}_s"], [made], axis=1, name="join"),
        helper.make_node("Relu", [made], [f"{made}_kept"], name="kept"),
    ]


def branch(source: str, made: str) -> list[onnx.NodeProto]:
    """An If whose graphs read a value from outside."""
    yes = helper.make_graph(
        [helper.make_node("Relu", [source], ["yes"])], "yes", [], [helper.make_tensor_value_info("yes", 1, None)]
    )
    no = helper.make_graph(
        [helper.make_node("Neg", [source], ["no"])], "no", [], [helper.make_tensor_value_info("no", 1, None)]
    )
    truth = helper.make_tensor("t", TensorProto.BOOL, [], [True])
    return [
        helper.make_node("Constant", [], [f"{made}_t"], value=truth),
        helper.make_node("If", [f"{made}_t"], [made], then_branch=yes, else_branch=no, name="if"),
    ]


@pytest.mark.parametrize("between", [halves, branch])
def test_whatever_stands_between_two_layers(
    workplace: Workplace, tmp_path: Path, between: Callable[[str, str], list[onnx.NodeProto]]
) -> None:
    source = graphs.saved(chained(between), tmp_path / "model")
    workplace.data = ArrayDataset("x", (20,))
    trial = Trial(workplace, source)
    feed = trial.context.feed("validation")
    own = run(source, feed)
    for name, outputs in trial.alone().outputs(trial.names, feed):
        assert outputs is not None, name
        assert 25 < drift(own, outputs)["sqnr_db"] < 60, name
