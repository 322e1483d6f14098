"""The section "Batch sizes", its chart and its lines in the terminal."""

from __future__ import annotations

from dataclasses import replace

import pytest

from pipeline.report.charts.ladder import ladder_panels
from pipeline.report.formats.markdown import markdown_text
from pipeline.report.sections.ladder import DEVICE, HEADINGS, ladder, sentence
from pipeline.results.intervals import Quantile, Ratio
from pipeline.results.ladder import Ladder, Rung
from pipeline.results.report import Report
from tests.report import example
from tests.report.example import page_of, plain

SIZES, RATES = (1, 8, 64), (1000.0, 5000.0, 5100.0)


def rung(size: int, rate: float) -> Rung:
    share = None if rate == max(RATES) else Ratio(value=rate / 5100, low=rate / 5100 - 0.01, high=rate / 5100 + 0.01)
    return Rung(batch_size=size, throughput=Quantile(value=rate, low=0.99 * rate, high=1.01 * rate), of_best=share)


LADDER = Ladder(
    variant="baseline",
    target="ort_cpu",
    rungs=[rung(size, rate) for size, rate in zip(SIZES, RATES, strict=True)],
    best=64,
    saturates_at=8,
    perhaps_at=8,
    noisy=False,
)


def report(*, on_device: bool = True) -> Report:
    rows = [
        example.result(1e3 * size / rate, found=None, batch_size=size) for size, rate in zip(SIZES, RATES, strict=True)
    ]
    if not on_device:
        rows = [replace(row, device_ms=None) for row in rows]
    return replace(example.report([example.variant("baseline", rows)]), ladders=[LADDER])


def the_table(found: Report) -> tuple[tuple[str, ...], list[list[str]]]:
    section = ladder(found)
    assert section is not None
    [part] = section.parts
    [table] = part.tables
    return tuple(column.head for column in table.columns), plain(table)


def test_every_rung_is_a_line_with_its_intervals_and_shares() -> None:
    heads, rows = the_table(report())
    assert heads == HEADINGS
    assert [row[0] for row in rows] == ["1", "8", "64"]
    assert rows[1][2] == "5,000 [4,950, 5,050]"
    assert rows[1][4] == "98.0 % [97.0, 99.0]"
    assert rows[2][4] == "best"
    assert rows[0][5:] == ["50.0 %", "7.5 %"]


def test_the_device_alone_has_a_column_only_where_it_was_timed() -> None:
    heads, rows = the_table(report(on_device=False))
    assert DEVICE not in heads
    assert {len(row) for row in rows} == {len(HEADINGS) - 1}


@pytest.mark.parametrize(
    ("change", "said"),
    [
        ({}, "saturated at batch 8 (the best, 5,100 examples/s at batch 64)."),
        ({"saturates_at": None, "perhaps_at": 64}, "throughput still grows at batch 64, the largest one measured: "),
        ({"saturates_at": None}, "perhaps at batch 8 already, the interval leaves that open"),
        ({"saturates_at": 8, "perhaps_at": 1}, "perhaps at batch 1 already"),
        ({"noisy": True}, "The run is NOISY: not to be relied on."),
    ],
)
def test_the_sentence_says_where_it_saturates_and_what_is_open(change: dict[str, object], said: str) -> None:
    assert said in sentence(replace(LADDER, **change))  # type: ignore[arg-type]


def test_a_fall_at_the_end_is_said() -> None:
    last = replace(LADDER.rungs[-1], of_best=Ratio(value=0.8, low=0.79, high=0.81))
    fallen = replace(LADDER, rungs=[*LADDER.rungs[:-1], last], best=8)
    assert "; batch 64 reaches 80.0 % of it" in sentence(fallen)


def test_it_stands_in_every_format() -> None:
    page, text = page_of(report()), markdown_text(report())
    for found in (page, text):
        assert "Batch sizes" in found
        assert "Saturated at batch 8" in found
        assert "98.0 % [97.0, 99.0]" in found
    assert f"Batch sizes, baseline on ort_cpu: {sentence(LADDER)}" in example.printed(report(), 400)
    assert "Batch sizes" not in markdown_text(replace(report(), ladders=[]))


def test_the_chart_has_a_point_a_rung_and_says_the_same_in_words() -> None:
    [panel] = ladder_panels(report())
    [values] = panel.spec["datasets"].values() if "datasets" in panel.spec else [panel.spec["data"]["values"]]
    assert [value["batch"] for value in values] == list(SIZES)
    assert "saturated at batch 8" in panel.words
