"""Where a baseline comes from: a PyTorch class with weights, or an ONNX file."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from importlib.util import find_spec
from pathlib import Path
from typing import TYPE_CHECKING, Any, ClassVar

from pipeline.artifact import Format, file_digest
from pipeline.data.preprocessing import Preprocessing
from pipeline.errors import UserError
from pipeline.patterns import matches
from pipeline.plan import InputSignature
from pipeline.zoo.onnx_model import OnnxModel, existing

if TYPE_CHECKING:
    from pipeline.torch_artifact import ModelSpec

__all__ = ["InputSpec", "OnnxModel", "TorchModel"]


@dataclass(frozen=True, slots=True, kw_only=True)
class InputSpec:
    """One input of a PyTorch model: its shape without the batch, and the type that the model reads."""

    shape: tuple[int, ...]
    dtype: str = "float32"


@dataclass(frozen=True, slots=True, kw_only=True)
class TorchModel:
    """A PyTorch model: ``factory`` is the dotted path of a class or function, called with ``arguments``.

    ``weights`` is a state dict as safetensors, or as a file of ``torch.save`` (read with ``weights_only=True``: no code
    in it is run). ``ignored_weights`` are names in it, or glob patterns, that the model has no use for.
    """

    name: str
    factory: str
    weights: Path | None
    inputs: Mapping[str, InputSpec]
    arguments: Mapping[str, Any] = field(default_factory=dict)
    outputs: tuple[str, ...] = ("output",)
    ignored_weights: tuple[str, ...] = ()
    preprocessing: Mapping[str, Preprocessing] = field(default_factory=dict)
    format: ClassVar[Format] = "torch"

    def __post_init__(self) -> None:
        if not self.inputs:
            raise ValueError("inputs must name at least one input, in the order of the model's arguments")
        if not self.outputs:
            raise ValueError("outputs must name at least one output")

    def key(self) -> Mapping[str, Any]:
        """The factory, its code and arguments, and the digest of the weights."""
        return {
            "factory": self.factory,
            "code": _code_digest(self.factory),
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
        """Make the model, load its weights (strictly) and write it; raises UserError where they don't fit."""
        import torch

        from pipeline.torch_artifact import make_module, save_module

        spec = self._spec()
        torch.manual_seed(0)
        try:
            module = make_module(spec)
        except (ImportError, AttributeError, TypeError, ValueError) as error:
            raise UserError(f"model.factory={self.factory} can't be made with model.arguments: {error}") from error
        if self.weights is not None:
            try:
                module.load_state_dict(self._state(self.weights))
            except RuntimeError as error:
                reason = " ".join(str(error).split())
                raise UserError(f"model.weights={self.weights} do not fit {self.factory}: {reason}") from error
        save_module(module.eval(), spec, out)
        return {}

    def _state(self, path: Path) -> dict[str, Any]:
        state = _read_state(path)
        return {name: value for name, value in state.items() if not matches(name, self.ignored_weights)}

    def _spec(self) -> ModelSpec:
        from pipeline.torch_artifact import ModelInput, ModelSpec

        return ModelSpec(
            factory={"_target_": self.factory, **self.arguments},
            inputs=tuple(
                ModelInput(name=name, shape=spec.shape, dtype=spec.dtype) for name, spec in self.inputs.items()
            ),
            outputs=self.outputs,
        )


def _code_digest(factory: str) -> str | None:
    """The digest of the file that defines the factory; None where there is none to be found."""
    try:
        spec = find_spec(factory.rpartition(".")[0])
    except (ImportError, ValueError):
        return None
    return file_digest(Path(spec.origin)) if spec is not None and spec.has_location and spec.origin else None


def _read_state(path: Path) -> dict[str, Any]:
    import pickle

    import torch
    from safetensors import SafetensorError
    from safetensors.torch import load_file

    try:
        if path.suffix == ".safetensors":
            return load_file(path)
        state = torch.load(path, map_location="cpu", weights_only=True)
    except (SafetensorError, pickle.UnpicklingError, EOFError, RuntimeError, OSError) as error:
        raise UserError(f"model.weights={path} can't be read as safetensors or a state dict: {error}") from error
    if not isinstance(state, dict):
        raise UserError(f"model.weights={path} holds a {type(state).__name__}, not a state dict")
    return state
