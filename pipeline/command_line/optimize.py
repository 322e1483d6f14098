"""The command ``optimize MODEL [DATA] [overrides]``: the settings of a search for the best, and nothing else."""

from __future__ import annotations

import argparse
import shlex
from collections.abc import Mapping, Sequence
from contextlib import suppress
from dataclasses import dataclass
from importlib.util import find_spec
from itertools import pairwise
from pathlib import Path

from pipeline.command_line.arguments import flags_and_overrides
from pipeline.command_line.data_words import GivenData, data_words
from pipeline.command_line.model_words import model_words, path_of
from pipeline.errors import UserError

_EXTRA: Mapping[str, str] = {"openvino": "models on OpenVINO", "nncf": "NNCF's int8"}
"""The packages of the extra ``openvino``, and what each brings."""
_FOLDERS = ("--config-dir", "-cd")


@dataclass(frozen=True, slots=True, kw_only=True)
class Search:
    """The experiment that ``optimize`` stands for."""

    words: Sequence[str]
    """The words to type behind ``python -m pipeline``: flags and settings."""
    notes: Sequence[str] = ()
    """What the user may want to know before it begins, a sentence each."""

    def lines(self) -> str:
        """The command, to be typed, and the notes."""
        return "\n".join(
            [shlex.join(["python", "-m", "pipeline", *self.words]), *(f"note: {one}" for one in self.notes)]
        )


def search(argv: Sequence[str]) -> Search:
    """The experiment that these words stand for; what was typed as KEY=VALUE wins over what MODEL and DATA stand for.

    Raises UserError where something is missing, with what to type.
    """
    flags, words = flags_and_overrides(argv)
    files = [word for word in words if not _is_setting(word)]
    parser = _parser()
    if {"--help", "-h"} & set(flags):
        parser.parse_args(["--help"])
    typed = parser.parse_args(["--", *files[:2]])
    if len(files) > 2:
        raise UserError(f"'{files[2]}' is one too many behind MODEL and DATA: a setting is typed KEY=VALUE")
    settings = [word for word in words if _is_setting(word)]
    given = dict(map(_parted, settings))
    folders = [Path(value) for flag, value in pairwise(flags) if flag in _FOLDERS]
    model = model_words(typed.model, given, folders)
    data = data_words(typed.data, model, given, folders)
    inputs = _inputs(typed.model, data, given) if model.inputs is None and model.name is None else ()
    metric = ("metric=cosine",) if data.labelled is False else ()
    chosen = ("experiment=best", *model.words, *inputs, *data.words, *metric)
    kept = [word for word in chosen if _parted(word)[0] not in given]
    notes = [*_metric_notes(typed.data, kept), *_extra_notes(given)]
    return Search(words=(*flags, *kept, *settings), notes=notes)


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(
        prog="slimline optimize",
        usage="slimline optimize [-h] MODEL [DATA] [KEY=VALUE ...]",
        description="Find the best for a model on this machine, and prove it: a search among chains of stages, their "
        "fields and the runtimes that are here, and then a run of the best three beside the baseline. First the "
        "command is printed that this one stands for.",
        epilog="KEY=VALUE sets anything else, and wins over what MODEL and DATA stand for: search.budget_s=300 "
        "(seconds for the whole run), metric=f1, constraints.max_accuracy_drop=0.005, data.size=192.",
    )
    parser.add_argument("model", metavar="MODEL", help="an .onnx file, package.module:Class, or a model that ships")
    parser.add_argument(
        "data",
        metavar="DATA",
        nargs="?",
        help="an .npz file, a folder of images, of audio or of .npz files, a table of texts (.csv, .tsv, .jsonl, "
        ".ndjson, .parquet), or data that ships; without it "
        "inputs are drawn at random, and no accuracy is claimed",
    )
    return parser


def _is_setting(word: str) -> bool:
    with suppress(OSError):  # no file has a name this long
        if path_of(word).exists():
            return False
    return "=" in word or (word.startswith("~") and "/" not in word)


def _parted(word: str) -> tuple[str, str]:
    key, _, value = word.partition("=")
    return key.lstrip("+~"), value


def _inputs(typed: str, data: GivenData, given: Mapping[str, str]) -> tuple[str, ...]:
    """The inputs of a PyTorch class, as its data has them; none where the user typed them."""
    if any(key == "model.inputs" or key.startswith("model.inputs.") for key in given):
        return ()
    if not data.inputs:
        raise UserError(
            f"{typed} does not tell its inputs: type 'model.inputs={{image: {{shape: [3, 224, 224], dtype: float32}}}}'"
            " with the names of its arguments, and each shape without the batch"
        )
    entries = [f'"{name}": {{shape: {list(one.shape)}, dtype: {one.dtype}}}' for name, one in data.inputs.items()]
    return (f"model.inputs={{{', '.join(entries)}}}",)


def _metric_notes(data: str | None, words: Sequence[str]) -> list[str]:
    if data is None or "metric=cosine" not in words:
        return []
    return [
        f"{data} has no labels, so outputs are compared with the baseline's (metric=cosine); metric=top_one compares "
        "the answers of a classifier"
    ]


def _extra_notes(given: Mapping[str, str]) -> list[str]:
    lacking = [name for name in _EXTRA if find_spec(name) is None]
    if not lacking or {"experiment", "target"} & set(given):
        return []
    return [
        f"not installed: {' and '.join(lacking)}, so {' and '.join(_EXTRA[name] for name in lacking)} can't take part: "
        "pip install 'slimline[openvino]'"
    ]
