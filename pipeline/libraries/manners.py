"""Tells libraries how to behave, by the variables of the environment that they read."""

from __future__ import annotations

import os
from collections.abc import Iterator, Mapping
from contextlib import contextmanager


@contextmanager
def with_manners(variables: Mapping[str, str]) -> Iterator[None]:
    """Set variables of the environment for the block; those that the user has set stay as they are."""
    own = {name: value for name, value in variables.items() if name not in os.environ}
    os.environ.update(own)
    try:
        yield
    finally:
        for name in own:
            os.environ.pop(name, None)
