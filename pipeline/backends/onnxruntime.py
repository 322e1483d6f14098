"""ONNX Runtime: CPU and CUDA execution providers."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, ClassVar

from numpy.typing import NDArray

from pipeline.artifact import Artifact, Format
from pipeline.data.dataset import Feed
from pipeline.errors import BackendUnavailable, UserError
from pipeline.plan import Session, Target

if TYPE_CHECKING:
    import onnxruntime

PROVIDERS = {"cpu": "CPUExecutionProvider", "cuda": "CUDAExecutionProvider"}
GRAPH_LEVELS = {
    "disable": "ORT_DISABLE_ALL",
    "basic": "ORT_ENABLE_BASIC",
    "extended": "ORT_ENABLE_EXTENDED",
    "all": "ORT_ENABLE_ALL",
}
SESSION_KEYS = ("provider_options", "graph_level", "execution_mode", "spinning", "config")
ERRORS_ONLY = 3


@dataclass(frozen=True, slots=True, kw_only=True)
class OnnxRuntime:
    """Runs ONNX models. Keys of a target's ``session``:

    ``graph_level`` (disable, basic, extended, all), ``execution_mode`` (sequential, parallel), ``spinning`` (whether
    idle threads spin; off by default, since the spinning pools of several sessions disturb each other),
    ``provider_options``, ``config`` (entries as onnxruntime_session_options_config_keys.h names them).
    """

    name: ClassVar[str] = "onnxruntime"
    runs: ClassVar[Format] = "onnx"
    forkable: ClassVar[bool] = True

    def check(self, target: Target) -> None:
        """Raise BackendUnavailable where the target's execution provider is missing; UserError for unknown keys."""
        session_settings(target)
        if target.device == "cuda":
            import torch  # noqa: F401  its CUDA libraries must be loaded first, or the provider isn't found
        import onnxruntime

        provider = PROVIDERS[target.device]
        available = onnxruntime.get_available_providers()
        if provider not in available:
            raise BackendUnavailable(
                f"this onnxruntime has no {provider} (it has {', '.join(available)}): "
                "on a machine with an NVIDIA GPU install the extra 'gpu' instead of 'cpu'"
            )
        if target.device == "cuda" and not _has_nvidia_gpu():
            raise BackendUnavailable("no NVIDIA GPU is visible on this machine")

    def preload(self) -> None:
        """Import onnxruntime."""
        import onnxruntime  # noqa: F401

    def load(self, artifact: Artifact, target: Target) -> Session:
        """Make a session on the target's provider; raises BackendUnavailable if ONNX Runtime chose another one."""
        if target.device == "cuda":
            import torch  # noqa: F401  see check()
        import onnxruntime

        provider = PROVIDERS[target.device]
        provider_options = dict(target.session.get("provider_options", {}))
        session = onnxruntime.InferenceSession(
            str(artifact.onnx_path), session_options(target), providers=[(provider, provider_options)]
        )
        chosen = session.get_providers()[0]
        if chosen != provider:
            raise BackendUnavailable(f"{provider} could not be initialized; onnxruntime would have run {chosen}")
        return OnnxRuntimeSession(session)


@dataclass(frozen=True, slots=True)
class OnnxRuntimeSession:
    """A loaded model."""

    session: onnxruntime.InferenceSession

    def __call__(self, feed: Feed) -> list[NDArray[Any]]:
        """Run one batch."""
        outputs: list[NDArray[Any]] = self.session.run(None, feed)
        return outputs


def session_settings(target: Target) -> dict[str, Any]:
    """The target's session keys with defaults filled in, as plain values; raises UserError for what doesn't exist."""
    unknown = sorted(set(target.session) - set(SESSION_KEYS))
    if unknown:
        raise UserError(
            f"target.{target.name}.session.{unknown[0]} does not exist; available: {', '.join(SESSION_KEYS)}"
        )
    level = target.session.get("graph_level", "all")
    if level not in GRAPH_LEVELS:
        raise UserError(
            f"target.{target.name}.session.graph_level={level} does not exist; available: {', '.join(GRAPH_LEVELS)}"
        )
    mode = target.session.get("execution_mode", "sequential")
    if mode not in ("sequential", "parallel"):
        raise UserError(
            f"target.{target.name}.session.execution_mode={mode} does not exist; available: sequential, parallel"
        )
    spinning = bool(target.session.get("spinning", False))
    config = {str(key): str(value) for key, value in target.session.get("config", {}).items()}
    if not spinning:
        config.setdefault("session.force_spinning_stop", "1")
    return {
        "intra_op_num_threads": target.threads,
        "inter_op_num_threads": 1,
        "graph_level": level,
        "execution_mode": mode,
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
