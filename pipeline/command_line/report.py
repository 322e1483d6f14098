"""The words behind ``report``."""

from __future__ import annotations

import argparse
from collections.abc import Sequence
from pathlib import Path


def report_options(argv: Sequence[str]) -> argparse.Namespace:
    """Of which run, and with which labels."""
    parser = argparse.ArgumentParser(prog="slimline report", description="Derive the report anew from a run's samples.")
    parser.add_argument("run", type=Path, help="a run's folder, such as outputs/latest")
    parser.add_argument(
        "--labels",
        type=Path,
        metavar="FILE",
        help="the run's to_label.csv, with labels of what was answered differently",
    )
    return parser.parse_args(argv)
