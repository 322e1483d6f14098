"""Names of a module's inputs and outputs, matched with those that are configured.

A module that was put right by ``by_names`` takes one tensor for each configured input, in that order, and returns the
configured outputs: one tensor, or a tuple. All code that runs, trains or exports a module gets it in this form, so none
of it can match the names otherwise.
"""

from __future__ import annotations

import dataclasses
import inspect
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from pipeline.errors import UserError

if TYPE_CHECKING:
    import torch
    from torch import nn

_BY_POSITION = (inspect.Parameter.POSITIONAL_ONLY, inspect.Parameter.POSITIONAL_OR_KEYWORD)
_BY_NAME = (inspect.Parameter.POSITIONAL_OR_KEYWORD, inspect.Parameter.KEYWORD_ONLY)
_LIKE_ITS_OWN = ("__module__", "__qualname__", "__doc__")
_REMARK = "_slimline_input_remark"


@dataclass(frozen=True, slots=True, kw_only=True)
class Passing:
    """The way in which tensors in the order of the configured inputs become arguments of ``forward``."""

    keywords: tuple[str, ...] | None
    """The name of each tensor's argument; None: they are passed by position."""
    as_one: bool = False
    """Whether they are passed as one tuple."""
    remark: str | None = None
    """A remark for the user about it; None where there is none."""

    def __call__(self, forward: Callable[..., Any], module: nn.Module, tensors: Sequence[Any]) -> Any:
        """Call ``forward``."""
        if self.as_one:
            return forward(module, tuple(tensors))
        if self.keywords is None:
            return forward(module, *tensors)
        return forward(module, **dict(zip(self.keywords, tensors, strict=True)))


def by_names(module: nn.Module, inputs: Sequence[str], outputs: Sequence[str]) -> nn.Module:
    """Let the module, in place, take tensors in the order of ``inputs`` and return the ``outputs``.

    It gets a class of its own, derived from the one that it had: its layers' names and a copy's behaviour stay.
    Scripted modules and graphs, whose code is not Python's, stay as they are. Raises UserError where the inputs don't
    fit ``forward``.
    """
    import torch

    kind = type(module)
    if isinstance(module, (torch.jit.ScriptModule, torch.fx.GraphModule)) or "forward" in vars(module):
        return module
    original = kind.forward
    passing = passing_of(original, inputs)

    def forward(self: nn.Module, *tensors: Any) -> Any:
        chosen = choose_outputs(passing(original, self, tensors), outputs)
        return chosen[0] if len(chosen) == 1 else chosen

    forward.__signature__ = _signature(inputs)  # type: ignore[attr-defined]  # the exporters ask for the inputs
    own = {"forward": forward, _REMARK: passing.remark}
    module.__class__ = type(kind.__name__, (kind,), {**{name: getattr(kind, name) for name in _LIKE_ITS_OWN}, **own})
    return module


def input_remarks(module: nn.Module) -> list[str]:
    """Remarks for the user on how the module gets its inputs."""
    remark = getattr(type(module), _REMARK, None)
    return [] if remark is None else [remark]


def passing_of(forward: Callable[..., Any], names: Sequence[str]) -> Passing:
    """The way of passing: by name where the names are those of forward's arguments, else in order; raises UserError
    where neither fits."""
    parameters = list(inspect.signature(forward).parameters.values())[1:]
    by_name = [parameter.name for parameter in parameters if parameter.kind in _BY_NAME]
    takes_any = any(parameter.kind is inspect.Parameter.VAR_KEYWORD for parameter in parameters)
    required = [parameter for parameter in parameters if _is_required(parameter)]
    known = [name for name in names if name in by_name]
    missing = [parameter.name for parameter in required if parameter.name not in names]
    any_number = any(parameter.kind is inspect.Parameter.VAR_POSITIONAL for parameter in parameters)
    if len(known) == len(names) or (takes_any and (known or not (required or any_number))):
        if missing:
            raise UserError(f"{_both(names, parameters)}: '{missing[0]}' is missing in model.inputs")
        return Passing(keywords=tuple(names))
    if len(parameters) == 1 and len(names) > 1 and _takes_several(parameters[0]):
        return Passing(keywords=None, as_one=True)
    _check_order(names, parameters)
    if len(names) == 1:
        return Passing(keywords=None)
    return Passing(keywords=None, remark=f"{_both(names, parameters)}: they are passed in this order")


def choose_outputs(value: Any, wanted: Sequence[str]) -> tuple[torch.Tensor, ...]:
    """The tensors that a module's output holds, in the order of ``wanted``: by name where the output has these names
    (keys of a mapping, fields of a dataclass or named tuple; those of inner ones follow after a dot), else all of them
    in order. None and plain values are left out. Raises UserError where neither fits."""
    found = dict(named_tensors(value))
    if all(name in found for name in wanted):
        return tuple(found[name] for name in wanted)
    if len(found) == len(wanted) and not any(name in found for name in wanted):
        return tuple(found.values())
    names = list(found)
    has_names = any(not part.isdigit() for name in names for part in name.split("."))
    returned = ", ".join(names) if has_names else f"{len(names) or 'no'} tensor{'s' if len(names) > 1 else ''}"
    typed = ",".join(names if has_names else [f"output_{name.replace('.', '_')}" for name in names])
    raise UserError(
        f"model.outputs names {', '.join(wanted)}, and the model returns {returned}"
        + (f": type model.outputs=[{typed}]" if names else "")
    )


def named_tensors(value: Any, name: str = "") -> Iterator[tuple[str, torch.Tensor]]:
    """Each tensor in a module's output, with its key, field or number; inner ones follow after a dot."""
    import torch

    if isinstance(value, torch.Tensor):
        yield name, value
        return
    for key, part in _parts(value):
        yield from named_tensors(part, f"{name}.{key}" if name else str(key))


def _parts(value: Any) -> Iterator[tuple[Any, Any]]:
    if value is None or isinstance(value, (str, bytes, int, float, complex)):
        return
    if isinstance(value, Mapping):
        yield from value.items()
    elif dataclasses.is_dataclass(value):
        yield from ((field.name, getattr(value, field.name)) for field in dataclasses.fields(value))
    elif hasattr(value, "_fields"):
        yield from zip(value._fields, value, strict=True)
    elif isinstance(value, (tuple, list)):
        yield from enumerate(value)
    else:
        yield from _attributes(value)


def _attributes(value: Any) -> Iterator[tuple[str, torch.Tensor]]:
    """The tensors right inside an object of another kind."""
    import torch

    for name, part in getattr(value, "__dict__", {}).items():
        if isinstance(part, torch.Tensor):
            yield name, part


def _takes_several(parameter: inspect.Parameter) -> bool:
    """Whether an argument is annotated as a tuple or list."""
    said = str(parameter.annotation).lower()
    return any(kind in said for kind in ("tuple", "list", "sequence"))


def _is_required(parameter: inspect.Parameter) -> bool:
    has_one = parameter.kind in (*_BY_POSITION, *_BY_NAME)
    return has_one and parameter.default is inspect.Parameter.empty


def _check_order(names: Sequence[str], parameters: Sequence[inspect.Parameter]) -> None:
    """Raise UserError where the names, taken in order, meet an argument of another's name, too few or too many."""
    places = [parameter.name for parameter in parameters if parameter.kind in _BY_POSITION]
    any_number = any(parameter.kind is inspect.Parameter.VAR_POSITIONAL for parameter in parameters)
    required = [parameter for parameter in parameters if _is_required(parameter)]
    by_name_only = [entry.name for entry in required if entry.kind is inspect.Parameter.KEYWORD_ONLY]
    moved = [name for name in names if name in places and names.index(name) != places.index(name)]
    fits = len(required) <= len(names) and (any_number or len(names) <= len(places))
    if moved or by_name_only or not fits:
        typed = ", ".join(entry.name for entry in required) or ", ".join(places[: len(names)])
        advice = f"name the inputs as forward does ({typed})"
        if len(places) == 1 < len(names):
            advice += f", or annotate {places[0]} as a tuple, if it is one of all inputs"
        raise UserError(f"{_both(names, parameters)}: {advice}")


def _both(names: Sequence[str], parameters: Sequence[inspect.Parameter]) -> str:
    taken = ", ".join(str(parameter).partition(":")[0].partition("=")[0].strip() for parameter in parameters)
    return f"model.inputs names {', '.join(names)}, and the model's forward takes {taken or 'nothing'}"


def _signature(inputs: Sequence[str]) -> inspect.Signature:
    names = [name if name.isidentifier() else f"input_{index}" for index, name in enumerate(inputs)]
    kind = inspect.Parameter.POSITIONAL_OR_KEYWORD
    return inspect.Signature([inspect.Parameter(name, kind) for name in ("self", *names)])
