"""A chart that GitHub draws in Markdown: bars of the speed-ups, as Mermaid's xychart."""

from __future__ import annotations

import re

from pipeline.report.rows import groups
from pipeline.results.report import Report

_UNKNOWN = re.compile(r"[^\w .,+-]")
"""Characters that would end or change Mermaid's text."""


def speedup_chart(report: Report) -> str:
    """The speed-ups of the recommended row's target and batch size, of the first one where nothing is recommended;
    empty where fewer than two rows have one."""
    for group in sorted(groups(report), key=lambda group: not any(row.recommended for row in group.rows)):
        bars = [
            (_UNKNOWN.sub("_", row.name), row.result.speedup.value)
            for row in group.rows
            if row.result is not None and row.result.speedup is not None
        ]
        if len(bars) > 1:
            return _chart(_UNKNOWN.sub("_", group.title), bars)
    return ""


def _chart(where: str, bars: list[tuple[str, float]]) -> str:
    names = ", ".join(f'"{name}"' for name, _ in bars)
    values = ", ".join(f"{value:.3g}" for _, value in bars)
    return "\n".join(
        [
            "```mermaid",
            "xychart-beta horizontal",
            f'    title "Times as fast as the reference, {where}"',
            f"    x-axis [{names}]",
            '    y-axis "times as fast"',
            f"    bar [{values}]",
            "```",
        ]
    )
