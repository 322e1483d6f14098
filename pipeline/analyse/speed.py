"""Speed-ups, latencies and throughputs, from the raw calls."""

from __future__ import annotations

import math
from collections.abc import Collection, Mapping, Sequence

import numpy as np

from pipeline.analyse.cells import Cells, differences_by_round
from pipeline.plan import MeasureSettings
from pipeline.results.figures import Deadline, DeadlineVerdict, Latency, Reference, Speedup
from pipeline.results.intervals import Quantile, Ratio
from pipeline.results.record import SubjectRecord, subject_key
from pipeline.statistics.latency import (
    Estimate,
    blocks_to_settle,
    holm,
    minimum_detectable_effect,
    paired_ratio,
    speed_verdict,
)
from pipeline.statistics.misses import misses
from pipeline.statistics.rounds import quantile_over_rounds, rate_over_rounds

_ALPHA = 0.05
_PERCENTILES = range(1, 100)
_S_PER_HOUR = 3600


def reference_of(subject: SubjectRecord, measure: MeasureSettings) -> Reference:
    """The row that a subject is compared with: at its own batch size, and on its own target unless config names one."""
    variant, target = measure.reference_for(subject.target)
    return Reference(variant=variant, target=target, batch_size=subject.batch_size)


def estimate_ratios(
    subjects: Sequence[SubjectRecord], cells: Mapping[str, Cells], measure: MeasureSettings
) -> dict[str, Estimate]:
    """The speed-up of every measured row over its reference; none for the reference itself.

    Rows of one device are measured in the same blocks. Where ``measure.reference`` is on another device, the blocks
    happen at other times, and pairing them takes out no drift. The interval is wider then, not wrong.
    """
    found = {}
    for subject in subjects:
        against = reference_of(subject, measure)
        reference = subject_key(against.variant, against.target, against.batch_size)
        if subject.key == reference or subject.key not in cells or reference not in cells:
            continue
        differences = differences_by_round(cells[subject.key], cells[reference])
        if differences:
            found[subject.key] = paired_ratio(differences, measure.look_alpha)
    return found


def judge_ratios(
    subjects: Sequence[SubjectRecord],
    estimates: Mapping[str, Estimate],
    measure: MeasureSettings,
    noisy: Collection[str],
    with_dropped: Mapping[str, Estimate],
) -> dict[str, Speedup]:
    """The verdict on every ratio; p is corrected over all rows of the run (Holm). ``noisy`` names rows by subject.

    ``with_dropped`` has the estimates with the blocks that were dropped, where there are such blocks.
    """
    corrected = dict(zip(estimates, holm([found.p for found in estimates.values()]), strict=True))
    judged = {}
    for subject in subjects:
        found = estimates.get(subject.key)
        if found is None:
            continue
        p = corrected[subject.key]
        verdict = speed_verdict(found, p, noisy=subject.key in noisy, screening=measure.screening)
        judged[subject.key] = Speedup(
            reference=reference_of(subject, measure),
            value=found.value,
            low=found.low,
            high=found.high,
            p=p,
            verdict=verdict,
            blocks=found.blocks,
            rounds=found.rounds,
            blocks_to_settle=blocks_to_settle(found) if verdict == "INCONCLUSIVE" else None,
            minimum_detectable_effect=_detectable(found, measure),
            with_dropped=_ratio(with_dropped.get(subject.key)),
        )
    return judged


def _detectable(found: Estimate, measure: MeasureSettings) -> float | None:
    if not math.isfinite(found.half_width):
        return None
    return minimum_detectable_effect(found.half_width, measure.look_alpha)


def _ratio(found: Estimate | None) -> Ratio | None:
    return None if found is None else Ratio(value=found.value, low=found.low, high=found.high)


def latency(cells: Cells, measure: MeasureSettings) -> Latency:
    """The distribution of the calls; the intervals of quantiles come from the rounds."""
    calls_ms = cells.all_ms
    late, deadline = kept_deadline(cells, measure)
    return Latency(
        p50=quantile_over_rounds(cells.calls_ms, 0.50, _ALPHA),
        p90=quantile_over_rounds(cells.calls_ms, 0.90, _ALPHA),
        p99=quantile_over_rounds(cells.calls_ms, 0.99, _ALPHA),
        mean=float(calls_ms.mean()),
        calls=len(calls_ms),
        distribution_ms=np.percentile(calls_ms, _PERCENTILES).tolist(),
        deadline_misses=late,
        deadline=deadline,
    )


def kept_deadline(cells: Cells, measure: MeasureSettings) -> tuple[Quantile, Deadline] | tuple[None, None]:
    """The share of calls that missed the deadline, and whether enough did not; None where there is no deadline."""
    if measure.deadline_ms is None:
        return None, None
    found, allowed = misses(cells.calls_ms, measure.deadline_ms, _ALPHA), 1 - measure.deadline_share
    low, high = found.interval(_ALPHA)
    verdict: DeadlineVerdict = "IN TIME" if high <= allowed else "LATE" if low > allowed else "NOT KNOWN"
    deadline = Deadline(
        verdict=verdict,
        longest_ms=float(cells.all_ms.max()),
        calls_to_settle=found.calls_to_settle(allowed, _ALPHA) if verdict == "NOT KNOWN" else None,
    )
    return Quantile(value=found.share, low=low, high=high), deadline


def throughput(cells: Cells, batch_size: int) -> Quantile:
    """Examples a second inside the timed calls, one call after the other."""
    return rate_over_rounds(cells.calls_ms, batch_size, _ALPHA)


def ratio_by_blocks(mine: Cells, other: Cells, alpha: float, examples: float = 1.0) -> Ratio | None:
    """How many times as fast one row is as another, paired by blocks; None where no round has both.

    ``examples`` is how many times the other row's examples a call has: the ratio is then for one example.
    """
    rounds = [differences + math.log(examples) for differences in differences_by_round(mine, other)]
    return _ratio(paired_ratio(rounds, alpha)) if rounds else None


def cost_per_million(examples_per_s: float, price_per_hour: float) -> float:
    """Price of a million inferences, in the unit of the price."""
    return price_per_hour * 1e6 / (_S_PER_HOUR * examples_per_s)
