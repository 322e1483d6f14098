"""A slow model's output is checked on as many examples as a few seconds allow."""

from __future__ import annotations

import itertools
import time
from pathlib import Path

import numpy as np
import pytest
from onnx import TensorProto, helper, save

from pipeline.artifact import Artifact
from pipeline.artifact.proof import CHECK_S, check_output


def model(folder: Path, factor: float) -> Artifact:
    folder.mkdir()
    constant = helper.make_tensor("k", TensorProto.FLOAT, [1], [factor])
    graph = helper.make_graph(
        [helper.make_node("Mul", ["x", "k"], ["y"])],
        "scale",
        [helper.make_tensor_value_info("x", TensorProto.FLOAT, ["n", 3])],
        [helper.make_tensor_value_info("y", TensorProto.FLOAT, ["n", 3])],
        [constant],
    )
    save(helper.make_model(graph, opset_imports=[helper.make_opsetid("", 17)], ir_version=10), folder / "model.onnx")
    return Artifact(folder, "onnx", "")


@pytest.mark.parametrize(("call_s", "examples"), [(0.001, None), (CHECK_S / 2, 32), (2 * CHECK_S, 16)])
def test_the_examples_are_as_many_as_there_is_time_for(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, call_s: float, examples: int | None
) -> None:
    clock = itertools.count()
    monkeypatch.setattr(time, "monotonic", lambda: call_s * next(clock))
    feed = {"x": np.random.default_rng(0).normal(size=(64, 3)).astype(np.float32)}
    feed["x"][40] = 1e3  # seen only where all examples are
    found = check_output(model(tmp_path / "a", 1.0), model(tmp_path / "b", 1.01), None, feed)
    assert found.get("examples") == examples
    assert (found["max_abs"] > 1) == (examples is None)
