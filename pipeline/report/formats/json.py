"""Turns values into values that strictly valid JSON can hold."""

from __future__ import annotations

import json
import math
from collections.abc import Mapping, Sequence
from dataclasses import fields, is_dataclass
from typing import Any

import numpy as np

from pipeline.results.change import Change
from pipeline.results.comparison import Comparison
from pipeline.results.report import Report
from pipeline.results.sweep import Sweep


def plain(item: Any) -> Any:
    """The same value in JSON's types: null in place of NaN and infinity, no numpy scalars, no tuples, no paths.

    A change becomes the words that are typed for it, any other dataclass its fields.
    """
    if isinstance(item, np.generic):
        return plain(item.item())
    if isinstance(item, np.ndarray):
        return plain(item.tolist())
    if item is None or isinstance(item, bool | int | str):
        return item
    if isinstance(item, float):
        return item if math.isfinite(item) else None
    if isinstance(item, Mapping):
        return {str(key): plain(part) for key, part in item.items()}
    if isinstance(item, set | frozenset):
        return [plain(part) for part in sorted(item)]
    if isinstance(item, Sequence):
        return [plain(part) for part in item]
    if is_dataclass(item) and not isinstance(item, Change):
        return {field.name: plain(getattr(item, field.name)) for field in fields(item)}
    return str(item)


def json_text(found: Report | Comparison | Sweep) -> str:
    """The text of report.json, of comparison.json, or of sweep.json."""
    values = plain(found)
    ordered = {"schema_version": values.pop("schema_version"), **values}
    return json.dumps(ordered, indent=1, allow_nan=False, ensure_ascii=False) + "\n"
