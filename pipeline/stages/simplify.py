"""Simplification: folds constants, and removes nodes that do nothing or do the same twice."""

from __future__ import annotations

from dataclasses import dataclass
from importlib.util import find_spec
from pathlib import Path
from typing import ClassVar

from pipeline.artifact import Artifact, Format
from pipeline.artifact.onnx_rewriting import copied, keep_inputs, repair, write
from pipeline.data.dataset import SplitName
from pipeline.errors import Skipped, StageFailed, Unchanged, first_line
from pipeline.plan import Context
from pipeline.plan.hints import Gain
from pipeline.plan.roles import Role
from pipeline.stages.graphs.library import is_large


@dataclass(frozen=True, slots=True, kw_only=True)
class Simplify:
    """Simplify an ONNX model with onnxslim (the extra ``simplify``)."""

    role: ClassVar[Role] = "graph"
    gains_by: ClassVar[Gain] = "loading"
    accepts: ClassVar[frozenset[Format]] = frozenset({"onnx"})
    produces: ClassVar[Format] = "onnx"
    version: ClassVar[int] = 1
    reads: ClassVar[frozenset[SplitName]] = frozenset()
    libraries: ClassVar[tuple[str, ...]] = ("onnxslim", "onnx")
    requires: ClassVar[tuple[str, ...]] = ("onnxslim",)
    tolerance: ClassVar[float | None] = 1e-4

    def __call__(self, source: Artifact, out: Path, context: Context) -> None:
        """Write the simplified model; raises Skipped without onnxslim, Unchanged where the graph would grow,
        StageFailed where it can't follow the graph."""
        import onnx

        if find_spec("onnxslim") is None:
            raise Skipped("simplifying needs onnxslim, which is not installed: pip install onnxslim")
        import onnxslim

        before = onnx.load(source.onnx_path)
        nodes = len(before.graph.node)
        try:
            simplified = onnxslim.slim(copied(before))
        except (AssertionError, AttributeError, IndexError, KeyError, RuntimeError, TypeError, ValueError) as error:
            raise StageFailed(f"onnxslim could not simplify this graph: {first_line(error)}") from error
        repair(simplified)
        keep_inputs(simplified, before)
        left = len(simplified.graph.node)
        if left > nodes:
            raise Unchanged(f"there is nothing to simplify: onnxslim made {left} nodes of {nodes}")
        context.note("nodes", f"{nodes} to {left}")
        write(simplified, out, is_large(source))
