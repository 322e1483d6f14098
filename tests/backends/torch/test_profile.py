"""Reading torch.profiler's events."""

from __future__ import annotations

from types import SimpleNamespace
from typing import Any

import numpy as np
import pytest

from pipeline.artifact import Artifact
from pipeline.artifact.torch_module import save_module
from pipeline.backends.torch import Torch
from pipeline.backends.torch.profile import read_events
from pipeline.plan import Profiler, Target
from tests.stages.models import resnet, resnet_spec


def event(name: str, start: float, us: float) -> Any:
    return SimpleNamespace(name=name, self_cpu_time_total=us, time_range=SimpleNamespace(start=start))


def test_an_operator_that_runs_twice_a_call_is_two_with_means_of_their_own() -> None:
    durations = [100.0, 10.0, 300.0, 30.0]  # two calls
    events = [event("aten::addmm", start, us) for start, us in enumerate(durations)]
    found = read_events(reversed(events), calls=2)
    assert [(node["name"], node["ms"]) for node in found] == [
        ("aten::addmm 1", pytest.approx(0.2)),
        ("aten::addmm 2", pytest.approx(0.02)),
    ]


def test_an_operator_of_some_calls_only_keeps_its_share() -> None:
    (node,) = read_events([event("aten::copy_", 0, 100.0)], calls=4)
    assert node["ms"] == pytest.approx(0.025)


@pytest.fixture(scope="module")
def artifact(tmp_path_factory: pytest.TempPathFactory) -> Artifact:
    spec = resnet_spec()
    folder = tmp_path_factory.mktemp("model")
    save_module(resnet(spec), spec, folder)
    return Artifact(folder, "torch", "")


IMAGES = {"image": np.zeros((1, 1, 12, 12), np.float32)}


def test_a_real_model_tells_its_operators(artifact: Artifact) -> None:
    backend = Torch()
    assert isinstance(backend, Profiler)
    found = backend.profile(artifact, Target(name="torch_cpu", backend=backend), IMAGES, 3)
    ops = {node["op"] for node in found["nodes"]}
    assert any("convolution" in op for op in ops), ops
    assert "aten::addmm" in ops
    assert found["calls"] == 3
    assert found["channels"]
    assert 0 < sum(node["ms"] for node in found["nodes"]) <= found["call_ms"]


def on_card(name: str, start: float, us: float, kind: str = "DeviceType.CUDA") -> Any:
    return SimpleNamespace(name=name, device_type=kind, time_range=SimpleNamespace(start=start, elapsed_us=lambda: us))


def test_of_a_card_the_kernels_and_copies_count_by_their_functions() -> None:
    gemm = "void cutlass::Kernel2<cutlass_80_simt_sgemm_128x64>(cutlass_80_simt_sgemm_128x64::Params)"
    events = [
        on_card("Memcpy HtoD (Pageable -> Device)", 0, 10.0),
        on_card(gemm, 1, 100.0),
        on_card("cudaLaunchKernel", 1, 50.0, "DeviceType.CPU"),
        on_card("Memcpy HtoD (Pageable -> Device)", 2, 30.0),
        on_card(gemm, 3, 300.0),
    ]
    nodes = read_events(events, 2, "cuda")
    assert [(node["name"], node["ms"], node["provider"]) for node in nodes] == [
        ("Memcpy HtoD (Pageable -> Device) 1", pytest.approx(0.02), "PyTorch CUDA"),
        ("cutlass::Kernel2 1", pytest.approx(0.2), "PyTorch CUDA"),
    ]
