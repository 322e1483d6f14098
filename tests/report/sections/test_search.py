"""The section "Search", its chart and its lines in the terminal."""

from __future__ import annotations

import csv
import io
import json
from dataclasses import replace
from typing import Any

import jsonschema
import pytest

from pipeline.report.charts.drawing import Panel
from pipeline.report.charts.search import search_panel
from pipeline.report.formats.csv import csv_text
from pipeline.report.formats.json import json_text
from pipeline.report.formats.markdown import markdown_text
from pipeline.report.rows import groups
from pipeline.report.schema import report_schema
from pipeline.report.sections.search import DRIFT, search
from pipeline.report.sections.section import Part, Section, Table
from pipeline.results.report import Report
from pipeline.results.search import SearchTrial
from tests.analyse.searched import drift, trial
from tests.report import example
from tests.report.example import page_of
from tests.report.searched import SLOWER, findings, report


def section(found: Report) -> Section:
    made = search(found)
    assert made is not None
    return made


def part(found: Report, title: str) -> Part:
    return next(part for part in section(found).parts if part.title.startswith(title))


def trials_table(found: Report) -> Table:
    [table] = part(found, "Every trial").tables
    return table


def with_trials(*trials: SearchTrial) -> Report:
    return replace(report(), search=replace(findings(), trials=list(trials)))


def points(panel: Panel) -> list[dict[str, Any]]:
    [values] = panel.spec["datasets"].values() if "datasets" in panel.spec else [panel.spec["data"]["values"]]
    return list(values)


def test_a_run_without_a_search_has_no_section() -> None:
    assert search(example.typical()) is None
    assert "Search" not in example.printed(example.typical())


def test_the_story_counts_every_trial_by_where_it_stopped_and_says_what_it_cost() -> None:
    first, costs, answer, proof = (line.text for line in section(report()).parts[0].lines)
    assert first == (
        "8 candidates in 2 min 4 s: 2 in the proof, 1 looked at to the end, 1 slower, 1 drifting too far, 1 failed, "
        "1 not needed, 1 without time; 12 left out by rules."
    )
    assert costs.startswith("Building took 1 min 17 s, timing 21.3 s, judging 18.9 s; ")
    assert answer == "The first answer came after 1 min 11 s."
    assert proof == "The proof of 3 rows was timed for 1 min 11 s."


def test_a_search_without_time_for_any_candidate_says_what_to_type() -> None:
    late = [trial("a", "ort_cpu", None, "no time"), trial("b", "ort_cpu", None, "not needed")]
    brief = section(with_trials(*late)).brief[0].lines[0].text
    assert brief.endswith(f"such as search.budget_s={2 * findings().budget_s:g}.")
    assert (
        "so no candidate was looked at"
        not in section(with_trials(*late, trial("c", "ort_cpu", 1.0))).brief[0].lines[0].text
    )


def test_a_search_that_went_on_and_one_without_rules_say_so() -> None:
    found = replace(report(), search=replace(findings(), continued=5, rules=False))
    texts = [line.text for line in section(found).parts[0].lines]
    assert "5 trials had ended in an earlier run of this search, which was stopped." in texts
    assert any("search.rules=false" in text for text in texts)


def test_every_trial_is_a_row_with_its_figures_its_end_its_cost_and_its_reason() -> None:
    table = trials_table(report())
    rows = example.plain(table)
    assert len(rows) == len(findings().trials)
    assert rows[3] == ["fused", "ort_cpu", "1.26x [1.20, 1.32]", "–", "slower", "5.10 / 3.10 building", SLOWER]
    assert rows[1][3] == "−0.40 pt [−0.80, 0.00] / 6 of 500 examples flip"
    assert [row.mark for row in table.rows][:3] == ["finalist", "finalist", ""]
    assert table.rows[3].keys[5] == 5.1


def test_the_endings_that_occur_are_explained() -> None:
    one = with_trials(trial("fused", "ort_cpu", 1.2, "slower"))
    [facts] = part(one, "Every trial").facts
    assert facts.pairs == [("slower", "its interval can't reach the best.")]


def test_only_a_long_table_is_folded() -> None:
    assert not part(report(), "Every trial").folded
    many = [trial(f"variant{number}", "ort_cpu", 1.5) for number in range(20)]
    assert part(with_trials(*many), "Every trial (20)").folded


def test_nothing_is_said_of_accuracy_on_noise() -> None:
    noise = replace(report(), data="random")
    assert DRIFT not in [column.head for column in trials_table(noise).columns]
    assert search_panel(noise) is None
    assert all(not part.title.startswith("The front") for part in section(noise).parts)


def test_the_front_has_the_confirmed_rows_with_their_intervals_the_fastest_first() -> None:
    [table] = part(report(), "The front").tables
    rows = example.plain(table)
    assert [row[0] for row in rows] == [
        "static_int8 on openvino_cpu_bf16",
        "bf16 on openvino_cpu_bf16",
        "baseline on ort_cpu",
    ]
    assert rows[1][1:4] == ["1.98x [1.95, 2.01]", "93.83 % [93.34, 94.29]", "−0.02 pt [−0.20, +0.15]"]
    assert rows[2][1] == "reference"


def test_what_rules_left_out_is_a_line_for_each_reason() -> None:
    several, one = part(report(), "Left out").lines
    assert several.word == "11:"
    assert several.text.startswith("dynamic int8 of convolutions is slower (dynamic_0 on ort_cpu, ")
    assert several.text.endswith(", and 3 more)")
    assert (one.word, one.text) == ("1:", "the processor computes fp16 in fp32 (fp16 on ort_cpu)")


def test_the_terminal_has_the_story_in_a_line_and_the_answers() -> None:
    [brief] = section(report()).brief
    assert [line.word for line in brief.lines] == ["", "Fastest within the limits:", "Likely faster, not proven:"]
    assert "about 400 more labelled examples would decide" in example.printed(report(), 400)
    assert SLOWER not in example.printed(report(), 400)


def test_the_rows_of_all_targets_stand_in_one_table_that_names_the_target() -> None:
    [group] = groups(report())
    assert group.title == "all targets, batch 1"
    assert [row.name for row in group.rows][1] == "bf16 on openvino_cpu_bf16"
    printed = example.printed(report(), 200)
    assert printed.count("accuracy ") >= 1
    assert "openvino_cpu_bf16" in printed.split("Search")[0]


def test_a_narrow_terminal_shows_the_targets_and_the_speed_ups_whole() -> None:
    table = example.printed(report(), 80).split("Search")[0]
    assert "1.98x [1.95, 2.01]" in table
    assert "Left out at 80 columns, shown in a wider terminal: p50" in table
    assert "p50" not in table.partition("Left out")[0]
    assert all(line.count("[") == line.count("]") for line in table.splitlines())


def test_it_stands_in_every_format() -> None:
    for text in (page_of(report()), markdown_text(report())):
        assert "Every trial (8)" in text
        assert "Left out by rules" in text
        assert "it drops by 6 points" in text
    jsonschema.validate(json.loads(json_text(report())), report_schema())
    rows = list(csv.DictReader(io.StringIO(csv_text(report()))))
    assert list(dict.fromkeys((row["variant"], row["target"]) for row in rows))[1] == ("bf16", "openvino_cpu_bf16")


def test_an_interval_without_an_end_is_written_and_drawn() -> None:
    open_ended = trial("bf16", "openvino_cpu", 2.0, found=drift(-0.001))
    assert open_ended.speed is not None
    open_ended = replace(open_ended, speed=replace(open_ended.speed, low=0.0, high=float("inf")))
    assert example.plain(trials_table(with_trials(open_ended)))[0][2] == "2.00x [0.00, inf]"
    panel = search_panel(with_trials(open_ended))
    assert panel is not None
    assert points(panel)[0]["high"] == 4.0


def test_the_chart_has_the_trials_with_both_figures_less_those_far_beyond_the_limit() -> None:
    panel = search_panel(report())
    assert panel is not None
    values = points(panel)
    assert [value["trial"].partition(" on ")[0] for value in values] == [
        "bf16",
        "static_int8",
        "static_int8-symmetric-true",
    ]
    assert all(value["limit"] == pytest.approx(-0.94) for value in values)
    assert "static_int8 on openvino_cpu_bf16 2.31x, −0.40 pt, finalist" in panel.words
