"""Exports a PyTorch model to ONNX."""

from __future__ import annotations

import shutil
import warnings
from collections.abc import Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import TYPE_CHECKING, ClassVar, Literal

from pipeline.artifact import ONNX_FILE, Artifact, Format
from pipeline.artifact.onnx_exporter import exporter_errors, exporter_reason, quiet_exporter, save_exported
from pipeline.artifact.plain_weights import load_plain
from pipeline.artifact.torch_module import ModelSpec, example_inputs, free_axes
from pipeline.data.dataset import SplitName
from pipeline.errors import StageFailed, UserError
from pipeline.plan import Context
from pipeline.plan.roles import Role

if TYPE_CHECKING:
    import onnx
    import torch

Exporter = Literal["dynamo", "torchscript"]
OPSETS = {"dynamo": range(18, 24), "torchscript": range(11, 21)}
_DECIDES = "Python boolean"
"""The words of a tracing warning which say that the value of a tensor chose the way."""


@dataclass(frozen=True, slots=True, kw_only=True)
class ExportOnnx:
    """Write a PyTorch model as ONNX; an ONNX model is handed on as it is.

    Where the dynamo exporter can't follow the model, torchscript is tried, and the note ``export`` says so. Weights in
    bfloat16 become float32 (note ``widened``).
    """

    exporter: Exporter = "dynamo"
    """``dynamo`` is torch.export's, ``torchscript`` the older one by tracing. They give different graphs, which decides
    what can be fused and quantized later."""
    opset: int = 18
    """18 is the opset that the dynamo exporter writes without converting, and it has every operator that 8-bit
    quantization needs. An opset below 13 is only for ``fuse`` with the engine onnxruntime-tools."""
    dynamic_batch: bool = True
    """Whether axis 0 of every input is free; if not, it is 1. It changes nothing in an ONNX model, whose shapes the
    stage ``fix_shapes`` fixes."""

    role: ClassVar[Role] = "export"
    accepts: ClassVar[frozenset[Format]] = frozenset({"torch", "onnx"})
    produces: ClassVar[Format] = "onnx"
    version: ClassVar[int] = 1
    reads: ClassVar[frozenset[SplitName]] = frozenset()
    libraries: ClassVar[tuple[str, ...]] = ("torch", "onnx", "onnxscript")
    tolerance: ClassVar[float | None] = 1e-4

    def __post_init__(self) -> None:
        allowed = OPSETS[self.exporter]
        if self.opset not in allowed:
            raise ValueError(
                f"opset must lie between {allowed[0]} and {allowed[-1]} with exporter {self.exporter} "
                f"(got {self.opset})"
            )

    def __call__(self, source: Artifact, out: Path, context: Context) -> None:
        """Write ``model.onnx``; raises StageFailed where the exporter can't follow the model."""
        if source.format == "onnx":
            shutil.copytree(source.path, out, dirs_exist_ok=True)
            context.note("export", "the model is ONNX already and is handed on as it is")
            if not self.dynamic_batch:
                context.note("dynamic_batch", "changes nothing in an ONNX model: the stage fix_shapes fixes its batch")
            return
        module, spec, _ = load_plain(source.path)
        if _widen(module):
            context.note("widened", "weights in bfloat16 are written as float32, for which runtimes have kernels")
        with quiet_exporter():
            try:
                self._export(module, spec, out / ONNX_FILE)
            except exporter_errors() as error:
                reason = f"the {self.exporter} exporter could not export the model: {exporter_reason(error)}"
                if self.exporter == "torchscript":
                    raise StageFailed(reason) from error
                self._trace(module, spec, out / ONNX_FILE, reason)
                context.note("export", f"{reason}. The torchscript exporter could, and its graph is used")
        _check_names(out / ONNX_FILE, spec)
        if self.dynamic_batch:
            _check_free_batch(out / ONNX_FILE)

    def _export(self, module: torch.nn.Module, spec: ModelSpec, path: Path) -> None:
        if self.exporter == "dynamo":
            self._export_dynamo(module, spec, path)
            return
        import torch

        names = [entry.name for entry in spec.inputs]
        axes = free_axes(spec.inputs, batch=self.dynamic_batch)
        free = {
            entry.name: {axis: size.__name__ for axis, size in sizes.items()}
            for entry, sizes in zip(spec.inputs, axes, strict=True)
        }
        rows = {name: {0: "batch"} for name in spec.outputs} if self.dynamic_batch else {}
        torch.onnx.export(
            module,
            self._examples(spec),
            path,
            dynamo=False,
            opset_version=self.opset,
            input_names=names,
            output_names=list(spec.outputs),
            dynamic_axes=free | rows,
        )

    def _trace(self, module: torch.nn.Module, spec: ModelSpec, path: Path, reason: str) -> None:
        """The gentler way, where the other exporter failed for ``reason``: raises StageFailed with it where tracing
        fails, too, or would take one of several ways through the code for the only one."""
        from torch.jit._trace import TracerWarning

        traced = replace(self, exporter="torchscript", opset=min(self.opset, OPSETS["torchscript"][-1]))
        with warnings.catch_warnings(record=True) as said:
            warnings.simplefilter("always", TracerWarning)
            try:
                traced._export(module, spec, path)
                _check_names(path, spec)
            except (UserError, StageFailed) as error:
                raise StageFailed(reason) from error
            except exporter_errors() as error:
                raise StageFailed(reason) from error
        if any(issubclass(entry.category, TracerWarning) and _DECIDES in str(entry.message) for entry in said):
            path.unlink(missing_ok=True)
            raise StageFailed(
                f"{reason}. Its code decides by the values of tensors, which no exporter follows: torch.where and "
                "torch.cond can be exported"
            )

    def _export_dynamo(self, module: torch.nn.Module, spec: ModelSpec, path: Path) -> None:
        import torch

        program = torch.onnx.export(
            module,
            self._examples(spec),
            dynamo=True,
            verbose=False,
            opset_version=self.opset,
            input_names=[entry.name for entry in spec.inputs],
            output_names=list(spec.outputs),
            dynamic_shapes=free_axes(spec.inputs, batch=self.dynamic_batch),
        )
        names = [*(entry.name for entry in spec.inputs), *spec.outputs]
        save_exported(program, path, names, module.state_dict().values())

    def _examples(self, spec: ModelSpec) -> tuple[torch.Tensor, ...]:
        # An example batch of 1 would be taken for a constant.
        return example_inputs(spec, batch=2 if self.dynamic_batch else 1)


def _widen(module: torch.nn.Module) -> bool:
    """Turn bfloat16 into float32, in place, which keeps every value; returns whether there was any."""
    import torch

    if all(value.dtype != torch.bfloat16 for value in (*module.parameters(), *module.buffers())):
        return False
    module.float()
    return True


def _check_names(path: Path, spec: ModelSpec) -> None:
    import onnx

    graph: onnx.GraphProto = onnx.load(path, load_external_data=False).graph
    _check_same("inputs", [value.name for value in graph.input], [entry.name for entry in spec.inputs])
    _check_same("outputs", [value.name for value in graph.output], spec.outputs)


def _check_free_batch(path: Path) -> None:
    """The dynamo exporter writes the example's batch into a model that depends on it, and says nothing."""
    import onnx

    for value in onnx.load(path, load_external_data=False).graph.input:
        sizes = value.type.tensor_type.shape.dim
        if sizes and sizes[0].HasField("dim_value"):
            raise StageFailed(
                f"the exporter could not leave the batch of input '{value.name}' free, as the model's code depends on "
                "it: set dynamic_batch=false for a batch of 1"
            )


def _check_same(what: str, found: Sequence[str], named: Sequence[str]) -> None:
    if list(found) != list(named):
        raise StageFailed(
            f"the exported model has {what} {', '.join(found)} where the configuration names {', '.join(named)}: "
            f"name them all, in the model's order, in model.{what}"
        )
