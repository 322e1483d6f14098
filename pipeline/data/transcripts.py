"""What is said in the sounds of a folder, as a table, LibriSpeech's files or a text beside each sound tell it."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path

from pipeline.data.references import METADATA, by_name, matched, read_metadata
from pipeline.data.table import SUFFIXES, kind_of
from pipeline.errors import UserError

TRANSCRIPTION = "transcription"
_EXAMPLE = '{"file_name": "a.wav", "transcription": "good morning"}'
_LINES = "*.trans.txt"
"""LibriSpeech's files: in each line a sound's name without its suffix, a space, and what is said."""


def transcript_file(folder: Path) -> Path | None:
    """The table that a folder of sounds has; None where it has none."""
    return next((folder / name for name in METADATA if (folder / name).is_file()), None)


def has_transcripts(folder: Path, files: Sequence[Path]) -> bool:
    """Whether something in a folder may tell what is said in its sounds, by the files' names."""
    return transcript_file(folder) is not None or any(map(_beside, files)) or bool(_librispeech(files))


@dataclass(frozen=True, slots=True, kw_only=True)
class Transcripts:
    """Where the transcripts are: in a table with a column ``column``, or, without a ``table``, beside the sounds."""

    table: Path | None
    column: str = TRANSCRIPTION

    @staticmethod
    def of(folder: Path, told: Path | None, column: str) -> Transcripts:
        """The file that was ``told``, else what the folder has; raises UserError where it is no table."""
        if told is not None and told.suffix.lower() not in SUFFIXES:
            raise UserError(
                f"data.labels={told} is no table ({', '.join(SUFFIXES)}); {_LINES}, or a .txt file beside each sound, "
                "are found by themselves: data.labels=null"
            )
        return Transcripts(table=told or transcript_file(folder), column=column)

    def read(self, files: Sequence[Path], root: Path) -> tuple[list[str], list[str]]:
        """What is said in each sound below ``root``, and notes; raises UserError, with the entry that is wrong."""
        if self.table is not None:
            return self._of_table(self.table, files, root)
        lines = _librispeech(files)
        if lines:
            where = f"{_LINES} of {root}"
            named = (entry for file in lines for entry in _of_lines(file, root))
            return matched(files, root, by_name(named, where), where)
        if not any(map(_beside, files)):
            raise UserError(
                f"{root} has no transcripts: give a metadata.csv with the columns file_name and {self.column}, "
                f"{_LINES} as LibriSpeech has, or a .txt file beside each sound"
            )
        return [_of_text(file) for file in files], []

    def _of_table(self, table: Path, files: Sequence[Path], root: Path) -> tuple[list[str], list[str]]:
        where = f"data.labels={table}"
        rows = read_metadata(table, self.column, _EXAMPLE)
        named: Iterator[tuple[str, str]] = ((name, self._text(cell, at)) for name, cell, at in rows)
        return matched(files, root, by_name(named, where), where)

    def _text(self, cell: object, where: str) -> str:
        if not isinstance(cell, str) or not cell.strip():
            has = "is empty" if isinstance(cell, str) else f"holds {kind_of(cell)}"
            raise UserError(f"{where}: the column '{self.column}' {has}: write what is said, or leave the sound out")
        return cell.strip()


def _librispeech(files: Sequence[Path]) -> list[Path]:
    return sorted(found for folder in {file.parent for file in files} for found in folder.glob(_LINES))


def _beside(file: Path) -> bool:
    return file.with_suffix(".txt").is_file()


def _of_lines(file: Path, root: Path) -> Iterator[tuple[str, str]]:
    folder = file.parent.relative_to(root)
    for number, line in enumerate(_content(file).splitlines(), 1):
        name, _, text = line.strip().partition(" ")
        if name and not text.strip():
            raise UserError(f"{file}, line {number} has no text: write the sound's name, a space, and what is said")
        if name:
            yield str(folder / name), text.strip()


def _of_text(sound: Path) -> str:
    file = sound.with_suffix(".txt")
    if not file.is_file():
        raise UserError(
            f"{sound} has no {file.name} beside it, as other sounds have: write it, or name the sounds that have one "
            "with data.only"
        )
    text = " ".join(_content(file).split())
    if not text:
        raise UserError(f"{file} is empty: write what is said, or leave the sound out")
    return text


def _content(file: Path) -> str:
    try:
        return file.read_text(encoding="utf-8-sig")
    except UnicodeDecodeError as error:
        raise UserError(f"{file} is not in utf-8: save it anew") from error
