"""The command ``init MODEL [DATA] [overrides] [--to FOLDER]``: an experiment of the user's own."""

from __future__ import annotations

import argparse
import re
from collections.abc import Callable, Collection, Iterator, Mapping, Sequence
from dataclasses import dataclass
from importlib.resources import files
from importlib.util import find_spec
from itertools import takewhile
from pathlib import Path
from string import Template
from textwrap import wrap
from typing import Any

from pipeline import PACKAGE
from pipeline.command_line.arguments import PATHS, for_hydra
from pipeline.command_line.hydra_errors import available, groups
from pipeline.command_line.model_words import path_of
from pipeline.command_line.namesakes import reminding
from pipeline.command_line.shipped import Node, configurations, defaults_of, described
from pipeline.command_line.typed import Typed, add_files, typed
from pipeline.command_line.writing import CONF, TO, check_free, run_of, write
from pipeline.errors import UserError
from pipeline.stages.from_onnx import PACKAGE as READER

_TEMPLATE = PACKAGE / "command_line" / "templates" / "experiment.yaml.template"
_NAME = "--name"
_INDENT, _WIDTH = " " * 6, 120
_LISTED = ("variant", "target")
"""The groups whose usual options are listed, where the user has not chosen from them."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Init:
    """What was written, and what can be typed then."""

    file: Path
    command: str
    notes: Sequence[str] = ()
    """What the user may want to know, a sentence each."""

    def lines(self) -> str:
        """The file, the notes and the command."""
        wrote = [f"wrote {self.file}", *(f"note: {note}" for note in self.notes)]
        return "\n".join([*wrote, "", "Next:", f"  {self.command}"])


def init(argv: Sequence[str], commands: Collection[str], check: Callable[[Sequence[str]], object]) -> Init:
    """Write the experiment that these words stand for, once ``check`` has raised nothing for its settings. Raises
    UserError where something is missing, where the file exists already, and for what an experiment can't hold."""
    own, rest = _own().parse_known_args(argv)
    words = typed(rest, _parser())
    _refuse(words)
    name, folder = _named(own.name, words), path_of(own.to)
    file = folder / CONF / "experiment" / f"{name}.yaml"
    check_free([file])
    text = _text(words, commands)
    with reminding(words.notes):
        check([*words.chosen, *words.settings])
    write({file: text})
    return Init(file=file, command=run_of(folder, [f"experiment={name}"]), notes=words.notes)


def _text(words: Typed, commands: Collection[str]) -> str:
    from omegaconf import OmegaConf

    chosen, settings = _read([*words.chosen, *words.settings], commands)
    defaults = [f"  - override /{group}: {_written(value)}" for group, value in chosen.items()]
    for group in _LISTED:
        if group not in chosen:
            defaults += [f"  - override /{group}:", *_options(group, str(chosen.get("model")))]
    limits = _limits(settings.pop("constraints", {}))
    return Template(_TEMPLATE.read_text(encoding="utf-8")).substitute(
        defaults="\n".join(defaults),
        settings=OmegaConf.to_yaml(settings) if settings else "",
        constraints="\n".join(limits),
    )


def _read(words: Sequence[str], commands: Collection[str]) -> tuple[dict[str, Any], Any]:
    """The choices from groups, and the other settings as a tree."""
    from hydra.core.override_parser.overrides_parser import OverridesParser
    from omegaconf import OmegaConf

    chosen: dict[str, Any] = {}
    settings = OmegaConf.create()
    for override in OverridesParser.create().parse_overrides(for_hydra(words, commands, groups())):
        key = override.key_or_group
        if override.is_sweep_override():
            raise UserError(f"{key} has several values, and an experiment holds one of each: choose one")
        value = override.value()
        if key in groups():
            chosen[key] = value
            continue
        OmegaConf.update(settings, key, _absolute(key, value), merge=True, force_add=True)
    return chosen, settings


def _absolute(key: str, value: Any) -> Any:
    """A path that exists as it is known from every folder."""
    is_path = key.rpartition(".")[2] in PATHS and isinstance(value, str) and Path(value).exists()
    return str(Path(value).absolute()) if is_path else value


def _written(value: Any) -> str:
    if isinstance(value, list):
        return f"[{', '.join(map(str, value))}]"
    return "null" if value is None else str(value)


def _options(group: str, model: str) -> Iterator[str]:
    """The lines of each of a group's usual options, below what it is; one that may not run here is a comment."""
    nodes, about = configurations(group), described(group)
    for name in defaults_of(group):
        why = _why_not(nodes[name], model)
        said = about[name] if why is None else f"{why}: {about[name]}"
        yield from wrap(said, _WIDTH, initial_indent=f"{_INDENT}# ", subsequent_indent=f"{_INDENT}# ")
        yield f"{_INDENT}- {name}" if why is None else f"{_INDENT}# - {name}"


def _why_not(node: Node, model: str) -> str | None:
    """What has to be there for an option; None where nothing has to be."""
    if node.get("device") == "cuda" or node.get("devices") == ["cuda"]:
        return "On a GPU"
    stages: Sequence[Mapping[str, Any]] = [one for one in node.get("defaults", ()) if isinstance(one, dict)]
    trained = bool(stages) and "export_onnx" not in stages[0].values()
    if trained and model == "onnx" and find_spec(READER) is None:
        return f"With {READER} installed (the extra onnx-training)"
    return None


def _limits(own: Mapping[str, Any]) -> list[str]:
    """The lines of ``constraints`` as they ship, with their comments, and with the user's ``own`` values."""
    lines = files("pipeline.conf").joinpath("config.yaml").read_text(encoding="utf-8").splitlines()
    found = takewhile(bool, lines[lines.index("constraints:") + 1 :])
    return [line.replace("null", _written(own.get(line.strip().partition(":")[0])), 1) for line in found]


def _named(name: str | None, words: Typed) -> str:
    """The experiment's name: as it was typed, else after the model; raises UserError where it can't be taken."""
    taken = available("experiment")
    if name is None:
        name = re.sub(r"\W+", "_", _model_of(words), flags=re.ASCII).strip("_") or "own"
        return f"my_{name}" if name in taken or not name[0].isalpha() else name
    if re.fullmatch(r"[A-Za-z]\w*", name, re.ASCII) is None:
        raise UserError(f"{_NAME} {name}: it is to be letters a-z, digits and _, with a letter first")
    if name in taken:
        raise UserError(f"{_NAME} {name}: an experiment of this name ships with slimline: type my_{name}, say")
    return name


def _model_of(words: Typed) -> str:
    values = dict(word.partition("=")[::2] for word in [*words.chosen, *words.settings])
    path = values.get("model.path")
    return Path(path).stem if path else values.get("model.name", values.get("model", ""))


def _refuse(words: Typed) -> None:
    """Raise UserError for what was typed and has no place in an experiment."""
    if words.flags:
        raise UserError(f"{words.flags[0]} can't be given here: only {TO} FOLDER, {_NAME} NAME and KEY=VALUE can")
    for word in words.settings:
        key = word.partition("=")[0].lstrip("+")
        if key in ("experiment", "debug") or word.startswith("~") or "@" in key or key.startswith("hydra"):
            raise UserError(f"{word} can't be written into an experiment: leave it out, and type it behind the command")


def _own() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(add_help=False, allow_abbrev=False)
    parser.add_argument(TO, metavar="FOLDER", default=".", help="the folder (default: the working directory)")
    parser.add_argument(_NAME, metavar="NAME", help="the experiment's name (default: the model's)")
    return parser


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(
        prog="slimline init",
        usage="slimline init [-h] [--to FOLDER] [--name NAME] MODEL [DATA] [KEY=VALUE ...]",
        description="Write an experiment of your own, conf/experiment/NAME.yaml: what MODEL and DATA stand for, the "
        "usual variants and targets, and limits, with comments. Then the command is printed that runs it. No file is "
        "overwritten.",
        epilog="KEY=VALUE goes into the file too, and wins over what MODEL and DATA stand for, as with optimize.",
        parents=[_own()],
    )
    add_files(parser)
    return parser
