"""OpenVINO on the CPU: reads ONNX files, quantized ones (QDQ) too, and models in its own format."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from importlib.util import find_spec
from typing import TYPE_CHECKING, Any, ClassVar

import numpy as np
from numpy.typing import NDArray

from pipeline.artifact import Artifact, Format
from pipeline.backends.settings import check_keys, choice
from pipeline.data.dataset import Feed
from pipeline.errors import BackendUnavailable
from pipeline.libraries.telemetry import without_telemetry
from pipeline.plan import Session, Target

if TYPE_CHECKING:
    import openvino

PRECISIONS = {"f32": "FP32", "bf16": "BF16", "f16": "FP16"}
"""The values of ``session.precision``, and the capability that the device needs for each."""
SESSION_KEYS = ("precision", "config")
_DEVICE = "CPU"


@dataclass(frozen=True, slots=True, kw_only=True)
class OpenVino:
    """Runs ONNX models and models in OpenVINO's own format. Keys of a target's ``session``:

    ``precision`` (f32, bf16, f16): what floating-point operators are computed in; bf16 needs AMX or AVX512_BF16.
    ``config``: further properties of OpenVINO's CPU plugin, by their names.
    """

    name: ClassVar[str] = "openvino"
    runs: ClassVar[frozenset[Format]] = frozenset({"onnx", "openvino"})
    forkable: ClassVar[bool] = True
    """Its thread pool is made when a model is compiled. Importing it starts no thread where its telemetry is left out,
    which would fork a process of its own (hundreds of forks with 1 and 2 threads, of both formats: none hung)."""
    multiplies_integers: ClassVar[bool] = False
    """Whether ONNX's MatMulInteger multiplies bytes; OpenVINO turns both factors into 32 bits first
    (``src/frontends/onnx/frontend/src/op/matmul_integer.cpp``)."""

    def check(self, target: Target) -> None:
        """Raise BackendUnavailable where OpenVINO or the precision is missing; UserError for unknown keys."""
        properties(target)
        if target.device != "cpu":
            raise BackendUnavailable("only OpenVINO's CPU plugin is supported: set the target's device to cpu")
        if find_spec("openvino") is None:
            raise BackendUnavailable("OpenVINO is not installed: install the extra 'openvino' (pip install openvino)")
        openvino = without_telemetry("openvino")
        wanted = PRECISIONS[target.session.get("precision", "f32")]
        capable = openvino.Core().get_property(_DEVICE, "OPTIMIZATION_CAPABILITIES")
        if wanted not in capable:
            raise BackendUnavailable(f"this processor computes no {wanted} (it has {', '.join(capable)})")

    def preload(self, target: Target) -> None:
        """Import openvino."""
        without_telemetry("openvino")

    def load(self, artifact: Artifact, target: Target) -> Session:
        """Compile the model for the CPU."""
        compiled = compile_model(artifact, properties(target))
        return OpenVinoSession(compiled)

    def profile(self, artifact: Artifact, target: Target, feed: Feed, calls: int) -> dict[str, Any]:
        """Profile a model, as ``Profiler`` says."""
        from pipeline.backends.openvino.profile import profile_compiled

        return profile_compiled(artifact, properties(target), feed, calls)


class OpenVinoSession:
    """A compiled model, which shares its inputs' memory.

    Inputs of other shapes get a request of their own. OpenVINO 2026.4 gives garbage where a request has shared larger
    inputs before, and an output is an input that went through two conversions.
    """

    def __init__(self, compiled: openvino.CompiledModel) -> None:
        self._compiled, self._outputs = compiled, list(compiled.outputs)
        self._request, self._shapes = compiled.create_infer_request(), list[tuple[int, ...]]()

    def __call__(self, feed: Feed) -> list[NDArray[Any]]:
        """Run one batch; the outputs are copies."""
        shapes = [array.shape for array in feed.values()]
        if shapes != self._shapes:
            self._request, self._shapes = self._compiled.create_infer_request(), shapes
        results = self._request.infer(dict(feed), share_inputs=True)
        return [np.asarray(results[output]) for output in self._outputs]


def compile_model(artifact: Artifact, properties: Mapping[str, Any]) -> openvino.CompiledModel:
    """Have OpenVINO read a model of either format and compile it for the CPU."""
    core = without_telemetry("openvino").Core()
    path = artifact.openvino_path if artifact.format == "openvino" else artifact.onnx_path
    return core.compile_model(core.read_model(str(path)), _DEVICE, dict(properties))


def properties(target: Target) -> dict[str, Any]:
    """The CPU plugin's properties for a target; raises UserError for keys and precisions that don't exist."""
    check_keys(target, SESSION_KEYS)
    precision = choice(target, "precision", "f32", tuple(PRECISIONS))
    more: Mapping[str, Any] = target.session.get("config", {})
    return {
        "PERFORMANCE_HINT": "LATENCY",
        "NUM_STREAMS": 1,
        "INFERENCE_NUM_THREADS": target.threads,
        "INFERENCE_PRECISION_HINT": precision,
        "ENABLE_CPU_PINNING": False,  # which cores it runs on is for the measuring to say
        **more,
    }
