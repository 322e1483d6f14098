"""The section "Why isn't it faster?"."""

from __future__ import annotations

import json
from collections.abc import Sequence
from dataclasses import replace

import jsonschema
import pytest

from pipeline.report import report_schema
from pipeline.report.formats.json import json_text
from pipeline.report.formats.markdown import markdown_text
from pipeline.report.sections.explanations import TITLE, explanations
from pipeline.report.sections.section import Part
from pipeline.results.change import BatchSizes, Change, Threads
from pipeline.results.explanation import Cause, Explanation, NodeTime, OperatorTime, Outcome
from pipeline.results.numbers import NONE
from pipeline.results.report import Report
from tests.report import example
from tests.report.example import page_of, plain

FOUND = Explanation(
    causes=[
        Cause(what="90 % of a call goes into convolutions", share=0.9, change=BatchSizes(sizes=(1, 8))),
        Cause(what="this processor has neither VNNI nor AMX", share=None, change=None),
    ],
    operators=[OperatorTime(op="ConvInteger", nodes=9, ms=9.0, reference_ms=0.0)]
    + [OperatorTime(op=f"Op{number}", nodes=1, ms=0.1, reference_ms=0.2) for number in range(9)],
    nodes=[NodeTime(name="conv_1", op="ConvInteger", kernel="", ms=1.5, reference_ms=None)],
    between_ms=0.3,
    reference_between_ms=0.2,
    providers={"CPUExecutionProvider": 18},
)


def report(found: Explanation | None = FOUND) -> Report:
    typical = example.typical()
    variants = [
        replace(variant, results=[replace(variant.results[0], explanation=found), *variant.results[1:]])
        if variant.name == "dynamic_int8"
        else variant
        for variant in typical.variants
    ]
    return replace(typical, variants=variants)


def parts(found: Report) -> Sequence[Part]:
    section = explanations(found)
    assert section is not None
    return section.parts


def texts(part: Part) -> list[str]:
    return [line.text for line in part.lines]


def test_a_row_has_its_causes_with_what_to_try() -> None:
    (entry,) = parts(report())
    assert entry.title.startswith("dynamic_int8 on ort_cpu, batch 1: ")
    assert texts(entry) == [
        "90 % of a call goes into convolutions. Try: batch_sizes=[1,8]",
        "This processor has neither VNNI nor AMX.",
    ]


ONE_THREAD = Threads(target="ort_cpu", threads=1)
TRIED = Outcome(variant=None, against="baseline", value=1.02, low=1.0, high=1.04)


@pytest.mark.parametrize(
    ("change", "outcome", "said"),
    [
        (ONE_THREAD, TRIED, "Slow. Try: target.ort_cpu.threads=1 (tried: 1.02x [1.00, 1.04] of the speed of baseline)"),
        (
            ONE_THREAD,
            replace(TRIED, high=None),
            "Slow. Try: target.ort_cpu.threads=1 (tried: 1.02x [1.00, inf] of the speed of baseline)",
        ),
        (
            ONE_THREAD,
            replace(TRIED, value=None, low=None, reason="it makes the very same model"),
            "Slow. Try: target.ort_cpu.threads=1 (tried: it makes the very same model)",
        ),
        (
            None,
            replace(TRIED, variant="static_int8"),
            "Slow. In this run static_int8 has 1.02x [1.00, 1.04] of the speed of baseline.",
        ),
    ],
)
def test_what_a_change_brought_stands_beside_it(change: Change | None, outcome: Outcome, said: str) -> None:
    found = report(replace(FOUND, causes=[Cause(what="slow", share=0.5, change=change, outcome=outcome)]))
    (entry,) = parts(found)
    assert texts(entry) == [said]
    assert f"? {said}\n" in example.printed(found, 400)
    jsonschema.validate(json.loads(json_text(found)), report_schema())


def test_the_operators_that_lost_most_are_shown_and_the_rest_added_up() -> None:
    (entry,) = parts(report())
    table = entry.parts[0].tables[0]
    rows = plain(table)
    assert rows[0] == ["ConvInteger", "9", "9.000", "0.000", "+9.000"]
    assert rows[-2][:2] == ["2 other types", "2"]
    assert rows[-1] == ["beside the operators", "", "0.300", "0.200", "+0.100"]
    assert {len(row) for row in rows} == {len(table.columns)}


def test_operators_of_another_runtime_than_the_references_stand_alone() -> None:
    found = replace(
        FOUND,
        operators=[OperatorTime(op=f"Op{number}", nodes=1, ms=0.1, reference_ms=None) for number in range(9)],
        nodes=[
            NodeTime(name="conv_1", op="Convolution", kernel="jit_avx2_FP32", ms=1.5, reference_ms=None),
            NodeTime(name="aten::addmm 2", op="aten::addmm", kernel="", ms=0.5, reference_ms=None),
        ],
        reference_between_ms=None,
    )
    (entry,) = parts(report(found))
    operators, nodes = map(plain, entry.parts[0].tables)
    assert all(row[3:] == [NONE, NONE] for row in operators)
    assert [row[0] for row in nodes] == ["Convolution conv_1 (jit_avx2_FP32)", "aten::addmm 2"]


def test_the_terminal_has_a_line_with_the_first_change() -> None:
    assert (
        "? 90 % of a call goes into convolutions; this processor has neither VNNI nor AMX. Try: batch_sizes=[1,8]\n"
    ) in example.printed(report(), 400)


def test_no_cause_and_no_profile_are_both_said() -> None:
    (without,) = parts(report(replace(FOUND, causes=[])))
    assert texts(without) == ["No single cause stands out; the tables say where the time goes."]
    (unknown,) = parts(report(replace(FOUND, causes=[], reason="torch rows have no profile")))
    assert (texts(unknown), unknown.parts) == (["Where its time goes is not known: torch rows have no profile."], [])


def test_what_an_accelerators_operators_took_is_told_with_care() -> None:
    found = report(FOUND)
    [variant] = [variant for variant in found.variants if variant.results[0].explanation]
    on_card = replace(variant.results[0], device="cuda")
    (entry,) = parts(replace(found, variants=[replace(variant, results=[on_card])]))
    assert texts(entry)[-1].endswith("what each takes of the device is not.")
    assert not texts(parts(found)[0])[-1].endswith("what each takes of the device is not.")
    by_torch = {name: replace(target, backend="torch") for name, target in found.targets.items()}
    (entry,) = parts(replace(found, targets=by_torch, variants=[replace(variant, results=[on_card])]))
    assert texts(entry)[-1] == "The operators are the device's kernels and copies, by the time that each ran."


def test_both_files_have_the_section_only_where_something_is_explained() -> None:
    for text in (markdown_text(report()), page_of(report())):
        assert "goes into convolutions" in text
        assert "conv_1" in text.replace("\\", "")
    assert TITLE not in markdown_text(report(None))
