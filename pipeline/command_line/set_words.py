"""Turns a set that Hugging Face's library saved, and a function that yields examples, into settings."""

from __future__ import annotations

import re
from collections.abc import Mapping
from pathlib import Path

from pipeline.data.columns import Roles
from pipeline.data.hugging_face import HuggingFace

_FUNCTION = re.compile(r"([A-Za-z_][\w.]*):([A-Za-z_][\w.]*)")
_SAVED = ("dataset_dict.json", "dataset_info.json")
"""A folder that the library has saved holds one of these."""


def is_saved_set(path: Path) -> bool:
    """Whether a folder is one that ``save_to_disk`` wrote, by its files."""
    return any((path / name).is_file() for name in _SAVED)


def set_roles(path: Path, settings: Mapping[str, str], tokenizer: Path | None) -> Roles:
    """What the columns of a saved set are, with what was typed behind it; raises UserError where that is not clear."""
    label = settings.get("data.label_column", "label")
    return HuggingFace(
        path=path,
        label_column=None if label in ("null", "None", "~") else label,
        input=settings.get("data.input", "image"),
        text_column=settings.get("data.text_column", "text"),
        tokenizer=tokenizer,
    ).roles


def function_words(typed: str) -> tuple[str, ...] | None:
    """The settings that ``module:function`` stands for; None where that was not typed."""
    match = _FUNCTION.fullmatch(typed)
    return None if match is None else ("data=iterable", f"data.factory={match[1]}.{match[2]}")
