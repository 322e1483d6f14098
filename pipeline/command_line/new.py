"""The command ``new KIND NAME [--to FOLDER]``: a class of the user's own, its configuration and its test."""

from __future__ import annotations

import argparse
import keyword
import re
import shlex
import sys
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from importlib.machinery import PathFinder
from pathlib import Path
from string import Template

from pipeline import PACKAGE
from pipeline.command_line.hydra_errors import available
from pipeline.command_line.model_words import path_of
from pipeline.command_line.writing import CONF, TO, check_free, run_of, write
from pipeline.errors import UserError

_TEMPLATES = PACKAGE / "command_line" / "templates"
_NAME = re.compile(r"[A-Za-z][A-Za-z0-9_]*")
_WORDS = frozenset(("null", "true", "false", "inf", "nan", "yes", "no", "on", "off"))
"""What a configuration reads as a value, in place of a name."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Kind:
    """What the user may add."""

    noun: str
    about: str
    setting: str
    """One of its settings, as it is typed."""
    groups: Sequence[str]
    """The groups that get a configuration of its name."""
    words: Sequence[str]
    """The settings of a run with it."""


KINDS: Mapping[str, Kind] = {
    "stage": Kind(
        noun="stage",
        about="changes a model",
        setting="variants.$name.stages.$name.bits=6",
        groups=("stage", "variant"),
        words=("variant=[baseline,$name]", "target=[ort_cpu]", "measure=quick"),
    ),
    "metric": Kind(
        noun="metric",
        about="judges a model's outputs",
        setting="metric.tolerance=0.2",
        groups=("metric",),
        words=("metric=$name", "variant=[baseline,static_int8]", "target=[ort_cpu]", "measure=quick"),
    ),
    "data": Kind(
        noun="data set",
        about="gives examples",
        setting="data.examples=800",
        groups=("data",),
        words=("data=$name", "variant=[baseline,static_int8]", "target=[ort_cpu]", "metric=cosine", "measure=quick"),
    ),
    "backend": Kind(
        noun="backend",
        about="loads a model and runs it",
        setting="target.$name.backend.flush=false",
        groups=("target",),
        words=("variant=[baseline]", "target=[ort_cpu,$name]", "measure=quick"),
    ),
}


@dataclass(frozen=True, slots=True, kw_only=True)
class New:
    """What was written, and what can be typed then."""

    files: Sequence[Path]
    commands: Sequence[str]
    """The commands that test it and run it, in the order in which they are typed."""

    def lines(self) -> str:
        """The files and the commands."""
        return "\n".join(
            [*(f"wrote {path}" for path in self.files), "", "Next:", *(f"  {command}" for command in self.commands)]
        )


def new(argv: Sequence[str]) -> New:
    """Write what these words ask for. Raises UserError where a name can't be taken or a file exists already."""
    options = _parser().parse_args(argv)
    kind, name, folder = KINDS[options.kind], str(options.name), path_of(options.to)
    _check_name(name, options.kind)
    _check_shipped(name, kind)
    texts = {folder / path: text for path, text in _texts(options.kind, name).items()}
    check_free(texts)
    _check_module(name)
    write(texts)
    inside = [] if folder.resolve() == Path.cwd() else [shlex.join(["cd", str(folder)])]
    return New(files=list(texts), commands=[*inside, f"python -m pytest test_{name}.py", _run_of(kind, name)])


def _run_of(kind: Kind, name: str) -> str:
    """The command of a run with it."""
    return run_of(Path(), [Template(word).substitute(name=name) for word in kind.words])


def _texts(kind: str, name: str) -> dict[str, str]:
    """The text of each file, by its path in the user's folder."""
    one = KINDS[kind]
    yamls = {f"{CONF}/{group}/{name}.yaml": f"{kind}_{group}.yaml" for group in one.groups}
    templates = {f"{name}.py": f"{kind}.py", f"test_{name}.py": f"{kind}_test.py", f"{name}.md": "readme.md"} | yamls
    values = {
        "name": name,
        "cls": _class_name(name, kind),
        "kind": one.noun,
        "about": one.about,
        "yaml": next(iter(yamls)),
        "run": _run_of(one, name),
        "setting": Template(one.setting).substitute(name=name),
    }
    return {
        path: Template((_TEMPLATES / f"{template}.template").read_text(encoding="utf-8")).substitute(values)
        for path, template in templates.items()
    }


def _class_name(name: str, kind: str) -> str:
    """``half_precision`` as HalfPrecisionStage: the kind behind it, so that it is no name that the file imports."""
    camel = "".join(part[:1].upper() + part[1:] for part in name.split("_"))
    ending = kind.capitalize()
    return camel if camel.endswith(ending) else f"{camel}{ending}"


def _check_name(name: str, kind: str) -> None:
    if _NAME.fullmatch(name) is None or keyword.iskeyword(name) or name.lower() in _WORDS:
        raise UserError(
            f"'{name}' can't be the name of a {kind}: it is to be a Python name of letters a-z, digits and _, with a "
            f"letter first, and no word such as class or null: type my_{kind}, say"
        )


def _check_shipped(name: str, kind: Kind) -> None:
    for group in kind.groups:
        if name in available(group):
            raise UserError(
                f"{group} '{name}' ships with slimline, and would be taken in place of yours: type my_{name}"
            )


def _check_module(name: str) -> None:
    """Raise UserError where Python has a module of this name outside of the working directory."""
    here = {"", str(Path.cwd())}
    elsewhere = [path for path in sys.path if path not in here]
    if name in sys.stdlib_module_names or PathFinder.find_spec(name, elsewhere) is not None:
        raise UserError(
            f"'{name}' is the name of a Python module that is installed, which {name}.py would hide: type my_{name}"
        )


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(
        prog="slimline new",
        usage="slimline new [-h] [--to FOLDER] KIND NAME",
        description="Write a small class of your own that works as it is, its YAML below conf/ and a test, and print "
        "what to type to run it. No file is overwritten.",
        epilog="KIND is " + ", ".join(f"{kind} ({one.about})" for kind, one in KINDS.items()) + ".",
    )
    parser.add_argument("kind", metavar="KIND", choices=KINDS, help="what to write: " + ", ".join(KINDS))
    parser.add_argument("name", metavar="NAME", help="its name: NAME.py is written, and NAME is typed to choose it")
    parser.add_argument(TO, metavar="FOLDER", default=".", help="the folder (default: the working directory)")
    return parser
