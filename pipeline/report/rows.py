"""A report's rows, in the order and the groups in which they are shown."""

from __future__ import annotations

from dataclasses import dataclass, replace
from typing import TypeVar

from pipeline.results.intervals import Unit
from pipeline.results.record import Status
from pipeline.results.report import Report, Result, VariantResult

T = TypeVar("T")


@dataclass(frozen=True, slots=True, kw_only=True)
class Row:
    """One variant on one target at one batch size; ``result`` is None for a variant that has no rows."""

    variant: VariantResult
    result: Result | None
    recommended: bool = False
    beside_others: bool = False
    """Whether rows of other targets stand beside it, so that a chart names its target too."""

    @property
    def name(self) -> str:
        """The row's name in a chart."""
        if self.beside_others and self.result is not None:
            return f"{self.variant.name} on {self.result.target}"
        return self.variant.name

    @property
    def place(self) -> str:
        """Where it was measured, such as ``ort_cpu, batch 1``; empty for a variant that has no rows."""
        return "" if self.result is None else f"{self.result.target}, batch {self.result.batch_size}"


@dataclass(frozen=True, slots=True, kw_only=True)
class Group:
    """The measured rows of one target and batch size; of a batch size alone where a search chose the rows."""

    target: str | None
    """None: the rows are those of several targets."""
    batch_size: int
    rows: list[Row]

    @property
    def title(self) -> str:
        """The title, such as ``ort_cpu, batch 1``."""
        return f"{self.target or 'all targets'}, batch {self.batch_size}"


@dataclass(frozen=True, slots=True, kw_only=True)
class NotRun:
    """The rows that were not measured for one and the same reason."""

    status: Status
    reason: str
    variants: list[str]
    targets: list[str]
    batch_sizes: list[int]
    asked: bool = True
    """Whether the user named one of them; False: each was in the run by default."""

    @property
    def explained(self) -> str:
        """The words behind the status: ``on ort_cuda, batch 1, 32: the reason (baseline, static_int8)``."""
        sizes = ", ".join(map(str, self.batch_sizes))
        where = f"on {', '.join(self.targets)}, batch {sizes}" if self.targets else "everywhere"
        return f"{where}: {self.reason} ({', '.join(self.variants)})"


def unit_of(*variants: VariantResult) -> Unit:
    """The unit in which the metric's figures are written."""
    accuracies = (result.accuracy for variant in variants for result in variant.results)
    return next((found.unit for found in accuracies if found is not None), "percent")


def all_rows(report: Report) -> list[Row]:
    """Every row, measured or not, in the report's order."""
    rows = []
    for variant in report.variants:
        for result in variant.results:
            rows.append(Row(variant=variant, result=result, recommended=_is_recommended(report, variant, result)))
        if not variant.results:
            rows.append(Row(variant=variant, result=None))
    return rows


def groups(report: Report) -> list[Group]:
    """The measured rows by target and batch size, each group in the order of its first row. Rows that a search chose
    are all compared with one row, so they are grouped by their batch size only."""
    searched = report.search is not None
    found: dict[tuple[str | None, int], Group] = {}
    for row in all_rows(report):
        result = row.result
        if result is None or result.status != "ok":
            continue
        target = None if searched else result.target
        group = found.setdefault(
            (target, result.batch_size), Group(target=target, batch_size=result.batch_size, rows=[])
        )
        group.rows.append(replace(row, beside_others=searched))
    return list(found.values())


def compared(report: Report) -> list[Group]:
    """The groups that compare something. Where one thing was varied at a time, a single row of a group is compared with
    the base row instead, among the four factors."""
    return [group for group in groups(report) if report.factors is None or len(group.rows) > 1]


def not_run(report: Report) -> list[NotRun]:
    """The failed and skipped rows, failed ones first, one entry for each set of targets and reason."""
    entries: dict[tuple[Status, str, str, bool], NotRun] = {}
    for row in all_rows(report):
        status, reason = row_status(row)
        if status == "ok":
            continue
        target = row.result.target if row.result is not None else ""
        asked = row.result is None or row.result.asked
        entry = entries.setdefault(
            (status, reason, target, asked),
            NotRun(
                status=status,
                reason=reason,
                variants=[],
                targets=[target] if target else [],
                batch_sizes=[],
                asked=asked,
            ),
        )
        _append_new(entry.variants, row.variant.name)
        if row.result is not None:
            _append_new(entry.batch_sizes, row.result.batch_size)
    return sorted(_joined(list(entries.values())), key=lambda entry: entry.status != "failed")


def left_out(report: Report) -> str:
    """The rows that were in the run by default and do not apply here, in one line; empty where everything applies."""
    everyone = {variant.name for variant in report.variants}
    names: dict[str, list[str]] = {}
    for entry in not_run(report):
        if entry.status == "skipped" and not entry.asked:
            for name in entry.targets if set(entry.variants) == everyone else entry.variants:
                _append_new(names.setdefault(entry.reason, []), name)
    told = "; ".join(f"{', '.join(found)}: {reason}" for reason, found in names.items())
    return f"Not run, since it does not apply here and was not asked for by name: {told}." if told else ""


def row_status(row: Row) -> tuple[Status, str]:
    """A row's status and the reason for it; the variant's own where the row has none."""
    source = row.variant if row.result is None else row.result
    reason = source.reason or row.variant.reason or "no reason was recorded"
    return source.status, reason


def _joined(entries: list[NotRun]) -> list[NotRun]:
    """Merge entries that differ only in their target, such as a variant whose stage failed, on every target."""
    merged: dict[tuple[Status, str, tuple[str, ...], tuple[int, ...], bool], NotRun] = {}
    for entry in entries:
        key = (entry.status, entry.reason, tuple(entry.variants), tuple(entry.batch_sizes), entry.asked)
        merged.setdefault(key, entry)
        for target in entry.targets:
            _append_new(merged[key].targets, target)
    return list(merged.values())


def _append_new(items: list[T], item: T) -> None:
    if item not in items:
        items.append(item)


def _is_recommended(report: Report, variant: VariantResult, result: Result) -> bool:
    chosen = report.recommendation
    return chosen is not None and (chosen.variant, chosen.target, chosen.batch_size) == (
        variant.name,
        result.target,
        result.batch_size,
    )
