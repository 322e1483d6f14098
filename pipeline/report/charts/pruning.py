"""A table of shades: how accurate the model still is with one group of layers pruned by itself, by how much."""

from __future__ import annotations

from typing import Any

from pipeline.report.charts.drawing import BLUE, SMALL_PX, Panel, Values, chart_of, finished, names, tip
from pipeline.report.rows import unit_of
from pipeline.results import numbers as show
from pipeline.results.intervals import Unit
from pipeline.results.report import VariantResult

CAPTION = (
    "Each group of layers pruned alone by the share above it, before any training, and judged on validation data. A "
    "group whose row falls early is one to spare: variants.<variant>.stages.<stage>.layer_ratios."
)


def pruning_panel(variant: VariantResult) -> Panel | None:
    """The groups of a variant whose chain pruned each of them by itself; None for any other."""
    notes = next((stage.notes["pruned_alone"] for stage in variant.stages if "pruned_alone" in stage.notes), None)
    return None if notes is None or not notes["groups"] else _shades(variant.name, notes, unit_of(variant))


def _shades(title: str, notes: dict[str, Any], unit: Unit) -> Panel:
    import altair as alt

    values: Values = [
        {"variant": _name(group["layers"]), "layers": ", ".join(group["layers"]), "ratio": show.percent(float(ratio))}
        | {"score": score, "shown": show.figure(score, unit)}
        | {"tip": tip(f"{', '.join(group['layers'])}, {show.percent(float(ratio))} pruned: {show.figure(score, unit)}")}
        for group in notes["groups"]
        for ratio, score in group["score"].items()
    ]
    base, y = chart_of(values), names(values)
    order = list(dict.fromkeys(item["ratio"] for item in values))
    x = alt.X("ratio:O", sort=order, title=None, axis=alt.Axis(orient="top", labelAngle=0))
    least = min(item["score"] for item in values)
    shade = alt.Opacity("score:Q", scale=alt.Scale(domain=[least, notes["before"]], range=[0.08, 0.6]), legend=None)
    layers = [
        base.mark_rect(color=BLUE).encode(x=x, y=y, opacity=shade, description="tip:N"),
        base.mark_text(fontSize=SMALL_PX).encode(x=x, y=y, text="shown:N"),
    ]
    words = "; ".join(f"{item['variant']} by {item['ratio']}: {item['shown']}" for item in values)
    whole = f"whole: {show.figure(notes['before'], unit)}"
    rows = len({item["variant"] for item in values})
    return Panel(title=f"{title} ({whole})", words=f"{title}, {whole}; {words}", spec=finished(layers, 22 * rows))


def _name(layers: list[str]) -> str:
    return layers[0] if len(layers) == 1 else f"{layers[0]} and {len(layers) - 1} more"
