"""The words behind ``plan``."""

from __future__ import annotations

import argparse
from collections.abc import Sequence
from dataclasses import dataclass

from pipeline.command_line.typed import JSON, SCHEMA, add_json


@dataclass(frozen=True, slots=True, kw_only=True)
class PlanWords:
    """What ``plan`` was asked for."""

    words: Sequence[str]
    """The flags and settings of the run."""
    as_json: bool


def plan_words(argv: Sequence[str]) -> PlanWords | None:
    """What these words ask for; None where that is only the JSON Schema."""
    if {"--help", "-h"} & set(argv):
        _parser().parse_args(["--help"])
    if SCHEMA in argv:
        return None
    return PlanWords(words=[word for word in argv if word != JSON], as_json=JSON in argv)


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(
        prog="slimline plan",
        usage="slimline plan [-h] [--json] [--json-schema] [KEY=VALUE ...]",
        description="What a run of these settings would do: its rows, what is stored already and what must be built, "
        "what it would skip and why, how long it may measure, and what is wrong with it. Nothing is done.",
        epilog="The settings are those of a run: python -m pipeline plan experiment=best model=onnx model.path=FILE.",
    )
    add_json(parser)
    return parser
