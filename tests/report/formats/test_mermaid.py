"""The chart that GitHub draws in report.md."""

from __future__ import annotations

from dataclasses import replace

from pipeline.report.formats.mermaid import speedup_chart
from tests.report import example


def test_every_speed_up_has_a_bar() -> None:
    text = speedup_chart(example.typical())
    assert 'x-axis ["dynamic_int8", "static_int8", "pruned", "pruned_int8"]' in text
    assert "bar [0.315, 1.86, 1.54, 2.28]" in text


def test_a_name_cannot_end_the_text_or_the_block() -> None:
    report = example.typical()
    named = [replace(variant, name=f'{variant.name}"]\n```<b>') for variant in report.variants]
    text = speedup_chart(replace(report, variants=named))
    assert text.count("```") == 2
    assert "<b>" not in text
    assert len(text.splitlines()) == 7


def test_a_single_row_has_no_chart() -> None:
    report = example.report([example.variant("baseline", [example.result(0.4, found=None)])])
    assert speedup_chart(report) == ""
