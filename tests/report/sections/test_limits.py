"""The section "Against the machine's limit" in report.md and report.html."""

from __future__ import annotations

from dataclasses import replace

from pipeline.report.fields import FIELDS
from pipeline.report.formats.markdown import markdown_text
from pipeline.report.rows import Row
from pipeline.report.sections.limits import TITLE, limits
from pipeline.report.sections.section import Section
from pipeline.results.figures import Limits
from pipeline.results.report import Report
from tests.report import example
from tests.report.example import page_of, plain


def without_peaks() -> Report:
    """As a run with measure.peaks=false, or of an older version."""
    row = replace(example.result(0.4, found=None), limits=None)
    return replace(example.report([example.variant("baseline", [row])]), peaks={})


def the_section(report: Report) -> Section:
    section = limits(report)
    assert section is not None
    return section


def unknown(reason: str) -> Limits:
    return replace(example.limits(), compute_share=None, compute_peak=None, verdict=None, reason=reason)


def test_the_peaks_are_told_by_target() -> None:
    notes = the_section(example.typical()).notes
    assert notes[0] == (
        "At best, on ort_cpu: fp32 products 60.0 GMAC/s; int8 products (u8s8) 240 GMAC/s; a copy 20.0 GB/s (read and "
        "written) (cpu, 1 thread)."
    )


def test_targets_with_the_same_peaks_share_a_line() -> None:
    peaks = example.peaks()
    report = replace(example.typical(), peaks={"ort_cpu": peaks, "torch_cpu": peaks})
    assert the_section(report).notes[0].startswith("At best, on ort_cpu, torch_cpu: ")


def test_a_peak_that_could_not_be_measured_says_why() -> None:
    peaks = replace(example.peaks(), int8_macs_per_s=None, int8_types=None, reasons={"int8": "no kernel"})
    report = replace(example.typical(), peaks={"ort_cpu": peaks})
    assert "int8 products not measured (no kernel); a copy" in the_section(report).notes[0]


def test_every_measured_row_has_a_line_with_a_cell_per_heading() -> None:
    table = the_section(example.typical()).parts[0].tables[0]
    rows = plain(table)
    assert [row[0] for row in rows] == ["baseline", "dynamic_int8", "static_int8", "pruned", "pruned_int8"]
    assert {len(row) for row in rows} == {len(table.columns)}
    assert rows[0][1:] == [
        "ort_cpu, batch 1", "compute-bound", "30.0 G", "50.0 % (fp32)", "1.50 G", "7.50 %", "20.0", "3.00",
    ]  # fmt: skip


def test_a_row_without_a_verdict_says_why() -> None:
    row = replace(example.result(0.4, found=None), limits=unknown("no peak was measured for fp16"))
    [line] = plain(the_section(example.report([example.variant("fp16", [row])])).parts[0].tables[0])
    assert line[4] == "–"
    assert line[2] == "not known: no peak was measured for fp16"


def test_both_files_have_the_section() -> None:
    report = example.typical()
    text = markdown_text(report)
    assert f"<summary>{TITLE}</summary>\n\nAt best, on ort_cpu: fp32 products" in text
    assert "\n| variant | measured on | limit |" in text
    page = page_of(report)
    assert '<details id="against-the-machine-s-limit" class="section" open>' in page
    assert '<td class="left">compute-bound</td>' in page


def test_without_peaks_there_is_no_section() -> None:
    report = without_peaks()
    assert limits(report) is None
    assert TITLE not in markdown_text(report)
    assert 'id="against' not in page_of(report)


def test_the_column_has_both_shares_and_the_verdict() -> None:
    field = next(field for field in FIELDS if field.title == "of the peak")
    variant = example.variant("baseline", [])
    row = Row(variant=variant, result=example.result(0.4, found=None))
    assert field.cell(row) == ("50.00 %", "7.50 % of a copy", "compute-bound")
    alone = replace(example.limits(), memory_share=None, verdict=None, reason="not known")
    row = Row(variant=variant, result=replace(example.result(0.4, found=None), limits=alone))
    assert field.cell(row) == ("50.00 %",)
