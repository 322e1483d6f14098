"""The words behind ``track``."""

from __future__ import annotations

import argparse
from collections.abc import Sequence
from pathlib import Path

DEFAULT = "tracking=mlflow"


def track_options(argv: Sequence[str]) -> argparse.Namespace:
    """Which run, and the settings of the tracking, ``tracking=mlflow`` where none is named."""
    parser = argparse.ArgumentParser(
        prog="slimline track",
        description="Send a finished run to where it is tracked, such as one whose tracking server was away.",
    )
    parser.add_argument("run", type=Path, help="a run's folder, such as outputs/latest")
    parser.add_argument("overrides", nargs="*", help="such as tracking.uri=http://localhost:5000")
    options = parser.parse_intermixed_args(argv)
    if not any(override.startswith("tracking=") for override in options.overrides):
        options.overrides.insert(0, DEFAULT)
    return options
