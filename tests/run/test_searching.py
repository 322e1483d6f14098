"""A whole search on a small model: what it tries, what it proves, and that it goes on where it was stopped."""

from __future__ import annotations

import io
import json
import re
import time
from collections.abc import Mapping
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import numpy as np
import onnx
import onnx.compose
import pytest
from onnx import TensorProto, helper, numpy_helper
from rich.console import Console

from pipeline.artifact import Artifact
from pipeline.errors import UserError
from pipeline.plan import Context, MeasureSettings, Plan, SearchSettings
from pipeline.report.charts import figures as charts
from pipeline.run import loop, pace
from pipeline.run.proof import Clock
from pipeline.search.board import Board
from pipeline.search.building import BuildTimes
from pipeline.search.journal import Journal
from pipeline.stages.fix_shapes import FixShapes
from tests.example import CLASSES, Scale, linear_model, plan

pytestmark = pytest.mark.slow

BRIEF = MeasureSettings(
    profile="test",
    looks=(3,),
    blocks=4,
    cell_ms=0.5,
    noisy_half_width=1e9,
    energy_s=None,
    peaks=False,
    explain="none",
    exclusive=False,
)


def asked(folder: Path, search: SearchSettings, **stages: Mapping[str, Any]) -> Plan:
    return plan(folder, {"baseline": {}, **stages}, search=search, measure=BRIEF)


def run(chosen: Plan) -> tuple[int, dict[str, Any], str]:
    """The exit code, the report and what is printed; there are no charts and no bundle."""
    text = io.StringIO()
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(charts, "draw_apart", lambda report: charts.Drawing(figures=[]))
        patch.setattr(loop, "bundle", lambda *_: None)
        code = loop.run(chosen, Console(file=text, width=120))
    return code, json.loads((chosen.output / "report.json").read_text()), text.getvalue()


SEARCH = SearchSettings(rules=False, finalists=1)
CHAINS: dict[str, dict[str, Any]] = {
    "fixed": {"fix": FixShapes()},
    "broken": {"a": Scale(fail="it broke")},
    "again": {"fix": FixShapes(from_data=False)},
    "renamed": {"fixed": FixShapes()},
}


def test_each_candidate_has_an_ending_and_the_finalists_are_the_rows(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(BuildTimes, "expected_s", lambda times, variant: 1e6 * (variant.name == "long"))
    code, report, text = run(asked(tmp_path, SEARCH, **CHAINS, long={"a": Scale()}))
    search = report["search"]
    trials = {trial["variant"]: trial for trial in search["trials"]}
    finalists = [name for name, trial in trials.items() if trial["ending"] == "finalist"]
    assert code == 0
    assert list(trials) == ["fixed", "broken", "again", "long"]
    assert trials["long"]["ending"] == "no time"
    assert re.fullmatch(
        r"building it and a look at it take about 10000\d\d s, going by others, and less is left",
        trials["long"]["reason"],
    )
    assert (trials["broken"]["ending"], trials["broken"]["reason"]) == ("failed", "a: RuntimeError: it broke")
    assert search["left_out"] == [
        {"variant": "renamed", "target": "ort_cpu", "reason": "it is the chain of fixed@ort_cpu under another name"}
    ]
    assert trials["again"]["reason"] == "it is the same model as fixed@ort_cpu"
    assert {variant["name"] for variant in report["variants"]} == {"baseline", *finalists}
    assert all(trial["speed"]["rounds"] >= 1 for trial in trials.values() if trial["ending"] in ("finalist", "slower"))
    assert report["measure"]["reference"] == "baseline@ort_cpu"
    assert "4 candidates from 4 chains on 1 runtime" in text
    assert (tmp_path / "outputs" / "run" / "samples" / "search.journal").exists()
    assert not list((tmp_path / "store" / ".search").glob("*.journal"))


def test_a_search_that_was_stopped_goes_on_and_tries_nothing_twice(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    chosen = asked(tmp_path, SEARCH, **CHAINS)
    ended: list[str] = []
    kept = Journal.end

    def end(self: Journal, identity: str, trial: Any, sampled: Any = None) -> None:
        kept(self, identity, trial, sampled)
        ended.append(trial.variant)
        if len(ended) == 2:
            raise KeyboardInterrupt

    def counted(self: Journal, identity: str, trial: Any, sampled: Any = None) -> None:
        ended.append(trial.variant)
        kept(self, identity, trial, sampled)

    monkeypatch.setattr(Journal, "end", end)
    with pytest.raises(KeyboardInterrupt):
        run(chosen)
    before = list(ended)
    monkeypatch.setattr(Journal, "end", counted)
    _, report, text = run(replace(chosen, output=tmp_path / "outputs" / "second"))
    assert len(before) == 2
    assert report["search"]["continued"] == 2
    assert "a search that was stopped goes on: 2 of its trials have ended already" in text
    assert sorted(ended) == sorted(set(ended))
    assert {trial["variant"] for trial in report["search"]["trials"]} == set(CHAINS) - {"renamed"}


def test_without_time_the_baseline_is_measured_and_the_rest_is_told(tmp_path: Path) -> None:
    chosen = asked(tmp_path, replace(SEARCH, budget_s=1e-3), fixed=CHAINS["fixed"])
    _, report, _ = run(chosen)
    (trial,) = report["search"]["trials"]
    assert trial["ending"] == "no time"
    assert [variant["name"] for variant in report["variants"]] == ["baseline"]


def test_a_candidate_that_compiles_when_it_loads_is_not_begun_where_little_time_is_left(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(pace, "loads_slowly", lambda target: True)
    monkeypatch.setattr(Clock, "left_s", lambda clock: 29.0)
    _, report, _ = run(asked(tmp_path, SEARCH, fixed=CHAINS["fixed"]))
    (trial,) = report["search"]["trials"]
    assert (trial["ending"], trial["reason"]) == (
        "no time",
        "a look at it takes about 30 s, going by others, and less is left",
    )


@dataclass(frozen=True, slots=True, kw_only=True)
class Endless(Scale):
    """The same stage, which never ends, and says so."""

    def __call__(self, source: Artifact, out: Path, context: Context) -> None:
        while True:
            context.progress(0.5, "still at it")
            time.sleep(0.05)


def test_what_is_still_being_built_when_the_time_is_over_is_ended(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(Clock, "left_s", lambda clock: 2.0)
    code, report, _ = run(asked(tmp_path, SEARCH, endless={"a": Endless()}))
    (trial,) = report["search"]["trials"]
    assert (code, trial["ending"]) == (0, "no time")
    assert trial["reason"] == ("the time for looking was over (search.budget_s=600), and it was still being built")


def test_ranges_are_sampled_where_a_chain_is_fast_enough_and_drifts_too_far(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(Board, "wants_rescue", lambda board, standing: standing.judged and not standing.drawn)
    ranges = {"scaled": {"a": {"by": (1.5, 3.0)}}}
    chosen = asked(tmp_path, replace(SEARCH, samples=1, ranges=ranges), scaled={"a": Scale()})
    _, report, _ = run(chosen)
    drawn = [trial for trial in report["search"]["trials"] if trial["changes"]]
    values = [float(trial["changes"][0].removeprefix("variants.scaled.stages.a.by=")) for trial in drawn]
    assert [1.5 <= value <= 3.0 for value in values] == [True]
    assert drawn[0]["chain"] == "scaled"


def test_where_no_metric_can_read_the_outputs_the_search_goes_on_without(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    summed = onnx.compose.merge_models(
        onnx.load(linear_model(tmp_path / "linear.onnx")),
        onnx.load(sum_of_rows(tmp_path / "sum.onnx")),
        io_map=[("y", "rows")],
    )
    onnx.save(summed, tmp_path / "linear.onnx")
    monkeypatch.setattr(Board, "overtaken", lambda board, high: None)
    code, report, _ = run(asked(tmp_path, SEARCH, fixed=CHAINS["fixed"]))
    (trial,) = report["search"]["trials"]
    assert (code, trial["ending"], trial["drift"]) == (0, "finalist", None)
    assert trial["reason"].startswith("accuracy is not measured: output 0 has no row for each example")


def sum_of_rows(path: Path) -> Path:
    """An output that has no axis of examples: the sum of all rows of [batch, 3]."""
    graph = helper.make_graph(
        [helper.make_node("ReduceSum", ["rows", "axis"], ["sum"], keepdims=0)],
        "sum",
        [helper.make_tensor_value_info("rows", TensorProto.FLOAT, ["batch", CLASSES])],
        [helper.make_tensor_value_info("sum", TensorProto.FLOAT, [CLASSES])],
        [numpy_helper.from_array(np.array([0]), "axis")],
    )
    onnx.save(helper.make_model(graph, opset_imports=[helper.make_opsetid("", 18)], ir_version=9), path)
    return path


def test_a_choice_that_does_not_exist_is_told_before_any_work(tmp_path: Path) -> None:
    choices = {"scaled": {"a": {"colour": ("red",)}}}
    with pytest.raises(UserError, match="colour"):
        run(asked(tmp_path, replace(SEARCH, choices=choices), scaled={"a": Scale()}))
