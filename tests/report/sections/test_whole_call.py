"""The whole call, in every format."""

from __future__ import annotations

import json
from dataclasses import replace

import jsonschema
import pytest

from pipeline.plan import MeasureSettings
from pipeline.report import report_schema
from pipeline.report.formats.json import json_text
from pipeline.report.formats.markdown import markdown_text
from pipeline.report.rows import all_rows
from pipeline.report.sections.whole_call import whole_call
from pipeline.report.tidy import figures_of
from pipeline.results.figures import Reference, StepTime, WholeCall
from pipeline.results.intervals import Ratio
from pipeline.results.report import Report
from tests.report import example
from tests.report.example import page_of, plain, printed


def around(value: float) -> Ratio:
    return Ratio(value=value, low=0.98 * value, high=1.02 * value)


def call(model_ms: float, speedup: float | None = None, model_speedup: float | None = None) -> WholeCall:
    times = {"preprocess": 1.2, "model": model_ms}
    whole = sum(times.values())
    return WholeCall(
        ms=whole,
        steps=[
            StepTime(step="preprocess", ms=1.2, share=around(1.2 / whole)),
            StepTime(step="model", ms=model_ms, share=around(model_ms / whole)),
        ],
        reference=Reference(variant="baseline", target="ort_cpu", batch_size=1),
        speedup=None if speedup is None else around(speedup),
        model_speedup=None if model_speedup is None else around(model_speedup),
    )


@pytest.fixture(name="both", scope="module")
def _both() -> Report:
    rows = {"baseline": call(2.32), "static_int8": call(0.8, 1.76, 2.9), "untimed": None}
    variants = [
        example.variant(name, [replace(example.result(0.4, found=None), call=found)]) for name, found in rows.items()
    ]
    settings = MeasureSettings(stages=("decode", "preprocess", "model"))
    return replace(example.report(variants), measure=settings)


def test_a_row_says_what_it_does_to_the_model_and_to_the_call(both: Report) -> None:
    section = whole_call(both)
    assert section is not None
    assert [line.text for line in section.parts[0].lines] == [
        "static_int8 on ort_cpu, batch 1 makes the model 2.90x [2.84, 2.96] and the call 1.76x [1.72, 1.80] as fast: "
        "preprocessing is now 60 % of the call."
    ]
    assert plain(section.parts[0].tables[0]) == [
        ["baseline", "ort_cpu, batch 1", "3.520", "–", "1.200 ms, 34 % [33, 35]", "2.320 ms, 66 % [65, 67]"],
        ["static_int8", "ort_cpu, batch 1", "2.000", "1.76x [1.72, 1.80]", "1.200 ms, 60 % [59, 61]",
         "0.800 ms, 40 % [39, 41]"],
    ]  # fmt: skip
    assert section.notes[1:] == ["Not timed, as this run has no such step that can be: decode."]


def test_report_csv_has_the_call_and_its_steps(both: Report) -> None:
    found = {figure.name: figure for row in all_rows(both) for figure in figures_of(row) if row.name == "static_int8"}
    assert (found["call_ms"].value, found["call_ms"].unit) == (2.0, "ms")
    assert found["call_preprocess_ms"].value == 1.2
    assert found["call_preprocess_share"].low == pytest.approx(0.59, abs=0.005)
    assert found["call_speedup"].numbers == {
        "call_speedup": 1.76,
        "call_speedup_low": pytest.approx(1.72, abs=0.005),
        "call_speedup_high": pytest.approx(1.80, abs=0.005),
    }


def test_every_format_has_it_and_the_terminal_has_room(both: Report) -> None:
    shown = printed(both, 100).splitlines()
    assert max(map(len, shown)) <= 100
    assert any(line.split()[-2:] == ["40", "%"] for line in shown if line.startswith("static_int8"))
    for text in (" ".join(shown), markdown_text(both), page_of(both)):
        assert "preprocessing is now 60 %" in " ".join(text.split())
    jsonschema.validate(json.loads(json_text(both)), report_schema())


def test_nothing_is_said_where_nobody_asked() -> None:
    assert whole_call(example.typical()) is None
