"""The parts that the charts of report.html share: the form of their data, colours, shapes, axes and sizes.

Colours are readable on light and dark alike; text and grid lines get theirs from the page's style sheet. No chart says
something only by colour: shapes or words say it, too.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, Literal

if TYPE_CHECKING:
    import altair as alt

Values = list[dict[str, Any]]
"""A chart's data, a mapping for each mark."""
Align = Literal["left", "right"]
BLUE = "#3b82c4"
GREY = "#8a8f98"
SMALL_PX = 11
_LONGEST_NAME = 26
_NAME = "length(datum.label) > 26 ? slice(datum.label, 0, 14) + '…' + slice(datum.label, -11) : datum.label"


@dataclass(frozen=True, slots=True, kw_only=True)
class Panel:
    """One chart: its heading, its content in words (for readers who do not see it), and its description for
    Vega-Lite."""

    title: str
    words: str
    spec: dict[str, Any]


def chart_of(values: Values) -> alt.Chart:
    """A chart of these values, which stay in the page."""
    import altair as alt

    return alt.Chart(alt.InlineData(values=values))


def names(values: Values) -> alt.Y:
    """The variants on the y axis, in the report's order, long names shortened in their middle."""
    import altair as alt

    order = list(dict.fromkeys(item["variant"] for item in values))
    axis = alt.Axis(labelExpr=_NAME, labelLimit=190, title=None, ticks=False, domain=False)
    return alt.Y("variant:N", sort=order, axis=axis)


def shortened(name: str) -> str:
    """A name in the form that the y axis has."""
    return f"{name[:14]}…{name[-11:]}" if len(name) > _LONGEST_NAME else name


def styled(styles: Mapping[str, str]) -> alt.Scale:
    """A scale that gives each word its colour or shape."""
    import altair as alt

    return alt.Scale(domain=list(styles), range=list(styles.values()))


def finished(layers: Sequence[alt.Chart], height: int) -> dict[str, Any]:
    """The description of these layers as one chart, as wide as the page gives it and ``height`` pixels high."""
    import altair as alt

    chart = alt.layer(*layers).properties(width="container", height=max(height, 40), background="transparent")
    chart = chart.configure_view(stroke=None)
    chart = chart.configure_axis(labelFontSize=12, titleFontSize=12, titleFontWeight="normal")
    spec: dict[str, Any] = chart.to_dict()
    return spec
