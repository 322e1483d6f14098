"""Reads CSV files as programs write them: with any separator and encoding, and with rows that are not whole."""

from __future__ import annotations

import codecs
import csv
import io
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

from pipeline.data.sizes import check_file, check_memory
from pipeline.errors import UserError

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


@dataclass(frozen=True, slots=True)
class Table:
    """A CSV file's columns, its rows by column, and the line of the file that each row ends on."""

    columns: Sequence[str]
    rows: Sequence[dict[str, str]]
    lines: Sequence[int]


def read_table(path: Path, encoding: str | None, column: str) -> Table:
    """Read a CSV file that has a header with ``column``.

    Its separator is the comma, semicolon, tab or bar with which the header holds that column. Its byte order mark tells
    the encoding; without one it is UTF-8. Raises UserError, with the line, where a row has other fields than the
    header, and where the file can't be read.
    """
    check_file(path, f"give a CSV file with a column '{column}' (data.path)")
    check_memory(_BYTES_EACH * path.stat().st_size, f"data.path={path} takes", None)
    text = _decoded(path, encoding)
    separator = _separator(text.partition("\n")[0], column)
    reader = csv.reader(io.StringIO(text, newline=""), strict=True, delimiter=separator)
    try:
        columns = [name.strip() for name in next(reader, [])]
        found = [(reader.line_num, row) for row in reader if row]
    except csv.Error as error:
        raise UserError(f"data.path={path} can't be read as CSV, at line {reader.line_num}: {error}") from error
    if column not in columns:
        raise UserError(
            f"data.path={path} has no column '{column}'; it has {', '.join(filter(None, columns)) or 'none'}"
        )
    if len(set(columns)) < len(columns):
        raise UserError(f"data.path={path} has two columns of one name; it has {', '.join(columns)}")
    for line, row in found:
        if len(row) != len(columns):
            raise UserError(
                f"data.path={path}, line {line}: {len(row)} fields, and the header has {len(columns)} "
                f"({', '.join(columns)}): mend the line; a text that holds '{separator}' stands in double quotes"
            )
    return Table(columns, [dict(zip(columns, row, strict=True)) for _, row in found], [line for line, _ in found])


def _decoded(path: Path, encoding: str | None) -> str:
    content = path.read_bytes()
    told = encoding or next((name for mark, name in _MARKS if content.startswith(mark)), "utf-8")
    try:
        text = content.decode(told)
    except LookupError as error:
        raise UserError(f"data.encoding={encoding} is not known: try utf-8, latin-1 or utf-16") from error
    except UnicodeDecodeError as error:
        line = content[: error.start].count(b"\n") + 1
        raise UserError(
            f"data.path={path} is not in {told}, at line {line}: say how it is encoded, such as data.encoding=latin-1"
        ) from error
    if "\0" in text:
        raise UserError(f"data.path={path} holds zero bytes, so it is no CSV in {told}: try data.encoding=utf-16")
    return text


def _separator(header: str, column: str) -> str:
    for separator in _SEPARATORS:
        if column in [name.strip().strip('"') for name in header.split(separator)]:
            return separator
    return max(_SEPARATORS, key=header.count)
