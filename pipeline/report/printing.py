"""Lines for a terminal, whatever it can show."""

from __future__ import annotations

from collections.abc import Mapping

from rich.console import Console
from rich.text import Text

from pipeline.report import numbers as show
from pipeline.report.verdicts import Tone

STYLES: Mapping[Tone, str] = {"good": "green", "bad": "red", "caution": "yellow", "neutral": ""}


def say(console: Console, line: str, style: str = "") -> None:
    """Print a line as it is: as Text, since a name in square brackets would be taken for a style."""
    console.print(Text(encodable(line, ascii_only(console)), style=style))


def ascii_only(console: Console) -> bool:
    """Whether the terminal can't show more than ASCII."""
    return not console.encoding.startswith("utf")


def encodable(text: str, in_ascii: bool) -> str:
    """The text, in ASCII where it must be."""
    if not in_ascii:
        return text
    return text.replace(show.MINUS, "-").replace(show.NONE, "-").encode("ascii", "replace").decode("ascii")
