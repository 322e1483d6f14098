"""The sections of the report.

A section is a function that makes it from the report, or returns None where there is nothing to tell. To add one, write
its file here and put its function into ``SECTIONS``: report.md, report.html and the terminal show every section there.
"""

from __future__ import annotations

from collections.abc import Callable
from functools import partial

from pipeline.errors.contained import contained
from pipeline.report.sections.chains import chains
from pipeline.report.sections.deadline import deadline
from pipeline.report.sections.elsewhere import elsewhere
from pipeline.report.sections.explanations import explanations
from pipeline.report.sections.factors import factors
from pipeline.report.sections.flips import flips
from pipeline.report.sections.graph_map import graph_map
from pipeline.report.sections.ladder import ladder
from pipeline.report.sections.limits import limits
from pipeline.report.sections.meanings import meanings
from pipeline.report.sections.measured import measured
from pipeline.report.sections.model import model
from pipeline.report.sections.not_run import not_run
from pipeline.report.sections.results import results
from pipeline.report.sections.scenarios import scenarios
from pipeline.report.sections.search import search
from pipeline.report.sections.section import Part, Section, lines
from pipeline.report.sections.spread import spread
from pipeline.report.sections.steps import steps
from pipeline.report.sections.to_label import to_label
from pipeline.report.sections.whole_call import whole_call
from pipeline.results.report import Report

MakeSection = Callable[[Report], Section | None]
SECTIONS: tuple[MakeSection, ...] = (
    results,
    elsewhere,
    to_label,
    search,
    factors,
    ladder,
    steps,
    explanations,
    graph_map,
    flips,
    spread,
    deadline,
    whole_call,
    scenarios,
    limits,
    not_run,
    meanings,
    measured,
    model,
    chains,
)
"""The sections, in the order in which every format shows them."""


def sections_of(report: Report) -> list[Section]:
    """Every section that has something to tell; one that fails says so itself."""
    return [section for make in SECTIONS if (section := _made(make, report)) is not None]


def _made(make: MakeSection, report: Report) -> Section | None:
    name = make.__name__.replace("_", " ")
    return contained(f"the section '{name}'", partial(make, report), partial(_fault, name))


def _fault(name: str, reason: str) -> Section:
    part = Part(lines=lines([f"{reason}."], "bad"))
    return Section(title=name.capitalize(), parts=[part], brief=[part])
