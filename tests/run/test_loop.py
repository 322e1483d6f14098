"""The whole loop on a small model: what a run leaves behind, and how it ends."""

from __future__ import annotations

import io
import json
import logging
import os
import re
import signal
import subprocess
import sys
import time
from collections.abc import Mapping
from dataclasses import asdict, replace
from importlib.util import find_spec
from pathlib import Path
from typing import Any

import jsonschema
import pytest
from rich.console import Console

from pipeline.analyse import analyse, noise
from pipeline.backends.onnxruntime import OnnxRuntime
from pipeline.bundle import verify_bundle
from pipeline.bundle.packing import Packing
from pipeline.errors import OutOfSpace, SlimlineError, UserError
from pipeline.errors.contained import RAISING
from pipeline.plan import Constraints, MeasureSettings, Plan, Target
from pipeline.report import report_schema
from pipeline.report.charts import figures as charts
from pipeline.results.reading import load_record
from pipeline.results.record import UNFINISHED
from pipeline.results.report import Recommendation
from pipeline.run import bundling, kit_packing, loop
from pipeline.run import measure as measuring
from pipeline.run.build import builder
from pipeline.run.finished import Finished as FinishedRun
from pipeline.run.progress import ProgressDisplay
from pipeline.run.run_log import logging_to
from pipeline.stages.convert_fp16 import ConvertFp16
from pipeline.store import StorePlace
from tests.example import Arrays, MostlyIdle, Scale, linear_model, plan

pytestmark = pytest.mark.slow

REAL = MeasureSettings(
    profile="test", looks=(3,), blocks=4, cell_ms=0.5, noisy_half_width=1e9, energy_s=None, peaks=False
)
BRIEF = replace(REAL, explain="none")
NOTHING_KEPT = Constraints(max_size_mb=1e-6)
"""No row keeps it: nothing is recommended, and no bundle is written."""


def run(chosen: Plan, *, drawn: bool = True) -> tuple[int, str]:
    """The exit code and what is printed. Charts take a process of their own: without ``drawn`` there are none."""
    text = io.StringIO()
    with pytest.MonkeyPatch.context() as patch:
        if not drawn:
            patch.setattr(charts, "draw_apart", lambda report: charts.Drawing(figures=[]))
        return loop.run(chosen, Console(file=text, width=120)), text.getvalue()


def report_of(chosen: Plan) -> dict[str, Any]:
    found: dict[str, Any] = json.loads((chosen.output / "report.json").read_text())
    return found


def variants(**stages: Mapping[str, Any]) -> dict[str, Mapping[str, Any]]:
    return {"baseline": {}, **stages}


def row_of(chosen: Plan, variant: str = "scaled") -> dict[str, Any]:
    """The only row of a variant."""
    [row] = next(found for found in report_of(chosen)["variants"] if found["name"] == variant)["results"]
    return dict(row)


Finished = tuple[Plan, int, str]
"""What was asked for, the exit code, and what was printed."""


@pytest.fixture(scope="module")
def finished(tmp_path_factory: pytest.TempPathFactory, store: Path) -> Finished:
    folder = tmp_path_factory.mktemp("run")
    stages = variants(scaled={"a": Scale()}, broken={"a": Scale(fail="it broke")})
    chosen = plan(folder, stages, measure=REAL, store=store)
    return chosen, *run(chosen)


@pytest.fixture(scope="module")
def again(finished: Finished) -> Finished:
    """What was built before, varied one at a time."""
    before, _, _ = finished
    stages = {name: before.variants[name] for name in ("baseline", "scaled")}
    varied = replace(before, batch_sizes=(1, 4), grid="one_at_a_time", constraints=NOTHING_KEPT, measure=BRIEF)
    chosen = replace(varied, variants=stages, output=before.output.with_name("again"))
    return chosen, *run(chosen, drawn=False)


@pytest.fixture(scope="module")
def thorough(tmp_path_factory: pytest.TempPathFactory, store: Path) -> Finished:
    """With peaks, explanations, and their changes tried."""
    settings = {
        "measure": replace(REAL, peaks=True, explain="all", try_s=60.0),
        "constraints": NOTHING_KEPT,
        "targets": {"ort_cpu": Target(name="ort_cpu", backend=MostlyIdle())},
    }
    chosen = plan(tmp_path_factory.mktemp("thorough"), variants(scaled={"a": Scale()}), store=store, **settings)
    return chosen, *run(chosen, drawn=False)


@pytest.fixture(scope="module")
def unlabelled(tmp_path_factory: pytest.TempPathFactory, store: Path) -> Finished:
    """Without labels, and with MLPerf's scenarios where LoadGen is installed."""
    scenarios = ("SingleStream", "Offline") if find_spec("mlperf_loadgen") else ()
    measure = replace(BRIEF, scenarios=scenarios, scenario_s=0.1)
    settings = {"measure": measure, "constraints": NOTHING_KEPT, "data": Arrays(labelled=False)}
    chosen = plan(tmp_path_factory.mktemp("unlabelled"), variants(scaled={"a": Scale()}), store=store, **settings)
    return chosen, *run(chosen, drawn=False)


@pytest.fixture(scope="module")
def limited(tmp_path_factory: pytest.TempPathFactory, store: Path) -> Finished:
    """On two targets, with a limit that no row keeps, and without waiting for others that measure."""
    targets = {
        "ort_cpu": Target(name="ort_cpu", backend=OnnxRuntime()),
        "tuned": Target(name="tuned", backend=OnnxRuntime(), threads=2, session={"spinning": True, "io_binding": True}),
    }
    chosen = plan(
        tmp_path_factory.mktemp("limited"),
        variants(scaled={"a": Scale()}),
        targets=targets,
        constraints=NOTHING_KEPT,
        measure=replace(BRIEF, reference="baseline@ort_cpu", exclusive=False),
        store=store,
    )
    return chosen, *run(chosen, drawn=False)


def test_a_run_leaves_its_report_and_samples(finished: Finished) -> None:
    chosen, _, _ = finished
    names = {path.relative_to(chosen.output).as_posix() for path in chosen.output.rglob("*") if path.is_file()}
    assert {
        "report.json", "report.csv", "report.md", "report.html", "slimline.log", "samples/record.json",
        "samples/latency.npz", "samples/accuracy.npz",
    } <= names  # fmt: skip
    jsonschema.validate(report_of(chosen), report_schema())


def test_latest_points_at_the_newest_run(finished: Finished) -> None:
    chosen, _, _ = finished
    assert (chosen.output.parent / "latest").resolve() == chosen.output.resolve()


def test_a_failed_variant_is_a_row_with_its_reason_and_exit_code_1(finished: Finished) -> None:
    chosen, code, printed = finished
    rows = {variant["name"]: variant["results"] for variant in report_of(chosen)["variants"]}
    assert code == 1
    assert [(row["status"], row["reason"]) for row in rows["broken"]] == [("failed", "a: RuntimeError: it broke")]
    assert rows["scaled"][0]["status"] == "ok"
    assert "it broke" in printed


def test_what_fails_of_the_defaults_is_told_and_is_no_failure_of_the_run(finished: Finished) -> None:
    chosen, _, _ = finished
    record = load_record(chosen.output / "samples")
    assert loop.failed_rows(chosen, record) == ["broken@ort_cpu/1"]
    assert loop.failed_rows(replace(chosen, default_variants=frozenset({"broken"})), record) == []


def test_every_measured_row_has_its_figures(finished: Finished) -> None:
    chosen, _, _ = finished
    row = row_of(chosen)
    assert row["latency_ms"]["p50"]["value"] > 0
    assert row["peak_memory_bytes"] > 10**6
    assert row["load_ms"] > 0
    assert row["accuracy"]["flips"] == 0, "scaling all scores changes no prediction"
    assert row["speedup"]["low"] < row["speedup"]["value"] < row["speedup"]["high"]


def test_rows_are_held_against_the_peaks_where_these_are_measured(thorough: Finished) -> None:
    chosen, _, _ = thorough
    found = report_of(chosen)
    jsonschema.validate(found, report_schema())
    assert found["peaks"]["ort_cpu"]["fp32_macs_per_s"] > 0
    assert row_of(chosen)["limits"]["verdict"] == "overhead", "most of a call passes beside its operator"
    assert asdict(load_record(chosen.output / "samples").peaks["ort_cpu"]) == found["peaks"]["ort_cpu"]


def test_the_recommended_variant_becomes_a_bundle_that_verifies(finished: Finished) -> None:
    chosen, _, _ = finished
    recommendation = report_of(chosen)["recommendation"]
    assert recommendation is not None
    checks = verify_bundle(chosen.output / "deploy" / recommendation["variant"])
    assert [check.name for check in checks if not check.passed] == []


def test_the_bundle_runs_with_the_recommended_targets_settings(limited: Finished) -> None:
    chosen, _, _ = limited
    console = Console(file=io.StringIO())
    record = load_record(chosen.output / "samples")
    won = Recommendation(variant="scaled", target="tuned", batch_size=1, why="it won", next_best=None)
    with ProgressDisplay(console) as display, builder(chosen, display.step) as making:
        built = loop.build(making, display)
    report = replace(analyse(record), recommendation=won)
    bundling.bundle(chosen, built, chosen.data.split("test"), record, report)
    manifest = json.loads((chosen.output / "deploy" / "scaled" / "manifest.json").read_text())
    assert manifest["measured"]["target"] == "tuned"
    session = manifest["session"]
    assert (session["intra_op_num_threads"], session["io_binding"], session["config_entries"]) == (2, True, {})


def test_any_row_of_a_finished_run_gets_a_bundle(finished: Finished, tmp_path: Path) -> None:
    chosen, _, _ = finished
    run = FinishedRun(plan=chosen, record=load_record(chosen.output / "samples"), folder=chosen.output)
    console = Console(file=io.StringIO())
    packing = Packing(zip_file=tmp_path / "asked.zip")
    assert bundling.bundle_rows(run, ["scaled@ort_cpu"], tmp_path / "asked", console, packing) == 0
    assert (tmp_path / "asked.zip").is_file()
    manifest = json.loads((tmp_path / "asked" / "manifest.json").read_text())
    assert (manifest["name"], manifest["measured"]["target"]) == ("scaled", "ort_cpu")
    assert manifest["why"].startswith("asked for by name; the run recommends")


def test_rows_of_a_finished_run_are_packed_with_what_they_are_compared_with(finished: Finished, tmp_path: Path) -> None:
    chosen, _, _ = finished
    run = FinishedRun(plan=chosen, record=load_record(chosen.output / "samples"), folder=chosen.output)
    console = Console(file=io.StringIO(), width=200)
    assert kit_packing.pack_run(run, kit_packing.Asked(rows=["scaled"], examples=20), tmp_path / "kit", console) == 0
    kit = json.loads((tmp_path / "kit" / "kit.json").read_text())
    assert [row["variant"] for row in kit["rows"]] == ["baseline", "scaled"]
    assert kit["examples"] == 20
    assert (chosen.output / "samples" / "kits" / f"{kit['id']}.json").is_file()
    assert "Copy it to the machine" in console.file.getvalue()  # type: ignore[attr-defined]
    with pytest.raises(UserError, match="did you mean 'scaled'"):
        kit_packing.pack_run(run, kit_packing.Asked(rows=["scaledd"]), tmp_path / "other", console)


@pytest.mark.parametrize(
    ("row", "problem"),
    [
        ("scaledd", "scaledd: variant scaledd does not exist; did you mean 'scaled'?"),
        ("scaled@ort", "scaled@ort: target ort does not exist; available: ort_cpu"),
        ("broken", "broken@ort_cpu/1 was not measured, so nothing can be said of it: a: RuntimeError: it broke"),
    ],
)
def test_a_bundle_of_a_row_that_is_none_is_one_line(finished: Finished, row: str, problem: str) -> None:
    chosen, _, _ = finished
    run = FinishedRun(plan=chosen, record=load_record(chosen.output / "samples"), folder=chosen.output)
    with pytest.raises(UserError, match=re.escape(problem)):
        run.row(row)


def test_a_bundle_replaces_nothing_but_a_bundle(finished: Finished, tmp_path: Path) -> None:
    chosen, _, _ = finished
    run = FinishedRun(plan=chosen, record=load_record(chosen.output / "samples"), folder=chosen.output)
    (tmp_path / "notes.txt").write_text("mine")
    with pytest.raises(UserError, match="holds something else than a bundle"):
        bundling.bundle_rows(run, ["baseline"], tmp_path, Console(file=io.StringIO()))
    assert (tmp_path / "notes.txt").read_text() == "mine"


def test_a_model_that_the_store_has_lost_says_how_to_get_it_back(finished: Finished, tmp_path: Path) -> None:
    chosen, _, _ = finished
    lost = replace(chosen, store=StorePlace(folder=tmp_path / "store"))
    run = FinishedRun(plan=lost, record=load_record(chosen.output / "samples"), folder=chosen.output)
    with pytest.raises(UserError, match="no longer has what a made of scaled: run it again"):
        bundling.bundle_rows(run, ["scaled"], tmp_path / "out", Console(file=io.StringIO()))


@pytest.mark.usefixtures("undrawn")
def test_the_report_can_be_derived_anew_and_is_the_same(finished: Finished) -> None:
    chosen, _, _ = finished
    before = report_of(chosen)
    (chosen.output / "report.json").unlink()
    assert loop.report(chosen.output, Console(file=io.StringIO())) == 0
    assert report_of(chosen) == before


def test_a_second_run_builds_nothing_and_says_so(again: Finished) -> None:
    _, code, printed = again
    assert code == 0, printed
    assert "nothing to build: all 2 models came from" in printed


@pytest.mark.usefixtures("undrawn")
def test_one_at_a_time_tells_the_factors_and_the_samples_give_them_back(again: Finished) -> None:
    chosen, _, _ = again
    found = report_of(chosen)
    assert [row["batch_size"] for variant in found["variants"] for row in variant["results"]] == [1, 4, 1]
    assert [(axis["factor"], axis["name"]) for axis in found["factors"]["axes"]] == [
        ("software", "a"), ("input", "batch"),
    ]  # fmt: skip
    loop.report(chosen.output, Console(file=io.StringIO()))
    assert report_of(chosen) == found


@pytest.mark.usefixtures("undrawn")
def test_what_an_explanation_proposes_is_tried_and_told_beside_it(thorough: Finished) -> None:
    chosen, code, printed = thorough
    found = report_of(chosen)
    row = row_of(chosen)
    [cause] = [cause for cause in row["explanation"]["causes"] if cause["change"] == "batch_sizes=[1,8]"]
    assert cause["outcome"]["against"] == "baseline at batch 8"
    assert cause["outcome"]["low"] <= cause["outcome"]["value"] <= cause["outcome"]["high"]
    assert code == 0, printed
    assert "proposed changes: 1 tried in" in printed
    assert [row["batch_size"] for variant in found["variants"] for row in variant["results"]] == [1, 1]
    loop.report(chosen.output, Console(file=io.StringIO()))
    assert report_of(chosen) == found


def test_without_labels_agreement_is_reported(unlabelled: Finished) -> None:
    accuracy = row_of(unlabelled[0])["accuracy"]
    assert (accuracy["metric"], accuracy["value"]) == ("agreement", 1.0)


def test_a_fixed_batch_is_measured_at_its_size(tmp_path: Path) -> None:
    linear_model(tmp_path / "linear.onnx", batch=4)
    chosen = plan(
        tmp_path, variants(scaled={"a": Scale()}), batch_sizes=(1, 4), measure=BRIEF, constraints=NOTHING_KEPT
    )
    code, printed = run(chosen, drawn=False)
    assert code == 0, printed
    rows = next(variant for variant in report_of(chosen)["variants"] if variant["name"] == "scaled")["results"]
    assert [row["status"] for row in rows] == ["skipped", "ok"]


def test_a_variant_that_reads_other_types_than_the_baseline_is_measured_like_any_other(
    tmp_path: Path, store: Path
) -> None:
    chain = {"convert": ConvertFp16(keep_io_types=False)}
    settings = {"measure": replace(REAL, explain="all"), "constraints": NOTHING_KEPT}
    chosen = plan(tmp_path, variants(half=chain), store=store, **settings)
    code, printed = run(chosen, drawn=False)
    assert code == 0, printed
    row = row_of(chosen, "half")
    assert row["status"] == "ok", row["reason"]
    assert row["accuracy"]["value"] > 0
    assert row["explanation"]["reason"] is None, "it was profiled, too"


def test_nothing_is_recommended_under_a_limit_that_none_keeps(limited: Finished) -> None:
    chosen, code, printed = limited
    found = report_of(chosen)
    assert code == 0, printed
    assert found["recommendation"] is None
    assert "max_size_mb" in found["why_none"]
    told = "this run did not wait for others that measure (measure.exclusive=false)"
    assert found["noise"]["beside"] == [told]
    assert load_record(chosen.output / "samples").latency.beside == [told]


@pytest.mark.skipif(find_spec("mlperf_loadgen") is None, reason="needs the extra mlperf")
def test_scenarios_that_were_asked_for_are_in_the_report_and_their_logs_in_the_run(unlabelled: Finished) -> None:
    chosen, code, printed = unlabelled
    row = row_of(chosen)
    assert code == 0, printed
    assert [found["scenario"] for found in row["scenarios"]] == ["SingleStream", "Offline"]
    assert all(found["samples_per_s"] > 0 for found in row["scenarios"])
    assert (chosen.output / row["scenarios"][1]["logs"] / "mlperf_log_summary.txt").exists()
    assert "MLPerf scenarios" in printed
    assert row["energy"]["reason"] == "not measured: measure.energy_s is null"


@pytest.mark.parametrize("part", ["accuracy", "tries"])
def test_a_run_that_is_stopped_keeps_what_it_measured_and_its_report_can_be_made(
    part: str, tmp_path: Path, store: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def stopped(*_: object) -> None:
        raise KeyboardInterrupt

    module, name = {"accuracy": (measuring, "evaluate_all"), "tries": (loop, "try_changes")}[part]
    monkeypatch.setattr(module, name, stopped)
    settings = {"accuracy": BRIEF, "tries": replace(REAL, try_s=5.0)}[part]
    chosen = plan(tmp_path, variants(scaled={"a": Scale()}), measure=settings, store=store)
    text = io.StringIO()
    with pytest.raises(KeyboardInterrupt):
        loop.run(chosen, Console(file=text, width=300))
    assert f"What was measured is kept: python -m pipeline report {chosen.output}" in text.getvalue()
    assert loop.report(chosen.output, Console(file=text, width=300)) == 0
    assert row_of(chosen)["speedup"]["value"] > 0
    assert (row_of(chosen)["accuracy"] is None) is (part == "accuracy")
    assert (UNFINISHED in report_of(chosen)["notes"]) is (part == "accuracy")


def test_a_bundle_that_fails_costs_the_report_nothing(
    tmp_path: Path, store: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def broken(*_: object, **__: object) -> None:
        raise ZeroDivisionError("division by zero")

    monkeypatch.delenv(RAISING)
    monkeypatch.setattr(bundling, "write_bundle", broken)
    monkeypatch.setattr(noise, "_CLONE_TOLERANCE", 1e9)  # on a busy machine nothing may be recommended else
    chosen = plan(tmp_path, variants(), measure=BRIEF, store=store)
    code, printed = run(chosen, drawn=False)
    assert code == 1
    assert "The bundle could not be made: ZeroDivisionError" in printed
    assert report_of(chosen)["recommendation"]["variant"] == "baseline"
    assert (chosen.output.parent / "latest" / "report.html").exists()


def test_a_baseline_that_can_not_be_built_ends_the_run(tmp_path: Path) -> None:
    with pytest.raises(SlimlineError, match=r"the baseline could not be built, .*: a: RuntimeError: it broke"):
        run(plan(tmp_path, {"baseline": {"a": Scale(fail="it broke")}}))


def test_a_folder_that_is_no_run_is_refused(tmp_path: Path) -> None:
    with pytest.raises(UserError, match="is not a finished run"):
        loop.report(tmp_path, Console(file=io.StringIO()))


def test_damaged_samples_are_refused(finished: Finished, tmp_path: Path) -> None:
    samples = tmp_path / "samples"
    samples.mkdir()
    (samples / "record.json").write_text('{"record_version": 99}')
    with pytest.raises(UserError, match="made by slimline another"):
        loop.report(tmp_path, Console(file=io.StringIO()))


@pytest.mark.skipif(not Path("/dev/full").exists(), reason="needs /dev/full")
def test_a_log_that_can_not_be_written_ends_nothing_and_prints_nothing(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    (tmp_path / "slimline.log").symlink_to("/dev/full")
    with logging_to(tmp_path / "slimline.log"):
        logging.getLogger("pipeline").info("lost")
    assert capsys.readouterr().err == ""


def test_a_full_disk_is_one_line_and_exit_code_1(tmp_path: Path, store: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def full(*_: Any) -> None:
        raise OSError(28, os.strerror(28))

    monkeypatch.setattr(loop, "save_record", full)
    with pytest.raises(OutOfSpace, match="no space left") as caught:
        run(plan(tmp_path, variants(), measure=BRIEF, store=store))
    assert caught.value.exit_code == 1


@pytest.mark.parametrize(
    ("after", "stop", "code"),
    [
        ("measuring latency", signal.SIGINT, 130),
        ("models built", signal.SIGTERM, 143),
        ("a fresh process each", signal.SIGHUP, 129),
    ],
)
def test_a_signal_ends_a_run_and_leaves_no_process_and_no_half_entry(
    tmp_path: Path, after: str, stop: signal.Signals, code: int
) -> None:
    linear_model(tmp_path / "m.onnx")
    program = (
        "import signal; signal.signal(signal.SIGINT, signal.default_int_handler);"  # a background job ignores it
        "import sys; sys.argv[1:] = ['model=onnx', 'model.path=m.onnx', 'data=npz', 'data.path=d.npz',"
        " 'variant=[baseline]', 'target=[ort_cpu]', 'measure.looks=[3]'];"
        "from pipeline.cli import main; main()"
    )
    _save_data(tmp_path / "d.npz")
    command = [sys.executable, "-c", program]
    streams = {"stdout": subprocess.PIPE, "stderr": subprocess.PIPE}
    with subprocess.Popen(command, cwd=tmp_path, text=True, start_new_session=True, **streams) as process:  # type: ignore[call-overload]
        next(line for line in process.stdout if after in line)
        os.killpg(process.pid, stop)
        _, errors = process.communicate(timeout=30)
    assert process.returncode == code, errors
    assert "start it again and it continues from the store" in errors
    assert "Traceback" not in errors
    deadline = time.monotonic() + 10
    while _session(process.pid) and time.monotonic() < deadline:
        time.sleep(0.05)
    assert _session(process.pid) == []
    store = tmp_path / "models" / "store"
    assert not any((store / ".new").iterdir())
    assert all((entry / "entry.json").exists() for entry in store.iterdir() if not entry.name.startswith("."))


def _session(leader: int) -> list[str]:
    """Command lines of the processes of a session that still run."""
    found = []
    for folder in Path("/proc").glob("[0-9]*"):
        try:
            fields = (folder / "stat").read_text().rpartition(")")[2].split()
            line = (folder / "cmdline").read_text()
        except OSError:
            continue
        if int(fields[3]) == leader and fields[0] != "Z":
            found.append(line)
    return found


def _save_data(path: Path) -> None:
    import numpy as np

    rng = np.random.default_rng(0)
    np.savez(path, x=rng.normal(size=(400_000, 8)).astype(np.float32), labels=rng.integers(0, 3, 400_000))
