"""A run's log."""

from __future__ import annotations

import logging
import sys
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path

from pipeline.terminal.screen import printable


class _Harmless(logging.Formatter):
    def format(self, record: logging.LogRecord) -> str:
        """A line that a terminal shows as it is."""
        return printable(super().format(record))


class _RunLog(logging.FileHandler):
    """A log that can't be written any more, on a full disk, ends nothing: what the run writes next says why."""

    def handleError(self, record: logging.LogRecord) -> None:  # noqa: N802
        """Do without the line."""


@contextmanager
def logging_to(path: Path) -> Iterator[None]:
    """Send this package's warnings to the terminal, and all other messages to a file of the run."""
    path.parent.mkdir(parents=True, exist_ok=True)
    package = logging.getLogger("pipeline")
    before = package.level, package.propagate
    to_file = _RunLog(path, encoding="utf-8", errors="backslashreplace")
    to_file.setFormatter(logging.Formatter("%(asctime)s %(levelname)s %(name)s: %(message)s"))
    to_terminal = logging.StreamHandler(sys.stderr)
    to_terminal.setLevel(logging.WARNING)
    to_terminal.setFormatter(_Harmless("slimline: %(message)s"))
    package.setLevel(logging.DEBUG)
    package.propagate = False
    package.addHandler(to_file)
    package.addHandler(to_terminal)
    try:
        yield
    finally:
        package.removeHandler(to_terminal)
        package.removeHandler(to_file)
        with suppress(OSError):  # what the full disk did not take
            to_file.close()
        package.level, package.propagate = before
