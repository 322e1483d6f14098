"""Texts from a table, as the token numbers that an encoder reads."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from functools import lru_cache, partial
from pathlib import Path
from typing import Literal

import numpy as np
from numpy.typing import NDArray

from pipeline.bounds import Positive
from pipeline.data.batches import Feed
from pipeline.data.dataset import IGNORED, Split, SplitName
from pipeline.data.hashing import Divided, Partition, partition
from pipeline.data.labels import LabelRule
from pipeline.data.making import MOST, Making
from pipeline.data.table import Table, kind_of, near_column, read_table
from pipeline.data.tokens import tokens_of
from pipeline.errors import UserError

TEXT, LABEL = "text", "label"
_MOST_LABEL = 2**53
_SHOWN = 300
"""Of a text as an origin, so many characters."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Texts(Divided):
    """A table (CSV, JSON Lines or Parquet) with a column of texts and, where there are labels, a column of labels:
    whole numbers, or names out of ``class_names``.

    ``tokenizer`` is the tokenizer.json that comes with the model (Hugging Face's format; package tokenizers), or the
    folder of a model of transformers. Every text is cut or filled to ``length`` tokens; ``input_ids`` and
    ``attention_mask`` name the model's inputs. It is split by the sha256 of each text's tokens
    (``pipeline.data.hashing``).
    """

    path: Path
    tokenizer: Path
    text_column: str = TEXT
    label_column: str | None = LABEL
    """The column of the labels, where the file has it; None: no labels are read."""
    length: int = 64
    input_ids: str = "input_ids"
    attention_mask: str = "attention_mask"
    class_names: tuple[str, ...] = ()
    label_kind: Literal["classes", "texts"] = "classes"
    """What the labels are; texts are for metrics that take them."""
    label_offset: int = 0
    """The number of the first class: 1 where the labels begin at 1."""
    ignore_label: int = IGNORED
    """A label that is neither judged nor learnt from."""
    encoding: str | None = None
    """The encoding of CSV and JSON Lines; None: the byte order mark tells it, and without one it is UTF-8."""
    max_gb: Positive | None = None
    """The most that the table may take in memory; None: half of the memory that is free."""

    def __post_init__(self) -> None:
        Divided.__post_init__(self)
        if self.length < 1:
            raise ValueError(f"length must be at least 1 (got {self.length})")

    @property
    def name(self) -> str:
        """The file's name without its suffix."""
        return self.path.stem

    def split(self, name: SplitName) -> Split:
        """Read one split; raises UserError where a file can't be read, NoExamples where the split gets no example."""
        names = (self.input_ids, self.attention_mask)
        whole, parts = _read(self._source, self.tokenizer, self.length, names, tuple(self.fractions.items()))
        return self.part(whole, parts, name, self.path)

    def making(self, name: SplitName) -> Making:
        """How the first texts of a split become tokens; there is nothing to decode."""
        names = (self.input_ids, self.attention_mask)
        _, parts = _read(self._source, self.tokenizer, self.length, names, tuple(self.fractions.items()))
        texts = _texts(self._source)[0]
        chosen = parts.positions[name][:MOST]
        prepare = partial(_prepared, tokenizer=self.tokenizer, length=self.length, names=names)
        return Making(sources=[texts[place] for place in chosen], prepare=prepare)

    @property
    def _source(self) -> _Source:
        return _Source(
            path=self.path,
            encoding=self.encoding,
            text_column=self.text_column,
            label_column=self.label_column,
            rule=LabelRule(
                kind=self.label_kind, names=self.class_names, offset=self.label_offset, ignored=self.ignore_label
            ),
            max_gb=self.max_gb,
        )


@dataclass(frozen=True, slots=True, kw_only=True)
class _Source:
    """A table, and how its texts and labels are read."""

    path: Path
    encoding: str | None
    text_column: str
    label_column: str | None
    rule: LabelRule
    max_gb: float | None

    def table(self) -> Table:
        """The two columns."""
        others = [] if self.label_column is None else [self.label_column]
        return read_table(self.path, self.encoding, self.text_column, *others, max_gb=self.max_gb)


@lru_cache(maxsize=2)
def _read(
    source: _Source,
    tokenizer: Path,
    length: int,
    names: tuple[str, str],
    fractions: tuple[tuple[str, float], ...],
) -> tuple[Split, Partition]:
    texts, labels, notes = _texts(source)
    tokens = _tokens(texts, tokenizer, length, names)
    whole = Split(tokens, labels, notes, origins=np.array([text[:_SHOWN] for text in texts]))
    return whole, partition(whole.example_hashes(), dict(fractions))


def _prepared(text: str, tokenizer: Path, length: int, names: tuple[str, str]) -> Feed:
    return _tokens([text], tokenizer, length, names)


def _tokens(texts: Sequence[str], tokenizer: Path, length: int, names: tuple[str, str]) -> Feed:
    found = tokens_of(texts, tokenizer, length)
    return dict(zip(names, (found.numbers, found.mask), strict=True))


def _texts(source: _Source) -> tuple[list[str], NDArray[np.int64] | None, tuple[str, ...]]:
    """The texts, their labels where there are any, and what was left out."""
    path, column = source.path, source.label_column
    table = source.table()
    texts = [_text(table, index, source.text_column, path) for index in range(len(table.rows))]
    filled = [index for index, text in enumerate(texts) if text.strip()]
    if not filled:
        raise UserError(f"data.path={path} holds no texts")
    notes = []
    left = len(texts) - len(filled)
    if left:
        notes.append(f"{left} row{'s' if left > 1 else ''} of {path.name} without a text left out")
    labels = None
    if column is not None and column in table.columns:
        raw = np.array([_label(table, index, column, filled[0], path) for index in filled])
        labels = source.rule(raw, f"data.path={path}: the column '{column}'")
    elif column is not None:
        notes += _without_labels(path, column, [name for name in table.columns if name != source.text_column])
    return [texts[index] for index in filled], labels, tuple(notes)


def _without_labels(path: Path, column: str, others: Sequence[str]) -> list[str]:
    """What to say of a file without the column of labels; raises UserError where the user named that column."""
    if column != LABEL:
        raise UserError(
            f"data.path={path} has no column '{column}' (data.label_column); beside the texts it has "
            f"{', '.join(others) or 'none'}; data.label_column=null reads no labels"
        )
    near = near_column(column, others)
    if near is None:
        return []
    return [
        f"{path.name} has no column '{column}', so its texts have no labels: if '{near}' holds them, type "
        f"data.label_column={near}"
    ]


def _text(table: Table, index: int, column: str, path: Path) -> str:
    """A row's text, or an empty one for null."""
    text = table.rows[index][column]
    if text is None:
        return ""
    where = f"data.path={path}, {table.place(index)}: the column '{column}'"
    if not isinstance(text, str):
        raise UserError(f"{where} holds {kind_of(text)}, not a text")
    try:
        text.encode()
    except UnicodeEncodeError as error:
        half = text[error.start : error.end]
        raise UserError(f"{where} holds half of a character ({half!a}): write the whole") from error
    return text


def _label(table: Table, index: int, column: str, first: int, path: Path) -> str | float:
    """A row's label: a text or a whole number, as the label of the row ``first`` is."""
    label = table.rows[index].get(column)
    where = f"data.path={path}, {table.place(index)}: the column '{column}'"
    if label is None or (isinstance(label, str) and not label.strip()):
        raise UserError(f"{where} is empty: give a label, or no such row; data.label_column=null reads no labels")
    if not isinstance(label, str | int | float):
        raise UserError(f"{where} holds {kind_of(label)}: give one class, as a whole number or a name")
    other = table.rows[first].get(column)
    if kind_of(label) != kind_of(other):
        raise UserError(
            f"{where} holds {kind_of(label)} ({label!r}), and {table.place(first)} {kind_of(other)} ({other!r}): give "
            "all labels as whole numbers, or all as names"
        )
    if isinstance(label, str):
        return label.strip()
    if not abs(label) < _MOST_LABEL or int(label) != label:
        raise UserError(f"{where} holds {label}: a class is a whole number or a name")
    return label
