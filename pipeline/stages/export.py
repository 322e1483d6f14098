"""Exports a PyTorch model to ONNX."""

from __future__ import annotations

import shutil
import warnings
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, replace
from pathlib import Path
from typing import TYPE_CHECKING, Any, ClassVar, Literal

from pipeline.artifact import ONNX_FILE, SINGLE_FILE_BYTES, Artifact, Format
from pipeline.artifact.plain_weights import load_plain
from pipeline.artifact.torch_module import ModelSpec, example_inputs, free_axes
from pipeline.data.dataset import SplitName
from pipeline.errors import StageFailed, UserError
from pipeline.libraries.muted import errors_only
from pipeline.plan import Context
from pipeline.plan.roles import Role

if TYPE_CHECKING:
    import onnx
    import torch

Exporter = Literal["dynamo", "torchscript"]
OPSETS = {"dynamo": range(18, 24), "torchscript": range(11, 21)}
_TRACES = "pkg.torch.onnx."
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
        with _quiet_exporter():
            try:
                self._export(module, spec, out / ONNX_FILE)
            except _exporter_errors() as error:
                reason = f"the {self.exporter} exporter could not export the model: {_reason(error)}"
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
            except _exporter_errors() as error:
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
        if program is None:
            raise StageFailed("the dynamo exporter gave no model")
        _rename_internal_values(program.model, {*(entry.name for entry in spec.inputs), *spec.outputs})
        _drop_traces(program.model)
        large = sum(tensor.numel() * tensor.element_size() for tensor in module.state_dict().values())
        program.save(path, external_data=large > SINGLE_FILE_BYTES)

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


def _rename_internal_values(model: Any, reserved: set[str]) -> None:
    """Give internal values other names than the inputs and outputs.

    The dynamo exporter names an internal value after its layer, so that an output of the same name is defined twice,
    and ONNX Runtime refuses the model.
    """
    graph = model.graph
    outer = {id(value) for value in (*graph.inputs, *graph.outputs)}
    for node in graph:
        for value in node.outputs:
            if id(value) not in outer and value.name in reserved:
                value.name = f"{value.name}_internal"
    for name in reserved & set(graph.initializers):
        value = graph.initializers[name]
        if id(value) not in outer:
            value.name = f"{name}_internal"


def _drop_traces(model: Any) -> None:
    """Remove stack traces, which hold the paths of source files of this machine."""
    for holder in (model, model.graph, *model.graph, *(value for node in model.graph for value in node.outputs)):
        for key in [key for key in holder.metadata_props if key.startswith(_TRACES)]:
            del holder.metadata_props[key]


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


@contextmanager
def _quiet_exporter() -> Iterator[None]:
    """Keep the exporters' remarks on themselves away from the user."""
    from torch.jit._trace import TracerWarning

    registration = "torch.onnx._internal.exporter._registration"  # it warns that torchvision, not needed, is missing
    with errors_only(registration), warnings.catch_warnings():
        # torch warns of its own use of what it deprecates, and recommends the other exporter.
        warnings.filterwarnings("ignore", ".*LeafSpec.* is deprecated", FutureWarning)
        warnings.filterwarnings("ignore", "You are using the legacy TorchScript-based ONNX export", DeprecationWarning)
        # What tracing took for a constant shows when the output is checked, at another batch than the example's.
        warnings.filterwarnings("ignore", category=TracerWarning)
        warnings.filterwarnings("ignore", "# The axis name: (batch|length) will not be used", UserWarning)
        warnings.filterwarnings("ignore", "The feature will be removed", DeprecationWarning)
        warnings.filterwarnings("ignore", "Constant folding - Only steps=1 can be constant folded", UserWarning)
        yield


def _exporter_errors() -> tuple[type[Exception], ...]:
    """What the exporters raise for a model that they can't follow."""
    from torch.onnx import errors

    return (
        errors.OnnxExporterError,
        errors.OnnxExporterWarning,
        RuntimeError,
        ValueError,
        TypeError,
        NotImplementedError,
    )


def _reason(error: Exception) -> str:
    lines = [line.strip() for line in str(error.__cause__ or error).splitlines() if line.strip()]
    return lines[0] if lines else type(error).__name__
