"""The list of fields, and report.csv, which has the figures of all of them."""

from __future__ import annotations

import csv
import io
from dataclasses import replace

import pytest
from hypothesis import given
from hypothesis import strategies as st

from pipeline.report.describe import margin_lines
from pipeline.report.fields import FIELDS, header, used
from pipeline.report.formats.csv import csv_text
from pipeline.report.rows import all_rows
from pipeline.report.tidy import Figure
from pipeline.results import numbers
from pipeline.results.figures import Accuracy
from pipeline.results.report import Report
from tests.report import example


def _csv(report: Report) -> list[dict[str, str]]:
    return list(csv.DictReader(io.StringIO(csv_text(report))))


def test_every_name_of_a_value_is_unique() -> None:
    headers = [name for field in FIELDS for name in field.columns]
    assert len(headers) == len(set(headers))


def test_every_path_of_a_field_exists_on_a_complete_row() -> None:
    row = next(row for row in all_rows(example.typical()) if row.variant.name == "dynamic_int8")
    missing = {name for field in FIELDS for name, value in zip(field.columns, field.values(row), strict=True)
               if value is None}  # fmt: skip
    expected = {"reason", "variant_reason", "speedup_blocks_to_settle", "p99_ms_low", "p99_ms_high", "cost_per_million"}
    expected |= {"energy_reason", "device_reason", "accuracy_labels_to_decide", "accuracy_labelled_flips"}
    expected |= {"limit_reason", "speedup_with_dropped"}
    expected |= {"deadline_verdict", "longest_call_ms", "calls_to_settle_deadline"}
    assert missing == expected | {"deadline_misses", "deadline_misses_low", "deadline_misses_high"}


def test_the_csv_has_every_row_measured_or_not() -> None:
    lines = _csv(example.typical())
    rows = {(line["variant"], line["target"]): line for line in lines}
    assert len(rows) == 11
    assert {line["status"] for line in lines} == {"ok", "skipped", "failed"}
    skipped = [line for line in lines if line["status"] == "skipped"]
    assert {line["reason"] for line in skipped} == {example.NO_CUDA}
    assert len({line["variant"] for line in skipped}) == 5
    assert "size_bytes" in {line["metric"] for line in skipped}
    assert "p50_ms" not in {line["metric"] for line in skipped}


def test_a_line_of_the_csv_is_one_figure_with_unit_interval_and_verdict() -> None:
    lines = [line for line in _csv(example.typical()) if line["variant"] == "static_int8" and line["status"] == "ok"]
    figures = {line["metric"]: line for line in lines}
    assert len(figures) == len(lines)
    change = figures["accuracy_delta"]
    assert (change["value"], change["unit"], change["judged_by"]) == ("-0.0012", "1", "accuracy")
    assert float(change["low"]) < -0.0012 < float(change["high"])
    assert change["verdict"] == "NO MEANINGFUL DROP"
    speedup = figures["speedup"]
    assert (speedup["value"], speedup["verdict"]) == ("1.864", "FASTER")
    assert speedup["against"] == "baseline@ort_cpu, batch 1"
    assert (figures["p50_ms"]["unit"], figures["p50_ms"]["low"] != "") == ("ms", True)
    assert (figures["size_bytes"]["value"], figures["size_bytes"]["unit"]) == ("312000", "bytes")
    assert figures["throughput_per_s"]["unit"] == "1/s"
    assert "cost_per_million" not in figures
    assert {line["pareto"] for line in lines} == {"true"}


@pytest.mark.parametrize(
    ("name", "unit"),
    [("bytes_per_s", "bytes/s"), ("macs_per_s", "1/s"), ("weight_bytes", "bytes"), ("p99_ms", "ms"), ("flips", "1")],
)
def test_a_figures_name_says_its_unit(name: str, unit: str) -> None:
    assert Figure(name=name, value=1.0).unit == unit


def test_files_of_several_runs_can_be_put_below_each_other() -> None:
    report = example.typical()
    later = replace(report, created="2026-11-29T10:00:00+00:00")
    runs = {line["run"] for one in (report, report, later) for line in _csv(one)}
    assert len(runs) == 2
    assert {line["created"] for line in _csv(later)} == {later.created}
    assert {line["machine"] for line in _csv(report)} == {report.machine.cpu}


@given(
    name=st.text(st.characters(exclude_categories=["Cc", "Cf", "Cs", "Zl", "Zp"], include_characters="\n"), min_size=1)
)
def test_the_csv_gives_back_any_name_that_is_no_formula(name: str) -> None:
    found = _csv(example.report([example.variant(f"a{name}", [example.result(0.4, found=None)])]))
    assert {line["variant"] for line in found} == {f"a{name}"}


@pytest.mark.parametrize("name", ["=1+1", "+1", "-1", "@SUM(A1)", " =1", "\t=1", "\r=1", "\uff1d1"])
def test_no_cell_of_text_is_a_formula_and_figures_stay_figures(name: str) -> None:
    row = replace(example.result(0.4, found=None), accuracy=example.accuracy(0.9, -0.01, "DROP"))
    lines = _csv(example.report([example.variant(name, [row])]))
    assert {line["variant"][0] for line in lines} <= {"'", "\\"}
    assert [line["value"] for line in lines if line["metric"] == "accuracy_delta"] == ["-0.01"]


def test_a_column_without_values_is_left_out_of_the_tables() -> None:
    rows = all_rows(example.report([example.variant("baseline", [example.result(0.4, found=None)])]))
    titles = {field.title for field in used(rows, "page")}
    assert "p50" in titles
    assert not titles & {"accuracy", "speed-up", "deadline misses", "cost per million"}


def test_the_accuracy_column_is_named_after_the_metric() -> None:
    rows = all_rows(example.unlabelled())
    assert "agreement" in {header(field, rows) for field in used(rows, "page")}


def test_an_undecided_row_says_how_many_examples_would_decide() -> None:
    row = next(row for row in all_rows(example.typical()) if row.variant.name == "dynamic_int8")
    lines = next(field for field in FIELDS if field.title == "accuracy").cell(row)
    assert lines == (
        "−0.01 pt [−0.19, +0.16]",
        "UNDECIDED",
        "to 93.84 % [93.35, 94.30]",
        "about 42,000 examples would decide",
    )


@pytest.mark.parametrize(
    ("low", "value", "high", "shown"),
    [
        (1.40, 1.42, 1.44, "1.42x [1.40, 1.44]"),
        (1.002, 1.004, 1.006, "1.004x [1.002, 1.006]"),
        (0.991, 0.994, 0.998, "0.994x [0.991, 0.998]"),
        (0.98, 1.01, 1.04, "1.01x [0.98, 1.04]"),
        (12.1, 12.3, 12.5, "12.3x [12.1, 12.5]"),
        (0.0, 1.3, None, "1.30x [0.00, inf]"),
    ],
)
def test_a_ratio_is_written_so_that_its_verdict_can_be_seen(
    low: float, value: float, high: float | None, shown: str
) -> None:
    assert numbers.ratio(value, low, high) == shown


@pytest.mark.parametrize(
    ("value", "shown"), [(0.0412, "0.0412"), (0.4123, "0.412"), (12.345, "12.35"), (1234.5, "1,234"), (-2.5, "−2.500")]
)
def test_a_figure_keeps_about_four_digits(value: float, shown: str) -> None:
    assert numbers.number(value) == shown


def test_percentages_and_points() -> None:
    assert numbers.percent(0.9385) == "93.85 %"
    assert numbers.points(-0.0012) == "−0.12 pt"
    assert numbers.points_interval(-0.003, 0.0005) == "[−0.30, +0.05]"


def test_a_cosine_is_no_percentage() -> None:
    found = Accuracy(
        metric="cosine", value=0.99871, low=0.998, high=0.9991, n=500, delta=-0.00129, delta_low=-0.002,
        delta_high=-0.0009, flips=None, p=None, margin=0.01, verdict="NO MEANINGFUL DROP",
        unit="number", against="baseline",
    )  # fmt: skip
    row = all_rows(example.report([example.variant("small", [example.result(0.4, found=found)])]))[0]
    field = next(field for field in FIELDS if field.title == "accuracy")
    assert field.cell(row) == ("0.9987 [0.9980, 0.9991]", "NO MEANINGFUL DROP")


def test_the_margin_is_told_in_the_metrics_unit_and_name() -> None:
    found = replace(example.accuracy(0.9987, -0.0013, "NO MEANINGFUL DROP"), metric="F1", unit="number")
    beside = replace(found, metric="cosine", against="baseline")
    lines = [
        margin_lines(
            replace(
                example.report([example.variant("small", [example.result(0.4, found=each)])]), margins={"ort_cpu": 0.01}
            )
        )
        for each in (found, beside)
    ]
    assert [line.partition(" at most")[0] for [line] in lines] == [
        "On ort_cpu, F1 may drop by 0.0100",
        "On ort_cpu, cosine may drop below 1.0000 by 0.0100",
    ]
