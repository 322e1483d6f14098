"""Bars: how much noise the output has when only one layer is quantized."""

from __future__ import annotations

from typing import Any

from pipeline.report.charts.drawing import BLUE, GREY, SMALL_PX, Panel, Values, chart_of, finished, names, tip
from pipeline.report.rows import unit_of
from pipeline.results import numbers as show
from pipeline.results.intervals import Unit
from pipeline.results.report import VariantResult

CAPTION = (
    "Each layer quantized alone: how far the output stands out of the noise that this gives it (signal to quantization "
    "noise, on validation data). Less is more sensitive. Grey: left in float."
)


def sensitivity_panel(variant: VariantResult) -> Panel | None:
    """The layers of a variant whose chain judged them; None for any other."""
    notes = next((stage.notes for stage in variant.stages if stage.notes.get("sensitivity")), None)
    if notes is None:
        return None
    kept = set(notes.get("kept_in_float", ()))
    layers = [layer for layer in notes["sensitivity"] if layer["sqnr_db"] is not None]
    return _bars(variant.name, layers, kept, unit_of(variant)) if layers else None


def _bars(title: str, layers: list[dict[str, Any]], kept: set[str], unit: Unit) -> Panel:
    import altair as alt

    values: Values = [
        {
            "variant": layer["node"],
            "db": layer["sqnr_db"],
            "shown": f"{show.short(layer['sqnr_db'])} dB",
            "drop": show.change(-layer["drop"], unit),
            "precision": "float" if layer["node"] in kept else "int8",
        }
        for layer in layers
    ]
    for item in values:
        told = (
            f"{item['variant']}: {item['shown']} over the noise, accuracy {item['drop']}, kept in {item['precision']}"
        )
        item["tip"] = tip(told)
    base, y = chart_of(values), names(values)
    largest = max(item["db"] for item in values)
    x = alt.X("db:Q", title="dB", scale=alt.Scale(domain=[0, 1.18 * max(largest, 1)], nice=False))
    colour = alt.Color("precision:N", scale=alt.Scale(domain=["int8", "float"], range=[BLUE, GREY]), title=None)
    layers_drawn = [
        base.mark_bar(height=12).encode(x=x, y=y, color=colour, description="tip:N"),
        base.mark_text(align="left", dx=4, fontSize=SMALL_PX).encode(x=x, y=y, text="shown:N"),
    ]
    words = "; ".join(f"{item['variant']} {item['shown']} ({item['precision']})" for item in values)
    return Panel(title=title, words=f"{title}: {words}", spec=finished(layers_drawn, 20 * len(values)))
