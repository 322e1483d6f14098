"""The words behind ``kit``."""

from __future__ import annotations

import argparse
from collections.abc import Sequence
from pathlib import Path

from pipeline.bounds import CountFromZero
from pipeline.command_line.arguments import check_flag
from pipeline.errors import UserError


def kit_options(argv: Sequence[str]) -> argparse.Namespace:
    """Which rows of which run, where to, and on which host; raises UserError for words that don't go together."""
    parser = argparse.ArgumentParser(
        prog="slimline kit",
        description="Pack what measures a run's variants on another machine: it needs Python 3.9, numpy and the "
        "runtime there. With --host it is copied there, run, and reported.",
    )
    parser.add_argument("run", type=Path, help="a run's folder, such as outputs/latest")
    parser.add_argument(
        "rows", nargs="*", metavar="VARIANT", help="a variant, or VARIANT@TARGET (default: all that were measured)"
    )
    parser.add_argument(
        "--out",
        type=Path,
        metavar="DIR|FILE.pyz",
        help="a folder, or one file that Python runs (default: RUN/kit)",
    )
    parser.add_argument(
        "--examples", type=int, metavar="N", help="test examples that go along (default: as many as take 64 MiB)"
    )
    parser.add_argument("--host", metavar="USER@DEVICE", help="run it there over ssh, and report what it measured")
    parser.add_argument("--python", default=None, metavar="PYTHON", help="the Python there (default: python3)")
    parser.add_argument("--budget-s", type=float, metavar="S", help="about the most seconds of timing there")
    parser.add_argument("--busy", type=int, metavar="N", help="keep so many cores busy there while it times")
    options = parser.parse_args(argv)
    _check(options)
    return options


def _check(options: argparse.Namespace) -> None:
    if options.examples is not None and options.examples < 1:
        raise UserError(f"--examples must be a whole number from 1 on (got {options.examples})")
    if options.budget_s is not None and not 0 < options.budget_s < 1e6:
        raise UserError(f"--budget-s must be a number of seconds above 0 (got {options.budget_s})")
    if options.busy is not None:
        check_flag(options.busy, CountFromZero, "--busy")
    alone = [
        name for name in ("python", "budget_s", "busy") if options.host is None and getattr(options, name) is not None
    ]
    if alone:
        flag = alone[0].replace("_", "-")
        raise UserError(f"--{flag} is for --host; a kit that you carry takes it there: python kit.py --help")
    if options.host is not None and options.out is not None:
        raise UserError("--out is for a kit that you carry; with --host what it measured comes to RUN/devices")
