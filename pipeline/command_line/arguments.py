"""Turns what was typed into what Hydra takes.

Hydra's grammar has no room for a file name with ``=`` in it, nor for an input named ``input.1``. Both are valid, so
they are written here as Hydra wants them. A setting that can't be meant is refused in one line.
"""

from __future__ import annotations

import re
import shlex
from collections.abc import Collection, Mapping, Sequence
from pathlib import Path
from typing import Any

from pipeline.bounds import fitted
from pipeline.errors import UserError
from pipeline.errors.names import meant

NAMES = (
    *("optimize", "inspect", "plan", "new", "init", "report", "track", "compare", "bundle", "kit", "verify", "sign"),
    *("store", "selftest", "doctor"),
)
"""The names of the commands; any other first word is a setting."""
CHECKED_BY_CLASS = ("model", "data", "metric", "variants", "target")
"""The nodes whose keys ``config.build`` checks against the classes that they name."""
FLAGS_WITH_VALUE = frozenset(
    {"--config-path", "-cp", "--config-name", "-cn", "--config-dir", "-cd", "--package", "-p", "--cfg", "-c", "--info"}
    | {"-i", "--experimental-rerun"}
)
PATHS = frozenset({"path", "weights", "tokenizer", "dir", "file", "folder"})
"""The last part of every key whose value is a file or a folder."""
BY_INPUT: Mapping[str, frozenset[str]] = {
    "model.preprocessing": frozenset({"scale", "mean", "std"}),
    "model.inputs": frozenset({"shape", "dtype"}),
    "data.inputs": frozenset({"shape", "dtype"}),
    "data.batch_axes": frozenset(),
}
"""The mappings whose keys are input names, which may hold any character; and the keys below each name."""
ANY_KEYS = ("store.options.",)
"""The beginnings of keys whose ends a library knows."""
_SPECIAL = re.compile(r"([\\()\[\]{}:=, \t])")
_QUOTED_KEY = re.compile(r"""(["'])((?:(?!\1).)+)\1\s*:""")


def for_hydra(argv: Sequence[str], commands: Collection[str], groups: Collection[str]) -> list[str]:
    """The words as Hydra reads them: flags first, then the overrides.

    Raises UserError for a word that is neither a flag nor ``KEY=VALUE``, for a setting without a key, and for a
    configuration group that is given no option.
    """
    flags, overrides = flags_and_overrides(argv)
    for override in overrides:
        _check(override, commands, groups)
    return flags + [_free(_understood(override)) for override in overrides]


def flags_and_overrides(argv: Sequence[str]) -> tuple[list[str], list[str]]:
    """Hydra's flags, each followed by its value, and the other words; both in the order in which they were typed."""
    flags, overrides = [], []
    words = iter(argv)
    for word in words:
        if not word.startswith("-"):
            overrides.append(word)
            continue
        flags.append(word)
        value = next(words, None) if word in FLAGS_WITH_VALUE else None
        flags += [] if value is None else [value]
    return flags, overrides


def _check(override: str, commands: Collection[str], groups: Collection[str]) -> None:
    key, equals, value = override.partition("=")
    if not equals and not override.startswith("~"):
        raise UserError(
            f"'{override}' is no command and no setting: {meant(override, commands)}commands: "
            f"{', '.join(sorted(commands))}; a setting is typed KEY=VALUE, such as measure=quick"
        )
    if not key.strip("+~ "):
        raise UserError(f"'{override}' has no key: a setting is typed KEY=VALUE, such as measure=quick")
    if key in groups and re.fullmatch(r"null|[-+.\d]*|true|false", value.strip(), re.IGNORECASE):
        raise UserError(f"{override}: {key} is a group of configurations: name one that exists (--help lists them)")


def _understood(override: str) -> str:
    """The override with an input's name and a path as they were typed."""
    key, equals, value = override.partition("=")
    if not equals:
        return override
    by_name = _by_input(key, value)
    if by_name is not None:
        return by_name
    if value.lstrip().startswith("{"):
        return f"{key}={_QUOTED_KEY.sub(lambda found: _escaped(found[2]) + ':', value)}"
    if key.rpartition(".")[2] in PATHS and _is_literal(value):
        return f"{key}={quoted(value)}"
    return override


def _by_input(key: str, value: str) -> str | None:
    """``model.preprocessing.input.1.scale=2`` as a mapping, since Hydra takes each dot for a level."""
    bare = key.lstrip("+")
    for mapping, fields in BY_INPUT.items():
        if not bare.startswith(f"{mapping}."):
            continue
        name, _, last = (
            bare.removeprefix(f"{mapping}.").rpartition(".") if fields else (bare[len(mapping) + 1 :], "", "")
        )
        if name and (not fields or last in fields):
            inner = f"{{{last}: {value}}}" if fields else value
            return f"++{mapping}={{{_escaped(name)}: {inner}}}"
    return None


def _is_literal(value: str) -> bool:
    """Whether a value is a path that Hydra would read otherwise; one in quotes, or with ``${``, is Hydra's."""
    from hydra.core.override_parser.overrides_parser import OverridesParser
    from hydra.errors import HydraException

    if not value or value[0] in "'\"" or ("${" in value and not Path(value).exists()):
        return False
    try:
        read = OverridesParser.create().parse_override(f"key={value}").value()
    except HydraException:
        return True
    return Path(value).exists() and read != value


def quoted(value: str) -> str:
    """A text in Hydra's grammar."""
    escaped = value.replace("\\'", "\\\\'").replace("'", "\\'").replace("${", "\\${")
    return f"'{escaped}\\'" if escaped.endswith("\\") else f"'{escaped}'"


def _escaped(name: str) -> str:
    return _SPECIAL.sub(r"\\\1", name)


def _free(override: str) -> str:
    """Let an override below a node with a ``_target_``, or of a mapping with any keys, through, known key or not.

    Hydra would refuse the first unknown key without saying what exists; ``config.build`` checks them all against the
    classes and lists every problem.
    """
    key, equals, _ = override.partition("=")
    below = key.startswith(ANY_KEYS) or (key.partition(".")[0] in CHECKED_BY_CLASS and "." in key)
    return f"++{override}" if below and equals else override


def advice(override: str) -> str:
    """How to type a setting whose value Hydra can't read."""
    key, _, value = override.lstrip("+").partition("=")
    return shlex.quote(f"{key}={quoted(value)}")


def check_flag(value: Any, bound: Any, flag: str) -> None:
    """Raise UserError where the value of a flag is out of its bounds."""
    problems: list[str] = []
    fitted(value, bound, flag, problems)
    if problems:
        raise UserError(*problems)
