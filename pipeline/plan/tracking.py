"""A place where finished runs are kept track of, beside the run's own folder."""

from __future__ import annotations

from pathlib import Path
from typing import Protocol


class Tracking(Protocol):
    """Sends finished runs to where a team looks at its experiments."""

    def check(self) -> None:
        """Raise UserError where nothing could be sent: a package is missing, or nobody answers. Called before any
        work."""
        ...

    def track(self, run: Path) -> str:
        """Send a finished run, given by its folder; returns where it can be seen.

        Raises SlimlineError where it can't be sent.
        """
        ...
