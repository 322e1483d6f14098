"""A kit's metric as plain values, and back: what a device brings home names a class, so only known ones are made."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import fields, is_dataclass
from typing import Any

from pipeline.construct import TARGET, construct, is_plain
from pipeline.errors import UserError
from pipeline.plan import Metric

_OURS = ("pipeline.metrics.", "pipeline.postprocessing.")
_OF_THE_USER = ("pipeline.metrics.function.", "pipeline.postprocessing.function.")
"""Classes of ours whose fields name the user's code."""


def as_node(value: Any) -> dict[str, Any] | None:
    """A metric as a configuration's node, what it is made of too; None where one of its fields is no plain value."""
    if not is_dataclass(value) or isinstance(value, type):
        return None
    kind = type(value)
    node: dict[str, Any] = {TARGET: f"{kind.__module__}.{kind.__qualname__}"}
    for item in fields(value):
        found = getattr(value, item.name)
        plain = as_node(found) if is_dataclass(found) else found
        if (plain is None and found is not None) or not is_plain(plain):
            return None
        node[item.name] = plain
    return node


def made(node: Mapping[str, Any], *, trusted: bool) -> Metric:
    """The metric that a node stands for; raises UserError where it can't be made.

    A node that is not ``trusted``, as it came from a device, makes nothing but slimline's own classes.
    """
    foreign = [] if trusted else [path for path in _classes(node) if not _is_ours(path)]
    if foreign:
        raise UserError(
            f"the samples are judged by {foreign[0]}, which is code of your own: name the run that the kit was packed "
            "from, so that nothing runs that the samples only claim: --join RUN"
        )
    problems: list[str] = []
    metric: Metric = construct(dict(node), "metric", problems)
    if problems:
        raise UserError(*problems)
    return metric


def _classes(node: Any) -> list[str]:
    if not isinstance(node, Mapping):
        return []
    nested = [path for value in node.values() for path in _classes(value)]
    return [*([str(node[TARGET])] if TARGET in node else []), *nested]


def _is_ours(path: str) -> bool:
    return path.startswith(_OURS) and not path.startswith(_OF_THE_USER)
