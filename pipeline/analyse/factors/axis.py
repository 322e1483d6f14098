"""One axis: its levels with their gains over the base row, its elasticity, and where it stops paying."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from itertools import pairwise

import numpy as np

from pipeline.analyse.cells import Cells
from pipeline.analyse.factors.places import Place
from pipeline.analyse.speed import ratio_by_blocks
from pipeline.results.factors import Axis, Elasticity, Level
from pipeline.results.figures import Accuracy
from pipeline.results.intervals import Ratio
from pipeline.results.record import SubjectRecord, VariantRecord
from pipeline.statistics.latency import hodges_lehmann, rounds_interval

PAYS = 1.02
"""A step pays while its interval lies above this."""
_FEWEST_POINTS = 2


@dataclass(frozen=True, slots=True, kw_only=True)
class Measured:
    """The measurements of all rows, as far as an axis needs them."""

    subjects: Mapping[str, SubjectRecord]
    variants: Mapping[str, VariantRecord]
    cells: Mapping[str, Cells]
    accuracies: Mapping[str, Accuracy]
    """The accuracies, by ``variant@target``."""
    base: SubjectRecord
    alpha: float

    def gain(self, key: str, reference: str) -> Ratio | None:
        """How many times as fast an example is in one row as in another, paired by blocks."""
        examples = self.subjects[key].batch_size / self.subjects[reference].batch_size
        return ratio_by_blocks(self.cells[key], self.cells[reference], self.alpha, examples)


def axis_of(placed: Mapping[str, Place], measured: Measured) -> Axis:
    """The axis of these rows (at least one, all measured) and the base row."""
    first = next(iter(placed.values()))
    base = measured.base
    known = first.unit is not None and all(place.unit == first.unit for place in placed.values())
    levels = {base.key: _level(base, first.base_label, first.base_x if known else None, measured)}
    for key, place in placed.items():
        level = _level(measured.subjects[key], place.label, place.x if known else None, measured)
        levels[key] = replace(level, gain=measured.gain(key, base.key), note=place.note)
    axis = Axis(
        factor=first.factor,
        name=first.axis,
        unit=first.unit if known else None,
        levels=list(levels.values()),
        elasticity=None,
        stops_paying=None,
    )
    if not known:
        return axis
    ordered = _in_order(levels, first.upwards, measured)
    return replace(
        axis,
        levels=ordered,
        elasticity=_elasticity({key: level.x or 0.0 for key, level in levels.items()}, measured),
        stops_paying=_stops_paying(ordered),
    )


def _in_order(levels: Mapping[str, Level], upwards: bool, measured: Measured) -> list[Level]:
    """Towards what may pay, each with its gain over the one before; none where that lies at the same place."""
    keys = sorted(levels, key=lambda key: levels[key].x or 0.0, reverse=not upwards)
    found = [levels[keys[0]]]
    for before, key in pairwise(keys):
        moved = levels[before].x != levels[key].x
        found.append(replace(levels[key], step=measured.gain(key, before) if moved else None))
    return found


def _level(subject: SubjectRecord, label: str, x: float | None, measured: Measured) -> Level:
    variant = measured.variants[subject.variant]
    accuracy = measured.accuracies.get(f"{subject.variant}@{subject.target}")
    return Level(
        label=label,
        variant=subject.variant,
        target=subject.target,
        batch_size=subject.batch_size,
        x=x,
        time_ms=float(np.median(measured.cells[subject.key].all_ms)) / subject.batch_size,
        gain=None,
        step=None,
        parameters=variant.parameters,
        macs=variant.macs,
        accuracy=None if accuracy is None else accuracy.value,
        accuracy_verdict=None if accuracy is None else accuracy.verdict,
        accuracy_unit="percent" if accuracy is None else accuracy.unit,
        keeps_accuracy=subject.variant == measured.base.variant or _keeps_margin(accuracy),
    )


def _keeps_margin(accuracy: Accuracy | None) -> bool:
    if accuracy is None or accuracy.delta_low is None or accuracy.margin is None:
        return False
    return accuracy.verdict == "EQUAL" or accuracy.delta_low > -accuracy.margin


def _elasticity(x: Mapping[str, float], measured: Measured) -> Elasticity | None:
    """The slope of log(time of an example) over log(x): the mean of the rounds' own, with a t interval over them."""
    positions = np.log(list(x.values()))
    if len(set(positions.tolist())) < _FEWEST_POINTS:
        return None
    slopes = np.array([np.polyfit(positions, times, 1)[0] for times in _times_by_round(list(x), measured)])
    if not len(slopes):
        return None
    low, high = rounds_interval(slopes, measured.alpha)
    return Elasticity(value=float(slopes.mean()), low=low, high=high)


def _times_by_round(keys: Sequence[str], measured: Measured) -> list[list[float]]:
    """For each round that has all of these rows, the log of each row's time over the base row's, for an example."""
    by_row = [_log_time_by_round(key, measured) for key in keys]
    rounds = sorted(set.intersection(*(set(row) for row in by_row)))
    return [[row[number] for row in by_row] for number in rounds]


def _log_time_by_round(key: str, measured: Measured) -> dict[int, float]:
    mine, base = measured.cells[key].log_median, measured.cells[measured.base.key].log_median
    fewer = math.log(measured.subjects[key].batch_size / measured.base.batch_size)
    blocks: dict[int, list[float]] = {}
    for place in mine.keys() & base.keys():
        blocks.setdefault(place[0], []).append(mine[place] - base[place] - fewer)
    return {number: hodges_lehmann(np.array(values)) for number, values in blocks.items()}


def _stops_paying(levels: Sequence[Level]) -> str | None:
    start = next(index for index, level in enumerate(levels) if level.gain is None)
    for level, after in pairwise(levels[start:]):
        if after.step is not None and after.step.low <= PAYS:
            return level.label
    return None
