"""Tells how far measuring has come."""

from __future__ import annotations

import sys


class Progress:
    """One line that changes on a terminal; elsewhere a line for each new text."""

    def __init__(self) -> None:
        """Nothing was told yet."""
        self.last = ""

    def __call__(self, done: float, text: str) -> None:
        """Tell the share done, and what is going on."""
        if sys.stderr.isatty():
            sys.stderr.write(f"\r{100 * done:3.0f} %  {text[:100]:<100}")
            if done >= 1:
                sys.stderr.write("\n")
        elif text != self.last:
            sys.stderr.write(f"{text}\n")
        sys.stderr.flush()
        self.last = text
