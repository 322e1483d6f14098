"""A TorchScript archive as a baseline: it becomes an ONNX model. It knows the names of its inputs and not their
shapes."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

from pipeline.artifact import ONNX_FILE, file_digest
from pipeline.artifact.onnx_exporter import quiet_exporter
from pipeline.artifact.torch_module import ModelInput, ModelSpec, example_inputs
from pipeline.artifact.torch_names import named_tensors
from pipeline.errors import UserError, first_line
from pipeline.libraries.installed import version
from pipeline.plan import InputSignature
from pipeline.zoo.exported import EXPORTERS, OPSET, exporting, output_names, require_same
from pipeline.zoo.file_model import FileModel
from pipeline.zoo.inputs import InputSpec
from pipeline.zoo.torch_files import require_kind

if TYPE_CHECKING:
    import torch

_BATCHES = (2, 1)
"""The batches that are tried: a larger one first, as the exporter would take 1 for a constant."""


@dataclass(frozen=True, slots=True, kw_only=True)
class ScriptModel(FileModel):
    """A file of ``torch.jit.save``."""

    inputs: Mapping[str, InputSpec]
    """The inputs: by the names of forward's arguments or, where they have others, in their order."""
    outputs: tuple[str, ...] = ()
    """Names for the tensors that it returns, in order; none: keys or fields where it has such, else ``output``."""

    def __post_init__(self) -> None:
        if not self.inputs:
            raise ValueError("inputs must name at least one input: TorchScript does not know their shapes")

    def key(self) -> Mapping[str, Any]:
        """The digest of the file, the inputs and outputs, and the versions of what exports it."""
        require_kind(self.path, "script")
        return {
            "script": file_digest(self.path),
            "inputs": {name: [list(spec.shape), spec.dtype] for name, spec in self.inputs.items()},
            "outputs": list(self.outputs),
            "exporters": {name: version(name) for name in EXPORTERS},
        }

    def signature(self) -> Mapping[str, InputSignature]:
        """The inputs as they are configured; the batch is free."""
        require_kind(self.path, "script")
        return {name: InputSignature((None, *spec.shape), spec.dtype) for name, spec in self.inputs.items()}

    def write(self, out: Path) -> Mapping[str, Any]:
        """Write the ONNX model, in a process that may run the script. Its batch is free, or 1 where no other runs.

        Raises UserError where the file can't be read, run on noise or exported, and where the ONNX model computes
        something else.
        """
        import torch

        with quiet_exporter():
            module = self._loaded()
        arguments = module.forward.schema.arguments  # type: ignore[attr-defined]  # its own class has no types
        inputs = self._in_order([entry.name for entry in arguments[1:]])
        spec = ModelSpec(factory={}, inputs=inputs, outputs=self.outputs)
        examples, found = self._run(module, spec)
        names = [entry.name for entry in inputs]
        outputs = list(self._named(found, names))
        free = {name: {0: "batch"} for name in (*names, *outputs)} if len(examples[0]) > 1 else None
        with exporting(self.path):
            torch.onnx.export(
                module,
                examples,
                out / ONNX_FILE,
                dynamo=False,
                opset_version=OPSET,
                input_names=names,
                output_names=outputs,
                dynamic_axes=free,
            )
        require_same(self.path, out / ONNX_FILE, module, examples, {})
        return {}

    def _loaded(self) -> torch.jit.ScriptModule:
        import torch

        try:
            module: torch.jit.ScriptModule = torch.jit.load(str(self.path), "cpu")  # type: ignore[no-untyped-call]
        except Exception as error:  # a damaged file makes torch raise nearly anything
            raise UserError(
                f"model.path={self.path} can't be read as TorchScript by torch {torch.__version__}: {first_line(error)}"
            ) from error
        if hasattr(module, "training"):  # a frozen one has no mode
            module.eval()
        return module

    def _in_order(self, arguments: Sequence[str]) -> tuple[ModelInput, ...]:
        """The inputs in the order of the arguments."""
        names = list(self.inputs)
        if set(names) <= set(arguments):
            names = [name for name in arguments if name in self.inputs]
        if len(names) > len(arguments) or (set(names) & set(arguments) and names != list(arguments[: len(names)])):
            raise UserError(
                f"model.inputs names {', '.join(self.inputs)}, and forward of model.path={self.path} takes "
                f"{', '.join(arguments)}: name the inputs as forward does"
            )
        specs = [(name, self.inputs[name]) for name in names]
        return tuple(ModelInput(name=name, shape=spec.shape, dtype=spec.dtype) for name, spec in specs)

    def _run(self, module: torch.jit.ScriptModule, spec: ModelSpec) -> tuple[tuple[torch.Tensor, ...], Any]:
        """Noise that the script runs on, and what it gives."""
        import torch

        reasons = []
        for size in _BATCHES:
            examples = example_inputs(spec, size)
            try:
                with torch.no_grad():
                    return examples, module(*examples)
            except RuntimeError as error:
                reasons.append(_last_line(error))
        raise UserError(
            f"model.path={self.path} can't be run on noise in the shape of model.inputs (without the batch): "
            f"{reasons[-1]}"
        )

    def _named(self, returned: Any, inputs: Sequence[str]) -> Sequence[str]:
        found = output_names([name for name, _ in named_tensors(returned)], inputs)
        if self.outputs and len(self.outputs) != len(found):
            raise UserError(
                f"model.outputs names {', '.join(self.outputs)}, and {self.path} returns {len(found)} tensors: "
                f"type model.outputs=[{','.join(found)}]"
            )
        return self.outputs or found


def _last_line(error: RuntimeError) -> str:
    """TorchScript tells the place first and the reason last."""
    lines = [line.strip() for line in str(error).splitlines() if line.strip()]
    return lines[-1] if lines else type(error).__name__
