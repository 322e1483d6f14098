"""The words behind ``report``."""

from __future__ import annotations

import argparse
from collections.abc import Sequence
from pathlib import Path


def report_options(argv: Sequence[str]) -> argparse.Namespace:
    """Of which run, and with which labels."""
    parser = argparse.ArgumentParser(prog="slimline report", description="Derive the report anew from a run's samples.")
    parser.add_argument(
        "run",
        type=Path,
        help="a run's folder, such as outputs/latest; a sweep's, such as outputs/multirun/DATE/TIME; or a folder of "
        "samples that a kit brought home",
    )
    parser.add_argument(
        "--labels",
        type=Path,
        metavar="FILE",
        help="the run's to_label.csv, with labels of what was answered differently",
    )
    parser.add_argument(
        "--join",
        type=Path,
        metavar="RUN",
        help="for samples that a kit brought home: the run that it was packed from, whose rows stand beside them",
    )
    return parser.parse_args(argv)
