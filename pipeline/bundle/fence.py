"""Somebody else's text in Markdown: nothing in it is markup, and nothing leaves its line."""

from __future__ import annotations

import re

from pipeline.bundle.slimline_infer.values import printable

_MARKUP = re.compile(r"[\\`*\[\]<>&|~#!]|(?<![^\W_])_|_(?![^\W_])|:(?=//)|(?<=www)\.")


def code(text: object) -> str:
    """The text as inline code, which a table may hold, too."""
    shown = printable(text).replace("|", "\\|")
    longest = max((len(run) for run in re.findall("`+", shown)), default=0)
    fence = "`" * (longest + 1)
    space = " " if not shown or shown[0] in "` " or shown[-1] in "` " else ""
    return f"{fence}{space}{shown}{space}{fence}"


def prose(text: object) -> str:
    """The text as words of a sentence."""
    return _MARKUP.sub(lambda found: f"\\{found.group()}", printable(text))
