"""What a target's ``session`` holds, checked in one way for every runtime."""

from __future__ import annotations

from collections.abc import Collection
from typing import Any

from pipeline.errors import UserError
from pipeline.plan import Target


def check_keys(target: Target, available: Collection[str]) -> None:
    """Raise UserError for the first session key that the runtime doesn't have."""
    for key in sorted(set(target.session) - set(available)):
        raise UserError(f"target.{target.name}.session.{key} does not exist; available: {', '.join(available)}")


def choice(target: Target, key: str, default: str, available: Collection[str]) -> str:
    """A session key's value, which is one of some words; raises UserError for any other."""
    value = target.session.get(key, default)
    if value not in available:
        raise unknown(target, key, value, available)
    return str(value)


def switch(target: Target, key: str, default: bool) -> bool:
    """A session key's value, which is true or false; raises UserError for any other."""
    value = target.session.get(key, default)
    if not isinstance(value, bool):
        raise unknown(target, key, value, ("false", "true"))
    return value


def unknown(target: Target, key: str, value: Any, available: Collection[str]) -> UserError:
    """The refusal of a value."""
    return UserError(f"target.{target.name}.session.{key}={value} does not exist; available: {', '.join(available)}")
