"""The four factors, in every format."""

from __future__ import annotations

import json
import math
from dataclasses import replace
from typing import Any

import jsonschema
import pytest

from pipeline.report import report_schema
from pipeline.report.charts.factors import factor_panel
from pipeline.report.charts.figures import figures
from pipeline.report.formats.json import json_text
from pipeline.report.formats.markdown import markdown_text
from pipeline.report.sections.factors import axis_sentence, factors
from pipeline.results.factors import Axis, Bought, Elasticity, Factors, Level
from pipeline.results.intervals import Ratio
from pipeline.results.report import Report
from tests.report import example
from tests.report.example import page_of, printed


def level(label: str, gain: Ratio | None, x: float | None = None, *, keeps: bool = True, macs: int = 1000) -> Level:
    return Level(
        label=label, variant=label, target="ort_cpu", batch_size=1, x=x, time_ms=0.41, gain=gain, step=gain,
        parameters=676_000, macs=macs, accuracy=0.93, accuracy_verdict=None if keeps else "FAILS MARGIN",
        keeps_accuracy=keeps, note=None if keeps else "not fine-tuned",
    )  # fmt: skip


def gain(value: float, half_width: float = 0.02) -> Ratio:
    return Ratio(value=value, low=value * math.exp(-half_width), high=value * math.exp(half_width))


PRUNING = Axis(
    factor="architecture",
    name="pruning",
    unit="MACs",
    levels=[
        level("baseline", None, 66e6, macs=66_000_000),
        level("half", gain(3.4), 17e6, keeps=False, macs=17_000_000),
        level("tiny", gain(3.5), 4e6, keeps=False, macs=4_000_000),
    ],
    elasticity=Elasticity(value=0.85, low=0.83, high=0.87),
    stops_paying="half",
)
PRECISION = Axis(
    factor="software",
    name="precision",
    unit=None,
    levels=[level("baseline", None), level("static_int8", gain(1.64)), level("dynamic_int8", gain(0.2))],
    elasticity=None,
    stops_paying=None,
)
RESOLUTION = Axis(
    factor="input",
    name="resolution",
    unit="input size",
    levels=[level("large", Ratio(value=0.3, low=0.0, high=math.inf), 4.0, keeps=False), level("baseline", None, 1.0)],
    elasticity=Elasticity(value=0.9, low=-math.inf, high=math.inf),
    stops_paying=None,
)


def varied(*axes: Axis) -> Factors:
    return Factors(
        base_variant="baseline",
        base_target="ort_cpu",
        base_batch_size=1,
        summary="On this machine software buys most: static_int8.",
        caution=None,
        ranking=[
            Bought(
                factor="software", axis="precision", level=PRECISION.levels[1], priced_axis=None, priced=None,
                measured=True,
            )
        ],
        axes=list(axes),
        mixed=["both@ort_cpu/1"],
    )  # fmt: skip


def report() -> Report:
    return replace(example.typical(), factors=varied(PRUNING, PRECISION, RESOLUTION))


@pytest.mark.parametrize("text", [printed(report()), markdown_text(report()), page_of(report())])
def test_every_format_tells_the_ranking_the_levels_and_what_doubling_does(text: str) -> None:
    flat = " ".join(text.replace("\\", "").split())
    assert "On this machine software buys most: static_int8." in flat
    assert "When the MACs double, an example takes 1.80 times as long [1.78, 1.83]." in flat
    assert "It pays up to half: the step beyond is not 2 % faster for sure." in flat
    assert "1.64x [1.61, 1.67]" in flat
    assert "Left out, as they differ in more than one thing: both@ort_cpu/1" in flat


@pytest.mark.parametrize("write", [printed, markdown_text, page_of])
def test_without_factors_there_is_no_such_section(write: Any) -> None:
    assert "The four factors" not in write(example.typical())


def test_the_report_keeps_to_the_schema() -> None:
    validator = jsonschema.Draft202012Validator(report_schema())
    document = json.loads(json_text(report()))
    validator.validate(document)
    assert document["factors"]["axes"][2]["elasticity"] == {"value": 0.9, "low": None, "high": None}
    document["factors"]["axes"][0]["levels"][0]["time_ms"] = "fast"
    with pytest.raises(jsonschema.ValidationError):
        validator.validate(document)


def test_each_axis_has_a_chart_and_its_figures_in_words() -> None:
    [figure] = [found for found in figures(report()) if found.title == "The four factors, axis by axis"]
    assert [panel.title for panel in figure.panels] == [
        "architecture: pruning", "software: precision", "input: resolution",
    ]  # fmt: skip
    assert "half 3.40x [3.33, 3.47]" in figure.panels[0].words
    assert "the MACs double" in figure.panels[0].words


def test_an_interval_without_an_end_is_drawn_to_the_edge() -> None:
    text = json.dumps(factor_panel(RESOLUTION).spec)
    assert "Infinity" not in text
    assert '"low": 0.0,' not in text


def test_rows_alone_at_their_place_are_told_among_the_factors_only() -> None:
    lonely = example.variant(
        "baseline", [example.result(0.4, found=None), example.result(0.7, found=None, batch_size=2)]
    )
    alone = example.report([lonely])
    assert "ort_cpu, batch 2" in printed(alone)
    found = printed(replace(alone, factors=varied(PRECISION)))
    assert "ort_cpu, batch 2" not in found
    assert "No row was measured" not in found
    assert "static_int8" in found


def test_an_axis_says_when_it_does_not_pay_at_all_and_when_all_of_it_does() -> None:
    assert "The first step does not pay" in axis_sentence(replace(PRUNING, stops_paying="baseline"))
    assert "Every step that was tried pays." in axis_sentence(replace(PRUNING, stops_paying=None))
    assert axis_sentence(PRECISION) == ""
    assert (
        axis_sentence(RESOLUTION) == "When the input doubles in size, an example takes 1.87 times as long [0.00, inf]."
    )


def test_a_ladder_of_models_says_how_large_they_are() -> None:
    section = factors(report())
    assert section is not None
    pruning, _, resolution = [part.tables[0].rows for part in section.parts[1:]]
    assert pruning[1].cells[1] == ("17.0 M MACs", "676 k parameters")
    assert resolution[0].cells[1] == ("4.00 x the elements",)
    assert pruning[1].cells[-1] == ("93.00 %", "FAILS MARGIN", "not fine-tuned")


def test_a_caution_comes_first() -> None:
    section = factors(replace(example.typical(), factors=replace(varied(PRECISION), caution="Believe nothing.")))
    assert section is not None
    assert section.parts[0].lines[0].text == "Believe nothing."
