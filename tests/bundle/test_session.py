"""The session settings that a target was timed with are those that its bundle runs with."""

from __future__ import annotations

import json
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import onnxruntime
import pytest

from pipeline.backends.onnxruntime import OnnxRuntime
from pipeline.backends.onnxruntime.backend import SESSION_KEYS
from pipeline.bundle import slimline_infer as infer
from pipeline.bundle import verify_bundle
from pipeline.bundle.session import session_entry
from pipeline.bundle.slimline_infer.on_onnxruntime import Bound, open_session
from pipeline.plan import Target
from tests.bundle import example
from tests.example import graphs_asked_for

SETTINGS: dict[str, Any] = {
    "spinning": True,
    "execution_mode": "parallel",
    "graph_level": "extended",
    "memory_arena": False,
    "io_binding": True,
    "config": {"session.intra_op.spin_duration_us": 500},
    "provider": "cpu",
    "provider_options": {},
}
ON_CARDS: dict[str, Any] = {"tf32": True, "nhwc": True, "cuda_graph": True}
"""Those of NVIDIA's cards alone."""


def target(threads: int = 1, **session: Any) -> Target:
    return Target(name="ort_cpu", backend=OnnxRuntime(), threads=threads, session=session)


@pytest.fixture(scope="module")
def tuned(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A bundle of a target with every setting of the CPU set to another value than the default."""
    assert set(SETTINGS) | set(ON_CARDS) == set(SESSION_KEYS)
    folder = tmp_path_factory.mktemp("tuned")
    artifact = example.save(example.linear_model(), folder / "artifact")
    return example.bundle(artifact, folder / "deploy", target=target(2, **SETTINGS))


def test_the_manifest_has_every_setting(tuned: Path) -> None:
    assert json.loads((tuned / "manifest.json").read_text())["session"] == {
        "intra_op_num_threads": 2,
        "inter_op_num_threads": 2,
        "execution_mode": "ORT_PARALLEL",
        "graph_optimization_level": "ORT_ENABLE_EXTENDED",
        "config_entries": {"session.intra_op.spin_duration_us": "500"},
        "cpu_mem_arena": False,
        "io_binding": True,
        "providers": [{"name": "CPUExecutionProvider", "options": {}}],
    }


def test_a_cards_settings_are_its_providers_options() -> None:
    entry = session_entry(Target(name="ort_cuda", backend=OnnxRuntime(), device="cuda", session=ON_CARDS))
    options = {"use_tf32": "1", "prefer_nhwc": "1", "enable_cuda_graph": "1"}
    assert entry["providers"] == [{"name": "CUDAExecutionProvider", "options": options}]
    assert entry["io_binding"] is True, "a graph reads and writes the same places in every call"


def test_infer_py_names_a_cuda_graph_for_every_shape(tuned: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """The CPU's provider stands in for one that captures graphs."""
    asked = graphs_asked_for(monkeypatch)
    model = infer.Model(tuned)
    assert isinstance(model.session.bound, Bound)
    monkeypatch.setattr(model.session.bound, "graph", True)
    (image,) = model.session.session.get_inputs()
    for count in (1, 2, 1):
        model.session.bound({image.name: np.zeros((count, *image.shape[1:]), np.float32)})
    assert asked == ["-1", "0", "-1", "1", "0"]


def test_infer_py_runs_with_every_setting(tuned: Path) -> None:
    model = infer.Model(tuned)
    options = model.session.session.get_session_options()
    assert (options.intra_op_num_threads, options.inter_op_num_threads) == (2, 2)
    assert options.execution_mode == onnxruntime.ExecutionMode.ORT_PARALLEL
    assert options.graph_optimization_level == onnxruntime.GraphOptimizationLevel.ORT_ENABLE_EXTENDED
    assert options.enable_cpu_mem_arena is False
    assert options.get_session_config_entry("session.intra_op.spin_duration_us") == "500"
    with pytest.raises(RuntimeError, match="force_spinning_stop"):
        options.get_session_config_entry("session.force_spinning_stop")
    assert isinstance(model.session.bound, Bound)


def test_idle_threads_do_not_spin_in_a_bundle_where_they_did_not_when_timed(written: Path) -> None:
    options = infer.Model(written).session.session.get_session_options()
    assert options.get_session_config_entry("session.force_spinning_stop") == "1"


def test_a_tuned_bundle_verifies_and_gives_every_batch_its_own_outputs(tuned: Path, written: Path) -> None:
    assert all(check.passed for check in verify_bundle(tuned))
    images = {"image": example.images().arrays["image"]}  # several batches of four
    bound, plain = infer.Model(tuned, batch_size=16)(images), infer.Model(written)(images)
    np.testing.assert_allclose(bound["logits"], plain["logits"], rtol=1e-4, atol=1e-4)


def test_a_manifest_of_before_io_binding_still_runs(written: Path) -> None:
    settings = session_entry(target())
    del settings["io_binding"]
    assert open_session(written / "model.onnx", settings, 1).get_providers() == ["CPUExecutionProvider"]


@pytest.mark.parametrize("setting", [{"spinning": True}, {"memory_arena": False}, {"io_binding": True}])
def test_a_setting_changes_its_own_entry_alone(setting: dict[str, Any]) -> None:
    plain, other = session_entry(target()), session_entry(replace(target(), session=setting))
    assert len([name for name in plain if plain[name] != other[name]]) == 1
