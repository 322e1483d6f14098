"""The plot of accuracy against latency on a terminal."""

from __future__ import annotations

import io
from dataclasses import replace

import pytest
from rich.console import Console

from pipeline.report.formats.terminal_front import print_front
from pipeline.results.report import Report
from tests.report import example


def _plotted(report: Report, width: int = 80, *, encoding: str = "utf-8", terminal: bool = True) -> list[str]:
    raw = io.BytesIO()
    file = io.TextIOWrapper(raw, encoding=encoding)
    print_front(report, Console(file=file, width=width, force_terminal=terminal, color_system=None))
    file.flush()
    return raw.getvalue().decode(encoding).splitlines()


def _at(lines: list[str], name: str) -> tuple[int, int]:
    """The line of a row's name, and its column."""
    [found] = [(number, line.index(f" {name} ")) for number, line in enumerate(lines) if f" {name} " in f"{line} "]
    return found


def test_faster_rows_stand_to_the_left_and_more_accurate_ones_above() -> None:
    lines = _plotted(example.typical())
    places = {name: _at(lines, name) for name in ("baseline", "static_int8", "dynamic_int8", "pruned", "pruned_int8")}
    columns = sorted(places, key=lambda name: places[name][1])
    assert columns[0] == "pruned_int8"
    assert columns.index("static_int8") < columns.index("baseline") < columns.index("dynamic_int8")
    assert places["pruned_int8"][0] > places["pruned"][0] > places["baseline"][0]


def test_a_row_that_fails_the_margin_lies_below_its_line() -> None:
    lines = _plotted(example.typical())
    [margin] = [number for number, line in enumerate(lines) if line.endswith(" margin")]
    assert _at(lines, "pruned_int8")[0] > margin > _at(lines, "pruned")[0]


def test_the_axis_names_latencies_below_their_ticks() -> None:
    lines = _plotted(example.typical())
    [axis] = [number for number, line in enumerate(lines) if "└" in line]
    for tick in ("0.200", "0.500", "1.000"):
        middle = lines[axis + 1].index(tick) + len(tick) // 2
        assert lines[axis][middle] == "┬"


@pytest.mark.parametrize("width", [40, 80, 200])
def test_no_line_is_wider_than_the_terminal(width: int) -> None:
    assert 0 < max(map(len, _plotted(example.typical(), width))) <= width


def test_a_terminal_without_our_symbols_gets_letters_that_it_has() -> None:
    lines = _plotted(example.typical(), encoding="ascii")
    assert any("# static_int8" in line for line in lines)
    assert "?" not in "".join(lines)


def test_a_pipe_gets_no_plot_nor_does_a_run_with_nothing_to_compare() -> None:
    assert _plotted(example.typical(), terminal=False) == []
    assert _plotted(example.report([example.variant("baseline", [example.result(0.4, found=None)])])) == []


def test_names_leave_the_points_of_other_rows_free() -> None:
    timed = [
        replace(example.result(0.4 + 0.02 * each, found=None), accuracy=example.accuracy(0.93)) for each in range(9)
    ]
    rows = [example.variant(f"row_{number}", [row]) for number, row in enumerate(timed)]
    plot = "\n".join(_plotted(example.report(rows))[1:-2])
    assert plot.count("◆") + plot.count("○") == 9
    whole = [name for number in range(9) if (name := f"row_{number}") in plot]
    assert len(whole) == plot.count("row_") > 2
