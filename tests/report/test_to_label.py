"""The file of what models answer differently, and the verdicts that its labels bring."""

from __future__ import annotations

import csv
import io
import json
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import onnx
import pytest
from onnx import numpy_helper
from rich.console import Console

from pipeline.analyse.recommend.eligible import accuracy_obstacles
from pipeline.artifact import Artifact
from pipeline.artifact.files import ONNX_FILE
from pipeline.data.dataset import IGNORED
from pipeline.errors import UserError
from pipeline.plan import Constraints, Context, MeasureSettings, Plan
from pipeline.report.to_label import read_labels
from pipeline.results.figures import Accuracy
from pipeline.results.reading import load_record
from pipeline.run import loop
from pipeline.statistics.accuracy import accuracy_verdict, paired_difference
from tests.analyse.synthetic import make_record
from tests.example import Arrays, Scale, plan

BRIEF = MeasureSettings(
    profile="test", looks=(3,), blocks=4, cell_ms=0.5, noisy_half_width=1e9, energy_s=None, peaks=False, explain="none"
)


@pytest.mark.parametrize(("text", "problem"), [
    ("place,label\n3,cat\n", r"line 2: the column 'label' holds 'cat', .*: type the number of the class"),
    ("place,label\nx,1\n", r"line 2: the column 'place' holds 'x'"),
    ("place,label\n9,1\n", r"line 2: there is no example 9; the test split has 5 \(0 to 4\)"),
    ("place,label\n1,1\n1,2\n", "line 3: example 1 has the label 1 in another line"),
    ("place,label\n1,\n", "has no labels: type the number of the class into the column 'label'"),
    ("place,class\n1,2\n", "has no column 'label'; it has place, class"),
])  # fmt: skip
def test_what_can_not_be_read_is_told_with_its_line(tmp_path: Path, text: str, problem: str) -> None:
    (tmp_path / "to_label.csv").write_text(text)
    with pytest.raises(UserError, match=problem):
        read_labels(tmp_path / "to_label.csv", 5)


@pytest.mark.parametrize("text", [
    "place,example,label\n4,photo.png,2\n0,other.png,\n1,third.png,0\n",
    "\ufeffplace;example;label\r\n4;photo.png;2\r\n1;third.png;0\r\n",
])  # fmt: skip
def test_labels_are_read_as_tables_are_saved(tmp_path: Path, text: str) -> None:
    (tmp_path / "to_label.csv").write_text(text, encoding="utf-8")
    assert read_labels(tmp_path / "to_label.csv", 5).tolist() == [IGNORED, 0, IGNORED, IGNORED, 2]


def test_a_label_may_be_the_name_of_the_class(tmp_path: Path) -> None:
    (tmp_path / "to_label.csv").write_text('place,text,label\n4,"a, b",dog\n0,c,cat\n2,d,1\n')
    assert read_labels(tmp_path / "to_label.csv", 5, ["cat", "dog"]).tolist() == [0, IGNORED, 1, IGNORED, 1]
    (tmp_path / "to_label.csv").write_text("place,label\n4,cow\n")
    with pytest.raises(UserError, match=r"holds 'cow', .*: type the number of the class or its name \(cat, dog\)"):
        read_labels(tmp_path / "to_label.csv", 5, ["cat", "dog"])


@dataclass(frozen=True, slots=True, kw_only=True)
class Noisy(Scale):
    """A stage that adds a little noise to the weights."""

    def __call__(self, source: Artifact, out: Path, context: Context) -> None:
        model = onnx.load(source.onnx_path)
        weight = numpy_helper.to_array(model.graph.initializer[0])
        noise = np.random.default_rng(1).normal(size=weight.shape) * 0.04 * weight.std()
        model.graph.initializer[0].CopyFrom(numpy_helper.from_array((weight + noise).astype(np.float32), "w"))
        onnx.save(model, out / ONNX_FILE)


def data(*, labelled: bool) -> Arrays:
    return Arrays(labelled=labelled, sizes={"train": 64, "validation": 32, "calibration": 32, "test": 3000})


def row(chosen: Plan) -> dict[str, Any]:
    found = json.loads((chosen.output / "report.json").read_text())
    [result] = next(one for one in found["variants"] if one["name"] == "scaled")["results"]
    return dict(result["accuracy"])


def report(chosen: Plan, *labels: Path) -> str:
    text = io.StringIO()
    assert loop.report(chosen.output, Console(file=text, width=300), *labels) == 0
    return text.getvalue()


@pytest.mark.slow
@pytest.mark.usefixtures("undrawn")
def test_labels_of_the_flips_alone_bring_the_verdict_of_all_labels(tmp_path: Path, store: Path) -> None:
    stages = {"baseline": {}, "scaled": {"a": Noisy()}}
    settings = {"measure": BRIEF, "constraints": Constraints(max_accuracy_drop=0.01), "store": store}
    chosen = plan(tmp_path, stages, data=data(labelled=False), **settings)
    text = io.StringIO()
    assert loop.run(chosen, Console(file=text, width=300)) == 0
    before = row(chosen)
    assert before["metric"] == "agreement"
    assert 0 < before["labels_to_decide"] < before["flips"]
    assert "Labels that would decide: about" in text.getvalue()

    file = chosen.output / "to_label.csv"
    with file.open(newline="") as opened:
        table = list(csv.DictReader(opened))
    assert len(table) == before["flips"]
    places = [int(entry["place"]) for entry in table]
    unlabelled = data(labelled=False).split("test").arrays["x"]
    for entry in table[:3]:
        shown = np.load(chosen.output / "to_label" / entry["file"])
        np.testing.assert_array_equal(shown, unlabelled[int(entry["place"])])
    assert places != sorted(places), "the order is random"
    truth = data(labelled=True).split("test").labels
    assert truth is not None
    with file.open("w", newline="") as opened:
        writer = csv.writer(opened)
        writer.writerow(["place", "label"])
        writer.writerows((place, "abc"[truth[place]]) for place in places)  # by the class's name
    printed = report(chosen, file)
    after = row(chosen)

    samples = load_record(chosen.output / "samples").accuracy
    mine, other = (samples.predictions[f"{name}@ort_cpu"] == truth for name in ("scaled", "baseline"))
    expected = paired_difference(int((mine & ~other).sum()), int((other & ~mine).sum()), len(truth))
    assert (after["delta"], after["delta_low"], after["delta_high"]) == (expected.value, expected.low, expected.high)
    assert after["verdict"] == accuracy_verdict(expected.low, expected.high, 0.01)
    assert after["labelled_flips"] == before["flips"]
    assert after["labels_to_decide"] is None
    assert "Labels that would decide" not in printed
    assert row_again(chosen) == after, "the labels stay with the run"


def row_again(chosen: Plan) -> dict[str, Any]:
    report(chosen)
    return row(chosen)


def test_a_run_with_labels_wants_no_others(tmp_path: Path) -> None:
    (tmp_path / "labels.csv").write_text("place,label\n1,1\n")
    record = make_record()
    assert record.accuracy.labels is not None
    with pytest.raises(UserError, match="has labels already"):
        loop.labelled_with(record, tmp_path / "labels.csv")


def test_what_fails_by_its_labels_is_told_of_its_accuracy_and_of_no_figure_that_is_not_known() -> None:
    found = Accuracy(
        metric="agreement", value=0.97, low=0.96, high=0.98, n=3000, delta=-0.02, delta_low=-0.03, delta_high=-0.012,
        flips=80, p=0.001, margin=0.01, verdict="FAILS MARGIN", against="baseline", labelled_flips=90,
        sentence="the baseline's answer on {} of the examples",
    )  # fmt: skip
    assert found.before is None
    assert accuracy_obstacles(found) == [
        "its accuracy drops by 2.00 points (at worst 3.00 points), and 1.00 points are allowed "
        "(constraints.max_accuracy_drop)"
    ]
