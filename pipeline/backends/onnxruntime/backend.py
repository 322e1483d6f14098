"""ONNX Runtime and its execution providers."""

from __future__ import annotations

from collections import Counter
from collections.abc import Mapping
from dataclasses import dataclass, replace
from pathlib import Path
from typing import TYPE_CHECKING, Any, ClassVar

from numpy.typing import NDArray

from pipeline.artifact import Artifact, Format
from pipeline.backends.cuda import wake
from pipeline.backends.onnxruntime.binding import BoundSession, as_read
from pipeline.backends.onnxruntime.libraries import CUDA, TENSORRT, why_unloadable
from pipeline.backends.settings import check_keys, choice, switch
from pipeline.data.dataset import Feed
from pipeline.errors import BackendUnavailable, UserError
from pipeline.plan import Device, Resident, Session, Target
from pipeline.results.change import Threads

if TYPE_CHECKING:
    import onnxruntime

PROVIDERS = {
    "cpu": "CPUExecutionProvider",
    "cuda": CUDA,
    "openvino": "OpenVINOExecutionProvider",
    "tensorrt": TENSORRT,
}
_WANTED = {
    "cuda": "on a machine with an NVIDIA GPU install the extra 'gpu' instead of 'cpu'",
    "tensorrt": "it comes with onnxruntime-gpu (the extra 'gpu'), and needs TensorRT's libraries",
    "openvino": "it comes with the package onnxruntime-openvino, which takes the place of onnxruntime; "
    "OpenVINO itself is target=[openvino_cpu]",
}
GRAPH_LEVELS = {
    "disable": "ORT_DISABLE_ALL",
    "basic": "ORT_ENABLE_BASIC",
    "extended": "ORT_ENABLE_EXTENDED",
    "all": "ORT_ENABLE_ALL",
}
EXECUTION_MODES = ("sequential", "parallel")
SESSION_KEYS = (
    "provider",
    "provider_options",
    "graph_level",
    "execution_mode",
    "spinning",
    "memory_arena",
    "io_binding",
    "tf32",
    "nhwc",
    "cuda_graph",
    "config",
)
_CUDA_OPTIONS = {"tf32": "use_tf32", "nhwc": "prefer_nhwc", "cuda_graph": "enable_cuda_graph"}
"""What ONNX Runtime's CUDA provider calls a session key."""
_TENSORRT_OPTIONS = {"cuda_graph": "trt_cuda_graph_enable"}
_NO_GRAPH = "cannot use the graph capture feature"
"""What ONNX Runtime says of a model that can't be launched as one CUDA graph."""
ERRORS_ONLY = 3


@dataclass(frozen=True, slots=True, kw_only=True)
class OnnxRuntime:
    """Runs ONNX models. Keys of a target's ``session``:

    ``provider`` (cpu, cuda, openvino, tensorrt; the device's own by default), ``provider_options``, ``graph_level``
    (disable, basic, extended, all), ``execution_mode`` (sequential; parallel: independent operators side by side, on a
    second pool of as many threads), ``spinning`` (whether idle threads spin; off by default, since the spinning pools
    of several sessions disturb each other), ``memory_arena`` (whether freed memory is kept for the next call; on by
    default), ``io_binding`` (whether the outputs of a shape are allocated once instead of in every call, on an
    accelerator inputs and outputs in its memory; off by default), ``config`` (entries as
    onnxruntime_session_options_config_keys.h names them). Only on NVIDIA's cards: ``tf32`` (whether fp32 products may
    be computed with 10 bits of mantissa; off here, where ONNX Runtime's own default is on, so that fp32 means fp32),
    ``nhwc`` (channels last, with other kernels for convolutions), ``cuda_graph`` (a shape's kernels are launched as
    one; implies ``io_binding``). ``provider_options`` beat them.
    """

    name: ClassVar[str] = "onnxruntime"
    runs: ClassVar[frozenset[Format]] = frozenset({"onnx"})
    forkable: ClassVar[bool] = True

    def check(self, target: Target) -> None:
        """Raise BackendUnavailable where the target's execution provider is missing; UserError for unknown keys."""
        session_settings(target)
        self.preload(target)
        import onnxruntime

        name = provider_name(target)
        available = onnxruntime.get_available_providers()
        if PROVIDERS[name] not in available:
            raise BackendUnavailable(
                f"this onnxruntime has no {PROVIDERS[name]} (it has {', '.join(available)}): {_WANTED[name]}"
            )
        if target.device == "cuda" and not _has_nvidia_gpu():
            raise BackendUnavailable("no NVIDIA GPU is visible on this machine")
        missing = why_unloadable(PROVIDERS[name], Path(onnxruntime.__file__).parent / "capi")
        if missing is not None:
            raise BackendUnavailable(f"the library of {PROVIDERS[name]} can't be loaded: {missing}")

    def preload(self, target: Target) -> None:
        """Import onnxruntime; on CUDA after torch, whose CUDA libraries it would not find otherwise."""
        if target.device == "cuda":
            import torch  # noqa: F401
        import onnxruntime  # noqa: F401

    def wake(self, target: Target) -> None:
        """Make the process's context on the card."""
        wake(target)

    def load(self, artifact: Artifact, target: Target) -> Session:
        """Make a session on the target's provider; raises BackendUnavailable if ONNX Runtime chose another one."""
        self.preload(target)
        import onnxruntime

        provider = _provider(target)
        try:
            session = onnxruntime.InferenceSession(
                str(artifact.onnx_path), session_options(target), providers=[provider]
            )
        except Exception as error:
            if _NO_GRAPH in str(error) and (away := _left_to_the_cpu(artifact, target)):
                raise BackendUnavailable(
                    f"a CUDA graph takes only what runs on the card from end to end, and here {away} on the CPU: "
                    "measure this variant on a target without session.cuda_graph, such as ort_cuda"
                ) from error
            raise
        chosen = session.get_providers()[0]
        if chosen != provider[0]:
            raise BackendUnavailable(f"{provider[0]} could not be initialized; onnxruntime would have run {chosen}")
        settings = session_settings(target)
        device_id = int(provider[1].get("device_id", 0))
        if settings["io_binding"]:
            return BoundSession(session, target.device, device_id, graph=settings["cuda_graph"])
        return OnnxRuntimeSession(session, target.device, device_id)

    def profile(self, artifact: Artifact, target: Target, feed: Feed, calls: int) -> dict[str, Any]:
        """Profile a model, as ``Profiler`` says."""
        from pipeline.backends.onnxruntime.profile import profile_session

        self.preload(target)
        # A captured graph is one launch, of which a profile tells nothing; its operators are those of a plain session.
        plain = _without_graph(target)
        return profile_session(artifact, session_options(plain), [_provider(plain)], feed, calls)


@dataclass(frozen=True, slots=True)
class OnnxRuntimeSession:
    """A loaded model."""

    session: onnxruntime.InferenceSession
    device: Device
    device_id: int

    def __call__(self, feed: Feed) -> list[NDArray[Any]]:
        """Run one batch."""
        outputs: list[NDArray[Any]] = self.session.run(None, feed)
        return outputs

    def as_read(self, feed: Feed) -> Feed:
        """The batch in the types that the model reads."""
        return as_read(self.session, feed)

    def resident(self, feed: Feed) -> Resident:
        """Copy a batch to the device."""
        return BoundSession(self.session, self.device, self.device_id).resident(feed)


def _without_graph(target: Target) -> Target:
    return replace(target, session={**target.session, "cuda_graph": False})


def _left_to_the_cpu(artifact: Artifact, target: Target) -> str:
    """The operators that the target's provider leaves to the CPU: ``54 DequantizeLinear run``; "" for none."""
    import onnxruntime

    plain = _without_graph(target)
    options = session_options(plain)
    options.add_session_config_entry("session.record_ep_graph_assignment_info", "1")
    session = onnxruntime.InferenceSession(str(artifact.onnx_path), options, providers=[_provider(plain)])
    parts = [part for part in session.get_provider_graph_assignment_info() if part.ep_name == PROVIDERS["cpu"]]
    counts = Counter(node.op_type for part in parts for node in part.get_nodes())
    told = ", ".join(f"{count} {op}" for op, count in counts.most_common())
    return f"{told} {'runs' if counts.total() == 1 else 'run'}" if told else ""


def provider_name(target: Target) -> str:
    """The target's execution provider, as ``session.provider`` calls it; raises UserError where there is no such."""
    return choice(target, "provider", target.device, tuple(PROVIDERS))


def provider_options(target: Target) -> dict[str, Any]:
    """The options of the target's execution provider; raises UserError for keys that it doesn't have."""
    name = provider_name(target)
    known = {"cuda": _CUDA_OPTIONS, "tensorrt": _TENSORRT_OPTIONS}.get(name, {})
    for key in _CUDA_OPTIONS:
        if switch(target, key, False) and key not in known:
            raise UserError(
                f"target.{target.name}.session.{key}=true is not for the provider {name}: leave it out, or take a "
                "target such as ort_cuda"
            )
    # Off is written down only where the provider's own default is on.
    wanted = {option: "1" for key, option in known.items() if switch(target, key, False)}
    default = {"use_tf32": "0"} if name == "cuda" else {}
    return {**default, **wanted, **target.session.get("provider_options", {})}


def _provider(target: Target) -> tuple[str, dict[str, Any]]:
    return PROVIDERS[provider_name(target)], provider_options(target)


def session_settings(target: Target) -> dict[str, Any]:
    """The target's session keys with defaults filled in, as plain values; raises UserError for what doesn't exist."""
    check_keys(target, SESSION_KEYS)
    provider_options(target)
    config = {str(key): str(value) for key, value in target.session.get("config", {}).items()}
    if not switch(target, "spinning", False):
        config.setdefault("session.force_spinning_stop", "1")
    mode = choice(target, "execution_mode", "sequential", EXECUTION_MODES)
    if mode == "parallel" and target.threads < 2:
        raise UserError(
            f"target.{target.name}.session.execution_mode=parallel needs threads to run operators on: "
            f"type {Threads(target=target.name, threads=2)}"
        )
    graph = switch(target, "cuda_graph", False)
    return {
        "intra_op_num_threads": target.threads,
        "inter_op_num_threads": target.threads if mode == "parallel" else 1,
        "graph_level": choice(target, "graph_level", "all", tuple(GRAPH_LEVELS)),
        "execution_mode": mode,
        "memory_arena": switch(target, "memory_arena", True),
        "io_binding": switch(target, "io_binding", False) or graph,
        "cuda_graph": graph,
        "config": config,
    }


def session_options(target: Target) -> onnxruntime.SessionOptions:
    """ONNX Runtime's options for a target."""
    import onnxruntime

    settings: Mapping[str, Any] = session_settings(target)
    options = onnxruntime.SessionOptions()
    options.log_severity_level = ERRORS_ONLY
    options.intra_op_num_threads = settings["intra_op_num_threads"]
    options.inter_op_num_threads = settings["inter_op_num_threads"]
    options.graph_optimization_level = getattr(
        onnxruntime.GraphOptimizationLevel, GRAPH_LEVELS[settings["graph_level"]]
    )
    options.execution_mode = getattr(onnxruntime.ExecutionMode, f"ORT_{settings['execution_mode'].upper()}")
    options.enable_cpu_mem_arena = settings["memory_arena"]
    for key, value in settings["config"].items():
        options.add_session_config_entry(key, value)
    return options


def _has_nvidia_gpu() -> bool:
    import pynvml

    try:
        pynvml.nvmlInit()
    except pynvml.NVMLError:
        return False
    try:
        return bool(pynvml.nvmlDeviceGetCount() > 0)
    finally:
        pynvml.nvmlShutdown()
