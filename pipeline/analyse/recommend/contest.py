"""The rows that compete for the recommendation, and what stands against each."""

from __future__ import annotations

from collections.abc import Callable, Collection, Mapping, Sequence
from dataclasses import dataclass, replace

from pipeline.analyse.recommend.eligible import KEEPS_MARGIN, Row, obstacles
from pipeline.plan import MeasureSettings
from pipeline.results.figures import Reference
from pipeline.results.header import Header
from pipeline.results.report import VariantResult

Judge = Callable[[Row], list[str]]


@dataclass(frozen=True, slots=True, kw_only=True)
class Contest:
    """The rows of the place that is decided on, what they are compared with, and how one is judged."""

    rows: Sequence[Row]
    """At least one."""
    run: Header
    reference: Reference
    judge: Judge
    """Every reason against recommending a row; none where it qualifies."""

    @property
    def against(self) -> Mapping[str, list[str]]:
        """The reasons against each row, by its name."""
        return {row.name: self.judge(row) for row in self.rows}

    @property
    def qualified(self) -> list[Row]:
        """The rows that nothing stands against."""
        return [row for row in self.rows if not self.judge(row)]

    def may_qualify(self, row: Row) -> bool:
        """Whether a row that does not qualify does so if its accuracy on more examples stays what it is on these."""
        found = row.result.accuracy
        if found is None or found.delta is None or found.margin is None or found.verdict in KEEPS_MARGIN:
            return False
        decided = replace(row, result=replace(row.result, accuracy=replace(found, verdict="NO MEANINGFUL DROP")))
        return found.delta > -found.margin and not self.judge(decided)


def contest(run: Header, variants: Sequence[VariantResult], noisy_devices: Collection[str]) -> Contest | None:
    """The contest of a run; None where nothing was measured. No row on a device in ``noisy_devices`` can be judged."""
    measure, constraints = run.measure, run.constraints
    rows = _place(_measured(variants), list(run.targets), measure)
    if not rows:
        return None
    reference = _reference(rows[0], measure)
    hopeless = _all_noisy(rows)

    def judge(row: Row) -> list[str]:
        noisy = hopeless or row.result.device in noisy_devices
        return obstacles(row, constraints, is_reference=row.reference == reference, noisy=noisy)

    return Contest(rows=rows, run=run, reference=reference, judge=judge)


def _measured(variants: Sequence[VariantResult]) -> list[Row]:
    return [
        Row(
            variant=variant.name,
            size_bytes=variant.size_bytes,
            result=result,
            lossy_stages=sum(not stage.lossless for stage in variant.stages),
            stages=len(variant.stages),
        )
        for variant in variants
        for result in variant.results
        if result.status == "ok" and result.latency_ms is not None
    ]


def _place(rows: Sequence[Row], targets: Sequence[str], measure: MeasureSettings) -> list[Row]:
    measured = {row.result.target for row in rows}
    places = [target for target in targets if target in measured]
    if measure.reference is None:
        places = places[:1]
    here = [row for row in rows if row.result.target in places]
    smallest = min((row.result.batch_size for row in here), default=0)
    return [row for row in here if row.result.batch_size == smallest]


def _reference(row: Row, measure: MeasureSettings) -> Reference:
    """What every row of the place is compared with."""
    variant, target = measure.reference_for(row.result.target)
    return Reference(variant=variant, target=target, batch_size=row.result.batch_size)


def _all_noisy(rows: Sequence[Row]) -> bool:
    """Whether every comparison is NOISY: then staying with the reference would be as little founded as leaving it."""
    verdicts = [row.result.speedup.verdict for row in rows if row.result.speedup is not None]
    return bool(verdicts) and all(verdict == "NOISY" for verdict in verdicts)
