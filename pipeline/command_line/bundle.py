"""The words behind ``bundle``."""

from __future__ import annotations

import argparse
from collections.abc import Sequence
from pathlib import Path


def bundle_options(argv: Sequence[str]) -> argparse.Namespace:
    """Which rows of which run, and where to."""
    parser = argparse.ArgumentParser(
        prog="slimline bundle", description="Write the deploy bundle of any variant of a finished run."
    )
    parser.add_argument("run", type=Path, help="a run's folder, such as outputs/latest")
    parser.add_argument(
        "rows",
        nargs="+",
        metavar="VARIANT",
        help="a variant, or VARIANT@TARGET; without a target the recommended row, or else the variant's fastest",
    )
    parser.add_argument("--out", type=Path, metavar="DIR", help="the bundle's folder (default: RUN/deploy/VARIANT)")
    return parser.parse_args(argv)
