"""Checks of a target's ``session``, the same for every runtime."""

from __future__ import annotations

from collections.abc import Collection
from typing import Any

from pipeline.errors import UserError, names
from pipeline.plan import Target


def check_keys(target: Target, available: Collection[str]) -> None:
    """Raise UserError for the first session key that the runtime doesn't have."""
    for key in sorted(set(target.session) - set(available)):
        raise UserError(names.unknown(f"target.{target.name}.session.{key}", key, available))


def choice(target: Target, key: str, default: str, available: Collection[str]) -> str:
    """The value of a session key that takes one of some words; raises UserError for any other value."""
    value = target.session.get(key, default)
    if value not in available:
        raise unknown(target, key, value, available)
    return str(value)


def switch(target: Target, key: str, default: bool) -> bool:
    """The value of a session key that is true or false; raises UserError for any other value."""
    value = target.session.get(key, default)
    if not isinstance(value, bool):
        raise unknown(target, key, value, ("false", "true"))
    return value


def unknown(target: Target, key: str, value: Any, available: Collection[str]) -> UserError:
    """The error that refuses a value."""
    return UserError(names.unknown(f"target.{target.name}.session.{key}={value}", str(value), available))
