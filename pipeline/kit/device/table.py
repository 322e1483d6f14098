"""The table that the kit prints: a first look. The verdicts are the report's, at home."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any, NamedTuple

from pipeline.kit.device.estimate import Ratio
from pipeline.kit.device.schedule import CLONE

_HEAD = ("row", "p50 (ms)", "times as fast", "interval", "outputs")
_ODD_CLONE = 1.01
_TOO_WIDE = 1.0
"""An interval of this half-width, a factor of e to each side, says nothing."""


class Line(NamedTuple):
    """What is known of a row."""

    key: str
    p50_ms: float | None
    reason: str | None
    predicted: Mapping[str, Any] | None
    is_reference: bool


def table(lines: Sequence[Line], ratios: Mapping[str, Ratio]) -> list[str]:
    """The table, and how far it can be trusted, a string a line."""
    cells = [_HEAD, *(_cells(line, ratios.get(line.key)) for line in lines)]
    widths = [max(len(row[place]) for row in cells) for place in range(len(_HEAD))]
    found = ["  ".join(text.ljust(width) for text, width in zip(row, widths)).rstrip() for row in cells]  # noqa: B905
    found.insert(1, "  ".join("-" * width for width in widths))
    found += [f"{line.key}: {line.reason}" for line in lines if line.reason]
    found += [_clone(key, ratio) for key, ratio in ratios.items() if key.startswith(CLONE)]
    return ["", *found, "These figures are rough (SCREENED): the verdicts come from the report at home."]


def _cells(line: Line, ratio: Ratio | None) -> tuple[str, ...]:
    if line.reason is not None:
        return line.key, "failed", "", "", ""
    speed = ("1", "the baseline") if line.is_reference else ("?", "") if ratio is None else _speed(ratio)
    return line.key, "?" if line.p50_ms is None else f"{line.p50_ms:.3g}", *speed, _outputs(line.predicted)


def _speed(ratio: Ratio) -> tuple[str, str]:
    interval = f"{ratio.low:.2f} to {ratio.high:.2f}" if ratio.half_width < _TOO_WIDE else "too few rounds to tell"
    return f"{ratio.value:.2f}", interval


def _outputs(predicted: Mapping[str, Any] | None) -> str:
    if predicted is None:
        return "not run"
    if "failed" in predicted:
        return f"failed: {predicted['failed']}"
    if predicted["golden"] is None:
        return f"{predicted['examples']} examples"
    return f"{predicted['examples']} examples, {100 * predicted['golden']:.2g} % from home's"


def _clone(key: str, ratio: Ratio) -> str:
    if ratio.half_width >= _TOO_WIDE:
        return f"{key[len(CLONE) :]} was timed in too few rounds to tell how noisy this machine is"
    odd = not ratio.low <= 1 <= ratio.high and max(ratio.value, 1 / ratio.value) > _ODD_CLONE
    told = "so this machine was too noisy to tell" if odd else "as it should be"
    return (
        f"a second copy of {key[len(CLONE) :]} ran {ratio.value:.3f} times as fast as the first "
        f"({ratio.low:.3f} to {ratio.high:.3f}): {told}"
    )
