"""The origins of a baseline: a PyTorch class with weights, an ONNX file, a program of torch.export, or TorchScript."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING, Any, ClassVar

from pipeline.artifact import Format, file_digest
from pipeline.data.preprocessing import Preprocessing
from pipeline.errors import UserError
from pipeline.errors.user_code import user_code_error
from pipeline.plan import InputSignature, Postprocessing
from pipeline.zoo.file_model import existing
from pipeline.zoo.inputs import InputSpec
from pipeline.zoo.onnx_model import OnnxModel
from pipeline.zoo.program import ProgramModel
from pipeline.zoo.torchscript import ScriptModel

if TYPE_CHECKING:
    from pipeline.artifact.torch_module import ModelSpec

__all__ = ["InputSpec", "OnnxModel", "ProgramModel", "ScriptModel", "TorchModel"]


@dataclass(frozen=True, slots=True, kw_only=True)
class TorchModel:
    """A PyTorch model."""

    name: str
    factory: str
    """The dotted path of a class or function, which is called with ``arguments``."""
    weights: Path | None
    """A state dict as safetensors, as a file of ``torch.save`` (no code in it is run), or as the index of several
    files."""
    inputs: Mapping[str, InputSpec]
    """The inputs: those with the names of forward's arguments are passed by name, others in order."""
    arguments: Mapping[str, Any] = field(default_factory=dict)
    outputs: tuple[str, ...] = ("output",)
    """The keys or fields of what the model returns or, where it has none, names for its tensors in order."""
    ignored_weights: tuple[str, ...] = ()
    """Names in the weights, or glob patterns, that the model has no use for."""
    preprocessing: Mapping[str, Preprocessing] = field(default_factory=dict)
    postprocessing: Postprocessing | None = None
    state: Mapping[str, str] = field(default_factory=dict)
    """The input that takes each output at the next call, by the output's name (``pipeline.plan.state_of``)."""
    format: ClassVar[Format] = "torch"

    def __post_init__(self) -> None:
        if not self.inputs:
            raise ValueError("inputs must name at least one input, in the order of the model's arguments")
        if not self.outputs:
            raise ValueError("outputs must name at least one output")

    @property
    def beside(self) -> Path | None:
        """The folder that a tokenizer of the model's lies in: the one with its weights."""
        return None if self.weights is None else self.weights.parent

    def key(self) -> Mapping[str, Any]:
        """The factory, its code and arguments, and the digest of the weights."""
        from pipeline.artifact.torch_module import code_of

        return {
            "factory": self.factory,
            "code": code_of(self._spec()),
            "arguments": dict(self.arguments),
            "weights": None if self.weights is None else file_digest(existing(self.weights, "model.weights")),
            "inputs": {name: [list(spec.shape), spec.dtype] for name, spec in self.inputs.items()},
            "outputs": list(self.outputs),
            "ignored_weights": list(self.ignored_weights),
        }

    def signature(self) -> Mapping[str, InputSignature]:
        """The inputs as they are configured; the batch is free."""
        return {name: InputSignature((None, *spec.shape), spec.dtype) for name, spec in self.inputs.items()}

    def write(self, out: Path) -> Mapping[str, Any]:
        """Make the model, load its weights and write it; returns the ``warnings``, where there are any.

        Raises UserError where the model can't be made, where the weights don't fit, and where it is random.
        """
        import torch

        from pipeline.artifact.torch_module import make_module
        from pipeline.zoo.trial import write_checked
        from pipeline.zoo.weights import load_weights

        spec = self._spec()
        torch.manual_seed(0)
        try:
            module = make_module(spec)
        except UserError:
            raise
        except (Exception, SystemExit) as error:  # the factory is the user's code
            raise UserError(
                f"model.factory={self.factory} can't be made with model.arguments: {user_code_error(error)}"
            ) from error
        remarks = [] if self.weights is None else load_weights(module, self.weights, self.ignored_weights)
        return write_checked(module, spec, out, remarks)

    def _spec(self) -> ModelSpec:
        from pipeline.artifact.torch_module import ModelInput, ModelSpec

        return ModelSpec(
            factory={"_target_": self.factory, **self.arguments},
            inputs=tuple(
                ModelInput(name=name, shape=spec.shape, dtype=spec.dtype) for name, spec in self.inputs.items()
            ),
            outputs=self.outputs,
        )
