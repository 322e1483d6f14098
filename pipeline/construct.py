"""Makes the objects that a configuration's nodes stand for, and says every problem with its key."""

from __future__ import annotations

import inspect
import json
import typing
from collections.abc import Collection, Mapping
from dataclasses import is_dataclass
from types import NoneType, UnionType
from typing import Any

from pipeline.bounds import fitted, hints_of
from pipeline.errors.names import meant, unknown
from pipeline.libraries.installed import locate

TARGET = "_target_"
"""The key of a node that names its class."""


def is_plain(value: Any) -> bool:
    """Whether a value can stand in a configuration or a record: JSON has a form for it."""
    try:
        json.dumps(value)
    except (TypeError, ValueError):
        return False
    return True


def selected_in(nodes: Mapping[str, Any]) -> list[str]:
    """The keys of the nodes that a configuration was chosen for."""
    return [name for name, node in nodes.items() if isinstance(node, dict) and TARGET in node]


def construct(node: Any, where: str, problems: list[str], selected: Collection[str] = ()) -> Any:
    """Call the class that ``node`` names in ``_target_`` with the other keys, nested nodes first.

    Each value is checked against the type of the class's field. Each problem is appended to ``problems``, with the key
    as the user types it and what exists; None is returned then. ``selected`` has the names beside the node's that were
    chosen.
    """
    if not isinstance(node, dict) or TARGET not in node:
        asked = meant(where.rpartition(".")[2], selected)
        others = f"; selected: {', '.join(selected)}" if selected else ""
        problems.append(
            f"{where} does not exist here: {asked}no configuration of that name is selected, so it has no {TARGET}"
            f"{others}"
        )
        return None
    path = node[TARGET]
    try:
        kind = locate(path)
    except (ImportError, AttributeError, ValueError) as error:
        problems.append(f"{where}.{TARGET}={path} can't be imported: {error}")
        return None
    return make(kind, {key: value for key, value in node.items() if key != TARGET}, where, problems)


def make(kind: Any, values: Mapping[str, Any], where: str, problems: list[str]) -> Any:
    """Call a class with these values, checked as ``construct`` does."""
    before = len(problems)
    parameters = inspect.signature(kind).parameters
    hints = hints_of(kind)
    takes_any = any(parameter.kind is parameter.VAR_KEYWORD for parameter in parameters.values())
    arguments = {}
    for key, value in values.items():
        if key not in parameters and not takes_any:
            problems.append(unknown(f"{where}.{key}", key, parameters))
            continue
        arguments[key] = _value(value, hints.get(key, Any), f"{where}.{key}", problems)
    required = [
        name
        for name, parameter in parameters.items()
        if parameter.default is parameter.empty and parameter.kind is not parameter.VAR_KEYWORD
    ]
    problems.extend(
        f"{where}.{name} has no value: type {where}.{name}=VALUE" for name in required if name not in values
    )
    if len(problems) > before:
        return None
    try:
        return kind(**arguments)
    except (ValueError, TypeError) as error:
        problems.append(f"{where}: {error}")
        return None


def _value(value: Any, hint: Any, where: str, problems: list[str], selected: Collection[str] = ()) -> Any:
    choices = typing.get_args(hint) if typing.get_origin(hint) in (typing.Union, UnionType) else (hint,)
    if value is None and NoneType in choices:
        return None
    if (isinstance(value, dict) and TARGET in value) or any(getattr(kind, "_is_protocol", False) for kind in choices):
        return construct(value, where, problems, selected)
    if isinstance(value, dict) and is_dataclass(hint):
        return make(hint, value, where, problems)
    if isinstance(value, dict) and (item_hint := _item_hint(hint)) is not None:
        selected = selected_in(value)
        return {key: _value(item, item_hint, f"{where}.{key}", problems, selected) for key, item in value.items()}
    return fitted(value, hint, where, problems)


def _item_hint(hint: Any) -> Any:
    """What a mapping's values must be, where that is a class of ours; None for plain values."""
    if typing.get_origin(hint) is not Mapping:
        return None
    item = typing.get_args(hint)[1]
    return item if is_dataclass(item) or getattr(item, "_is_protocol", False) else None
