"""The report's section on the deadline."""

from __future__ import annotations

from dataclasses import replace

from pipeline.report.sections.deadline import deadline
from pipeline.results.figures import Deadline, DeadlineVerdict
from pipeline.results.intervals import Quantile
from pipeline.results.report import Report, VariantResult
from tests.report import example
from tests.report.example import plain


def with_deadline(verdict: DeadlineVerdict, calls: int | None) -> Report:
    """A report whose rows all have this verdict."""
    report = example.typical()
    found = Deadline(verdict=verdict, longest_ms=21.4, calls_to_settle=calls)

    def judged(variant: VariantResult) -> VariantResult:
        rows = [
            replace(
                row,
                latency_ms=row.latency_ms
                and replace(row.latency_ms, deadline_misses=Quantile(value=0.0, low=0.0, high=0.0021), deadline=found),
            )
            for row in variant.results
        ]
        return replace(variant, results=rows)

    measure = replace(report.measure, deadline_ms=16.7)
    return replace(report, measure=measure, variants=[judged(variant) for variant in report.variants])


def test_a_row_says_whether_it_is_in_time_how_sure_that_is_and_its_longest_gap() -> None:
    section = deadline(with_deadline("IN TIME", None))
    assert section is not None
    [part] = section.parts
    assert plain(part.tables[0])[0] == [
        "baseline",
        "ort_cpu, batch 1",
        "IN TIME",
        "0.000 [0.000, 0.210]",
        "21.40",
        "8,124",
    ]
    assert (part.tables[0].columns[2].head, part.lines) == ("within 16.7 ms in 99.9 %", ())


def test_what_is_not_known_says_how_many_calls_would_tell() -> None:
    section = deadline(with_deadline("NOT KNOWN", 9000))
    assert section is not None
    assert section.brief[1].lines[0].text == (
        "baseline on ort_cpu, batch 1: not known after 8,124 calls; about 9,000 would tell (measure.blocks, "
        "measure.budget_s)."
    )
    never = deadline(with_deadline("NOT KNOWN", None))
    assert never is not None
    assert never.parts[0].lines[0].text.endswith("not known after 8,124 calls; no number of calls would tell.")


def test_without_a_deadline_there_is_no_section() -> None:
    assert deadline(example.typical()) is None
