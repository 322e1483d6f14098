"""Where an OpenVINO model's time goes: the CPU plugin's own counters, operator by operator."""

from __future__ import annotations

import time
from collections.abc import Iterable, Mapping
from datetime import timedelta
from typing import Any, Protocol

from pipeline.artifact import Artifact
from pipeline.backends.channels import channels_of
from pipeline.backends.openvino.backend import compile_model
from pipeline.data.dataset import Feed

WARM_CALLS = 5
_COUNTERS = {"PERF_COUNT": True}
_EXECUTED = "EXECUTED"
_PROVIDER = "OpenVINO CPU"
_TYPES = {
    "FP32": "float",
    "F32": "float",
    "FP16": "float16",
    "F16": "float16",
    "BF16": "bfloat16",
    "I8": "int8",
    "U8": "uint8",
    "I32": "int32",
    "I64": "int64",
}
"""What a kernel's name ends with, as ONNX Runtime calls it."""


class _Counted(Protocol):
    """openvino.ProfilingInfo."""

    node_name: str
    node_type: str
    exec_type: str
    real_time: timedelta

    @property
    def status(self) -> Any: ...


def profile_compiled(artifact: Artifact, properties: Mapping[str, Any], feed: Feed, calls: int) -> dict[str, Any]:
    """Compile a model with its counters on and run it, as ``Profiler`` says. The counters have whole microseconds."""
    compiled = compile_model(artifact, {**properties, **_COUNTERS})
    request = compiled.create_infer_request()
    inputs = dict(feed)
    for _ in range(WARM_CALLS):
        request.infer(inputs, share_inputs=True)
    warm = list(request.profiling_info)
    start = time.perf_counter()
    for _ in range(calls):
        request.infer(inputs, share_inputs=True)
    total_s = time.perf_counter() - start
    return {
        "calls": calls,
        "call_ms": total_s * 1e3 / calls,
        "nodes": read_counters(warm, WARM_CALLS, request.profiling_info, calls),
        "channels": channels_of(artifact),
    }


def read_counters(
    warm: Iterable[_Counted], warm_calls: int, counted: Iterable[_Counted], calls: int
) -> list[dict[str, Any]]:
    """The operators that ran, in their order, with their mean time in the last ``calls`` calls.

    OpenVINO's figures are means since the model was compiled, so the means after the warm calls are taken out of the
    later ones. ``kernel`` is OpenVINO's name for the kernel that carried an operator out, and ends with the precision.
    """
    before = {(entry.node_name, entry.node_type): entry.real_time for entry in warm}
    nodes = []
    for entry in counted:
        if entry.status.name != _EXECUTED:
            continue
        earlier = before.get((entry.node_name, entry.node_type), timedelta()) * warm_calls
        took = (entry.real_time * (warm_calls + calls) - earlier) / calls
        nodes.append(
            {
                "name": entry.node_name,
                "op": entry.node_type,
                "provider": _PROVIDER,
                "type": _TYPES.get(entry.exec_type.rpartition("_")[2].upper(), ""),
                "ms": max(took / timedelta(milliseconds=1), 0.0),
                "kernel": entry.exec_type,
            }
        )
    return nodes
