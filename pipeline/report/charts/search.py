"""Every trial of a search: its speed-up against its drift, as screened."""

from __future__ import annotations

from typing import Any

from pipeline.report.charts.drawing import (
    BLUE,
    GREY,
    SMALL_PX,
    Panel,
    Values,
    chart_of,
    finished,
    shortened,
    styled,
    tip,
)
from pipeline.report.rows import unit_of
from pipeline.results import numbers as show
from pipeline.results.intervals import Unit, written_scale
from pipeline.results.report import Report
from pipeline.results.search import Drift, ScreenedSpeed, SearchTrial

CAPTION = (
    "Up and right is better. Everything here is SCREENED: it chose the finalists (diamonds), and proves nothing. "
    "Crosses are intervals. The dashed line is the largest drop that is allowed. Trials that drift more than five "
    "times as far have no point, nor have those whose drift was not judged."
)
_FINALIST, _OTHER = "finalist", "not a finalist"
_FARTHEST, _FARTHEST_AT_LEAST = 5, 0.05
"""So many times the limit, or this fraction: a trial that drifts farther would push all others together."""
_AXIS_NOTES: dict[Unit, str] = {"percent": " (points)", "error": " (below 0 is worse)"}
_LABELLED = 12
"""With more points than this, only the finalists carry their names."""


def search_panel(report: Report) -> Panel | None:
    """The chart; None where no trial has both, or where nothing is said of accuracy."""
    trials = [] if report.search is None or not report.claims_accuracy else report.search.trials
    unit = unit_of(*report.variants)
    values = [
        _value(trial, trial.speed, trial.drift, unit)
        for trial in trials
        if trial.speed is not None and trial.drift is not None and _near(trial.drift)
    ]
    return _panel(values, unit) if values else None


def _near(drift: Drift) -> bool:
    return -drift.delta <= max(_FARTHEST * drift.margin, _FARTHEST_AT_LEAST)


def _panel(values: Values, unit: Unit) -> Panel:
    import altair as alt

    top = max(item["speed"] for item in values)
    for item in values:
        item["high"] = min(item["high"], 2 * top)  # one without an end goes to the edge of the chart
        told = f"{item['trial']}: {item['shown_speed']}, drift {item['shown_drift']}, {item['stopped']}"
        item["tip"] = tip(told)
        item["name"] = shortened(item["trial"]) if len(values) <= _LABELLED or item["kind"] == _FINALIST else ""
    base = chart_of(values)
    x = alt.X("drift:Q", title=f"drift{_AXIS_NOTES.get(unit, '')}", scale=alt.Scale(zero=False))
    y = alt.Y("speed:Q", title="speed-up, SCREENED", scale=alt.Scale(zero=False))
    colour = alt.Color("kind:N", legend=None, scale=styled({_FINALIST: BLUE, _OTHER: GREY}))
    shape = alt.Shape("kind:N", legend=None, scale=styled({_FINALIST: "diamond", _OTHER: "circle"}))
    layers = [
        base.mark_rule(strokeDash=[4, 3], color=GREY).encode(x=alt.X("limit:Q")),
        base.mark_rule(opacity=0.4).encode(x=x, y=alt.Y("low:Q"), y2="high:Q", color=colour),
        base.mark_rule(opacity=0.4).encode(x=alt.X("drift_low:Q"), x2="drift_high:Q", y=y, color=colour),
        base.mark_point(size=80, filled=True, opacity=1).encode(
            x=x, y=y, color=colour, shape=shape, description="tip:N"
        ),
        base.mark_text(dy=-11, fontSize=SMALL_PX).encode(x=x, y=y, text="name:N"),
    ]
    words = "; ".join(
        f"{item['trial']} {item['shown_speed']}, {item['shown_drift']}, {item['stopped']}" for item in values
    )
    return Panel(title="All trials", words=f"Speed-up against drift: {words}", spec=finished(layers, 320))


def _value(trial: SearchTrial, speed: ScreenedSpeed, drift: Drift, unit: Unit) -> dict[str, Any]:
    scale = written_scale(unit)
    return {
        "trial": f"{trial.variant} on {trial.target}",
        "kind": _FINALIST if trial.ending == "finalist" else _OTHER,
        "stopped": trial.ending,
        "speed": speed.value,
        "low": speed.low,
        "high": speed.high,
        "drift": scale * drift.delta,
        "drift_low": scale * drift.low,
        "drift_high": scale * drift.high,
        "limit": -scale * drift.margin,
        "shown_speed": f"{show.short(speed.value)}x",
        "shown_drift": show.change(drift.delta, unit),
    }
