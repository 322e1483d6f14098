"""Reading ONNX Runtime's profile."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest

from pipeline.backends.onnxruntime import OnnxRuntime
from pipeline.backends.onnxruntime.profile import read_profile
from pipeline.measure.probe import probe_feed, write_probe
from pipeline.plan import Profiler, Target

TARGET = Target(name="ort_cpu", backend=OnnxRuntime())


def run(ts: int, dur: int) -> dict[str, Any]:
    return {"cat": "Session", "ph": "X", "name": "model_run", "ts": ts, "dur": dur}


def kernel(ts: int, dur: int, name: str = "conv", op: str = "Conv", kind: str = "float") -> dict[str, Any]:
    arguments = {"op_name": op, "provider": "CPUExecutionProvider", "input_type_shape": [{kind: [1, 3]}]}
    return {"cat": "Node", "ph": "X", "name": f"{name}_kernel_time", "ts": ts, "dur": dur, "args": arguments}


def test_means_are_taken_over_the_calls_after_the_warm_ones() -> None:
    events = [run(0, 900), kernel(10, 800), run(1000, 100), kernel(1010, 60), run(2000, 200), kernel(2010, 100)]
    found = read_profile(events, warm=1)
    assert (found["calls"], found["call_ms"]) == (2, 0.15)
    (node,) = found["nodes"]
    assert node == {
        "name": "conv",
        "op": "Conv",
        "provider": "CPUExecutionProvider",
        "type": "float",
        "ms": pytest.approx(0.08),
    }


def test_what_is_no_kernel_is_left_out() -> None:
    events = [run(0, 100), {"cat": "Node", "ph": "X", "name": "conv_fence_before", "ts": 1, "dur": 5}, {"ph": "M"}]
    assert read_profile(events, warm=0)["nodes"] == []


def test_a_node_without_inputs_has_no_type() -> None:
    event = kernel(1, 5)
    event["args"]["input_type_shape"] = []
    assert read_profile([run(0, 9), event], warm=0)["nodes"][0]["type"] == ""


def test_a_profile_of_warm_calls_only_is_refused() -> None:
    with pytest.raises(ValueError, match="no more than 2 calls"):
        read_profile([run(0, 9), run(10, 9)], warm=2)


def test_a_real_session_tells_its_operators(tmp_path: Any) -> None:
    backend = OnnxRuntime()
    assert isinstance(backend, Profiler)
    found = backend.profile(write_probe(tmp_path / "probe"), TARGET, probe_feed(), 5)
    assert found["calls"] == 5
    assert {node["type"] for node in found["nodes"] if "Conv" in node["op"]} == {"float"}
    assert {node["provider"] for node in found["nodes"]} == {"CPUExecutionProvider"}
    assert 0 < np.sum([node["ms"] for node in found["nodes"]]) <= found["call_ms"]
    assert found["channels"] == [32, 32]
