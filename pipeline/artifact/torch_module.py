"""A PyTorch model on disk: weights as safetensors and ``model.json``, never a pickle.

``model.json`` says how to make the module again: the factory's dotted path and arguments, the inputs and outputs, and
the changes by pruning. A pruned module has other shapes than its factory gives, so loading calls the factory, gives its
weights the shapes and its modules the numbers (of channels, of heads) that they have now, and only then loads the
weights, strictly.
"""

from __future__ import annotations

import json
import math
from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass, replace
from pathlib import Path
from typing import TYPE_CHECKING, Any

from pipeline.artifact.code import code_digest, own_paths
from pipeline.artifact.torch_names import by_names, named_tensors
from pipeline.errors import UserError
from pipeline.errors.user_code import user_code_error
from pipeline.libraries.installed import locate

if TYPE_CHECKING:
    import torch
    from torch import nn

WEIGHTS_FILE = "weights.safetensors"
SPEC_FILE = "model.json"
_OWN_REWRITES = f"{__name__.partition('.')[0]}."
_MOVED = {"pipeline.stages.reparametrized.make_plain": "pipeline.artifact.plain_weights.make_plain"}
"""Where rewrites that stored models name lie now."""
DTYPES = ("float32", "float64", "float16", "bfloat16", "int64", "int32", "int8", "uint8", "bool")
PruningRound = Sequence[tuple[str, bool, Sequence[int]]]
"""One pruning, in order: a layer's name, whether its output (or its input) channels were pruned, and which."""


@dataclass(frozen=True, slots=True, kw_only=True)
class ModelInput:
    """One input: ``shape`` is without the batch, which is axis 0."""

    name: str
    shape: tuple[int, ...]
    dtype: str = "float32"
    longest: int | None = None
    """Where axis 1 counts the tokens of a text: the most that there may be, the same for all inputs; ``shape`` has an
    example's number. None: ``shape`` is fixed."""

    @property
    def sizes(self) -> tuple[int | None, ...]:
        """The size of every axis, the batch included, with None where any will do."""
        return None, *(None if axis == 0 and self.longest else size for axis, size in enumerate(self.shape))

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
    """The prunings in files of earlier versions; torch-pruning replays them."""
    shapes: Mapping[str, Sequence[int]] | None = None
    """The shapes, by name, of weights and buffers that differ from the factory's."""
    attributes: Mapping[str, Mapping[str, int]] | None = None
    """Integers that differ from the factory's, by a module's name and the attribute's: channels, heads."""
    kept: Mapping[str, Sequence[int]] | None = None
    """The outputs that pruning has left, by the layer's name, in the numbers that they have in the factory's module."""
    rewrites: tuple[Mapping[str, Any], ...] = ()
    """The rewrites, in order, that put other layers in place of the factory's. ``_target_`` is the dotted path of a
    function that gets the module and these arguments, plain JSON values, and changes it. Shapes and integers come
    after."""


def make_module(spec: ModelSpec) -> nn.Module:
    """Call the factory and give pruned parts their present size; the other weights are the factory's own. The mode is
    evaluation. Whatever the factory's module takes and returns, this one takes a tensor for each input of the spec, in
    order, and returns the outputs of the spec (see ``by_names``).

    Raises ImportError or AttributeError where the factory isn't found, TypeError where it gives no module, UserError
    where the inputs don't fit the module, and the factory's own errors.
    """
    import torch

    arguments = dict(spec.factory)
    target = arguments.pop("_target_")
    # torch-pruning follows the gradients from the outputs to the layers, so the caller's modes must not hold here.
    with torch.inference_mode(False), torch.enable_grad():
        module = locate(target)(**arguments)
        if not isinstance(module, torch.nn.Module):
            raise TypeError(f"{target} gives a {type(module).__name__}, not a torch.nn.Module")
        module = by_names(_unwrapped(module).eval(), [entry.name for entry in spec.inputs], spec.outputs)
        _give_values(module, spec)
        for pruned in spec.pruning_history or ():
            _prune_again(module, spec, pruned)
        for rewrite in spec.rewrites:
            changes = dict(rewrite)
            target = changes.pop("_target_")
            locate(_MOVED.get(target, target))(module, **changes)
        _resize(module, spec)
    return module


def spec_of_pruned(module: nn.Module, spec: ModelSpec) -> ModelSpec:
    """The spec with every shape and integer in which a module that was made from it differs now."""
    whole = make_module(replace(spec, shapes=None, attributes=None))
    before = whole.state_dict()
    shapes = {
        name: list(value.shape) for name, value in module.state_dict().items() if value.shape != before[name].shape
    }
    attributes = {}
    for name, layer in module.named_modules():
        old = vars(whole.get_submodule(name))
        changed = {key: now for key, now in vars(layer).items() if type(now) is int and old.get(key) != now}
        if changed:
            attributes[name] = changed
    return replace(spec, shapes=shapes, attributes=attributes)


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
    """Write weights and spec into the folder ``out``, with the digest of the code that makes the module.

    Weights that several layers share are written once.
    """
    from safetensors.torch import save_model

    save_model(module, str(out / WEIGHTS_FILE))
    (out / SPEC_FILE).write_text(json.dumps({**asdict(spec), "code": code_of(spec)}, indent=1) + "\n")


def code_of(spec: ModelSpec) -> str | None:
    """The digest of the code that makes a spec's module, and of the files that its arguments name."""
    arguments = {name: value for name, value in spec.factory.items() if name != "_target_"}
    rewrites = [rewrite["_target_"] for rewrite in spec.rewrites]
    own = [path for path in rewrites if not path.startswith(_OWN_REWRITES)]  # those have the ``version`` of their stage
    return code_digest(spec.factory["_target_"], *own, *own_paths(arguments), settings=arguments)


def load_spec(folder: Path) -> ModelSpec:
    """Read ``model.json``."""
    values = json.loads((folder / SPEC_FILE).read_text())
    history = values.get("pruning_history")
    return ModelSpec(
        factory=values["factory"],
        inputs=tuple(ModelInput(**{**entry, "shape": tuple(entry["shape"])}) for entry in values["inputs"]),
        outputs=tuple(values["outputs"]),
        pruning_history=None if history is None else tuple(_round(entries) for entries in history),
        shapes=values.get("shapes"),
        attributes=values.get("attributes"),
        kept=values.get("kept"),
        rewrites=tuple(values.get("rewrites", ())),
    )


def load_module(folder: Path) -> nn.Module:
    """Make the module and load its weights, on the CPU and in evaluation mode.

    Raises UserError where the code that made it has changed, and where the factory doesn't exist or doesn't fit.
    """
    from safetensors.torch import load_model

    spec = load_spec(folder)
    target = spec.factory["_target_"]
    made_by = json.loads((folder / SPEC_FILE).read_text()).get("code")
    if made_by not in (None, code_of(spec)):
        raise UserError(f"{folder}: the code of {target} has changed since this model was made of it: start a new run")
    try:
        module = make_module(spec)
        load_model(module, folder / WEIGHTS_FILE, strict=True)
    except UserError:
        raise
    except (Exception, SystemExit) as error:  # the factory is the user's code
        reason = user_code_error(error)
        raise UserError(f"{folder}: the model can't be made from {target}; has its code changed? {reason}") from error
    return module.eval()


def frozen(module: nn.Module) -> nn.Module:
    """The module, only for running: TorchScript prepares for gradients otherwise, and fails in inference mode."""
    for parameter in module.parameters():
        parameter.requires_grad_(False)
    return module


def free_axes(inputs: Sequence[ModelInput], *, batch: bool = True) -> tuple[dict[int, torch.export.Dim], ...]:
    """The free axes of each input, as torch.export takes them: the batch, unless it is told otherwise, and a text's
    tokens."""
    import torch

    rows = {0: torch.export.Dim("batch")} if batch else {}
    longest = max((entry.longest for entry in inputs if entry.longest), default=None)
    length = {} if longest is None else {1: torch.export.Dim("length", max=longest)}
    return tuple(rows | length if entry.longest else rows for entry in inputs)


def export_program(
    module: nn.Module, examples: tuple[torch.Tensor, ...], inputs: Sequence[ModelInput]
) -> torch.export.ExportedProgram:
    """The module as a program of torch.export with its axes free; raises torch.export's errors where it can't follow
    the module."""
    import torch

    return torch.export.export(module, examples, dynamic_shapes=free_axes(inputs))


def as_tensors(outputs: Any) -> list[torch.Tensor]:
    """A module's outputs as a flat list; outputs that are no tensors are left out."""
    return [tensor for _, tensor in named_tensors(outputs)]


def _round(entries: Sequence[Any]) -> PruningRound:
    return tuple((name, bool(is_output), tuple(indices)) for name, is_output, indices in entries)


def _prune_again(module: nn.Module, spec: ModelSpec, pruned: PruningRound) -> None:
    from torch_pruning import DependencyGraph

    graph = DependencyGraph().build_dependency(module, example_inputs=example_inputs(spec), verbose=False)
    graph.load_pruning_history([(name, is_output, list(indices)) for name, is_output, indices in pruned])


def _unwrapped(module: nn.Module) -> nn.Module:
    """The module that DataParallel or torch.compile was put around."""
    import torch
    from torch.nn.parallel import DataParallel

    while isinstance(module, DataParallel) or "_orig_mod" in module._modules:
        inner = module.module if isinstance(module, DataParallel) else module._modules["_orig_mod"]
        assert isinstance(inner, torch.nn.Module)
        module = inner
    return module


def _give_values(module: nn.Module, spec: ModelSpec) -> None:
    """Give parameters on the meta device memory, not a number each, and those that wait for an input their shapes.

    Raises UserError where a value on the meta device is none of those that are saved with the model.
    """
    import torch
    from torch.nn.parameter import is_lazy

    kept = module.state_dict(keep_vars=True)
    memory: dict[int, torch.Tensor] = {}
    for owner_name, owner in module.named_modules():
        for values in (owner._parameters, owner._buffers):
            for name, value in values.items():
                if value is None or is_lazy(value):
                    continue
                if 0 in value.stride() and not value.is_meta:
                    values[name] = value.contiguous()  # an expanded one has no memory of its own to load into
                if not value.is_meta:
                    continue
                path = f"{owner_name}.{name}".lstrip(".")
                if path not in kept:
                    raise UserError(f"'{path}' is on the meta device and not saved: make the model on the CPU")
                values[name] = memory.setdefault(id(value), _unset(value))
    if any(is_lazy(value) for value in kept.values()):
        with torch.no_grad():
            module(*example_inputs(spec))


def _unset(value: torch.Tensor) -> Any:
    """Memory on the CPU in place of a value on the meta device; a parameter stays one."""
    import torch

    fill = math.nan if value.is_floating_point() else 0
    unset = torch.full(value.shape, fill, dtype=value.dtype)
    return torch.nn.Parameter(unset, value.requires_grad) if isinstance(value, torch.nn.Parameter) else unset


def _resize(module: nn.Module, spec: ModelSpec) -> None:
    """Give weights the shapes, and modules the integers, that the spec names. Weights of another shape are set to 0."""
    import torch

    for name, shape in (spec.shapes or {}).items():
        owner_name, _, own = name.rpartition(".")
        owner = module.get_submodule(owner_name)
        empty = torch.zeros(tuple(shape), dtype=getattr(owner, own).dtype)
        setattr(owner, own, torch.nn.Parameter(empty) if own in owner._parameters else empty)
    for name, values in (spec.attributes or {}).items():
        for attribute, value in values.items():
            setattr(module.get_submodule(name), attribute, value)
