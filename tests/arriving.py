"""Lets a call's process be forked from one that another test has made: it goes to the place of its caller first.

Each call's process imports this, so it imports little.
"""

from __future__ import annotations

import os
import pickle
import sys
import tempfile
from dataclasses import dataclass
from typing import Any

LIKE_THE_CALLERS = ("TMPDIR", "COLUMNS", "PYTEST_CURRENT_TEST")
"""The variables of the environment that differ from test to test, and that nothing reads when it is imported."""


@dataclass(frozen=True, slots=True)
class Placed:
    """A call that comes out of its pickle in the working directory of its caller, with the caller's search path and
    folder for temporary files."""

    call: Any

    def __reduce__(self) -> tuple[Any, ...]:
        variables = {name: os.environ.get(name) for name in LIKE_THE_CALLERS}
        place = os.getcwd(), list(sys.path), tempfile.tempdir, variables  # noqa: PTH109  this imports no pathlib
        return arrive, (*place, pickle.dumps(self.call, protocol=5))


def arrive(
    folder: str, search_path: list[str], temporary: str | None, variables: dict[str, str | None], pickled: bytes
) -> Any:
    """The call, read where its caller is."""
    os.chdir(folder)
    sys.path[:] = search_path
    tempfile.tempdir = temporary
    for name, value in variables.items():
        if value is None:
            os.environ.pop(name, None)
        else:
            os.environ[name] = value
    return pickle.loads(pickled)
