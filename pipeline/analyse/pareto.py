"""Which rows no other row beats on both accuracy and latency."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import replace

from pipeline.metrics import AGAINST_BASELINE
from pipeline.plan import BASELINE
from pipeline.results import Result

Rows = Mapping[str, Sequence[Result]]
"""The rows of each variant."""


def with_pareto(rows: Rows) -> dict[str, list[Result]]:
    """Mark the front within each target and batch size, by the estimates: higher accuracy, lower p50.

    A baseline that the others are held against counts as 100 % accurate.
    """
    metric = _metric(rows)
    points = {
        (variant, index): point
        for variant, results in rows.items()
        for index, result in enumerate(results)
        if (point := _point(variant, result, metric)) is not None
    }
    marked = {variant: list(results) for variant, results in rows.items()}
    for (variant, index), point in points.items():
        result = rows[variant][index]
        rivals = [
            rival
            for (other, number), rival in points.items()
            if (rows[other][number].target, rows[other][number].batch_size) == (result.target, result.batch_size)
        ]
        if not any(_beats(rival, point) for rival in rivals):
            marked[variant][index] = replace(result, pareto=True)
    return marked


def _metric(rows: Rows) -> str | None:
    return next((row.accuracy.metric for results in rows.values() for row in results if row.accuracy is not None), None)


def _point(variant: str, result: Result, metric: str | None) -> tuple[float, float] | None:
    if result.status != "ok" or result.latency_ms is None:
        return None
    if result.accuracy is not None:
        return result.accuracy.value, result.latency_ms.p50.value
    if variant == BASELINE and metric in AGAINST_BASELINE:
        return 1.0, result.latency_ms.p50.value
    return None


def _beats(rival: tuple[float, float], point: tuple[float, float]) -> bool:
    return rival[0] >= point[0] and rival[1] <= point[1] and rival != point
