"""Graph optimization ahead of time: does what ONNX Runtime would do whenever it loads the model."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any, ClassVar, Literal

from pipeline.artifact import ONNX_FILE, Artifact, Format, model_files
from pipeline.artifact.run import FATAL_ONLY
from pipeline.data.dataset import SplitName
from pipeline.errors import StageFailed, first_line
from pipeline.plan import Context
from pipeline.plan.hints import Gain
from pipeline.plan.roles import Role
from pipeline.stages.graphs.gentler import first_that_works, proof
from pipeline.stages.graphs.library import is_large

Level = Literal["basic", "extended", "all"]
LEVELS: Mapping[Level, str] = {
    "basic": "ORT_ENABLE_BASIC",
    "extended": "ORT_ENABLE_EXTENDED",
    "all": "ORT_ENABLE_ALL",
}


@dataclass(frozen=True, slots=True, kw_only=True)
class OptimizeGraph:
    """Store the graph as ONNX Runtime's CPU provider has optimized it.

    The model loads faster; it runs faster only where the target's own ``graph_level`` is lower.
    """

    level: Level = "extended"
    """``basic`` folds constants and removes idle nodes. ``extended`` also fuses operators into ONNX Runtime's own.
    ``all`` also lays tensors out as this processor likes them, and the model belongs to such processors from then
    on."""

    role: ClassVar[Role] = "graph"
    gains_by: ClassVar[Gain] = "loading"
    accepts: ClassVar[frozenset[Format]] = frozenset({"onnx"})
    produces: ClassVar[Format] = "onnx"
    version: ClassVar[int] = 2
    reads: ClassVar[frozenset[SplitName]] = frozenset()
    libraries: ClassVar[tuple[str, ...]] = ("onnxruntime", "onnxruntime-gpu")
    tolerance: ClassVar[float | None] = 1e-3

    def machine_key(self, isa: frozenset[str]) -> Mapping[str, Any]:
        """The part of the cache key that depends on this machine."""
        return {"isa": sorted(isa)} if self.level == "all" else {}

    def __call__(self, source: Artifact, out: Path, context: Context) -> None:
        """Write the optimized model; raises StageFailed where ONNX Runtime can't load it."""
        import onnx

        prove = proof(source, context, None)

        def attempt(level: _Lower) -> None:
            _optimize(source, out, level.name)
            prove(out)

        levels = list(LEVELS)[: list(LEVELS).index(self.level) + 1]
        first_that_works([_Lower(level) for level in reversed(levels)], attempt, out, context.note)
        nodes = [
            len(onnx.load(path, load_external_data=False).graph.node) for path in (source.onnx_path, out / ONNX_FILE)
        ]
        context.note("nodes", f"{nodes[0]} to {nodes[1]}")


@dataclass(frozen=True, slots=True)
class _Lower:
    """A level, as a way to call the library."""

    name: Level

    @property
    def words(self) -> str:
        """The words for a note."""
        return f"level={self.name}"


def _optimize(source: Artifact, out: Path, level: Level) -> None:
    """Write the model as ONNX Runtime optimizes it, in one file where it fits into one."""
    import onnx
    import onnxruntime
    from onnxruntime.capi import onnxruntime_pybind11_state as state

    options = onnxruntime.SessionOptions()
    options.log_severity_level = FATAL_ONLY
    options.graph_optimization_level = getattr(onnxruntime.GraphOptimizationLevel, LEVELS[level])
    options.optimized_model_filepath = str(out / ONNX_FILE)
    beside = len(model_files(source.path)) > 1
    if beside:
        # Else the model would point to its source's file.
        data = f"{ONNX_FILE}.data"
        options.add_session_config_entry("session.optimized_model_external_initializers_file_name", data)
        options.add_session_config_entry("session.optimized_model_external_initializers_min_size_in_bytes", "0")
    try:
        onnxruntime.InferenceSession(str(source.onnx_path), options, providers=["CPUExecutionProvider"])
    except (state.Fail, state.InvalidGraph, state.NotImplemented, state.RuntimeException) as error:
        raise StageFailed(f"ONNX Runtime could not optimize the graph: {first_line(error)}") from error
    if beside and not is_large(source):
        model = onnx.load(out / ONNX_FILE)
        (out / data).unlink(missing_ok=True)
        onnx.save(model, out / ONNX_FILE)
