"""Texts from a CSV file, as the token numbers that an encoder reads."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from functools import lru_cache
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from pipeline.data.dataset import IGNORED, Split, SplitName
from pipeline.data.hashing import (
    DEFAULT_FRACTIONS,
    Partition,
    check_fractions,
    check_sizes,
    limited,
    partition,
    take_part,
)
from pipeline.data.labels import LabelRule
from pipeline.data.sizes import check_file
from pipeline.data.table import read_table
from pipeline.errors import UserError

TEXT, LABEL = "text", "label"


@dataclass(frozen=True, slots=True, kw_only=True)
class Texts:
    """A CSV file with a column ``text`` and, where there are labels, a column ``label``: whole numbers, or
    names out of ``class_names``.

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
    label_offset: int = 0
    """The number of the first class: 1 where the labels begin at 1."""
    ignore_label: int = IGNORED
    """A label that is neither judged nor learnt from."""
    encoding: str | None = None
    """The file's encoding; None: the byte order mark tells it, and without one it is UTF-8."""

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
        """Read one split; raises UserError where a file can't be read, NoExamples where the split gets no example."""
        rule = LabelRule(names=self.class_names, offset=self.label_offset, ignored=self.ignore_label)
        whole, parts = _read(
            self.path,
            self.encoding,
            rule,
            self.tokenizer,
            self.length,
            (self.input_ids, self.attention_mask),
            tuple(self.fractions.items()),
        )
        split = take_part(whole, parts, self.fractions, name, self.path)
        return limited(split, name, self.calibration_size, self.test_size)


@lru_cache(maxsize=2)
def _read(
    path: Path,
    encoding: str | None,
    rule: LabelRule,
    tokenizer: Path,
    length: int,
    names: tuple[str, str],
    fractions: tuple[tuple[str, float], ...],
) -> tuple[Split, Partition]:
    texts, labels, notes = _texts(path, encoding, rule)
    encoder = _tokenizer(tokenizer)
    encoder.enable_truncation(length)
    encoder.enable_padding(length=length)
    encoded = encoder.encode_batch(texts)
    arrays = {
        names[0]: np.array([text.ids for text in encoded], np.int64),
        names[1]: np.array([text.attention_mask for text in encoded], np.int64),
    }
    whole = Split(arrays, labels, notes)
    return whole, partition(whole.example_hashes(), dict(fractions))


def _texts(
    path: Path, encoding: str | None, rule: LabelRule
) -> tuple[list[str], NDArray[np.int64] | None, tuple[str, ...]]:
    """The texts, their labels where there are any, and what was left out."""
    table = read_table(path, encoding, TEXT)
    filled = [(row, line) for row, line in zip(table.rows, table.lines, strict=True) if row[TEXT].strip()]
    if not filled:
        raise UserError(f"data.path={path} holds no texts")
    left = len(table.rows) - len(filled)
    notes = (f"{left} row{'s' if left > 1 else ''} of {path.name} without a text left out",) if left else ()
    texts = [row[TEXT] for row, _ in filled]
    if LABEL not in table.columns:
        return texts, None, notes
    missing = next((line for row, line in filled if not row[LABEL].strip()), None)
    if missing is not None:
        raise UserError(
            f"data.path={path}, line {missing}: the column '{LABEL}' is empty: give a label, or no such row"
        )
    raw = np.array([row[LABEL].strip() for row, _ in filled])
    return texts, rule(raw, f"data.path={path}: the column '{LABEL}'"), notes


def _tokenizer(path: Path) -> Any:
    try:
        from tokenizers import Tokenizer
    except ImportError as error:
        raise UserError("texts need the package tokenizers: pip install tokenizers") from error
    check_file(path, "give the tokenizer.json that comes with the model (data.tokenizer)")
    try:
        return Tokenizer.from_file(str(path))
    except Exception as error:  # the library raises bare Exception
        raise UserError(f"data.tokenizer={path} can't be read as a tokenizer: {error}") from error
