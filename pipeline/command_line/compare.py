"""The words behind ``compare``."""

from __future__ import annotations

import argparse
from collections.abc import Sequence
from pathlib import Path

from pipeline.command_line.typed import SCHEMA, add_json
from pipeline.compare.command import Options
from pipeline.errors import UserError

GATE = "gate"


def compare_words(argv: Sequence[str]) -> tuple[Options, Sequence[str]] | None:
    """What is compared, and the rules that were typed, such as ``gate.max_slowdown=0.05``; None where only the JSON
    Schema is asked for. Raises UserError for runs that are missing or too many, and for flags that don't go
    together."""
    if SCHEMA in argv:
        return None
    read = _parser().parse_intermixed_args(argv)
    settings = [word for word in read.words if _is_rule(word)]
    runs = [Path(word) for word in read.words if not _is_rule(word)]
    wanted = 1 if read.against is not None else 2
    if len(runs) != wanted:
        how = "RUN --against FOLDER" if wanted == 1 else "RUN_A RUN_B, or RUN --against FOLDER"
        given = ", ".join(map(str, runs)) or "nothing"
        raise UserError(f"type which runs to compare: python -m pipeline compare {how} (got {given})")
    for flag, value in (("--junit", read.junit), (settings[0] if settings else "", settings)):
        if value and not read.gate:
            raise UserError(f"{flag} belongs to the gate: type --gate as well")
    options = Options(
        before=None if wanted == 1 else runs[0],
        after=runs[-1],
        against=read.against,
        gate=read.gate,
        junit=read.junit,
        out=read.out,
        as_json=read.json,
    )
    return options, settings


def _is_rule(word: str) -> bool:
    return word.startswith((f"{GATE}=", f"{GATE}."))


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(
        prog="slimline compare",
        usage="slimline compare RUN_A RUN_B | RUN --against FOLDER [--gate] [gate.RULE=VALUE ...] [--junit FILE] "
        "[--out FOLDER] [--json] [--json-schema]",
        description="What changed from run A to run B: speed, accuracy, size, memory, versions and settings.",
        epilog="With --gate the exit code is 0 where every row kept its limits, 1 for a regression, 3 where a figure "
        "is too uncertain to tell. Rules: gate.max_slowdown, gate.max_accuracy_drop, gate.max_size_growth, "
        "gate.confidence, gate.earlier (conf/gate/default.yaml).",
    )
    parser.add_argument("words", nargs="*", metavar="RUN", help="a run's folder; or gate.RULE=VALUE")
    parser.add_argument("--against", type=Path, metavar="FOLDER", help="a folder of earlier runs: its last green ones")
    parser.add_argument("--gate", action="store_true", help="judge by the rules, and say so by the exit code")
    parser.add_argument("--junit", type=Path, metavar="FILE", help="write the gate's checks as JUnit XML")
    parser.add_argument(
        "--out", type=Path, metavar="FOLDER", help="write comparison.json, comparison.md and comparison.html"
    )
    add_json(parser)
    return parser
