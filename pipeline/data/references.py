"""Finds what a file or a folder tells of each picture or sound: its boxes, or what is said in it."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path, PurePosixPath
from typing import Any, TypeVar

from pipeline.data.table import FILE_NAME, SUFFIXES, Asked, read_table
from pipeline.errors import UserError

METADATA = tuple(f"metadata{suffix}" for suffix in SUFFIXES)
"""The tables that Hugging Face's imagefolder and audiofolder look for beside the files."""
EntryT = TypeVar("EntryT")


def read_metadata(path: Path, column: str, example: str) -> Iterator[tuple[str, Any, str]]:
    """The ``file_name`` of each row of a table, its cell of this column, and where it stands. ``example`` is a row.

    Raises UserError where a row has no name, or the table lacks the column.
    """
    asked = Asked(
        path=path, needed=FILE_NAME, others=(column,), file_key="data.labels", column_key=None, example=example
    )
    for table in read_table(asked):
        if column not in table.columns:
            raise UserError(
                f"{asked.where} has no column '{column}' (data.label_column); it has {', '.join(table.columns)}"
            )
        for index, row in enumerate(table.rows):
            where = f"{asked.where}, {table.place(index)}"
            name = row[FILE_NAME]
            if not isinstance(name, str) or not name.strip():
                raise UserError(f"{where}: the column '{FILE_NAME}' is empty: name the file")
            yield name.strip(), row.get(column), where


def by_name(named: Iterator[tuple[str, EntryT]], where: str) -> dict[str, EntryT]:
    """The entries by the name of their file, with slashes; raises UserError where two have the same."""
    entries: dict[str, EntryT] = {}
    for raw, entry in named:
        name = PurePosixPath(raw.replace("\\", "/")).as_posix()
        if name in entries:
            raise UserError(f"{where} has two entries for {name}: leave one")
        entries[name] = entry
    return entries


def matched(
    files: Sequence[Path], root: Path, entries: Mapping[str, EntryT], where: str
) -> tuple[list[EntryT], list[str]]:
    """The entry of each file below ``root``, and notes. An entry names a file by the end of its path, with or without
    the suffix. Raises UserError where a file has none, or two files have the same."""
    found: dict[str, Path] = {}
    lacking: list[Path] = []
    for file in files:
        own = file.relative_to(root)
        name = next((name for name in _names(own) if name in entries), None)
        if name is None:
            lacking.append(own)
        elif name in found:
            raise UserError(f"{where}: the entry {name} fits {found[name]} and {own}: write their folders with it")
        else:
            found[name] = own
    if lacking:
        others = f" and {len(lacking) - 1} more" if len(lacking) > 1 else ""
        raise UserError(
            f"{where} has no entry for {lacking[0]}{others} of the {len(files)} files: add it, or name the files that "
            "have one with data.only"
        )
    left = len(entries) - len(found)
    notes = [f"{left:,} entries of {where} are of files that are not read"] if left else []
    return [entries[name] for name in found], notes


def _names(own: Path) -> Iterator[str]:
    for parts in (own.parts, own.with_suffix("").parts):
        for start in range(len(parts)):
            yield "/".join(parts[start:])
