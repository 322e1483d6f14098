"""Bundles of the runtimes beside ONNX Runtime: each runs with numpy and its runtime alone, and is verified."""

from __future__ import annotations

import json
import subprocess
import sys
import time
from dataclasses import replace
from importlib.util import find_spec
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from torch import nn

from pipeline.artifact import Artifact
from pipeline.artifact.onnx_file import tolerance
from pipeline.backends.openvino import OpenVino
from pipeline.backends.torch import Torch
from pipeline.bundle import slimline_infer as infer
from pipeline.bundle import verify_bundle
from pipeline.bundle.session import precision_of, runtime_of, session_entry
from pipeline.bundle.slimline_infer.bodies import JSON, json_bytes
from pipeline.bundle.slimline_infer.service import Bounds, Service
from pipeline.data.dataset import preprocess
from pipeline.errors import Skipped
from pipeline.plan import Target
from tests.bundle import example
from tests.bundle.forgery import manifest_of
from tests.stages.models import Workplace, spec_of

TORCH = Target(name="ort_cpu", backend=Torch(), threads=1, session={"compile": False})
OPENVINO = Target(name="ort_cpu", backend=OpenVino(), threads=1, session={"precision": "f32"})


class Linear(nn.Module):
    """The example's linear model."""

    def __init__(self) -> None:
        super().__init__()
        self.layer = nn.Linear(32, 3)

    def forward(self, image: Any) -> Any:
        return self.layer(image.flatten(1))


@pytest.fixture(scope="module")
def on_openvino(tmp_path_factory: pytest.TempPathFactory) -> Path:
    if find_spec("openvino") is None:
        pytest.skip("needs the extra openvino")
    folder = tmp_path_factory.mktemp("openvino")
    artifact = example.save(example.linear_model(), folder / "artifact", "weights.bin")
    return example.bundle(artifact, folder / "deploy", target=OPENVINO)


@pytest.fixture(scope="module")
def torch_artifact(tmp_path_factory: pytest.TempPathFactory) -> Artifact:
    return Workplace(tmp_path_factory.mktemp("torch")).torch(
        Linear(), spec_of(Linear, {"image": (2, 4, 4)}, ["logits"])
    )


@pytest.fixture(scope="module")
def on_torch(torch_artifact: Artifact, tmp_path_factory: pytest.TempPathFactory) -> Path:
    return example.bundle(torch_artifact, tmp_path_factory.mktemp("torch") / "deploy", target=TORCH)


def run_alone(bundle: Path, forbidden: list[str]) -> subprocess.CompletedProcess[str]:
    """``python infer.py`` where slimline and what the bundle does not need can't be imported."""
    code = f"import runpy, sys; sys.modules.update(dict.fromkeys({['pipeline', *forbidden]!r}))"
    code += "; sys.argv = sys.argv[1:]; runpy.run_path(sys.argv[0], run_name='__main__')"
    command = [sys.executable, "-I", "-B", "-c", code, str(bundle / "infer.py")]
    return subprocess.run(command, cwd="/", capture_output=True, text=True, env={}, check=False)


def test_an_openvino_bundle_verifies_and_needs_openvino_alone(on_openvino: Path) -> None:
    assert all(check.passed for check in verify_bundle(on_openvino))
    done = run_alone(on_openvino, ["onnxruntime", "torch", "onnx"])
    assert (done.returncode, done.stderr) == (0, "")
    assert "golden outputs reproduced" in done.stdout
    lines = (on_openvino / "requirements.txt").read_text().splitlines()
    assert [line.partition("==")[0] for line in lines if "==" in line] == ["numpy", "openvino", "openvino-telemetry"]


def test_an_openvino_bundle_gives_the_models_outputs(on_openvino: Path) -> None:
    raw = example.images(7).arrays
    flat = preprocess(raw, example.PREPROCESSING)["image"].reshape(7, -1)
    found = infer.Model(on_openvino)(raw)["logits"]
    np.testing.assert_allclose(found, flat @ example.weights(), rtol=1e-3, atol=1e-3)


@pytest.mark.parametrize("name", ["on_openvino", "on_torch"])
def test_a_model_that_is_served_answers_in_another_thread_than_it_was_loaded_in(
    name: str, request: pytest.FixtureRequest
) -> None:
    model, raw = infer.Model(request.getfixturevalue(name), batch_size=4), example.images(7).arrays
    service = Service(Bounds())
    service.begin(model, wait_s=0.001)
    asked = json_bytes({"inputs": {"image": raw["image"].tolist()}})
    with service.place():
        status, _, body = service.predict(JSON, asked, time.monotonic() + 60)
    service.drain()
    assert status == 200
    np.testing.assert_allclose(json.loads(body)["outputs"]["logits"], model(raw)["logits"], rtol=1e-5, atol=1e-5)


@pytest.mark.skipif(find_spec("openvino") is None, reason="needs the extra openvino")
def test_two_inputs_with_odd_names_are_told_apart_by_openvino(tmp_path: Path) -> None:
    from pipeline.bundle.slimline_infer.on_openvino import Session

    model = example.two_input_model()
    names = {"ids": "0", "mask": "a/b:0", "embedding": "StatefulPartitionedCall/out:0"}
    for entry in (*model.graph.input, *model.graph.output):
        entry.name = names[entry.name]
    for node in model.graph.node:
        node.input[:] = [names.get(name, name) for name in node.input]
        node.output[:] = [names.get(name, name) for name in node.output]
    tokens = {"a/b:0": np.ones((4, 6), np.int64), "0": np.arange(24).reshape(4, 6) % 9}
    session = Session(example.save(model, tmp_path / "artifact").onnx_path, session_entry(OPENVINO), 1)
    assert [entry["name"] for entry in session.inputs] == ["0", "a/b:0"]
    assert session.outputs == [{"name": names["embedding"], "dtype": "float32", "shape": [None, None, 1]}]
    np.testing.assert_array_equal(session(tokens)[0][..., 0], tokens["0"])


@pytest.mark.parametrize(
    ("target", "expected"),
    [
        (OPENVINO, 0.001),
        (replace(OPENVINO, session={"precision": "bf16"}), 0.05),
        (replace(OPENVINO, session={"precision": "f16"}), 0.02),
        (replace(TORCH, session={"dtype": "bfloat16"}), 0.05),
        (TORCH, 0.001),
    ],
)
def test_what_a_runtime_computes_in_decides_the_tolerance(target: Target, expected: float) -> None:
    precision = precision_of(runtime_of(target), session_entry(target))
    assert tolerance(example.linear_model(), precision).relative == expected
    assert tolerance(example.dynamic_int8_model(), precision).relative == 0.1


@pytest.mark.slow
def test_a_torch_bundle_is_loaded_on_purpose_alone(on_torch: Path) -> None:
    checks = verify_bundle(on_torch)
    assert not checks[-1].passed
    assert f"type: python -m pipeline verify {on_torch} --run-infer" in checks[-1].detail


@pytest.mark.slow
def test_a_torch_bundle_needs_torch_alone(on_torch: Path) -> None:
    done = run_alone(on_torch, ["onnxruntime", "openvino", "onnx"])
    assert (done.returncode, done.stderr) == (0, "")
    assert "golden outputs reproduced" in done.stdout
    manifest = manifest_of(on_torch)
    assert (manifest["model"], manifest["outputs"]) == (
        "program.pt2",
        [{"dtype": "float32", "shape": [None, 3], "name": "logits"}],
    )
    pins = [line for line in (on_torch / "requirements.txt").read_text().splitlines() if line[0] != "#"]
    assert any(line.startswith("torch==2") for line in pins)
    assert not any("+" in line for line in pins)


def test_a_torch_model_that_can_not_be_exported_is_skipped_with_what_to_choose(
    torch_artifact: Artifact, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def fails(*_: object, **__: object) -> None:
        raise Skipped("torch.export can't follow it: its code depends on its values")

    monkeypatch.setattr("pipeline.bundle.write.run", fails)
    with pytest.raises(Skipped, match=r"torch\.export can't follow it.*such as target=\[ort_cpu\]"):
        example.bundle(torch_artifact, tmp_path / "deploy", target=TORCH)
    assert not (tmp_path / "deploy").exists()


def test_cuda_graphs_of_torch_are_skipped_with_what_to_choose(torch_artifact: Artifact, tmp_path: Path) -> None:
    target = Target(name="torch_cuda_graph", backend=Torch(), device="cuda", session={"cuda_graph": True})
    with pytest.raises(Skipped, match="recommend among targets such as torch_cuda or ort_cuda_graph"):
        example.bundle(torch_artifact, tmp_path / "deploy", target=target)


@pytest.mark.slow
def test_the_manifest_of_each_runtime_holds_its_own_options(on_openvino: Path, on_torch: Path) -> None:
    assert json.loads((on_openvino / "manifest.json").read_text())["session"] == {
        "device": "CPU",
        "threads": 1,
        "properties": {
            "PERFORMANCE_HINT": "LATENCY",
            "NUM_STREAMS": 1,
            "INFERENCE_PRECISION_HINT": "f32",
            "ENABLE_CPU_PINNING": False,
        },
    }
    assert manifest_of(on_torch)["session"] == {
        "device": "cpu",
        "threads": 1,
        "compile": None,
        "channels_last": False,
        "dtype": None,
        "tf32": False,
    }
