"""Where an ONNX Runtime session's time goes: its own profile, operator by operator."""

from __future__ import annotations

import json
import tempfile
from collections.abc import Iterable, Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

from pipeline.artifact import Artifact
from pipeline.backends.channels import channels_of
from pipeline.backends.onnxruntime.binding import as_read
from pipeline.data.dataset import Feed

if TYPE_CHECKING:
    import onnxruntime

WARM_CALLS = 5
"""The first calls, which are profiled and left out of the means."""
_KERNEL = "_kernel_time"
_RUN = "model_run"
_US_PER_MS = 1e3


def profile_session(
    artifact: Artifact, options: onnxruntime.SessionOptions, providers: Sequence[Any], feed: Feed, calls: int
) -> dict[str, Any]:
    """Run a model with the profiler on; returns the figures of ``read_profile``, and the channels of its
    convolutions."""
    import onnxruntime

    with tempfile.TemporaryDirectory(prefix="slimline-profile-") as folder:
        options.enable_profiling = True
        options.profile_file_prefix = str(Path(folder) / "profile")
        session = onnxruntime.InferenceSession(str(artifact.onnx_path), options, providers=list(providers))
        read = as_read(session, feed)
        for _ in range(WARM_CALLS + calls):
            session.run(None, read)
        events = json.loads(Path(session.end_profiling()).read_text(encoding="utf-8"))
    return {**read_profile(events, WARM_CALLS), "channels": channels_of(artifact)}


def read_profile(events: Iterable[Mapping[str, Any]], warm: int) -> dict[str, Any]:
    """Means over the calls after the first ``warm``: ``calls``, ``call_ms``, and ``nodes``.

    A node has ``name``, ``op``, ``provider``, ``type`` (of its first input, as ONNX Runtime calls it; "" where it has
    none) and ``ms``, in the order in which they ran. The profiler counts whole microseconds. Raises ValueError where
    fewer calls were profiled.
    """
    found = sorted((event for event in events if event.get("ph") == "X"), key=lambda event: event["ts"])
    runs = [event for event in found if event["name"] == _RUN][warm:]
    if not runs:
        raise ValueError(f"the profile has no more than {warm} calls")
    begin = runs[0]["ts"]
    nodes: dict[tuple[str, str, str], dict[str, Any]] = {}
    for event in found:
        if event.get("cat") != "Node" or not event["name"].endswith(_KERNEL) or event["ts"] < begin:
            continue
        arguments = event.get("args", {})
        name, op = event["name"].removesuffix(_KERNEL), arguments.get("op_name", "")
        provider = arguments.get("provider", "")
        node = nodes.setdefault(
            (name, op, provider), {"name": name, "op": op, "provider": provider, "type": _type(arguments), "ms": 0.0}
        )
        node["ms"] += event["dur"] / _US_PER_MS / len(runs)
    call_ms = sum(event["dur"] for event in runs) / _US_PER_MS / len(runs)
    return {"calls": len(runs), "call_ms": call_ms, "nodes": list(nodes.values())}


def _type(arguments: Mapping[str, Any]) -> str:
    for entry in arguments.get("input_type_shape") or ():
        return next(iter(entry), "")
    return ""
