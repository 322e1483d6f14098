"""A request that gets no outputs: its status of HTTP, and why in one line."""

from __future__ import annotations

from collections.abc import Mapping
from types import MappingProxyType

from .values import printable

_NONE: Mapping[str, str] = MappingProxyType({})


class Refused(Exception):
    """Raised for a request that gets no outputs; the message is one line."""

    def __init__(self, status: int, reason: str, headers: Mapping[str, str] = _NONE) -> None:
        """``headers`` are sent beside the reason, such as when to ask again."""
        super().__init__(printable(reason))
        self.status, self.headers = status, headers
