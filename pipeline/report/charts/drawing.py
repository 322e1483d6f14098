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
ORANGE = "#b87a00"
SMALL_PX = 11
MEASURED_PX = 13
"""The size that the axes are laid out for. The page writes 11 px: its font may be wider than the one measured with."""
_LINES = (BLUE, "#d55e00", "#009e73", "#cc79a7", ORANGE, "#56b4e9", GREY)
"""The colours of lines, which readers with any kind of colour vision tell apart (Okabe and Ito)."""
WIDE_PX, NARROW_PX = 560, 340
"""The widths of the two images that every chart has: one for half of a page, one for a telephone."""
TIP = "tip:"
"""The beginning of a description that was written for a reader; Vega writes others by itself."""
_LONGEST_NAME = 26
_NAME = "length(datum.label) > 26 ? slice(datum.label, 0, 14) + '…' + slice(datum.label, -11) : datum.label"


@dataclass(frozen=True, slots=True, kw_only=True)
class Panel:
    """One chart: its heading, its content in words (for readers who do not see it), and its description for
    Vega-Lite."""

    title: str
    words: str
    spec: dict[str, Any]
    narrow: dict[str, Any] | None = None
    """Its description for a telephone, where more differs than the width."""
    images: tuple[str, ...] = ()
    """The wide SVG and the narrow one; empty until they are drawn."""


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


def tip(text: str) -> str:
    """The text that a mark shows under the pointer, as the channel ``description`` carries it."""
    return TIP + text


def styled(styles: Mapping[str, str]) -> alt.Scale:
    """A scale that gives each word its colour or shape."""
    import altair as alt

    return alt.Scale(domain=list(styles), range=list(styles.values()))


def finished(layers: Sequence[alt.Chart], height: int) -> dict[str, Any]:
    """The description of these layers as one chart, ``height`` pixels high and as wide as its image will be."""
    import altair as alt

    chart = alt.layer(*layers).properties(
        height=max(height, 40), background="transparent", autosize=alt.AutoSizeParams(type="fit-x", contains="padding")
    )
    chart = chart.configure_view(stroke=None).configure_range(category=list(_LINES))
    chart = chart.configure_legend(labelFontSize=MEASURED_PX)
    chart = chart.configure_axis(
        labelFontSize=MEASURED_PX, titleFontSize=MEASURED_PX, titleFontWeight="normal", titlePadding=8
    )
    spec: dict[str, Any] = chart.to_dict()
    return spec
