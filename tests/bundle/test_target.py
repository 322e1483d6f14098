"""A manifest's session makes the target again that it was written from."""

from __future__ import annotations

from typing import Any

import pytest

from pipeline.backends.onnxruntime import OnnxRuntime
from pipeline.backends.openvino import OpenVino
from pipeline.backends.torch import Torch
from pipeline.bundle import target
from pipeline.bundle.package.kinds import EXACT
from pipeline.bundle.session import runtime_of, session_entry
from pipeline.bundle.target import target_of
from pipeline.errors import Skipped
from pipeline.plan import Target

TARGETS: list[dict[str, Any]] = [
    {"backend": OnnxRuntime(), "threads": 2},
    {"backend": OnnxRuntime(), "session": {"spinning": True, "graph_level": "basic", "memory_arena": False}},
    {"backend": OnnxRuntime(), "threads": 4, "session": {"execution_mode": "parallel", "io_binding": True}},
    {"backend": OnnxRuntime(), "session": {"config": {"session.set_denormal_as_zero": "1"}}},
    {"backend": OnnxRuntime(), "device": "cuda"},
    {"backend": OnnxRuntime(), "device": "cuda", "session": {"cuda_graph": True, "tf32": True, "nhwc": True}},
    {
        "backend": OnnxRuntime(),
        "device": "cuda",
        "session": {"provider": "tensorrt", "cuda_graph": True, "provider_options": {"trt_fp16_enable": "1"}},
    },
    {"backend": OpenVino(), "threads": 3},
    {"backend": OpenVino(), "session": {"precision": "bf16", "config": {"ENABLE_CPU_PINNING": True}}},
]


def manifest_for(target: Target) -> dict[str, Any]:
    return {
        "runtime": runtime_of(target),
        "model": "model.onnx",
        "session": session_entry(target),
        "measured": {"target": target.name, "device": target.device},
    }


@pytest.mark.parametrize("fields", TARGETS, ids=str)
def test_a_manifests_session_makes_a_target_of_the_same_session(fields: dict[str, Any]) -> None:
    manifest = manifest_for(Target(name="here", **fields))
    found = target_of(manifest)
    assert session_entry(found) == manifest["session"]
    assert (found.name, found.device, found.backend) == ("here", fields.get("device", "cpu"), fields["backend"])


@pytest.mark.parametrize(("isa", "told"), [({"avx2"}, EXACT), ({"avx2", "avx512_vnni"}, {})])
def test_exact_products_are_asked_for_where_the_processor_needs_that(
    monkeypatch: pytest.MonkeyPatch, isa: set[str], told: dict[str, str]
) -> None:
    monkeypatch.setattr(target, "flags", lambda: frozenset(isa))
    manifest = manifest_for(Target(name="here", backend=OnnxRuntime(), session={"config": EXACT}))
    entries = session_entry(target_of(manifest))["config_entries"]
    assert {key: value for key, value in entries.items() if key in EXACT} == told


def test_a_model_that_only_its_own_program_loads_has_no_target() -> None:
    manifest = manifest_for(Target(name="here", backend=Torch())) | {"model": "program.pt2"}
    with pytest.raises(Skipped, match=r"program\.pt2 is loaded by its own program only"):
        target_of(manifest)


def test_options_that_no_target_has_are_refused() -> None:
    manifest = manifest_for(Target(name="here", backend=OnnxRuntime()))
    manifest["session"]["inter_op_num_threads"] = 7
    with pytest.raises(Skipped, match="none that a target of this slimline has"):
        target_of(manifest)
