"""The target that a manifest's session options stand for, so that the model runs here as its bundle runs it."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import replace
from typing import Any

from pipeline.backends.onnxruntime import OnnxRuntime
from pipeline.backends.onnxruntime.backend import GRAPH_LEVELS, PROVIDERS
from pipeline.backends.openvino import OpenVino
from pipeline.bundle.session import session_entry
from pipeline.bundle.slimline_infer.choice import flags, needed
from pipeline.errors import Skipped
from pipeline.plan import Target

_STOP_SPINNING = "session.force_spinning_stop"
_GRAPHS = ("enable_cuda_graph", "trt_cuda_graph_enable")


def target_of(manifest: Mapping[str, Any]) -> Target:
    """The target, which ``session_entry`` turns into the manifest's session again, but for what this processor does not
    need.

    Raises Skipped for a bundle whose model only its own program loads, and for options that no target has.
    """
    make = _MADE.get(manifest["runtime"])
    if make is None:
        raise Skipped(
            f"{manifest['model']} is loaded by its own program only: a bundle with an ONNX model can be judged"
        )
    target = make(manifest)
    if session_entry(target) != manifest["session"]:
        raise Skipped("the manifest's session options are none that a target of this slimline has")
    return replace(target, session={**target.session, "config": needed(target.session["config"], flags())})


def _onnxruntime(manifest: Mapping[str, Any]) -> Target:
    entry = manifest["session"]
    (provider,) = entry["providers"]
    options = dict(provider["options"])
    return Target(
        name=manifest["measured"]["target"],
        backend=OnnxRuntime(),
        device=manifest["measured"]["device"],
        threads=entry["intra_op_num_threads"],
        session={
            "provider": _key(PROVIDERS, provider["name"]),
            "provider_options": options,
            "graph_level": _key(GRAPH_LEVELS, entry["graph_optimization_level"]),
            "execution_mode": entry["execution_mode"].removeprefix("ORT_").lower(),
            "spinning": _STOP_SPINNING not in entry["config_entries"],
            "memory_arena": entry["cpu_mem_arena"],
            "io_binding": entry["io_binding"],
            "cuda_graph": any(str(options.get(name)) == "1" for name in _GRAPHS),
            "config": dict(entry["config_entries"]),
        },
    )


def _openvino(manifest: Mapping[str, Any]) -> Target:
    entry = manifest["session"]
    config = dict(entry["properties"])
    precision = {"precision": config["INFERENCE_PRECISION_HINT"]} if "INFERENCE_PRECISION_HINT" in config else {}
    return Target(
        name=manifest["measured"]["target"],
        backend=OpenVino(),
        threads=entry["threads"],
        session={**precision, "config": config},
    )


def _key(names: Mapping[str, str], value: str) -> str:
    return next((key for key, name in names.items() if name == value), value)


_MADE: Mapping[str, Callable[[Mapping[str, Any]], Target]] = {
    OnnxRuntime.name: _onnxruntime,
    OpenVino.name: _openvino,
}
