"""A network's weights from a file: read without running code, and matched by name with the network.

Names of checkpoints differ from the network's in a few known ways. Each difference is undone, and said, only where the
names then fit: a state dict among other things (``state_dict``), a prefix of a wrapper (DataParallel's ``module.``,
Lightning's ``model.``), torch.compile's ``_orig_mod.``, and weights that several layers share and that are written
once.
"""

from __future__ import annotations

import json
import pickle
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

from pipeline.errors import UserError
from pipeline.patterns import matches
from pipeline.zoo.torch_files import state_dict_of, whole_model

if TYPE_CHECKING:
    import torch
    from torch import nn

_COMPILED = "_orig_mod."
_LFS = b"version https://git-lfs"
_SHOWN = 5
"""Names listed in a message."""
State = dict[str, "torch.Tensor"]


def load_weights(module: nn.Module, path: Path, ignored: Sequence[str]) -> list[str]:
    """Load a file's weights into the module: every weight of the file has a place in the module, and every place gets
    one. ``ignored`` are names in the file, or patterns, to leave out.

    Returns what was done to the names, a sentence each. Raises UserError where the file can't be read or doesn't fit.
    """
    remarks: list[str] = []
    names = _groups(module)
    state = _state_of(read_weights(path), names, path, remarks)
    state = {name: value for name, value in state.items() if not matches(name, ignored)}
    state = _named_alike(state, names, remarks)
    state = {name: value for name, value in state.items() if not matches(name, ignored)}
    _fill_shared(state, names, path)
    problem, kind = _misfit(state, module), type(module)
    if problem is not None:
        raise UserError(f"model.weights={path} do not fit {kind.__module__}.{kind.__qualname__}: {problem}")
    try:
        module.load_state_dict(state)
    except RuntimeError as error:
        raise UserError(f"model.weights={path} do not fit: {' '.join(str(error).split())}") from error
    return remarks


def read_weights(path: Path) -> Mapping[str, Any]:
    """The content of a file: safetensors, a file of ``torch.save``, or the index of several. No code in it is run."""
    if path.suffix == ".json":
        return _read_shards(path)
    if path.suffix == ".safetensors":
        return _read_safetensors(path)
    content = _read_torch(path)
    if not isinstance(content, Mapping):
        raise UserError(f"model.weights={path} holds a {type(content).__name__}, not a state dict")
    return content


def _read_safetensors(path: Path) -> Mapping[str, Any]:
    from safetensors import SafetensorError
    from safetensors.torch import load_file

    try:
        return load_file(path)
    except (SafetensorError, OSError, ValueError) as error:
        raise UserError(f"model.weights={path} can't be read as safetensors: {_why(path, error)}") from error


def _read_torch(path: Path) -> Any:
    import torch

    try:
        return torch.load(path, map_location="cpu", weights_only=True)
    except Exception as error:  # a damaged file makes torch and pickle raise nearly anything
        whole = whole_model(path)
        if whole is not None:
            raise UserError(
                f"model.weights={path} holds a whole pickled {whole}, and reading that would run code from the file: "
                f"where you trust it, save its weights alone, by typing in Python: {state_dict_of(path)}"
            ) from error
        raise UserError(
            f"model.weights={path} can't be read as a state dict of torch.save: {_why(path, error)}"
        ) from error


def _read_shards(path: Path) -> Mapping[str, Any]:
    """Several files whose index says which weight lies in which, as Hugging Face's large models are kept."""
    try:
        files = sorted(set(json.loads(path.read_text())["weight_map"].values()))
    except (OSError, ValueError, KeyError, TypeError, AttributeError) as error:
        raise UserError(f"model.weights={path} is no index of weights (it has no weight_map)") from error
    state: dict[str, Any] = {}
    for name in files:
        shard = path.parent / name
        if Path(name).name != name or not shard.is_file():
            raise UserError(f"model.weights={path} names {name}, and there is no such file beside it")
        state |= read_weights(shard)
    return state


def _why(path: Path, error: Exception) -> str:
    """The reason in a line."""
    with path.open("rb") as file:
        begins = file.read(len(_LFS))
    if begins == _LFS:
        return "it is a pointer of Git LFS: type git lfs pull"
    if isinstance(error, pickle.UnpicklingError) and "GLOBAL " in str(error):
        name = str(error).partition("GLOBAL ")[2].split()[0]
        return f"it holds an object of {name}, whose code would be run: save the tensors of the state dict alone"
    if "TorchScript archive" in str(error):
        return "it is a TorchScript archive: save the state_dict() of what torch.jit.load gives"
    kind = "it is empty" if not begins else f"it is damaged or of another kind (it begins with {begins[:8]!r})"
    return f"{kind}; {type(error).__name__}"


def _groups(module: nn.Module) -> Mapping[str, int]:
    """What a state dict of the module names, each with the number of its tensor: names that share one have the same."""
    return {name: id(value) for name, value in module.state_dict(keep_vars=True).items()}


def _state_of(content: Mapping[str, Any], names: Mapping[str, int], path: Path, remarks: list[str]) -> State:
    """The one mapping of tensors in a checkpoint, which may lie beside optimizers and settings."""
    import torch

    if content and all(isinstance(value, torch.Tensor) for value in content.values()):
        return dict(content)
    inner = {key: dict(value) for key, value in content.items() if _is_state(value)}
    fitting = [key for key, state in inner.items() if _common(_stripped(state, names)[0], names)] or list(inner)
    if len(fitting) > 1 and "state_dict" in fitting:
        fitting = ["state_dict"]
    if len(fitting) == 1:
        remarks.append(f"the weights are what the file holds as '{fitting[0]}'")
        return inner[fitting[0]]
    if inner:
        raise UserError(
            f"model.weights={path} holds several state dicts ({', '.join(inner)}): save the one to use alone"
        )
    tensors = {name: value for name, value in content.items() if isinstance(value, torch.Tensor)}
    if not tensors:
        keys = ", ".join(map(str, list(content)[:_SHOWN])) or "nothing"
        raise UserError(f"model.weights={path} holds no state dict: it holds {keys}")
    remarks.append(f"what is no tensor in the file is left out ({', '.join(sorted(set(content) - set(tensors)))})")
    return tensors


def _is_state(value: Any) -> bool:
    import torch

    return (
        isinstance(value, Mapping)
        and bool(value)
        and all(isinstance(name, str) and isinstance(tensor, torch.Tensor) for name, tensor in value.items())
    )


def _named_alike(state: State, names: Mapping[str, int], remarks: list[str]) -> State:
    stripped, removed = _stripped(state, names)
    if removed:
        remarks.append(f"{' and '.join(repr(prefix) for prefix in removed)} is taken off the names in the file")
    return stripped


def _stripped(state: State, names: Mapping[str, int]) -> tuple[State, list[str]]:
    """The state without wrappers' prefixes, as long as more names fit without them; and the prefixes."""
    removed = []
    without = {name.replace(_COMPILED, ""): value for name, value in state.items()}
    if state.keys() != without.keys() and len(without) == len(state) and not any(_COMPILED in name for name in names):
        state, removed = without, [_COMPILED]
    while True:
        prefixes = {f"{name.partition('.')[0]}." for name in state if "." in name}
        best = max(prefixes, key=lambda prefix: _common(_without(state, prefix), names), default=None)
        if best is None or _common(_without(state, best), names) <= _common(state, names):
            return state, removed
        state = _without(state, best)
        removed.append(best)


def _without(state: State, prefix: str) -> State:
    return {name.removeprefix(prefix): value for name, value in state.items()}


def _common(state: State, names: Mapping[str, int]) -> int:
    return len(state.keys() & names.keys())


def _fill_shared(state: State, names: Mapping[str, int], path: Path) -> None:
    """Name a shared tensor by all its names, in place; raises UserError where the file has several values for it."""
    import torch

    present: dict[int, str] = {}
    for name in state.keys() & names.keys():
        other = present.setdefault(names[name], name)
        if state[other].shape != state[name].shape or not torch.equal(state[other], state[name]):
            raise UserError(
                f"model.weights={path}: '{other}' and '{name}' are one and the same in the model and differ in the file"
            )
    for name, number in names.items():
        if name not in state and number in present:
            state[name] = state[present[number]]


def _misfit(state: State, module: nn.Module) -> str | None:
    """What is missing, too much or of another shape, in a line; None where all fits."""
    from torch.nn.parameter import is_lazy

    own = module.state_dict(keep_vars=True)
    missing = [name for name in own if name not in state and not name.endswith(_UNNEEDED)]
    extra = [name for name in state if name not in own]
    shapes = [
        f"{name} is {list(state[name].shape)} in the file and {list(value.shape)} in the model"
        for name, value in own.items()
        if name in state and not is_lazy(value) and state[name].shape != value.shape
    ]
    parts = []
    if missing:
        parts.append(f"the file lacks {_some(missing)}")
    if extra:
        parts.append(f"the model has no {_some(extra)}")
    if shapes:
        parts.append(_some(shapes))
    if extra and not missing and not shapes:
        parts.append(f"to leave them out type model.ignored_weights=[{','.join(extra[:_SHOWN])}]")
    return "; ".join(parts) or None


_UNNEEDED = ("num_batches_tracked",)
"""The end of the names of a counter of batch normalization: older files lack it, and torch then keeps the module's
own."""


def _some(names: Sequence[str]) -> str:
    rest = f" and {len(names) - _SHOWN} more" if len(names) > _SHOWN else ""
    return f"{', '.join(names[:_SHOWN])}{rest}"
