"""Makes the key of a stored model."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Mapping
from dataclasses import fields, is_dataclass
from typing import Any

from pipeline.artifact.code import code_digest


def own_code(kind: type) -> str | None:
    """The digest of the code behind a class of the user's; None for one of ours, which has a version."""
    own = kind.__module__.partition(".")[0] == __name__.partition(".")[0]
    return None if own else code_digest(f"{kind.__module__}.{kind.__qualname__}")


def identity_of(part: Any) -> Mapping[str, Any]:
    """The values that tell a metric from others: its class, its fields and, for a metric of the user's own, its
    code. A field that is a dataclass has such values of its own."""
    kind = type(part)
    values = {item.name: getattr(part, item.name) for item in fields(part)} if is_dataclass(part) else vars(part)
    values = {name: identity_of(value) if is_dataclass(value) else value for name, value in values.items()}
    return {"kind": f"{kind.__module__}.{kind.__qualname__}", "fields": values, "code": own_code(kind)}


def digest_of(parts: Mapping[str, Any]) -> str:
    """The sha256 of plain values."""
    return hashlib.sha256(json.dumps(parts, sort_keys=True, default=str).encode()).hexdigest()
