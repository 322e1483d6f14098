"""The gate's checks as JUnit XML, which CI systems show beside the other tests."""

from __future__ import annotations

import xml.etree.ElementTree as ET  # it only writes here
from collections.abc import Sequence

from pipeline.results.comparison import Check, GateResult
from pipeline.terminal.screen import printable

_AS = {"REGRESSION": "failure", "INCONCLUSIVE": "error"}
"""A regression is a failed test; an inconclusive one is a test that could not be decided."""


def junit_text(gate: GateResult) -> str:
    """A test suite with a test case for each check."""
    suite = ET.Element(
        "testsuite",
        name="slimline gate",
        tests=str(len(gate.checks)),
        failures=_count(gate.checks, "REGRESSION"),
        errors=_count(gate.checks, "INCONCLUSIVE"),
        skipped="0",
    )
    for check in gate.checks:
        suite.append(_case(check))
    root = ET.Element("testsuites")
    root.append(suite)
    ET.indent(root, " ")
    return ET.tostring(root, encoding="unicode", xml_declaration=False) + "\n"


def _case(check: Check) -> ET.Element:
    case = ET.Element("testcase", classname=printable(check.row), name=check.judged)
    text = printable(check.why if check.settle is None else f"{check.why}. To settle it: {check.settle}.")
    kind = _AS.get(check.outcome)
    if kind is None:
        ET.SubElement(case, "system-out").text = text
        return case
    ET.SubElement(case, kind, message=text, type=check.outcome)
    return case


def _count(checks: Sequence[Check], outcome: str) -> str:
    return str(sum(check.outcome == outcome for check in checks))
