"""The section "Step by step"."""

from __future__ import annotations

import json
import math
from collections.abc import Sequence
from dataclasses import replace

import jsonschema

from pipeline.report import report_schema
from pipeline.report.formats.json import json_text
from pipeline.report.formats.markdown import markdown_text
from pipeline.report.sections.section import Part
from pipeline.report.sections.steps import TITLE, steps
from pipeline.results.intervals import Ratio, Unit
from pipeline.results.numbers import NONE
from pipeline.results.report import Change, Report, Step
from tests.report import example
from tests.report.example import page_of, plain

STEPS = [
    Step(
        stages=["prune", "finetune"],
        variant="pruned",
        speedup=Ratio(value=2.0, low=1.95, high=2.05),
        accuracy=Change(value=-0.004, low=-0.006, high=-0.002),
    ),
    Step(stages=["quantize"], variant="static_int8", speedup=Ratio(value=1.5, low=1.4, high=math.inf), accuracy=None),
]


def report(*, steps: list[Step], unit: Unit = "percent") -> Report:
    typical = example.typical()
    variants = []
    for variant in typical.variants:
        first, *rest = variant.results
        if variant.name == "static_int8" and first.accuracy is not None:
            first = replace(first, steps=steps, accuracy=replace(first.accuracy, unit=unit))
        variants.append(replace(variant, results=[first, *rest]))
    return replace(typical, variants=variants)


def parts(found: Report) -> Sequence[Part]:
    section = steps(found)
    assert section is not None
    return section.parts


def test_each_step_has_its_stages_its_row_and_what_it_changes() -> None:
    [found] = parts(report(steps=STEPS))
    assert found.title == "static_int8 on ort_cpu, batch 1"
    assert plain(found.tables[0]) == [
        ["prune + finetune", "pruned", "2.00x [1.95, 2.05]", "−0.40 pt [−0.60, −0.20]"],
        ["quantize", "static_int8", "1.50x [1.40, inf]", NONE],
    ]


def test_the_terminal_says_it_in_a_line() -> None:
    assert (
        "Step by step, static_int8 on ort_cpu, batch 1: prune + finetune 2.00x [1.95, 2.05], −0.40 pt [−0.60, −0.20]; "
        f"quantize 1.50x [1.40, inf], {NONE}.\n"
    ) in example.printed(report(steps=STEPS), 400)


def test_a_row_that_is_a_step_of_another_is_not_told_twice() -> None:
    found = report(steps=[STEPS[0], replace(STEPS[1], variant="dynamic_int8")])
    variants = [
        replace(variant, results=[replace(row, steps=STEPS[:1] * 2) for row in variant.results[:1]])
        if variant.name == "pruned"
        else variant
        for variant in found.variants
    ]
    titles = [entry.title for entry in parts(replace(found, variants=variants))]
    assert titles == ["static_int8 on ort_cpu, batch 1"]


def test_likeness_is_no_percentage() -> None:
    [found] = parts(report(steps=STEPS[:1], unit="number"))
    assert plain(found.tables[0])[0][3] == "−0.0040 [−0.0060, −0.0020]"


def test_page_and_markdown_have_the_section_and_the_schema_knows_it() -> None:
    found = report(steps=STEPS)
    for text in (page_of(found), markdown_text(found)):
        assert TITLE in text
        assert "prune + finetune" in text
    jsonschema.validate(json.loads(json_text(found)), report_schema())


def test_without_steps_there_is_no_section() -> None:
    found = report(steps=[])
    assert steps(found) is None
    assert TITLE not in page_of(found) + markdown_text(found)
