"""What a kit brings home is judged by the code of a local run, and only where it is whole."""

from __future__ import annotations

import io
import json
from collections.abc import Callable
from pathlib import Path

import jsonschema
import pytest
from rich.console import Console

from pipeline.errors import UserError
from pipeline.kit.brought import brought, is_brought
from pipeline.kit.device.samples import SUMS, files_in, sha256_of
from pipeline.kit.judge import as_node, made
from pipeline.kit.recorded import recorded
from pipeline.metrics import TopOne
from pipeline.metrics.function import Function
from pipeline.report import report_schema
from pipeline.run.kit_report import report_brought
from tests.kit.conftest import Ran

pytestmark = pytest.mark.usefixtures("undrawn")


def test_it_becomes_a_run_of_its_own(samples: Path) -> None:
    record = recorded(brought(samples), trusted=False)
    rows = {row.variant: row for row in record.subjects}
    assert {name: found.status for name, found in rows.items()} == {
        "baseline": "ok",
        "dynamic_int8": "ok",
        "unknown": "failed",
    }
    assert "nowhere" in str(rows["unknown"].reason)
    assert len(rows["baseline"].load_ms) == 3
    assert record.machine.architecture
    assert record.machine.python
    assert "clone:baseline@ort_cpu/4" in record.latency.subjects
    assert record.accuracy.predictions["baseline@ort_cpu"].shape == (24,)
    assert any(note.startswith("Measured on box by kit ") for note in record.notes)


def test_its_report_has_verdicts_and_can_be_derived_anew(samples: Path) -> None:
    console = Console(file=io.StringIO(), width=150)
    assert report_brought(samples, console) == 0
    report = json.loads((samples / "report.json").read_text())
    jsonschema.validate(report, report_schema())
    rows = {variant["name"]: variant["results"][0] for variant in report["variants"]}
    assert rows["dynamic_int8"]["speedup"]["verdict"]
    assert rows["dynamic_int8"]["accuracy"]["verdict"]
    assert rows["dynamic_int8"]["peak_memory_bytes"] > 0
    assert report_brought(samples, console) == 0


def test_joined_its_rows_stand_beside_the_home_runs(ran: Ran, samples: Path) -> None:
    console = Console(file=io.StringIO(), width=150)
    report_brought(samples, console, join=ran.folder / "run")
    report = json.loads((samples / "report.json").read_text())
    jsonschema.validate(report, report_schema())
    rows = next(variant["results"] for variant in report["variants"] if variant["name"] == "dynamic_int8")
    assert [entry["target"] for entry in rows] == ["ort_cpu", "ort_cpu@box"]
    assert rows[1]["speedup"]["reference"]["target"] == "ort_cpu@box"
    assert [entry["name"] for entry in report["elsewhere"]] == ["box"]
    said = console.file.getvalue()  # type: ignore[attr-defined]
    assert "Fastest here: " in said
    assert "on box: " in said
    assert "On other machines" in (samples / "report.md").read_text()


def test_samples_of_another_runs_kit_are_refused(ran: Ran, samples: Path, tmp_path: Path) -> None:
    record = json.loads((ran.folder / "run" / "samples" / "record.json").read_text())
    other = tmp_path / "other" / "samples"
    other.mkdir(parents=True)
    for name in ("latency.npz", "accuracy.npz"):
        (other / name).write_bytes((ran.folder / "run" / "samples" / name).read_bytes())
    (other / "record.json").write_text(json.dumps({**record, "created": "2026-03-04T05:06:07+00:00"}))
    with pytest.raises(UserError, match="name the run that the kit was packed from"):
        report_brought(samples, Console(file=io.StringIO()), join=tmp_path / "other")


def _changed(folder: Path) -> None:
    path = folder / "outputs" / "0" / "0.npy"
    path.write_bytes(path.read_bytes()[:-1] + b"x")


def _outside(folder: Path) -> None:
    (folder / SUMS).write_text(f"{'0' * 64}  ../secret\n")


def _other_version(folder: Path) -> None:
    plain = json.loads((folder / "samples.json").read_text())
    (folder / "samples.json").write_text(json.dumps({**plain, "samples_version": 99}))
    _sum_anew(folder)


def _other_kit(folder: Path) -> None:
    plain = json.loads((folder / "samples.json").read_text())
    (folder / "samples.json").write_text(json.dumps({**plain, "kit": "0123456789ab"}))
    _sum_anew(folder)


def _sum_anew(folder: Path) -> None:
    lines = [f"{sha256_of(path)}  {path.relative_to(folder).as_posix()}\n" for path in files_in(folder)]
    (folder / SUMS).write_text("".join(lines))


@pytest.mark.parametrize(
    ("damage", "problem"),
    [
        (_changed, "outputs/0/0.npy in .* was changed since the kit wrote it"),
        (lambda folder: (folder / "latency.npz").unlink(), "latency.npz is missing"),
        (lambda folder: (folder / SUMS).unlink(), "has no SHA256SUMS: the kit was ended before"),
        (lambda folder: (folder / SUMS).write_text("nonsense"), "is no list of digests"),
        (_outside, r"\.\./secret is missing"),
        (_other_version, "has version 99, and this slimline reads 1"),
        (_other_kit, "holds samples of kit 0123456789ab"),
    ],
)
def test_samples_that_are_not_whole_are_one_line(samples: Path, damage: Callable[[Path], object], problem: str) -> None:
    damage(samples)
    assert is_brought(samples)
    with pytest.raises(UserError, match=problem) as raised:
        brought(samples)
    assert "\n" not in str(raised.value)


def test_a_metric_is_carried_as_plain_values() -> None:
    metric = TopOne(output=0, threshold=0.25)
    node = as_node(metric)
    assert node is not None
    assert made(json.loads(json.dumps(node)), trusted=False) == metric


def test_samples_make_no_code_run_that_only_they_name() -> None:
    for node in ({"_target_": "os.system"}, as_node(Function(function="os.system"))):
        assert node is not None
        with pytest.raises(UserError, match="--join RUN"):
            made(node, trusted=False)
