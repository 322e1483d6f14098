"""A program of torch.export as a baseline: it becomes an ONNX model, and all that it knows of its inputs goes along."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

from pipeline.artifact import ONNX_FILE, file_digest
from pipeline.artifact.onnx_exporter import save_exported
from pipeline.artifact.torch_names import named_tensors
from pipeline.errors import UserError
from pipeline.errors.user_code import user_code_error
from pipeline.libraries.installed import version
from pipeline.plan import InputSignature
from pipeline.zoo.exported import EXPORTERS, OPSET, exporting, output_names, require_same
from pipeline.zoo.file_model import FileModel
from pipeline.zoo.program_file import signature_of
from pipeline.zoo.torch_files import require_kind

if TYPE_CHECKING:
    import torch


@dataclass(frozen=True, slots=True, kw_only=True)
class ProgramModel(FileModel):
    """A file of ``torch.export.save``. Its inputs, their types, and which of their sizes are free are its own."""

    def key(self) -> Mapping[str, Any]:
        """The digest of the file, and the versions of what exports it."""
        require_kind(self.path, "program")
        return {"program": file_digest(self.path), "exporters": {name: version(name) for name in EXPORTERS}}

    def signature(self) -> Mapping[str, InputSignature]:
        """The inputs; raises UserError where the file can't be read."""
        require_kind(self.path, "program")
        return signature_of(self.path)

    def write(self, out: Path) -> Mapping[str, Any]:
        """Write the ONNX model, in a process that may run the program.

        Raises UserError where the file can't be read or exported, and where the ONNX model computes something else.
        """
        import torch

        program = _loaded(self.path)
        if program.example_inputs is None:
            raise UserError(f"model.path={self.path} has no example inputs: save what torch.export.export gives")
        outputs = _output_names(program)
        with exporting(self.path):
            exported = torch.onnx.export(program, dynamo=True, verbose=False, opset_version=OPSET, output_names=outputs)
            names = [*_input_names(program), *outputs]
            save_exported(exported, out / ONNX_FILE, names, program.state_dict.values())
        arguments, keywords = program.example_inputs
        require_same(self.path, out / ONNX_FILE, program.module(), arguments, keywords)
        return {}


def _loaded(path: Path) -> torch.export.ExportedProgram:
    import torch

    try:
        with path.open("rb") as file:
            return torch.export.load(file)
    except Exception as error:  # a damaged file makes torch raise nearly anything
        raise UserError(
            f"model.path={path} can't be read as a program of torch.export by torch {torch.__version__}: "
            f"{user_code_error(error)}"
        ) from error


def _input_names(program: torch.export.ExportedProgram) -> list[str]:
    return [name for name in program.graph_signature.user_inputs if isinstance(name, str)]


def _output_names(program: torch.export.ExportedProgram) -> list[str]:
    """The keys or fields of what the program returns; ``output``, or numbers behind it, where it has none."""
    import torch
    from torch.utils._pytree import tree_unflatten

    spec = program.call_spec.out_spec
    if spec is None:
        return []
    places = [torch.empty(0) for _ in range(spec.num_leaves)]
    names = {id(place): name for name, place in named_tensors(tree_unflatten(places, spec))}
    given = zip(places, program.graph_signature.user_outputs, strict=True)
    return output_names([names[id(place)] for place, value in given if isinstance(value, str)], _input_names(program))
