"""The words behind ``selftest``."""

from __future__ import annotations

import argparse
from collections.abc import Sequence
from pathlib import Path

from pipeline.bounds import Count, CountFromZero, Seed
from pipeline.command_line.arguments import check_flag


def selftest_options(argv: Sequence[str]) -> argparse.Namespace:
    """What ``selftest`` was asked for; overrides may follow flags. Raises UserError for numbers out of their bounds."""
    parser = argparse.ArgumentParser(
        prog="slimline selftest",
        description="Let the measuring prove itself on this machine. A test that is stopped goes on where it was.",
    )
    parser.add_argument(
        "action",
        choices=["aa", "power", "both", "peers", "search", "rewarm", "cells"],
        help="aa: identical models must not be called different; power: a known 3 %% must be found; "
        "both: the two in the same runs; peers: aa beside plain sequential timing and torch.utils.benchmark; "
        "search: a search among copies of the baseline must not recommend one, beside three simple rules; "
        "rewarm, cells: the experiments behind the defaults of measure, on the variants of a run",
    )
    parser.add_argument("--runs", type=int, default=100, help="how many measurements (default: 100)")
    parser.add_argument("--busy", type=int, default=0, help="keep so many cores busy meanwhile (default: 0)")
    parser.add_argument("--seed", type=int, default=0, help="of the first run (default: 0)")
    parser.add_argument("--replay", action="store_true", help="judge the same blocks at other levels too")
    parser.add_argument("--of", type=Path, default=Path("outputs/latest"), help="rewarm, cells: the run")
    parser.add_argument("--path", type=Path, default=Path("outputs/selftest"), help="where the runs are kept")
    parser.add_argument("overrides", nargs="*", help="such as measure=quick measure.blocks=16")
    options = parser.parse_intermixed_args(argv)
    check_flag(options.runs, Count, "--runs")
    check_flag(options.busy, CountFromZero, "--busy")
    check_flag(options.seed, Seed, "--seed")
    return options
