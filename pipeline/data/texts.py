"""Texts from a CSV file, as the token numbers that an encoder reads."""

from __future__ import annotations

import csv
from collections.abc import Mapping
from dataclasses import dataclass, field
from functools import lru_cache
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from pipeline.data.dataset import Split, SplitName
from pipeline.data.hashing import DEFAULT_FRACTIONS, check_fractions, check_sizes, limited, partition, take_part
from pipeline.errors import UserError

TEXT, LABEL = "text", "label"


@dataclass(frozen=True, slots=True, kw_only=True)
class Texts:
    """A CSV file with a column ``text`` and, where there are labels, a column ``label`` of whole numbers.

    ``tokenizer`` is the tokenizer.json that comes with the model (Hugging Face's format; package tokenizers). Every
    text is cut or filled to ``length`` tokens; ``input_ids`` and ``attention_mask`` name the model's inputs. It is
    split by the sha256 of each text's tokens (``pipeline.data.hashing``).
    """

    path: Path
    tokenizer: Path
    length: int = 64
    input_ids: str = "input_ids"
    attention_mask: str = "attention_mask"
    fractions: Mapping[str, float] = field(default_factory=lambda: dict(DEFAULT_FRACTIONS))
    calibration_size: int = 512
    test_size: int | None = None
    class_names: tuple[str, ...] = ()

    def __post_init__(self) -> None:
        check_sizes(self.calibration_size, self.test_size)
        check_fractions(self.fractions)
        if self.length < 1:
            raise ValueError(f"length must be at least 1 (got {self.length})")

    @property
    def name(self) -> str:
        """The file's name without its suffix."""
        return self.path.stem

    def split(self, name: SplitName) -> Split:
        """One split; raises UserError where a file can't be read or holds too few texts for the split."""
        whole, parts = _read(
            self.path,
            self.tokenizer,
            self.length,
            (self.input_ids, self.attention_mask),
            tuple(self.fractions.items()),
        )
        split = take_part(whole, parts, self.fractions, name, self.path)
        return limited(split, name, self.calibration_size, self.test_size)


@lru_cache(maxsize=2)
def _read(
    path: Path, tokenizer: Path, length: int, names: tuple[str, str], fractions: tuple[tuple[str, float], ...]
) -> tuple[Split, dict[str, list[int]]]:
    texts, labels = _rows(path)
    encoder = _tokenizer(tokenizer)
    encoder.enable_truncation(length)
    encoder.enable_padding(length=length)
    encoded = encoder.encode_batch(texts)
    arrays = {
        names[0]: np.array([text.ids for text in encoded], np.int64),
        names[1]: np.array([text.attention_mask for text in encoded], np.int64),
    }
    whole = Split(arrays, labels)
    return whole, partition(whole.example_hashes(), dict(fractions))


def _rows(path: Path) -> tuple[list[str], NDArray[np.int64] | None]:
    if not path.is_file():
        raise UserError(f"data.path={path} does not exist: give a CSV file with a column '{TEXT}'")
    try:
        with path.open(encoding="utf-8", newline="") as file:
            reader = csv.DictReader(file, strict=True)
            columns = reader.fieldnames or []
            rows = list(reader)
    except (UnicodeDecodeError, csv.Error) as error:
        raise UserError(f"data.path={path} can't be read as CSV in UTF-8: {error}") from error
    if TEXT not in columns:
        raise UserError(f"data.path={path} has no column '{TEXT}'; it has {', '.join(columns) or 'none'}")
    if not rows:
        raise UserError(f"data.path={path} holds no texts")
    if LABEL not in columns:
        return [row[TEXT] for row in rows], None
    try:
        labels = np.array([int(row[LABEL]) for row in rows], np.int64)
    except (ValueError, TypeError) as error:
        raise UserError(f"data.path={path}: the column '{LABEL}' must hold whole numbers: {error}") from error
    return [row[TEXT] for row in rows], labels


def _tokenizer(path: Path) -> Any:
    try:
        from tokenizers import Tokenizer
    except ImportError as error:
        raise UserError("texts need the package tokenizers: pip install tokenizers") from error
    if not path.is_file():
        raise UserError(f"data.tokenizer={path} does not exist: give the tokenizer.json that comes with the model")
    try:
        return Tokenizer.from_file(str(path))
    except Exception as error:  # the library raises bare Exception
        raise UserError(f"data.tokenizer={path} can't be read as a tokenizer: {error}") from error
