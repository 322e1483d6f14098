"""The words behind ``verify``."""

from __future__ import annotations

import argparse
from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING

from pipeline.errors import UserError

if TYPE_CHECKING:
    from pipeline.bundle import Options

SECONDS_PER_DAY = 24 * 3600
MOST_GB = 2**20


def verify_words(argv: Sequence[str]) -> tuple[Path, Options]:
    """The bundle, and how it is verified; raises UserError for limits that are none."""
    parser = argparse.ArgumentParser(prog="slimline verify", description="Let a deploy bundle prove itself here.")
    parser.add_argument("folder", type=Path, help="a bundle, such as outputs/latest/deploy/static_int8")
    parser.add_argument("--timeout", type=float, default=60.0, metavar="S", help="seconds for each step (default: 60)")
    parser.add_argument(
        "--memory-gb",
        type=float,
        default=4.0,
        metavar="GB",
        help="memory for each step, beside a few times the bundle's size (default: 4)",
    )
    parser.add_argument(
        "--run-infer",
        action="store_true",
        help="run the bundle's own infer.py too, and load a PyTorch bundle's model: only where you trust its source",
    )
    from pipeline.bundle import Options

    options = parser.parse_args(argv)
    if not 0 < options.timeout <= SECONDS_PER_DAY:
        raise UserError(f"--timeout must be a number of seconds above 0, a day at most (got {options.timeout})")
    if not 0 < options.memory_gb < MOST_GB:
        raise UserError(f"--memory-gb must be above 0 and below {MOST_GB} (got {options.memory_gb})")
    return options.folder, Options(timeout_s=options.timeout, memory_gb=options.memory_gb, run_infer=options.run_infer)
