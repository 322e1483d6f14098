"""A dot plot: the speed-up of each chain in each job, with its interval."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from pipeline.report.charts.drawing import GREY, TIP, Panel, Values, chart_of, finished, tip
from pipeline.report.charts.figures import Drawing, Figure, drawn_apart
from pipeline.report.charts.picture import pictured
from pipeline.report.charts.speedup import TICKS, domain_of
from pipeline.results import numbers as show
from pipeline.results.sweep import Sweep, SweepJob, SweepRow
from pipeline.sweep.sections import JOBS

TITLE = "Speed-up in each job"
CAPTION = (
    "The point is the estimate over the job's own baseline, the line its 95 % interval, the dashed line no change. "
    "Filled: recommended in its job. Logarithmic scale."
)
_MOST_JOBS = 40
_MOST_CHAINS = 7
"""As many as there are colours that readers tell apart."""
_LONGEST = 26


def draw_apart(found: Sweep) -> Drawing:
    """The chart, drawn in a process of its own, which memory ends before the report."""
    return drawn_apart("the chart", draw, found)


def speedup_panel(found: Sweep) -> Panel | None:
    """The chart without its images; None where no job has a speed-up."""
    chains = [chain.key for chain in found.chains][:_MOST_CHAINS]
    values = [value for job in found.jobs[:_MOST_JOBS] for value in _values(job, chains)]
    if not values:
        return None
    words = "; ".join(item["tip"].removeprefix(TIP) for item in values)
    return Panel(
        title=TITLE, words=f"Speed-up: {words}", spec=_spec(values, chains, 2), narrow=_spec(values, chains, 1)
    )


def _spec(values: Values, chains: Sequence[str], legend_columns: int) -> dict[str, Any]:
    import altair as alt

    domain = domain_of(values)
    for item in values:  # An interval without an end goes to the edge of the chart.
        item |= {"low": max(item["low"], domain[0]), "high": min(item["high"], domain[1])}
    scale = alt.Scale(type="log", domain=list(domain), nice=False)
    axis = alt.Axis(values=[tick for tick in TICKS if domain[0] <= tick <= domain[1]], format="~g", labelOverlap=True)
    base = chart_of(values)
    jobs = list(dict.fromkeys(item["job"] for item in values))
    y = alt.Y("job:N", sort=jobs, axis=alt.Axis(title=None, ticks=False, domain=False, labelLimit=190))
    offset = alt.YOffset("chain:N", sort=chains)
    colour = alt.Color(
        "chain:N", sort=chains, legend=alt.Legend(title=None, orient="top", columns=legend_columns, labelLimit=260)
    )
    x = alt.X("value:Q", title="times faster than the baseline", scale=scale, axis=axis)
    layers = [
        base.mark_rule(strokeDash=[4, 3], color=GREY).encode(x=alt.X("one:Q", scale=scale)),
        base.mark_rule(strokeWidth=2).encode(
            y=y, yOffset=offset, x=alt.X("low:Q", scale=scale), x2="high:Q", color=colour
        ),
        *[
            base.transform_filter(f"datum.wins == {str(wins).lower()}")
            .mark_point(size=55, filled=wins, opacity=1, strokeWidth=1.5)
            .encode(y=y, yOffset=offset, x=x, color=colour, description="tip:N")
            for wins in (True, False)
        ],
    ]
    return finished(layers, max(16 * len(values), 26 * len(jobs)))


def draw(found: Sweep) -> Drawing:
    """The chart, with its images."""
    panel = speedup_panel(found)
    if panel is None:
        return Drawing(figures=[])
    return Drawing(figures=[Figure(section=JOBS, title=TITLE, caption=_caption(found), panels=[pictured(panel)])])


def _caption(found: Sweep) -> str:
    left = [
        f"{len(items) - most} more {word} stand in the tables only."
        for items, most, word in ((found.jobs, _MOST_JOBS, "jobs"), (found.chains, _MOST_CHAINS, "chains"))
        if len(items) > most
    ]
    return " ".join([CAPTION, *left])


def _values(job: SweepJob, chains: Sequence[str]) -> Values:
    return [_value(job, row) for key in chains if (row := job.row(key)) is not None and row.speedup is not None]


def _value(job: SweepJob, row: SweepRow) -> dict[str, Any]:
    found = row.speedup
    assert found is not None
    shown = show.ratio(found.value, found.low, found.high)
    return {
        "job": _called(job),
        "chain": row.key,
        "value": found.value,
        "low": found.low,
        "high": found.high,
        "one": 1,
        "wins": row.standing == "wins",
        "tip": tip(f"{row.key}, {_called(job)}: {shown} {found.verdict}"),
    }


def _called(job: SweepJob) -> str:
    values = ", ".join(job.settings.values())
    name = f"{job.name}: {values}" if values else job.name
    return name if len(name) <= _LONGEST else f"{name[:8]}…{name[9 - _LONGEST :]}"
