"""Makes printed text harmless to a terminal, in letters that the terminal has, and no matter to a run that nobody
reads."""

from __future__ import annotations

import codecs
import os
import re
import sys
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from typing import TYPE_CHECKING, Any, TextIO

from pipeline.errors import DISK_FULL

if TYPE_CHECKING:
    from rich.console import Console

PLAIN_WIDTH = 120
"""The columns where there is no terminal."""
_HARMFUL = re.compile("[\x00-\x09\x0b-\x1f\x7f-\x9f\u200e\u200f\u2028-\u202e\u2066-\u2069\ud800-\udfff]")
"""Control characters but the line's end, marks that change the direction of writing, and halves of characters."""
_IN_ASCII = {"−": "-", "–": "-", "…": ".", "±": "~", "×": "x", "·": ".", "→": ">", "≥": ">", "≤": "<", "’": "'"}
"""One letter for one, so that tables keep their columns."""
_ERRORS = "slimline.ascii"


def printable(text: str) -> str:
    """The text with each character that a terminal would obey, or a reader not see, written out: an escape becomes
    ``\\x1b``."""
    return _HARMFUL.sub(_written_out, text)


def in_ascii(text: str) -> str:
    """The text with only ASCII letters: a likeness where there is one, else a question mark."""
    return "".join(letter if letter.isascii() else _IN_ASCII.get(letter, "?") for letter in text)


def plain_console() -> Console:
    """A console that writes to stdout, as wide as the terminal."""
    from rich.console import Console

    console = Console()
    if not console.is_terminal and "COLUMNS" not in os.environ:
        console.width = PLAIN_WIDTH  # rich takes 80 where there is no terminal
    return console


def complain(text: str) -> None:
    """Write lines to stderr, each behind the program's name."""
    with suppress(OSError):  # after SIGHUP there is no terminal any more
        for line in text.splitlines():
            sys.stderr.write(f"slimline: {printable(line)}\n")


@contextmanager
def guarded_output() -> Iterator[None]:
    """Keep printing from raising within the block: characters that an encoding lacks are replaced, and text that can't
    be written is dropped."""
    codecs.register_error(_ERRORS, _replaced)
    before = sys.stdout, sys.stderr
    sys.stdout, sys.stderr = _guarded(sys.stdout), _guarded(sys.stderr)
    try:
        yield
    finally:
        for stream in (sys.stdout, sys.stderr):
            if stream is not None:
                stream.flush()
        sys.stdout, sys.stderr = before


class GuardedStream:
    """A stream whose reader may go away (``| head -1``), or whose disk may fill up: the rest is dropped then."""

    def __init__(self, stream: TextIO) -> None:
        self._stream = stream
        self._lost = False

    def __getattr__(self, name: str) -> Any:
        return getattr(self._stream, name)

    def write(self, text: str) -> int:
        """Write the text, or drop it; returns the number of its characters either way."""
        if not self._lost:
            try:
                self._stream.write(text)
            except OSError as error:
                self._lose(error)
        return len(text)

    def flush(self) -> None:
        """Hand on the text that was written."""
        if not self._lost:
            try:
                self._stream.flush()
            except OSError as error:
                self._lose(error)

    def _lose(self, error: OSError) -> None:
        self._lost = True
        with suppress(OSError, ValueError):  # what it still holds is written when the program ends
            nothing = os.open(os.devnull, os.O_WRONLY)
            os.dup2(nothing, self._stream.fileno())
            os.close(nothing)
        if getattr(self._stream, "name", "") == "<stdout>" and sys.stderr is not None:
            why = "the disk is full" if error.errno in DISK_FULL else "nobody reads it any more"
            sys.stderr.write(f"slimline: stdout is lost ({why}); the work goes on\n")


def _guarded(stream: Any) -> Any:
    if stream is None or isinstance(stream, GuardedStream):
        return stream
    if hasattr(stream, "reconfigure"):
        stream.reconfigure(errors=_ERRORS)
    return GuardedStream(stream)


def _replaced(error: UnicodeError) -> tuple[str, int]:
    if not isinstance(error, UnicodeEncodeError):
        raise error
    return in_ascii(error.object[error.start : error.end]), error.end


def _written_out(found: re.Match[str]) -> str:
    code = ord(found.group())
    return f"\\x{code:02x}" if code < 0x100 else f"\\u{code:04x}"
