"""OpenVINO's CPU plugin."""

from __future__ import annotations

from importlib.util import find_spec
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from onnx import TensorProto, helper

from pipeline.backends.onnxruntime import OnnxRuntime
from pipeline.backends.openvino import OpenVino
from pipeline.backends.openvino import backend as openvino
from pipeline.backends.openvino.backend import properties
from pipeline.errors import BackendUnavailable, UserError
from pipeline.libraries.telemetry import without_telemetry
from pipeline.measure.probe import probe_feed, write_probe
from pipeline.plan import Target
from tests.stages.onnx_models import graph_model, saved

INSTALLED = pytest.mark.skipif(find_spec("openvino") is None, reason="needs the extra openvino")


def target(**more: Any) -> Target:
    return Target(name="openvino_cpu", backend=OpenVino(), **more)


@INSTALLED
def test_it_computes_what_onnxruntime_computes(tmp_path: Path) -> None:
    probe = write_probe(tmp_path / "probe")
    mine = OpenVino().load(probe, target())(probe_feed())
    theirs = OnnxRuntime().load(probe, Target(name="ort_cpu", backend=OnnxRuntime()))(probe_feed())
    assert [array.shape for array in mine] == [array.shape for array in theirs]
    np.testing.assert_allclose(mine[0], theirs[0], rtol=1e-3, atol=1e-4)


@INSTALLED
def test_outputs_outlive_the_next_call(tmp_path: Path) -> None:
    session = OpenVino().load(write_probe(tmp_path / "probe"), target())
    first = session(probe_feed())[0]
    kept = first.copy()
    session({"image": np.zeros((1, 1, 28, 28), np.float32)})
    np.testing.assert_array_equal(first, kept)


@INSTALLED
def test_a_precision_that_the_processor_lacks_is_a_reason(monkeypatch: pytest.MonkeyPatch) -> None:
    library = without_telemetry("openvino")
    monkeypatch.setattr(library.Core, "get_property", lambda self, device, name: ["FP32", "INT8"])
    with pytest.raises(BackendUnavailable, match=r"this processor computes no BF16 \(it has FP32, INT8\)"):
        OpenVino().check(target(session={"precision": "bf16"}))


@INSTALLED
def test_it_runs_here() -> None:
    OpenVino().check(target())


def test_without_openvino_it_says_what_to_install(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(openvino, "find_spec", lambda name: None)
    with pytest.raises(BackendUnavailable, match="install the extra 'openvino'"):
        OpenVino().check(target())


def test_another_device_is_refused() -> None:
    with pytest.raises(BackendUnavailable, match="only OpenVINO's CPU plugin"):
        OpenVino().check(target(device="cuda"))


@pytest.mark.parametrize(
    ("session", "message"),
    [
        (
            {"precison": "f32"},
            r"session.precison does not exist; did you mean 'precision'\? available: precision, config",
        ),
        ({"precision": "int8"}, "session.precision=int8 does not exist; available: f32, bf16, f16"),
    ],
)
def test_wrong_session_keys_are_named(session: dict[str, Any], message: str) -> None:
    with pytest.raises(UserError, match=message):
        properties(target(session=session))


def test_threads_precision_and_further_properties_reach_the_plugin() -> None:
    found = properties(target(threads=3, session={"precision": "bf16", "config": {"NUM_STREAMS": 2}}))
    assert (found["INFERENCE_NUM_THREADS"], found["INFERENCE_PRECISION_HINT"], found["NUM_STREAMS"]) == (3, "bf16", 2)


@INSTALLED
def test_a_smaller_batch_after_a_larger_one_is_read_as_it_is(tmp_path: Path) -> None:
    """OpenVINO 2026.4 gives garbage here where one request shares both inputs."""
    half = helper.make_node("Cast", ["x"], ["h"], to=TensorProto.FLOAT16)
    back = helper.make_node("Cast", ["h"], ["y"], to=TensorProto.FLOAT)
    model = saved(graph_model([half, back], ("n", 8), ("n", 8), []), tmp_path / "model")
    session = OpenVino().load(model, target())
    for count in (16, 8, 16, 1):
        values = np.random.default_rng(count).standard_normal((count, 8)).astype(np.float32)
        np.testing.assert_allclose(session({"x": values})[0], values, atol=2e-3)
