"""The command ``inspect MODEL [DATA] [overrides]``: the configuration that the model is looked at in."""

from __future__ import annotations

import argparse
import shlex
from collections.abc import Sequence
from dataclasses import dataclass

from pipeline.command_line.shipped import configurations, default_of, defaults_of, described
from pipeline.command_line.typed import JSON, SCHEMA, Typed, add_files, add_json, typed
from pipeline.inspection.inspection import Suggested

_EVERY = ("variant", "target")
"""The groups whose options are all looked at."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Look:
    """What ``inspect`` was asked for."""

    words: Sequence[str]
    """The flags and settings of a run of every chain on every target."""
    suggested: Suggested
    as_json: bool
    notes: Sequence[str]
    """What the user may want to know before any work, a sentence each."""


def look(argv: Sequence[str]) -> Look | None:
    """What these words ask for; None where that is only the JSON Schema. Raises UserError where something is missing,
    with what to type."""
    if SCHEMA in argv:
        return None
    plain = [word for word in argv if word != JSON]
    words = typed(plain, _parser())
    every = [f"{group}=[{','.join(_names(group, words))}]" for group in _EVERY if group not in _groups(words)]
    chosen = "variant" in words.given
    return Look(
        words=[*words.flags, *every, *words.chosen, *words.settings],
        suggested=Suggested(
            optimize=shlex.join(["python", "-m", "pipeline", "optimize", *plain]),
            run=[*words.flags, *words.chosen, *words.settings],
            chosen=chosen or "experiment" in words.given,
            usual=defaults_of("variant"),
            about=described("variant", words.folders),
        ),
        as_json=JSON in argv,
        notes=words.notes,
    )


def _groups(words: Typed) -> set[str]:
    """The groups of which nothing is added: the user has chosen from them."""
    return set(_EVERY) if "experiment" in words.given else set(words.given)


def _names(group: str, words: Typed) -> list[str]:
    """Every option of a group; the first one is what a run takes first."""
    first = default_of(group)
    return [first, *(name for name in configurations(group, words.folders) if name != first)]


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(
        prog="slimline inspect",
        usage="slimline inspect [-h] [--json] [--json-schema] MODEL [DATA] [KEY=VALUE ...]",
        description="Look at a model before anything is built: what it is, what it reads and gives, which chains and "
        "targets are worth a try on this machine, and what to type next. Nothing is stored or timed.",
        epilog="KEY=VALUE wins over what MODEL and DATA stand for, as with optimize.",
    )
    add_files(parser)
    add_json(parser)
    return parser
