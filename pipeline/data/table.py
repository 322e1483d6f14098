"""Reads tables as programs write them: CSV with any separator and encoding, JSON Lines, and Parquet."""

from __future__ import annotations

import codecs
import csv
import io
import json
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from types import NoneType
from typing import Any

from pipeline.data.sizes import check_file, check_memory
from pipeline.errors import UserError, first_line
from pipeline.errors.names import near

SUFFIXES = (".csv", ".tsv", ".jsonl", ".ndjson", ".parquet")
"""The files that are tables by their names; a file of another name is read as CSV."""
_JSON_LINES = (".jsonl", ".ndjson")
_PARQUET = ".parquet"
FILE_NAME = "file_name"
"""The column that names a file, in a table that describes the files beside it."""
_SEPARATORS = (",", ";", "\t", "|")
_MARKS = (
    (codecs.BOM_UTF8, "utf-8-sig"),
    (codecs.BOM_UTF32_LE, "utf-32"),
    (codecs.BOM_UTF32_BE, "utf-32"),
    (codecs.BOM_UTF16_LE, "utf-16"),
    (codecs.BOM_UTF16_BE, "utf-16"),
)
"""The byte order marks that tell an encoding, the longer before those that they begin with."""
_BYTES_EACH = 4
"""The most bytes of a character in memory."""
_ROWS_AT_ONCE = 1000
"""So many rows of a Parquet file are in memory at a time."""
_KINDS: Mapping[type, str] = {
    NoneType: "null",
    str: "a text",
    bool: "a truth value",
    int: "a number",
    float: "a number",
    list: "a list",
    dict: "an object",
}


@dataclass(frozen=True, slots=True)
class Table:
    """A file's columns, the cells of some of its rows by column, and the line of the file that each row ends on."""

    columns: Sequence[str]
    """The names of all columns."""
    rows: Sequence[Mapping[str, object]]
    """The cells of the columns that were asked for. A cell of CSV is a text; of others it is what the file holds."""
    lines: Sequence[int]
    counted: str = "line"
    """What ``lines`` counts: lines, or rows where a file has no lines."""

    def place(self, index: int) -> str:
        """Where a row stands in the file, in words."""
        return f"{self.counted} {self.lines[index]}"


@dataclass(frozen=True, slots=True, kw_only=True)
class Asked:
    """Which columns of a table are read, and the settings that name the file and its needed column."""

    path: Path
    needed: str
    others: tuple[str, ...] = ()
    """Columns that are read where the file has them."""
    encoding: str | None = None
    max_gb: float | None = None
    file_key: str = "data.path"
    column_key: str | None = "data.text_column"
    """The setting that names the needed column; None: its name is fixed."""
    example: str = '{"text": "good", "label": 1}'
    """A row in JSON."""

    @property
    def wanted(self) -> tuple[str, ...]:
        """All columns."""
        return (self.needed, *self.others)

    @property
    def where(self) -> str:
        """The file, as it is set."""
        return f"{self.file_key}={self.path}"

    @property
    def form(self) -> str:
        """How JSON Lines are written."""
        return f"one JSON object a line, such as {self.example}"


def read_table(asked: Asked) -> Iterator[Table]:
    """Read columns of a table in pieces. There is at least one piece, and only that one where the file is text.

    The suffix tells the format: .jsonl and .ndjson hold a JSON object a line, .parquet is Parquet (pyarrow reads it),
    and anything else is CSV with a header. The separator of CSV is the comma, semicolon, tab or bar with which the
    header holds the column ``needed``. The byte order mark tells the encoding; without one it is UTF-8. Raises
    UserError, with the line, where a row is not as it should be, and where the file can't be read.
    """
    path = asked.path
    check_file(path, f"give a table with a column '{asked.needed}' ({', '.join(SUFFIXES)}) as {asked.file_key}")
    kind = path.suffix.lower()
    if kind == _PARQUET:
        yield from _parquet(asked)
        return
    instead = "store it as Parquet, which is read in pieces"
    check_memory(_BYTES_EACH * path.stat().st_size, f"{asked.where} takes", asked.max_gb, instead)
    text = _decoded(asked)
    yield _json_lines(asked, text) if kind in _JSON_LINES else _csv(asked, text)


def kind_of(value: object) -> str:
    """What a cell holds, in words."""
    return _KINDS.get(type(value), f"a value of type {type(value).__name__}")


def near_column(name: str, columns: Sequence[str]) -> str | None:
    """The column whose name is most like ``name``, in whatever case; None where none is like it."""
    return next(iter(near(name, columns, 1)), None)


def _check_columns(asked: Asked, columns: Sequence[str]) -> None:
    if asked.needed not in columns:
        has = f"it has {', '.join(filter(None, columns)) or 'none'}"
        raise UserError(f"{asked.where} has no column '{asked.needed}'; {has}: {_other_column(asked, columns)}")
    if len(set(columns)) < len(columns):
        raise UserError(f"{asked.where} has two columns of one name; it has {', '.join(columns)}")


def _other_column(asked: Asked, columns: Sequence[str]) -> str:
    """What to do about the needed column."""
    if FILE_NAME in columns:
        return f"it describes files, so type their folder, {asked.path.parent}"
    if asked.column_key is None:
        return f"name it '{asked.needed}'"
    alike = near_column(asked.needed, columns)
    advice = f"did you mean {alike}? type" if alike else "name the column of the texts with"
    return f"{advice} {asked.column_key}={alike or 'NAME'}"


def _csv(asked: Asked, text: str) -> Table:
    separator = _separator(text.partition("\n")[0], asked.needed)
    reader = csv.reader(io.StringIO(text, newline=""), strict=True, delimiter=separator)
    try:
        columns = [name.strip() for name in next(reader, [])]
        found = [(reader.line_num, row) for row in reader if row]
    except csv.Error as error:
        raise UserError(f"{asked.where} can't be read as CSV, at line {reader.line_num}: {error}") from error
    _check_columns(asked, columns)
    for line, row in found:
        if len(row) != len(columns):
            raise UserError(
                f"{asked.where}, line {line}: {len(row)} fields, and the header has {len(columns)} "
                f"({', '.join(columns)}): mend the line; a text that holds '{separator}' stands in double quotes"
            )
    places = {name: columns.index(name) for name in asked.wanted if name in columns}
    rows = [{name: row[place] for name, place in places.items()} for _, row in found]
    return Table(columns, rows, [line for line, _ in found])


def _json_lines(asked: Asked, text: str) -> Table:
    columns: dict[str, None] = {}
    rows: list[dict[str, object]] = []
    lines: list[int] = []
    lacking: tuple[int, dict[str, Any]] | None = None
    for line, content in enumerate(io.StringIO(text, newline="\n"), 1):
        if not content.strip():
            continue
        row = _object(content, f"{asked.where}, line {line}", asked.form)
        if asked.needed not in row and lacking is None:
            lacking = (line, row)
        columns.update(dict.fromkeys(row))
        rows.append({name: row[name] for name in asked.wanted if name in row})
        lines.append(line)
    if not rows:
        raise UserError(f"{asked.where} is empty: write {asked.form}")
    _check_columns(asked, list(columns))
    if lacking is not None:
        line, row = lacking
        null = ", or write null for a row without a text" if asked.column_key else ""
        raise UserError(
            f"{asked.where}, line {line} has no '{asked.needed}', as other lines have; it has "
            f"{', '.join(row) or 'nothing'}: mend the line{null}"
        )
    return Table(list(columns), rows, lines)


def _object(content: str, where: str, form: str) -> dict[str, Any]:
    try:
        found = json.loads(content.rstrip("\r\n"), object_pairs_hook=_unique)
    except json.JSONDecodeError as error:
        raise UserError(f"{where} is no JSON ({error.msg} at character {error.colno}): write {form}") from error
    except ValueError as error:
        raise UserError(f"{where} can't be read: {error}") from error
    except RecursionError as error:
        raise UserError(f"{where} is nested too deeply to be read: write {form}") from error
    if not isinstance(found, dict):
        raise UserError(f"{where} holds {kind_of(found)} and no object: write {form}")
    return found


def _unique(pairs: Sequence[tuple[str, Any]]) -> dict[str, Any]:
    found = dict(pairs)
    if len(found) < len(pairs):
        names = [name for name, _ in pairs]
        raise ValueError(f"it holds '{next(name for name in names if names.count(name) > 1)}' twice")
    return found


def _parquet(asked: Asked) -> Iterator[Table]:
    try:
        import pyarrow
        from pyarrow import parquet
    except ImportError as error:
        raise UserError(
            f"{asked.where} is read with pyarrow, which is not installed: install the extra parquet "
            "(pip install pyarrow)"
        ) from error
    try:
        with parquet.ParquetFile(asked.path) as file:
            columns = list(file.schema_arrow.names)
            _check_columns(asked, columns)
            chosen = [name for name in asked.wanted if name in columns]
            first = 1
            for batch in file.iter_batches(_ROWS_AT_ONCE, columns=chosen, use_threads=False):
                yield Table(columns, batch.to_pylist(), range(first, first + batch.num_rows), counted="row")
                first += batch.num_rows
            if first == 1:
                yield Table(columns, [], [], counted="row")
    except (pyarrow.ArrowException, OSError, ValueError) as error:
        raise UserError(f"{asked.where} can't be read as Parquet: {first_line(error)}") from error


def _decoded(asked: Asked) -> str:
    content = asked.path.read_bytes()
    told = asked.encoding or next((name for mark, name in _MARKS if content.startswith(mark)), "utf-8")
    try:
        text = content.decode(told)
    except LookupError as error:
        raise UserError(f"data.encoding={asked.encoding} is not known: try utf-8, latin-1 or utf-16") from error
    except UnicodeDecodeError as error:
        line = content[: error.start].count(b"\n") + 1
        raise UserError(
            f"{asked.where} is not in {told}, at line {line}: say how it is encoded, such as data.encoding=latin-1"
        ) from error
    if "\0" in text:
        raise UserError(f"{asked.where} holds zero bytes, so it is no text in {told}: try data.encoding=utf-16")
    return text.removeprefix("\ufeff")


def _separator(header: str, column: str) -> str:
    for separator in _SEPARATORS:
        if column in [name.strip().strip('"') for name in header.split(separator)]:
            return separator
    return max(_SEPARATORS, key=header.count)
