"""What changed is told row by row, over what did not change."""

from __future__ import annotations

import json
from dataclasses import replace
from pathlib import Path

import jsonschema
import numpy as np
import pytest

from pipeline.compare.runs import Run
from pipeline.compare.write import html_text, markdown_text
from pipeline.errors import UserError
from pipeline.report.formats.json import json_text
from pipeline.report.schema import schema_of
from pipeline.results.comparison import ABOUT, SCHEMA_VERSION, Comparison
from pipeline.results.header import Machine
from pipeline.results.record import save_record
from tests.analyse.synthetic import Made
from tests.compare.runs import (
    BASELINE_ROW,
    INT8,
    ROW,
    a_run,
    compared,
    outcome_of,
    rebuilt,
    row_of,
    with_record,
    written,
)


def test_a_machine_that_is_slower_changes_no_row() -> None:
    found = compared(a_run(), a_run(seed=2, machine_speed=0.8))
    speed = row_of(found).speed
    assert speed is not None
    assert speed.low < 1 < speed.high
    assert speed.after_ms / speed.before_ms == pytest.approx(1.25, rel=0.1)
    [drift] = found.drift
    assert all(value == pytest.approx(0.8, rel=0.1) for value in drift.speed.values())
    assert set(drift.speed) == {BASELINE_ROW, f"clone:{BASELINE_ROW}", f"probe:{BASELINE_ROW}"}


def test_a_row_that_became_slower_is_told_with_its_ratio() -> None:
    speed = row_of(compared(a_run(), a_run(replace(INT8, times_as_fast=1.8), seed=2))).speed
    assert speed is not None
    assert (speed.anchor, speed.verdict) == ("baseline", "SLOWER")
    assert speed.low < 0.9 < speed.high


def test_a_baseline_of_other_bytes_is_held_against_the_fixed_model() -> None:
    later = rebuilt(a_run(Made(name="baseline", times_as_fast=0.9), INT8, seed=2, clone_times_as_fast=0.9), "baseline")
    found = compared(a_run(), later)
    baseline, row = row_of(found, BASELINE_ROW), row_of(found)
    assert baseline.speed is not None
    assert row.speed is not None
    assert (baseline.speed.anchor, baseline.speed.verdict, baseline.is_anchor) == ("probe", "SLOWER", False)
    assert row.speed.anchor == "probe"
    assert row.speed.low < 1 < row.speed.high


def test_without_the_fixed_model_a_changed_baseline_leaves_nothing_to_hold_speeds_against() -> None:
    earlier, later = (a_run(seed=seed, probe_times_as_fast=None) for seed in (1, 2))
    row = row_of(compared(earlier, rebuilt(later, "baseline")))
    assert row.speed is None
    assert "measure.probe=true" in str(row.no_speed)


def test_a_shift_of_what_did_not_change_widens_the_intervals() -> None:
    steady = row_of(compared(a_run(), a_run(seed=2))).speed
    shifted = row_of(compared(a_run(), a_run(seed=2, probe_times_as_fast=1.05))).speed
    assert steady is not None
    assert shifted is not None
    assert shifted.high / shifted.low > 1.02 * steady.high / steady.low


def test_several_earlier_runs_narrow_the_interval() -> None:
    one = row_of(compared(a_run(), a_run(seed=2))).speed
    several = row_of(compared(a_run(), *[a_run(seed=seed) for seed in (3, 4, 5)], a_run(seed=2))).speed
    assert one is not None
    assert several is not None
    assert (one.runs, several.runs) == (1, 4)
    assert several.high / several.low < one.high / one.low


def test_accuracy_is_paired_where_the_examples_are_the_same() -> None:
    found = row_of(compared(a_run(), a_run(replace(INT8, lost=200), seed=2))).accuracy
    assert found is not None
    assert (found.paired, found.flips, found.delta, found.verdict) == (True, 200, -0.02, "FAILS MARGIN")


def test_accuracy_on_other_examples_has_the_wider_interval_of_both() -> None:
    later = a_run(replace(INT8, lost=200), seed=2)
    labels = later.record.accuracy.labels
    assert labels is not None
    predictions = {name: np.roll(array, 1) for name, array in later.record.accuracy.predictions.items()}
    other = replace(later.record.accuracy, examples="ef" * 32, predictions=predictions)
    earlier = a_run()
    old = replace(earlier.record.accuracy, examples="ab" * 32)
    found = row_of(compared(with_record(earlier, accuracy=old), with_record(later, accuracy=other))).accuracy
    assert found is not None
    assert (found.paired, found.flips, found.p) == (False, None, None)
    assert found.low < -0.02 < found.high < -0.01


def test_equal_predictions_are_equal() -> None:
    found = row_of(compared(a_run(), a_run(seed=2))).accuracy
    assert found is not None
    assert (found.delta, found.verdict) == (0, "EQUAL")


def test_a_chain_that_changed_is_told_by_its_fields() -> None:
    row = row_of(compared(a_run(), rebuilt(a_run(seed=2), "int8", opset=21)))
    assert row.chain == ["export.opset: 20 → 21"]
    assert "export.opset: 20 → 21" in markdown_text(compared(a_run(), rebuilt(a_run(seed=2), "int8", opset=21)))


def test_other_bytes_of_the_same_chain_are_told() -> None:
    [line] = row_of(compared(a_run(), rebuilt(a_run(seed=2), "int8"))).chain
    assert line == "the same stages and fields made other bytes: abababababab → cdcdcdcdcdcd"


def test_another_machine_is_said_and_only_ratios_are_compared() -> None:
    later = with_record(a_run(seed=2, machine_speed=2.0), machine=Machine(cpu="another processor"))
    found = compared(a_run(), later)
    assert not found.same_machine
    assert "different machines" in found.notes[0]
    assert found.drift == []
    assert row_of(found).speed is not None
    assert row_of(found, BASELINE_ROW).speed is None
    assert [one.name for one in found.differences] == ["machine.cpu"]


def test_versions_that_differ_are_said() -> None:
    machines = [Machine(cpu="a processor", libraries={"onnxruntime": version}) for version in ("1.30.0", "1.31.0")]
    earlier, later = (with_record(a_run(seed=seed), machine=machines[seed - 1]) for seed in (1, 2))
    found = compared(earlier, later)
    assert "The versions of onnxruntime differ" in found.notes[0]
    assert [(one.name, one.before, one.after) for one in found.differences] == [("onnxruntime", "1.30.0", "1.31.0")]
    assert found.drift[0].seen == 0


def test_runs_without_a_row_in_common_are_refused() -> None:
    with pytest.raises(UserError, match="have no row in common: the first has baseline@other/1, int8@other/1"):
        compared(a_run(targets={"other": "cpu"}, seed=1), a_run(seed=2))


def test_every_format_holds_every_row_and_json_its_schema() -> None:
    found = compared(a_run(), a_run(replace(INT8, lost=200), Made(name="pruned"), seed=2))
    values = json.loads(json_text(found))
    jsonschema.validate(values, schema_of(Comparison, "comparison", SCHEMA_VERSION, ABOUT))
    for text in (markdown_text(found), html_text(found)):
        assert "int8 on ort_cpu, batch 1" in text
        assert "pruned on ort_cpu, batch 1" in text
        assert "FAILS MARGIN" in text
    assert row_of(found, "pruned@ort_cpu/1").before is None
    assert ROW in {f"{row['variant']}@{row['target']}/{row['batch_size']}" for row in values["rows"]}


def test_rows_that_neither_run_measured_are_named_once_and_have_no_line_in_the_table() -> None:
    fp16 = Made(name="fp16", status="skipped", reason="not asked for")
    text = markdown_text(compared(a_run(INT8, fp16), a_run(INT8, fp16, seed=2)))
    assert "Measured in neither run: fp16@ort_cpu/1." in text
    assert "fp16 on ort_cpu" not in text
    later = rebuilt(a_run(INT8, fp16, seed=2), "fp16")
    assert "fp16 on ort_cpu, batch 1" in markdown_text(compared(a_run(INT8, fp16), later)), "its model has changed"


def on_edge(run: Run, there: Run | None, folder: Path) -> Run:
    """The run in a folder, with what it measured on a node."""
    written(run.record, folder)
    if there is not None:
        save_record(there.record, folder / "samples" / "nodes" / "edge")
    return Run.read(folder)


def test_the_rows_of_a_node_are_held_against_the_same_nodes(tmp_path: Path) -> None:
    earlier = on_edge(a_run(), a_run(seed=3, machine_speed=0.3), tmp_path / "earlier")
    slower = a_run(replace(INT8, times_as_fast=1.8), seed=4, machine_speed=0.3)
    found = compared(earlier, on_edge(a_run(seed=2), slower, tmp_path / "later"))
    here, there = row_of(found).speed, row_of(found, "int8@ort_cpu@edge/1").speed
    assert here is not None
    assert there is not None
    assert here.low < 1 < here.high
    assert there.verdict == "SLOWER"
    assert outcome_of(found, "speed") == "KEPT"
    assert outcome_of(found, "speed", "int8@ort_cpu@edge/1") == "REGRESSION"
    assert {drift.device for drift in found.drift} == {"cpu", "cpu@edge"}
    assert found.gate is not None
    assert found.gate.outcome == "REGRESSION"


def test_a_node_that_the_later_run_lacks_is_inconclusive(tmp_path: Path) -> None:
    earlier = on_edge(a_run(), a_run(seed=3), tmp_path / "earlier")
    found = compared(earlier, on_edge(a_run(seed=2), None, tmp_path / "later"))
    assert outcome_of(found, "row", "int8@ort_cpu@edge/1") == "INCONCLUSIVE"
    assert found.gate is not None
    assert found.gate.outcome == "INCONCLUSIVE"


def test_a_node_that_only_the_later_run_has_is_told_and_not_judged(tmp_path: Path) -> None:
    found = compared(a_run(), on_edge(a_run(seed=2), a_run(seed=3), tmp_path / "later"))
    assert (row_of(found, "int8@ort_cpu@edge/1").before, row_of(found, "int8@ort_cpu@edge/1").after) == (None, "ok")
    assert found.gate is not None
    assert found.gate.outcome == "KEPT"
    assert {check.row for check in found.gate.checks} == {BASELINE_ROW, ROW}


def test_several_machines_share_the_gates_confidence(tmp_path: Path) -> None:
    alone = row_of(compared(a_run(), a_run(seed=2))).speed
    earlier = on_edge(a_run(), a_run(seed=3), tmp_path / "earlier")
    beside = row_of(compared(earlier, on_edge(a_run(seed=2), a_run(seed=4), tmp_path / "later"))).speed
    assert alone is not None
    assert beside is not None
    assert beside.high / beside.low > alone.high / alone.low
    assert beside.p == pytest.approx(min(1.0, 2 * alone.p))
