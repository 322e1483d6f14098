"""The words behind ``doctor``."""

from __future__ import annotations

import argparse
from collections.abc import Sequence
from pathlib import Path


def doctor_options(argv: Sequence[str]) -> argparse.Namespace:
    """What ``doctor`` was asked for."""
    parser = argparse.ArgumentParser(
        prog="slimline doctor", description="Can this machine be measured on, what can it run, what would show?"
    )
    parser.add_argument("--quick", action="store_true", help="leave the noise floor out, which takes 30 s")
    parser.add_argument("--json", action="store_true", help="print JSON")
    parser.add_argument("--path", type=Path, default=Path("models/store"), help="the store (default: models/store)")
    return parser.parse_args(argv)
