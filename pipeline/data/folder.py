"""Finds the files of one kind in a folder, and the class of each where a folder is a class."""

from __future__ import annotations

import os
from collections import Counter
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path

from pipeline.errors import UserError
from pipeline.patterns import matches

_SHOWN = 3
_NOT_OURS = "__MACOSX"


@dataclass(frozen=True, slots=True, kw_only=True)
class Kind:
    """A kind of files, in the words of messages."""

    many: str
    """Such files, such as "images"."""
    one: str
    """One of them, which "an" goes before."""
    suffixes: tuple[str, ...]
    unread: tuple[str, ...]
    """The suffixes of files that are told of, because a user may take them for such files."""

    def has(self, file: Path) -> bool:
        """Whether a file is of this kind by its name."""
        return file.suffix.lower() in self.suffixes


@dataclass(frozen=True, slots=True)
class Folder:
    """The files of a folder, the class of each, the classes' names, and the files that were left out."""

    files: tuple[Path, ...]
    labels: tuple[int, ...] | None
    classes: tuple[str, ...]
    notes: tuple[str, ...]


def files_below(path: Path) -> list[Path]:
    """All regular files below a folder, in the order of their paths; hidden files and folders, and what Finder leaves
    in archives, are not looked at."""
    return sorted(_walk(path, ()))


def find_files(
    path: Path, kind: Kind, only: Sequence[str], labelled: bool, classes: Sequence[str], table: Path | None = None
) -> Folder:
    """All files of a kind below ``path`` whose names match ``only``. A ``table`` that describes them is no file that is
    left out.

    With ``labelled``, the name of a file's folder gives its class: its place in ``classes``, or else in the order of
    all such names. Raises UserError where there are no such files, one lies beside the class folders, or the classes'
    numbers would not be sure.
    """
    if not path.is_dir():
        raise UserError(f"data.path={path} is no folder: give a folder of {kind.many}")
    every = files_below(path)
    found = [file for file in every if kind.has(file)]
    notes = _unread([file for file in every if file != table], kind)
    names: tuple[str, ...] = ()
    if labelled:
        stray = [file for file in found if file.parent == path]
        found = [file for file in found if file.parent != path]
        if stray:
            shown = ", ".join(file.name for file in stray[:_SHOWN]) + (", …" if len(stray) > _SHOWN else "")
            beside = "beside the class folders" if found else "and no folder for each class"
            raise UserError(
                f"data.labelled=true takes the class of an {kind.one} from its folder, and {path} holds {shown} "
                f"{beside}: move it into its class's folder, or out of here"
            )
        names = _class_names(path, found, classes, kind)
    chosen = [file for file in found if matches(file.name, only)] if only else found
    if not chosen:
        wanted = f"data.only={list(only)} names" if only else f"data.path={path} holds"
        raise UserError(f"{wanted} no {kind.many} ({', '.join(kind.suffixes)})")
    numbers = {name: number for number, name in enumerate(names)}
    labels = tuple(numbers[file.parent.name] for file in chosen) if labelled else None
    return Folder(tuple(chosen), labels, names, tuple(notes))


def _walk(folder: Path, above: tuple[str, ...]) -> Iterator[Path]:
    """The regular files below a folder, through links, but not round in a circle."""
    real = os.path.realpath(folder)
    if real in above:
        return
    for entry in folder.iterdir():
        if entry.name.startswith(".") or entry.name == _NOT_OURS:
            continue
        if entry.is_dir():
            yield from _walk(entry, (*above, real))
        elif entry.is_file():
            yield entry


def _class_names(path: Path, files: Sequence[Path], told: Sequence[str], kind: Kind) -> tuple[str, ...]:
    folders = {file.parent for file in files}
    names = sorted({folder.name for folder in folders})
    if told:
        unknown = [name for name in names if name not in told]
        if unknown:
            raise UserError(f"data.classes lacks the folder '{unknown[0]}' of {path}; it has {', '.join(told)}")
        return tuple(told)
    empty = sorted(
        entry
        for parent in {folder.parent for folder in folders}
        for entry in parent.iterdir()
        if entry.is_dir() and _is_empty(entry, folders)
    )
    if empty:
        raise UserError(
            f"{empty[0]} lies among the class folders and holds no {kind.many}, so the classes' numbers are not sure: "
            f"remove it, or name the folders in the model's order with data.classes=[{','.join(names)}]"
        )
    return tuple(names)


def _is_empty(entry: Path, folders: set[Path]) -> bool:
    if entry.name.startswith(".") or entry.name == _NOT_OURS:
        return False
    return not any(folder == entry or entry in folder.parents for folder in folders)


def _unread(files: Sequence[Path], kind: Kind) -> list[str]:
    counts = Counter(file.suffix.lower() for file in files if file.suffix.lower() in kind.unread)
    return [
        f"{count} {suffix} file{'s' if count > 1 else ''} left out: only {', '.join(kind.suffixes)} are read"
        for suffix, count in sorted(counts.items())
    ]
