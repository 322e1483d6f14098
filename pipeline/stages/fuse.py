"""Fusion: several operators become one that the runtime has a faster kernel for."""

from __future__ import annotations

import os
import subprocess
import sys
from collections import Counter
from dataclasses import dataclass
from importlib.util import find_spec
from pathlib import Path
from typing import TYPE_CHECKING, ClassVar, Literal

from pipeline import PACKAGE
from pipeline.artifact import Artifact, Format
from pipeline.artifact.onnx_graph import opset
from pipeline.artifact.onnx_rewriting import CONTRIBUTED, repair, write
from pipeline.bounds import CountFromZero
from pipeline.data.dataset import SplitName
from pipeline.errors import Skipped, StageFailed, Unchanged, first_line
from pipeline.libraries.muted import prints_logged
from pipeline.plan import Context
from pipeline.plan.hints import Gain
from pipeline.plan.roles import Role
from pipeline.stages.graphs import legacy_fusion
from pipeline.stages.graphs.library import is_large, library_call

if TYPE_CHECKING:
    import onnx

Engine = Literal["onnxruntime", "onnxscript", "onnxruntime-tools"]
ModelType = Literal["bert", "bart", "clip", "conformer", "gpt2", "swin", "t5", "tnlr", "unet", "vae", "vit"]
LEGACY_OPSET = 12
"""The last opset that onnxruntime-tools' shape inference knows."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Fuse:
    """Fuse the parts of transformers: attention, layer normalization with the sum before it, GELU with its bias.

    Which engine pays, and whether any does before int8, differs by model and machine: compare them.
    """

    engine: Engine = "onnxruntime"
    """``onnxruntime`` (``onnxruntime.transformers``) knows the graphs that the TorchScript exporter writes, with the
    attention written out (not scaled_dot_product_attention). ``onnxscript`` (``onnxscript.rewriter.ort_fusions``) knows
    the dynamo exporter's graphs. ``onnxruntime-tools`` is the deprecated predecessor of the first, for graphs of opset
    12 and below, and runs in a process of its own."""
    model_type: ModelType = "bert"
    """The kind of model whose patterns are looked for; onnxscript does not use it."""
    num_heads: CountFromZero = 0
    """The number of attention heads; 0: found in the graph."""
    hidden_size: CountFromZero = 0
    """The hidden width; 0: found in the graph."""

    role: ClassVar[Role] = "graph"
    gains_by: ClassVar[Gain] = "attention"
    accepts: ClassVar[frozenset[Format]] = frozenset({"onnx"})
    produces: ClassVar[Format] = "onnx"
    version: ClassVar[int] = 1
    reads: ClassVar[frozenset[SplitName]] = frozenset()
    libraries: ClassVar[tuple[str, ...]] = (
        "onnxruntime",
        "onnxruntime-gpu",
        "onnxscript",
        "onnxruntime-tools",
        "onnx",
    )
    tolerance: ClassVar[float | None] = 1e-3

    def __call__(self, source: Artifact, out: Path, context: Context) -> None:
        """Write the fused model; raises Unchanged where nothing fits a pattern, StageFailed where fusing breaks it."""
        import onnx

        before = onnx.load(source.onnx_path, load_external_data=False)
        context.work.mkdir(parents=True, exist_ok=True)
        fused = self._fused(source, before, context.work)
        mended = repair(fused)
        found = _contributed(fused) - _contributed(before)
        if not found:
            raise Unchanged(f"nothing was fused: {self._advice()}")
        context.note("fused", dict(sorted(found.items())))
        context.note("nodes", f"{len(before.graph.node)} to {len(fused.graph.node)}")
        if mended:
            context.note("repaired", "; ".join(mended))
        write(fused, out, is_large(source))

    def _fused(self, source: Artifact, model: onnx.ModelProto, work: Path) -> onnx.ModelProto:
        try:
            if self.engine == "onnxscript":
                return _by_onnxscript(source)
            if self.engine == "onnxruntime":
                return self._by_onnxruntime(source, work)
        except (AssertionError, AttributeError, IndexError, KeyError, RuntimeError, TypeError, ValueError) as error:
            # A pattern that fits by half breaks in as many ways; the graph it leaves is of no use.
            raise StageFailed(
                f"{self.engine} could not fuse this graph ({first_line(error)}): {self._advice()}"
            ) from error
        return self._by_onnxruntime_tools(source, opset(model), work)

    def _by_onnxruntime(self, source: Artifact, work: Path) -> onnx.ModelProto:
        from onnxruntime.transformers.optimizer import OnnxModel, optimize_model

        with library_call(work), prints_logged(sys.modules[OnnxModel.__module__]):
            optimizer = optimize_model(
                str(source.onnx_path),
                model_type=self.model_type,
                num_heads=self.num_heads,
                hidden_size=self.hidden_size,
                use_gpu=False,
            )
        model: onnx.ModelProto = optimizer.model
        return model

    def _by_onnxruntime_tools(self, source: Artifact, version: int, work: Path) -> onnx.ModelProto:
        """Fuse in a process of its own: the package can't be imported beside onnxruntime.transformers."""
        import onnx

        successor = "its successor is engine=onnxruntime"
        if find_spec("onnxruntime_tools") is None:
            raise Skipped(
                "engine=onnxruntime-tools needs that deprecated package, which is not installed: install the extra "
                f"'legacy'; {successor}"
            )
        if version > LEGACY_OPSET:
            raise Skipped(
                f"onnxruntime-tools fuses graphs up to opset {LEGACY_OPSET}, and this one has opset {version}: export "
                f"with exporter=torchscript and opset={LEGACY_OPSET}; {successor}"
            )
        path = work / "fused.onnx"
        arguments = [str(source.onnx_path), str(path), self.model_type, str(self.num_heads), str(self.hidden_size)]
        done = subprocess.run(
            [sys.executable, "-P", "-m", legacy_fusion.__name__, *arguments],
            capture_output=True,
            text=True,
            # Not the whole search path: onnxruntime.transformers puts its folder there, with modules of these names.
            env={**os.environ, "PYTHONPATH": str(PACKAGE.parent)},
        )
        if done.returncode:
            said = [line for line in done.stderr.splitlines() if line.strip()]
            raise StageFailed(f"onnxruntime-tools could not fuse this graph ({said[-1] if said else 'no reason'})")
        return onnx.load(path)

    def _advice(self) -> str:
        other = "onnxscript" if self.engine != "onnxscript" else "onnxruntime"
        exporter = "dynamo" if other == "onnxscript" else "torchscript"
        return f"try engine={other}, which knows graphs exported with exporter={exporter}"


def _by_onnxscript(source: Artifact) -> onnx.ModelProto:
    import onnx_ir as ir
    from onnxscript.rewriter.ort_fusions import optimize_for_ort

    model, _ = optimize_for_ort(ir.load(source.onnx_path))
    return ir.to_proto(model)


def _contributed(model: onnx.ModelProto) -> Counter[str]:
    return Counter(node.op_type for node in model.graph.node if node.domain == CONTRIBUTED)
