"""Reads MODEL, DATA and the settings behind them, as ``optimize`` and ``inspect`` take them."""

from __future__ import annotations

import argparse
from collections.abc import Mapping, Sequence
from contextlib import suppress
from dataclasses import dataclass
from itertools import pairwise
from pathlib import Path

from pipeline.command_line.arguments import flags_and_overrides
from pipeline.command_line.data_words import data_words
from pipeline.command_line.given_data import GivenData
from pipeline.command_line.model_words import model_words, path_of
from pipeline.command_line.namesakes import reminding
from pipeline.errors import UserError

JSON, SCHEMA = "--json", "--json-schema"
_METRICS = {"boxes": "mean_average_precision", "texts": "word_error_rate"}
"""The metrics of labels that are no classes."""
_FOLDERS = ("--config-dir", "-cd")


@dataclass(frozen=True, slots=True, kw_only=True)
class Typed:
    """What was typed, and what it stands for."""

    flags: Sequence[str]
    """Hydra's flags, with their values."""
    data: str | None
    """DATA as it was typed."""
    chosen: Sequence[str]
    """The settings that MODEL and DATA stand for, but for those that were typed otherwise."""
    settings: Sequence[str]
    """The settings that were typed."""
    given: Mapping[str, str]
    """The values of these settings, by key."""
    folders: Sequence[Path]
    """The user's folders of configurations."""
    notes: Sequence[str]
    """What the user may want to know before any work, a sentence each."""


def typed(argv: Sequence[str], parser: argparse.ArgumentParser) -> Typed:
    """What these words stand for. ``parser`` knows MODEL and DATA, and its help.

    What was typed as KEY=VALUE wins over what MODEL and DATA stand for. Raises UserError where something is missing,
    with what to type.
    """
    flags, words = flags_and_overrides(argv)
    files = [word for word in words if not _is_setting(word)]
    if {"--help", "-h"} & set(flags):
        parser.parse_args(["--help"])
    read = parser.parse_args(["--", *files[:2]])
    if len(files) > 2:
        raise UserError(f"'{files[2]}' is one too many behind MODEL and DATA: a setting is typed KEY=VALUE")
    settings = [word for word in words if _is_setting(word)]
    given = dict(map(_parted, settings))
    folders = [Path(value) for flag, value in pairwise(flags) if flag in _FOLDERS]
    model = model_words(read.model, given, folders)
    with reminding(model.notes):
        data = data_words(read.data, model, given, folders)
    inputs = _inputs(read.model, data, given) if model.inputs is None and model.name is None else ()
    chosen = (*model.words, *inputs, *data.words, *_metric(data, given))
    return Typed(
        flags=flags,
        data=read.data,
        chosen=[word for word in chosen if _parted(word)[0] not in given],
        settings=settings,
        given=given,
        folders=folders,
        notes=(*model.notes, *data.notes),
    )


def add_files(parser: argparse.ArgumentParser) -> None:
    """Let a parser know MODEL and DATA."""
    parser.add_argument(
        "model",
        metavar="MODEL",
        help="an .onnx file, a .pt2 file (torch.export), a .pt file (TorchScript), a folder of transformers or timm, "
        "package.module:Class, timm:NAME, or a model that ships",
    )
    parser.add_argument(
        "data",
        metavar="DATA",
        nargs="?",
        help="an .npz file, a folder of images, of audio or of .npz files, a table of texts (.csv, .tsv, .jsonl, "
        ".ndjson, .parquet), or data that ships; without it inputs are drawn at random, and no accuracy is claimed",
    )


def add_json(parser: argparse.ArgumentParser) -> None:
    """Let a parser know the flags for JSON."""
    parser.add_argument(JSON, action="store_true", help="print JSON")
    parser.add_argument(SCHEMA, action="store_true", help="print only the JSON Schema of what --json prints")


def _is_setting(word: str) -> bool:
    with suppress(OSError):  # no file has a name this long
        if path_of(word).exists():
            return False
    return "=" in word or (word.startswith("~") and "/" not in word)


def _parted(word: str) -> tuple[str, str]:
    key, _, value = word.partition("=")
    return key.lstrip("+~"), value


def _metric(data: GivenData, given: Mapping[str, str]) -> tuple[str, ...]:
    """The metric that data without labels, and labels that are no classes, are judged by."""
    kind = {**dict(map(_parted, data.words)), **given}.get("data.label_kind", "")
    name = "cosine" if data.labelled is False else _METRICS.get(kind)
    return () if name is None else (f"metric={name}",)


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
