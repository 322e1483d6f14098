"""Texts from a table, as the token numbers that an encoder reads."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field, replace
from functools import lru_cache, partial
from pathlib import Path
from typing import Any, Literal

import numpy as np
from numpy.typing import NDArray

from pipeline.bounds import Positive
from pipeline.data.adapted import length, token_input
from pipeline.data.batches import Feed
from pipeline.data.dataset import IGNORED, Split, SplitName
from pipeline.data.fitted import Wanted
from pipeline.data.hashing import Divided, Partition, partition
from pipeline.data.labels import NO_TOKEN, LabelRule
from pipeline.data.making import MOST, Making
from pipeline.data.table import Asked, Table, kind_of, near_column, read_table
from pipeline.data.tokens import LENGTH, Tokens, encoder_of, folders_beside, tokenizer_in
from pipeline.errors import UserError

TEXT, LABEL = "text", "label"
_MOST_LABEL = 2**53


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
    tokenizer: Path | None = None
    """None: the tokenizer that lies beside the model, or beside the texts."""
    text_column: str = TEXT
    label_column: str | None = LABEL
    """The column of the labels, where the file has it; None: no labels are read."""
    length: int | None = None
    """None: as many tokens as the model reads, and 64 or the most that it takes where that is free."""
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
    """The most that CSV or JSON Lines may take in memory; None: half of the memory that is free."""

    def __post_init__(self) -> None:
        Divided.__post_init__(self)
        if self.length is not None and self.length < 1:
            raise ValueError(f"length must be at least 1 (got {self.length})")

    @property
    def name(self) -> str:
        """The file's name without its suffix."""
        return self.path.stem

    def split(self, name: SplitName) -> Split:
        """Read one split; raises UserError where a file can't be read, NoExamples where the split gets no example."""
        whole, parts = _read(self._source, self._tokenizer, self.length or LENGTH, self._names, self._shares)
        return self.part(whole, parts, name, self.path)

    def making(self, name: SplitName) -> Making:
        """How the first texts of a split become tokens; there is nothing to decode."""
        first = self.split(name).take(0, MOST)
        prepare = partial(_prepared, tokenizer=self._tokenizer, length=self.length or LENGTH, names=self._names)
        return Making(sources=self.show(first, [], Path())[TEXT], prepare=prepare)

    @property
    def _tokenizer(self) -> Path:
        return self.tokenizer or tokenizer_in(self.path.parent)

    @property
    def _names(self) -> tuple[str, str]:
        return self.input_ids, self.attention_mask

    @property
    def _shares(self) -> tuple[tuple[str, float], ...]:
        return tuple(self.fractions.items())

    def adapted(self, inputs: Mapping[str, Wanted], beside: Path | None) -> Texts:
        """The texts in the length, by the name, and with the tokenizer of a model."""
        return replace(
            self,
            tokenizer=self.tokenizer or tokenizer_in(*folders_beside(beside), self.path.parent),
            length=self.length or length(inputs),
            input_ids=token_input(inputs, self.input_ids),
        )

    def show(self, examples: Split, names: Sequence[str], folder: Path) -> Mapping[str, Sequence[str]]:
        """The texts of examples, in a column ``text``."""
        lines = [] if examples.origins is None else examples.origins.tolist()
        wanted = set(lines)
        texts = {
            line: text
            for table, found, _ in self._source.pieces()
            for line, text in zip(table.lines, found, strict=True)
            if line in wanted
        }
        return {TEXT: [texts[line] for line in lines]}

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

    def tables(self) -> Iterator[Table]:
        """The two columns, piece by piece."""
        return read_table(
            Asked(
                path=self.path,
                needed=self.text_column,
                others=() if self.label_column is None else (self.label_column,),
                encoding=self.encoding,
                max_gb=self.max_gb,
            )
        )

    def pieces(self) -> Iterator[tuple[Table, list[str], list[int]]]:
        """Each piece of the table, its texts, and which of its rows have any."""
        for table in self.tables():
            texts = [_text(table, index, self.text_column, self.path) for index in range(len(table.rows))]
            yield table, texts, [index for index, text in enumerate(texts) if text.strip()]


@lru_cache(maxsize=2)
def _read(
    source: _Source,
    tokenizer: Path,
    length: int,
    names: tuple[str, str],
    fractions: tuple[tuple[str, float], ...],
) -> tuple[Split, Partition]:
    tokens = Tokens(encoder_of(tokenizer, length))
    labels = _Labels(source)
    lines: list[int] = []
    left = 0
    for table, texts, filled in source.pieces():
        tokens.add([texts[index] for index in filled])
        labels.add(table, filled)
        lines += [table.lines[index] for index in filled]
        left += len(texts) - len(filled)
    if not lines:
        raise UserError(f"data.path={source.path} holds no texts")
    left_out = [f"{left} row{'s' if left > 1 else ''} of {source.path.name} without a text left out"] if left else []
    notes = (*left_out, *labels.notes)
    whole = Split(dict(zip(names, tokens.arrays(), strict=True)), labels.classes(), notes, origins=np.array(lines))
    return whole, partition(whole.example_hashes(), dict(fractions))


def _prepared(text: str, tokenizer: Path, length: int, names: tuple[str, str]) -> Feed:
    return dict(zip(names, encoder_of(tokenizer, length)([text]), strict=True))


@dataclass(slots=True)
class _Labels:
    """The labels of a table, as its pieces come in."""

    source: _Source
    notes: list[str] = field(default_factory=list)
    _raw: list[str | float | list[int]] = field(default_factory=list)
    _first: tuple[str, object] | None = None
    """Where the first label stands, and what it is."""

    def add(self, table: Table, rows: Sequence[int]) -> None:
        """Read the labels of some rows; raises UserError where one is none, and where a column that was named is not
        there."""
        column, path = self.source.label_column, self.source.path
        if column is None:
            return
        if column not in table.columns:
            others = [name for name in table.columns if name != self.source.text_column]
            self.notes = _without_labels(path, column, others)
            return
        for index in rows:
            self._first = self._first or (table.place(index), table.rows[index].get(column))
            tokens = self.source.rule.kind == "texts"
            self._raw.append(_label(table, index, column, self._first, path, tokens=tokens))

    def classes(self) -> NDArray[np.int64] | None:
        """The class of each row; None where the file has no labels."""
        where = f"data.path={self.source.path}: the column '{self.source.label_column}'"
        return self.source.rule(_filled(self._raw), where) if self._raw else None


def _filled(labels: Sequence[str | float | list[int]]) -> NDArray[Any]:
    """The labels [N], or token numbers [N, L] with ``NO_TOKEN`` behind the last one of each."""
    if not isinstance(labels[0], list):
        return np.array(labels)
    rows = [label for label in labels if isinstance(label, list)]
    found = np.full((len(rows), max(map(len, rows))), int(NO_TOKEN))
    for row, tokens in zip(found, rows, strict=True):
        row[: len(tokens)] = tokens
    return found


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


def _label(
    table: Table, index: int, column: str, first: tuple[str, object], path: Path, *, tokens: bool
) -> str | float | list[int]:
    """A row's label: a text, a whole number or, with ``tokens``, a list of token numbers, as the ``first`` label is,
    which stands at a place."""
    label = table.rows[index].get(column)
    where = f"data.path={path}, {table.place(index)}: the column '{column}'"
    if label is None or (isinstance(label, str) and not label.strip()):
        raise UserError(f"{where} is empty: give a label, or no such row; data.label_column=null reads no labels")
    if not isinstance(label, str | int | float) and not (tokens and isinstance(label, list)):
        raise UserError(f"{where} holds {kind_of(label)}: give one class, as a whole number or a name")
    place, other = first
    if kind_of(label) != kind_of(other):
        raise UserError(
            f"{where} holds {kind_of(label)} ({label!r}), and {place} {kind_of(other)} ({other!r}): give "
            "all labels as whole numbers, or all as names"
        )
    if isinstance(label, list):
        if not label or not all(type(token) is int and 0 <= token < _MOST_LABEL for token in label):
            raise UserError(f"{where} holds {label}: token numbers are whole numbers from 0 on, one or more")
        return label
    if isinstance(label, str):
        return label.strip()
    if not abs(label) < _MOST_LABEL or int(label) != label:
        raise UserError(f"{where} holds {label}: a class is a whole number or a name")
    return label
