"""What each of the four factors of inference speed contributes: architecture, hardware, software, input.

Each is varied on its own around a base row (``grid=one_at_a_time``), so that a row's ratio to the base row is the doing
of only that factor. What two factors do together is not measured: their ratios need not multiply.
"""

from __future__ import annotations

from collections.abc import Collection, Mapping, Sequence
from typing import get_args

from pipeline.analyse.cells import Cells
from pipeline.analyse.factors.axis import Measured, axis_of
from pipeline.analyse.factors.places import Place, places
from pipeline.analyse.factors.words import summarise_factors
from pipeline.plan import BASELINE, MeasureSettings
from pipeline.results.factors import Axis, Bought, Factor, Factors, Level
from pipeline.results.figures import Accuracy
from pipeline.results.record import Record, SubjectRecord


def factors(
    record: Record,
    cells: Mapping[str, Cells],
    accuracies: Mapping[str, Accuracy],
    measure: MeasureSettings,
    noisy_devices: Collection[str],
) -> Factors | None:
    """The four factors; None unless the run varied one thing at a time around a base row."""
    base = _base(record)
    if record.grid != "one_at_a_time" or base is None:
        return None
    found, mixed = places(record, base)
    axes = _axes(record, base, found, cells, accuracies, measure) if base.key in cells else []
    ranking = sorted((_bought(factor, axes) for factor in get_args(Factor)), key=_rank)
    caution = _caution(base, cells, measure, noisy_devices)
    return Factors(
        base_variant=base.variant,
        base_target=base.target,
        base_batch_size=base.batch_size,
        summary=summarise_factors(ranking),
        caution=caution,
        ranking=ranking,
        axes=axes,
        mixed=mixed,
    )


def _base(record: Record) -> SubjectRecord | None:
    wanted = (BASELINE, next(iter(record.targets), None), next(iter(record.batch_sizes), None))
    rows = (row for row in record.subjects if (row.variant, row.target, row.batch_size) == wanted)
    return next(rows, None)


def _axes(
    record: Record,
    base: SubjectRecord,
    found: Mapping[str, Place],
    cells: Mapping[str, Cells],
    accuracies: Mapping[str, Accuracy],
    measure: MeasureSettings,
) -> list[Axis]:
    measured = Measured(
        subjects={subject.key: subject for subject in record.subjects},
        variants={variant.name: variant for variant in record.variants},
        cells=cells,
        accuracies=accuracies,
        base=base,
        alpha=measure.look_alpha,
    )
    grouped: dict[tuple[Factor, str], dict[str, Place]] = {}
    for key, place in found.items():
        if key in cells:
            grouped.setdefault((place.factor, place.axis), {})[key] = place
    order = get_args(Factor)
    return [
        axis_of(placed, measured) for _, placed in sorted(grouped.items(), key=lambda item: order.index(item[0][0]))
    ]


def _bought(factor: Factor, axes: Sequence[Axis]) -> Bought:
    levels = [(axis.name, level) for axis in axes if axis.factor == factor for level in axis.levels if level.gain]
    kept = max((entry for entry in levels if entry[1].keeps_accuracy), key=_low, default=None)
    priced = max((entry for entry in levels if not entry[1].keeps_accuracy), key=_low, default=None)
    if kept is not None and _low(kept) <= 1:
        kept = None
    if priced is not None and _low(priced) <= (1 if kept is None else _low(kept)):
        priced = None
    return Bought(
        factor=factor,
        axis=None if kept is None else kept[0],
        level=None if kept is None else kept[1],
        priced_axis=None if priced is None else priced[0],
        priced=None if priced is None else priced[1],
        measured=bool(levels),
    )


def _low(entry: tuple[str, Level]) -> float:
    gain = entry[1].gain
    return 0.0 if gain is None else gain.low


def _rank(bought: Bought) -> tuple[float, float]:
    """What is bought first, then what has a price."""
    own = 0.0 if bought.level is None else _low(("", bought.level))
    priced = 0.0 if bought.priced is None else _low(("", bought.priced))
    return -own, -priced


def _caution(
    base: SubjectRecord, cells: Mapping[str, Cells], measure: MeasureSettings, noisy_devices: Collection[str]
) -> str | None:
    if base.key not in cells:
        return f"The base row {base.key} was not measured ({base.reason or 'no calls'}), so nothing can be compared."
    if base.device in noisy_devices:
        return f"The run's own checks failed on {base.device}: believe no figure of this section."
    if measure.screening:
        return f"measure={measure.profile} is a quick look: run it longer before you rely on these figures."
    return None
