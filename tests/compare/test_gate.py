"""The gate: worse for sure and beyond the limit is a regression, wholly within it is kept, and the rest is open."""

from __future__ import annotations

import xml.etree.ElementTree as ET
from dataclasses import replace

import pytest

from pipeline.compare.gate import worst
from pipeline.compare.junit import junit_text
from pipeline.plan import GateRules
from pipeline.results.header import Machine
from tests.analyse.synthetic import Made, without_subject
from tests.compare.runs import BASELINE_ROW, INT8, ROW, a_run, compared, outcome_of, with_record

MADE = {
    "unchanged": INT8,
    "8 % slower": replace(INT8, times_as_fast=2.0 / 1.08),
    "8 % faster": replace(INT8, times_as_fast=2.0 * 1.08),
    "unsteady": replace(INT8, times_as_fast=1.94, spread=0.15),
    "2 points lost": replace(INT8, lost=200),
    "half a point lost": replace(INT8, lost=50),
    "a point lost": replace(INT8, lost=100),
    "a tenth larger": replace(INT8, size_bytes=1_100_000),
    "a little larger": replace(INT8, size_bytes=1_040_000),
}


@pytest.mark.parametrize(
    ("made", "judged", "outcome"),
    [
        ("unchanged", "speed", "KEPT"),
        ("unchanged", "accuracy", "KEPT"),
        ("unchanged", "size", "KEPT"),
        ("8 % slower", "speed", "REGRESSION"),
        ("8 % faster", "speed", "KEPT"),
        ("unsteady", "speed", "INCONCLUSIVE"),
        ("2 points lost", "accuracy", "REGRESSION"),
        ("half a point lost", "accuracy", "KEPT"),
        ("a point lost", "accuracy", "INCONCLUSIVE"),
        ("a tenth larger", "size", "REGRESSION"),
        ("a little larger", "size", "KEPT"),
    ],
)
def test_a_row_is_judged_by_its_interval_and_its_limit(made: str, judged: str, outcome: str) -> None:
    found = compared(a_run(), a_run(MADE[made], seed=2))
    assert outcome_of(found, judged) == outcome
    assert found.gate is not None
    assert found.gate.outcome == outcome


def test_an_inconclusive_row_says_what_would_settle_it() -> None:
    found = compared(a_run(), a_run(MADE["unsteady"], seed=2))
    assert found.gate is not None
    [open_] = [check for check in found.gate.checks if check.outcome == "INCONCLUSIVE"]
    assert "in one run" in str(open_.settle)


def test_a_rule_that_is_null_is_not_judged() -> None:
    found = compared(a_run(), a_run(MADE["8 % slower"], seed=2), rules=GateRules(max_slowdown=None))
    assert found.gate is not None
    assert {check.judged for check in found.gate.checks} == {"accuracy", "size"}


def test_a_larger_limit_lets_the_same_change_pass() -> None:
    found = compared(a_run(), a_run(MADE["8 % slower"], seed=2), rules=GateRules(max_slowdown=0.2))
    assert outcome_of(found, "speed") == "KEPT"


def test_the_anchor_of_the_other_rows_is_not_judged_by_its_speed() -> None:
    found = compared(a_run(), a_run(seed=2))
    assert found.gate is not None
    assert ("speed", BASELINE_ROW) not in {(check.judged, check.row) for check in found.gate.checks}


def test_a_row_that_fails_now_is_a_regression_and_a_row_that_is_gone_is_open() -> None:
    later = a_run(seed=2)
    failed = with_record(later, **_of(without_subject(later.record, "int8", "ort_cpu", 1, "it broke")))
    found = compared(a_run(), failed)
    assert outcome_of(found, "row") == "REGRESSION"
    gone = compared(a_run(INT8, Made(name="pruned")), a_run(seed=2))
    assert outcome_of(gone, "row", "pruned@ort_cpu/1") == "INCONCLUSIVE"


def _of(record: object) -> dict[str, object]:
    return {"subjects": record.subjects}  # type: ignore[attr-defined]


def test_a_slowdown_on_another_machine_is_open() -> None:
    later = with_record(a_run(MADE["8 % slower"], seed=2), machine=Machine(cpu="another processor"))
    found = compared(a_run(), later)
    assert found.gate is not None
    [check] = [check for check in found.gate.checks if check.outcome == "INCONCLUSIVE"]
    assert "the machines differ" in str(check.settle)


def test_the_worst_outcome_counts_and_nothing_judged_is_open() -> None:
    assert worst(["KEPT", "INCONCLUSIVE", "REGRESSION"]) == "REGRESSION"
    assert worst(["KEPT", "INCONCLUSIVE"]) == "INCONCLUSIVE"
    assert worst(["KEPT"]) == "KEPT"
    assert worst([]) == "INCONCLUSIVE"


def test_junit_has_a_failure_for_a_regression_and_an_error_for_what_is_open() -> None:
    found = compared(a_run(), a_run(replace(MADE["unsteady"], lost=200), seed=2))
    assert found.gate is not None
    suite = ET.fromstring(junit_text(found.gate)).find("testsuite")
    assert suite is not None
    assert (suite.get("tests"), suite.get("failures"), suite.get("errors")) == ("5", "1", "1")
    failed = [case for case in suite if case.find("failure") is not None]
    assert [(case.get("classname"), case.get("name")) for case in failed] == [(ROW, "accuracy")]
