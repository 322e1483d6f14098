"""A PyTorch model on disk: weights as safetensors and ``model.json``, never a pickle.

``model.json`` says how to make the module again: the factory's dotted path and arguments, the inputs and outputs, and
what was pruned. A pruned module has other shapes than its factory gives, so loading calls the factory, prunes again
what was pruned, and only then loads the weights, strictly.
"""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

from pipeline.errors import UserError
from pipeline.installed import locate

if TYPE_CHECKING:
    import torch
    from torch import nn

WEIGHTS_FILE = "weights.safetensors"
SPEC_FILE = "model.json"
DTYPES = ("float32", "float64", "float16", "bfloat16", "int64", "int32", "int8", "uint8", "bool")
PruningRound = Sequence[tuple[str, bool, Sequence[int]]]
"""What one pruning did, in order: a layer's name, whether its output (or its input) channels were pruned, and which."""


@dataclass(frozen=True, slots=True, kw_only=True)
class ModelInput:
    """One input: ``shape`` is without the batch, which is axis 0."""

    name: str
    shape: tuple[int, ...]
    dtype: str = "float32"

    def __post_init__(self) -> None:
        if self.dtype not in DTYPES:
            raise ValueError(f"dtype of input '{self.name}' must be one of {', '.join(DTYPES)} (got {self.dtype!r})")
        if any(size < 1 for size in self.shape):
            raise ValueError(f"shape of input '{self.name}' must hold sizes above 0 (got {list(self.shape)})")


@dataclass(frozen=True, slots=True, kw_only=True)
class ModelSpec:
    """How to make a module: ``factory`` holds ``_target_``, the dotted path of a class or function, and its keyword
    arguments, plain JSON values. ``inputs`` are in the order of the module's arguments."""

    factory: Mapping[str, Any]
    inputs: tuple[ModelInput, ...]
    outputs: tuple[str, ...]
    pruning_history: tuple[PruningRound, ...] | None = None


def make_module(spec: ModelSpec) -> nn.Module:
    """Call the factory and prune what the history says; the weights are the factory's own, the mode is evaluation.

    Raises ImportError or AttributeError where the factory isn't found, TypeError or ValueError where it can't be called
    with its arguments or gives no module.
    """
    import torch

    arguments = dict(spec.factory)
    target = arguments.pop("_target_")
    # torch-pruning follows the gradients from the outputs to the layers, so the caller's modes must not hold here.
    with torch.inference_mode(False), torch.enable_grad():
        module = locate(target)(**arguments)
        if not isinstance(module, torch.nn.Module):
            raise TypeError(f"{target} gives a {type(module).__name__}, not a torch.nn.Module")
        module.eval()
        for pruned in spec.pruning_history or ():
            _prune_again(module, spec, pruned)
    return module


def example_inputs(spec: ModelSpec, batch: int = 2) -> tuple[torch.Tensor, ...]:
    """One tensor [batch, *shape] per input, the same on every call: normal noise, or zeros for integers."""
    import torch

    generator = torch.Generator().manual_seed(0)

    def example(entry: ModelInput) -> torch.Tensor:
        dtype = getattr(torch, entry.dtype)
        if not dtype.is_floating_point:
            return torch.zeros(batch, *entry.shape, dtype=dtype)
        return torch.randn(batch, *entry.shape, generator=generator).to(dtype)

    return tuple(example(entry) for entry in spec.inputs)


def save_module(module: nn.Module, spec: ModelSpec, out: Path) -> None:
    """Write weights and spec into the folder ``out``. Weights that several layers share are written once."""
    from safetensors.torch import save_model

    save_model(module, str(out / WEIGHTS_FILE))
    (out / SPEC_FILE).write_text(json.dumps(asdict(spec), indent=1) + "\n")


def load_spec(folder: Path) -> ModelSpec:
    """Read ``model.json``."""
    values = json.loads((folder / SPEC_FILE).read_text())
    history = values["pruning_history"]
    return ModelSpec(
        factory=values["factory"],
        inputs=tuple(
            ModelInput(name=entry["name"], shape=tuple(entry["shape"]), dtype=entry["dtype"])
            for entry in values["inputs"]
        ),
        outputs=tuple(values["outputs"]),
        pruning_history=None if history is None else tuple(_round(entries) for entries in history),
    )


def load_module(folder: Path) -> nn.Module:
    """Make the module and load its weights, on the CPU and in evaluation mode.

    Raises UserError where the factory no longer exists or no longer fits the weights (its code has changed).
    """
    from safetensors.torch import load_model

    spec = load_spec(folder)
    target = spec.factory["_target_"]
    try:
        module = make_module(spec)
        load_model(module, folder / WEIGHTS_FILE, strict=True)
    except (ImportError, AttributeError, TypeError, ValueError, RuntimeError) as error:
        reason = " ".join(str(error).split())
        raise UserError(f"{folder}: the model can't be made from {target}; has its code changed? {reason}") from error
    return module.eval()


def as_tensors(outputs: Any) -> list[torch.Tensor]:
    """A module's outputs as a flat list: a tensor, or a tuple, list or mapping of tensors."""
    import torch

    if isinstance(outputs, torch.Tensor):
        return [outputs]
    values = outputs.values() if isinstance(outputs, Mapping) else outputs
    return [tensor for value in values for tensor in as_tensors(value)]


def _round(entries: Sequence[Any]) -> PruningRound:
    return tuple((name, bool(is_output), tuple(indices)) for name, is_output, indices in entries)


def _prune_again(module: nn.Module, spec: ModelSpec, pruned: PruningRound) -> None:
    from torch_pruning import DependencyGraph

    graph = DependencyGraph().build_dependency(module, example_inputs=example_inputs(spec), verbose=False)
    graph.load_pruning_history([(name, is_output, list(indices)) for name, is_output, indices in pruned])
