"""Graph optimization ahead of time: what ONNX Runtime would do whenever it loads the model."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any, ClassVar, Literal, get_args

from pipeline.artifact import ONNX_FILE, Artifact, Format
from pipeline.data.dataset import SplitName
from pipeline.errors import StageFailed, first_line
from pipeline.plan import Context
from pipeline.stages.quantization import is_large

Level = Literal["basic", "extended", "all"]
LEVELS: Mapping[Level, str] = {
    "basic": "ORT_ENABLE_BASIC",
    "extended": "ORT_ENABLE_EXTENDED",
    "all": "ORT_ENABLE_ALL",
}
_ERRORS_ONLY = 3


@dataclass(frozen=True, slots=True, kw_only=True)
class OptimizeGraph:
    """Store the graph as ONNX Runtime's CPU provider has optimized it.

    ``level`` basic folds constants and removes what does nothing; extended also fuses operators into ONNX Runtime's
    own; all also lays tensors out as this processor likes them, and the model belongs to such processors from then on.
    The model loads faster; it runs faster only where the target's own ``graph_level`` is lower.
    """

    level: Level = "extended"

    accepts: ClassVar[frozenset[Format]] = frozenset({"onnx"})
    produces: ClassVar[Format] = "onnx"
    version: ClassVar[int] = 1
    reads: ClassVar[frozenset[SplitName]] = frozenset()
    libraries: ClassVar[tuple[str, ...]] = ("onnxruntime", "onnxruntime-gpu")
    tolerance: ClassVar[float | None] = 1e-3

    def __post_init__(self) -> None:
        if self.level not in get_args(Level):
            raise ValueError(f"level must be one of {', '.join(get_args(Level))} (got {self.level!r})")

    def machine_key(self, isa: frozenset[str]) -> Mapping[str, Any]:
        """What depends on this machine."""
        return {"isa": sorted(isa)} if self.level == "all" else {}

    def __call__(self, source: Artifact, out: Path, context: Context) -> None:
        """Write the optimized model; raises StageFailed where ONNX Runtime can't load it."""
        import onnx
        import onnxruntime
        from onnxruntime.capi import onnxruntime_pybind11_state as state

        options = onnxruntime.SessionOptions()
        options.log_severity_level = _ERRORS_ONLY
        options.graph_optimization_level = getattr(onnxruntime.GraphOptimizationLevel, LEVELS[self.level])
        options.optimized_model_filepath = str(out / ONNX_FILE)
        if is_large(source):
            options.add_session_config_entry(
                "session.optimized_model_external_initializers_file_name", f"{ONNX_FILE}.data"
            )
        try:
            onnxruntime.InferenceSession(str(source.onnx_path), options, providers=["CPUExecutionProvider"])
        except (state.Fail, state.InvalidGraph, state.NotImplemented, state.RuntimeException) as error:
            raise StageFailed(f"ONNX Runtime could not optimize the graph: {first_line(error)}") from error
        nodes = [
            len(onnx.load(path, load_external_data=False).graph.node) for path in (source.onnx_path, out / ONNX_FILE)
        ]
        context.note("nodes", f"{nodes[0]} to {nodes[1]}")
