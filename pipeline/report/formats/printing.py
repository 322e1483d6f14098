"""Prints lines on a terminal, whatever it can show."""

from __future__ import annotations

from collections.abc import Mapping

from rich.console import Console
from rich.text import Text

from pipeline.report.verdicts import Tone
from pipeline.terminal.screen import in_ascii as to_ascii
from pipeline.terminal.screen import printable

STYLES: Mapping[Tone, str] = {"good": "green", "bad": "red", "caution": "yellow", "neutral": "", "quiet": "dim"}


def say(console: Console, line: str, style: str = "") -> None:
    """Print a line as it is. It is printed as Text, because a name in square brackets would be taken for a style."""
    console.print(Text(encodable(line, ascii_only(console)), style=style))


def tell(console: Console, line: str, style: str = "") -> None:
    """Print a line as it is, however long, because a path that is wrapped can't be copied."""
    console.print(Text(encodable(line, ascii_only(console)), style=style), soft_wrap=True)


def ascii_only(console: Console) -> bool:
    """Whether the terminal can't show more than ASCII."""
    return not console.encoding.startswith("utf")


def encodable(text: str, in_ascii: bool) -> str:
    """The text in a form for the terminal: without control characters, and in ASCII where it must be."""
    safe = printable(text)
    return to_ascii(safe) if in_ascii else safe
