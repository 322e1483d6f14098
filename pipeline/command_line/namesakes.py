"""Tells which of two things is taken where one name means both: a configuration, and a file or folder of the user's."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from contextlib import contextmanager, suppress
from pathlib import Path

from pipeline.command_line.shipped import configurations
from pipeline.errors import UserError


def namesake(typed: str, group: str) -> str | None:
    """The sentence that a name is taken as the configuration of this group, and what to type for the file or folder
    that has the same name; None where there is no such file or folder."""
    with suppress(OSError):
        if Path(typed).exists():
            mine = "folder" if Path(typed).is_dir() else "file"
            whose = "that ships" if typed in configurations(group) else "of your configurations"
            return f"{typed} is taken as the {group} {whose}: for the {mine} of that name type ./{typed}"
    return None


@contextmanager
def reminding(notes: Sequence[str]) -> Iterator[None]:
    """Put these notes behind a UserError: the mistake may be that the other of two things was meant."""
    try:
        yield
    except UserError as error:
        if not notes:
            raise
        raise UserError(*error.problems, *(f"note: {note}" for note in notes)) from error
