"""ONNX Runtime's sessions: settings that reach it, and IO binding."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import onnx
import onnxruntime
import pytest
from onnxruntime.transformers.float16 import convert_float_to_float16

from pipeline.artifact import Artifact
from pipeline.backends.onnxruntime import OnnxRuntime, backend
from pipeline.backends.onnxruntime.backend import provider_options, session_options, session_settings
from pipeline.backends.onnxruntime.binding import BoundBatch, BoundSession
from pipeline.errors import BackendUnavailable, UserError
from pipeline.measure.probe import SIZE, write_probe
from pipeline.plan import Enqueuing, Target, as_read
from tests.example import FEATURES, graphs_asked_for, linear_model


def target(threads: int = 1, **session: Any) -> Target:
    return Target(name="ort_cpu", backend=OnnxRuntime(), threads=threads, session=session)


@pytest.fixture(scope="module")
def probe(tmp_path_factory: pytest.TempPathFactory) -> Artifact:
    return write_probe(tmp_path_factory.mktemp("probe") / "model")


def images(count: int, seed: int = 1) -> dict[str, Any]:
    return {"image": np.random.default_rng(seed).standard_normal((count, 1, SIZE, SIZE)).astype(np.float32)}


def test_every_setting_reaches_the_runtimes_options() -> None:
    options = session_options(
        target(3, graph_level="extended", execution_mode="parallel", memory_arena=False, config={"session.x": 1})
    )
    assert options.intra_op_num_threads == 3
    assert options.graph_optimization_level == onnxruntime.GraphOptimizationLevel.ORT_ENABLE_EXTENDED
    assert options.execution_mode == onnxruntime.ExecutionMode.ORT_PARALLEL
    assert options.enable_cpu_mem_arena is False
    assert options.get_session_config_entry("session.x") == "1"


@pytest.mark.parametrize(("session", "stopped"), [({}, True), ({"spinning": False}, True), ({"spinning": True}, False)])
def test_idle_threads_spin_only_where_that_is_asked_for(session: dict[str, Any], stopped: bool) -> None:
    assert ("session.force_spinning_stop" in session_settings(target(**session))["config"]) is stopped


def test_operators_really_run_side_by_side_where_that_is_asked_for(probe: Artifact) -> None:
    """With one thread between operators ONNX Runtime would fall back to one after the other, and say nothing."""
    session = onnxruntime.InferenceSession(str(probe.onnx_path), session_options(target(2, execution_mode="parallel")))
    assert session.get_session_options().execution_mode == onnxruntime.ExecutionMode.ORT_PARALLEL


def test_parallel_execution_on_one_thread_is_refused() -> None:
    with pytest.raises(UserError, match=r"execution_mode=parallel needs threads .* type target.ort_cpu.threads=2"):
        session_settings(target(1, execution_mode="parallel"))


def test_bound_outputs_are_those_of_a_plain_session_at_every_shape(probe: Artifact) -> None:
    plain, bound = OnnxRuntime().load(probe, target()), OnnxRuntime().load(probe, target(io_binding=True))
    assert isinstance(bound, BoundSession)
    for feed in (images(1), images(3), images(1, seed=2), images(3, seed=3)):
        (expected,), (found,) = plain(feed), bound(feed)
        np.testing.assert_array_equal(found, expected)
    assert len(bound.bound) == 2, "the outputs of a shape are allocated once"


def test_bound_outputs_lie_in_the_same_place_and_a_calls_outputs_outlive_the_next(probe: Artifact) -> None:
    session = OnnxRuntime().load(probe, target(io_binding=True))
    assert isinstance(session, BoundSession)
    (first,) = session(images(1))
    kept = first.copy()
    (place,) = next(iter(session.bound.values())).outputs
    before = place.data_ptr()
    session(images(1, seed=2))
    np.testing.assert_array_equal(first, kept)
    (after,) = next(iter(session.bound.values())).binding.get_outputs()
    assert after.data_ptr() == before


def test_inputs_that_do_not_lie_in_one_piece_are_bound_all_the_same(probe: Artifact) -> None:
    feed = {"image": images(2)["image"].transpose(0, 1, 3, 2)}
    assert not feed["image"].flags.c_contiguous
    (expected,) = OnnxRuntime().load(probe, target())(feed)
    (found,) = OnnxRuntime().load(probe, target(io_binding=True))(feed)
    np.testing.assert_array_equal(found, expected)


def test_on_an_accelerator_inputs_keep_their_place_and_are_written_anew(
    probe: Artifact, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The host's memory stands in for the accelerator's."""
    make, bind = onnxruntime.OrtValue.ortvalue_from_numpy, onnxruntime.IOBinding.bind_output
    asked = []

    def make_here(array: Any, device: str, device_id: int) -> Any:
        asked.append((device, device_id))
        return make(array.copy())

    monkeypatch.setattr(onnxruntime.OrtValue, "ortvalue_from_numpy", make_here)
    monkeypatch.setattr(onnxruntime.IOBinding, "bind_output", lambda self, name, device, device_id: bind(self, name))
    plain = onnxruntime.InferenceSession(str(probe.onnx_path))
    session = BoundSession(plain, "cuda", 1)
    for seed in (1, 2):
        (found,) = session(images(2, seed))
        np.testing.assert_allclose(found, plain.run(None, images(2, seed))[0], rtol=1e-5)
    assert asked == [("cuda", 1)], "one place for the input of this shape"


def on_cuda(**session: Any) -> Target:
    return Target(name="ort_cuda", backend=OnnxRuntime(), device="cuda", session=session)


def test_fp32_on_cuda_is_fp32_unless_tf32_is_asked_for() -> None:
    assert provider_options(on_cuda()) == {"use_tf32": "0"}
    assert provider_options(on_cuda(tf32=True)) == {"use_tf32": "1"}
    assert provider_options(on_cuda(nhwc=True, provider_options={"device_id": 1})) == {
        "use_tf32": "0",
        "prefer_nhwc": "1",
        "device_id": 1,
    }


def test_a_cuda_graph_binds_its_inputs_and_outputs() -> None:
    target = on_cuda(cuda_graph=True)
    assert provider_options(target)["enable_cuda_graph"] == "1"
    assert session_settings(target)["io_binding"] is True
    tensorrt = on_cuda(provider="tensorrt", cuda_graph=True)
    assert provider_options(tensorrt) == {"trt_cuda_graph_enable": "1"}


def test_keys_of_nvidias_cards_are_refused_elsewhere() -> None:
    with pytest.raises(UserError, match=r"target.ort_cpu.session.tf32=true is not for the provider cpu"):
        session_settings(target(tf32=True))
    with pytest.raises(UserError, match=r"target.ort_cuda.session.nhwc=true is not for the provider tensorrt"):
        session_settings(on_cuda(provider="tensorrt", nhwc=True))


def test_a_model_that_needs_the_cpu_too_is_no_graph_and_its_operators_are_named(
    probe: Artifact, monkeypatch: pytest.MonkeyPatch
) -> None:
    """What ONNX Runtime says of ResNet-50 in int8 on a card; its CPU stands in for what is left to the CPU there."""
    make = onnxruntime.InferenceSession

    def refused(path: str, options: Any, providers: Any) -> Any:
        if providers[0][1].get("enable_cuda_graph") == "1":
            raise RuntimeError(
                "This session cannot use the graph capture feature as requested by the user as all compute graph nodes "
                "have not been partitioned to the CUDAExecutionProvider"
            )
        return make(path, options, providers=["CPUExecutionProvider"])

    monkeypatch.setattr(onnxruntime, "InferenceSession", refused)
    with pytest.raises(BackendUnavailable, match=r"and here 3 Conv, 3 Relu, 1 \w+ run on the CPU: measure"):
        OnnxRuntime().load(probe, on_cuda(cuda_graph=True))
    monkeypatch.setattr(backend, "_left_to_the_cpu", lambda *_: "")
    with pytest.raises(RuntimeError, match="partitioned"):
        OnnxRuntime().load(probe, on_cuda(cuda_graph=True))


def test_a_batch_is_handed_over_in_the_widths_that_the_model_reads(tmp_path: Path) -> None:
    half = Artifact(tmp_path, "onnx", "")
    model = onnx.load(linear_model(tmp_path / "whole.onnx"))
    onnx.save(convert_float_to_float16(model, keep_io_types=False), half.onnx_path)
    given = {"x": np.ones((2, FEATURES), np.float32)}
    for session in (OnnxRuntime().load(half, target(1, io_binding=bound)) for bound in (False, True)):
        read = as_read(session, given)
        assert read["x"].dtype == np.float16
        assert as_read(session, read) is read, "nothing is copied where nothing changes"
        assert session(read)[0].dtype == np.float16


def test_every_shape_has_a_cuda_graph_of_its_own_and_the_first_call_none(
    probe: Artifact, monkeypatch: pytest.MonkeyPatch
) -> None:
    asked = graphs_asked_for(monkeypatch)
    session = BoundSession(onnxruntime.InferenceSession(str(probe.onnx_path)), "cpu", 0, graph=True)
    for count in (1, 2, 1):
        session(images(count))
    assert asked == ["-1", "0", "-1", "1", "0"]


@pytest.mark.parametrize("io_binding", [False, True])
def test_a_batch_that_lies_on_the_device_is_run_without_handing_over(probe: Artifact, io_binding: bool) -> None:
    """The host stands in for an accelerator."""
    session = OnnxRuntime().load(probe, target(io_binding=io_binding))
    assert isinstance(session, Enqueuing)
    batch = session.resident(images(2))
    assert isinstance(batch, BoundBatch)
    for _ in range(3):
        batch.enqueue()
    batch.wait()
    (expected,) = session(images(2))
    np.testing.assert_allclose(batch.bound.outputs[0].numpy(), expected, rtol=1e-5)
    assert batch.bound.options.get_run_config_entry("disable_synchronize_execution_providers") == "1"


class Elsewhere:
    """A session that ONNX Runtime made on another provider than it was asked for."""

    def __init__(self, *_: Any, **__: Any) -> None: ...

    def get_providers(self) -> list[str]:
        return ["CPUExecutionProvider"]


def test_a_session_on_another_provider_is_refused(probe: Artifact, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(onnxruntime, "InferenceSession", Elsewhere)
    with pytest.raises(BackendUnavailable, match="CUDAExecutionProvider could not be initialized"):
        OnnxRuntime().load(probe, on_cuda())


@pytest.mark.parametrize(
    ("session", "words"),
    [
        (
            {"graph_levle": "all"},
            r"session.graph_levle does not exist; did you mean 'graph_level'\? available: provider",
        ),
        ({"graph_level": "most"}, "session.graph_level=most does not exist; available: disable, basic, extended, all"),
        ({"execution_mode": "both"}, "session.execution_mode=both does not exist; available: sequential, parallel"),
        ({"provider": "tpu"}, "session.provider=tpu does not exist; available: cpu, cuda, openvino, tensorrt"),
        ({"io_binding": "yes"}, "session.io_binding=yes does not exist; available: false, true"),
        ({"spinning": "no"}, "session.spinning=no does not exist; available: false, true"),
    ],
)
def test_unknown_keys_and_choices_are_refused_with_what_exists(session: dict[str, Any], words: str) -> None:
    with pytest.raises(UserError, match=f"target.ort_cpu.{words}"):
        session_settings(target(**session))
