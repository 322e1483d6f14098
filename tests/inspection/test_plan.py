"""A dry run says what a run would do, and does nothing."""

from __future__ import annotations

import io
import json
from collections.abc import Callable
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import jsonschema
import pytest
from rich.console import Console

from pipeline.backends.onnxruntime import OnnxRuntime
from pipeline.data.dataset import Split, SplitName
from pipeline.errors import NoExamples, UserError
from pipeline.inspection import command
from pipeline.inspection.dry_run import ABOUT, SCHEMA_VERSION, DryRun
from pipeline.inspection.plan import dry_run
from pipeline.measure.whole_call import BLOCKS
from pipeline.plan import MeasureSettings, Plan, SearchSettings, Target
from pipeline.report.schema import schema_of
from pipeline.run.build import builder
from pipeline.run.fitting import acquainted, with_fitted_data
from pipeline.run.preflight import preflight
from pipeline.stages.fix_shapes import FixShapes
from pipeline.stages.quantize_static import QuantizeStatic
from pipeline.zoo.source import OnnxModel
from tests.example import Arrays, NeedsTorch, Scale, linear_model, plan


@dataclass(frozen=True)
class Uncalibrated(Arrays):
    """A data set without calibration examples."""

    def split(self, name: SplitName) -> Split:
        if name == "calibration":
            raise NoExamples("the data set has no calibration split")
        return Arrays.split(self, name)


STAGES: dict[str, Any] = {
    "baseline": {},
    "once": {"a": Scale(by=2.0)},
    "twice": {"a": Scale(by=2.0), "b": Scale(by=3.0)},
    "static": {"quantize": QuantizeStatic()},
}
CUDA = Target(name="ort_cuda", backend=OnnxRuntime(), device="cuda")


def built(chosen: Plan, *names: str) -> None:
    """Build variants as a run does."""
    fitted = with_fitted_data(chosen)
    with builder(fitted, lambda label, done, text: None) as making:
        making.plan = acquainted(fitted, making.source().artifact, preflight(fitted), making.start).plan
        for name in names:
            assert making.build(chosen.variants[name]).record.status == "ok"


def stages(found: DryRun, name: str) -> list[tuple[str, str, bool]]:
    [variant] = [variant for variant in found.variants if variant.name == name]
    return [(stage.name, stage.status, stage.shared) for stage in variant.stages]


def reasons(found: DryRun) -> dict[str, str | None]:
    return {f"{row.variant}@{row.target}/{row.batch_size}": row.reason for row in found.rows}


def test_an_empty_store_means_that_all_is_to_be_built_once(tmp_path: Path) -> None:
    found = dry_run(plan(tmp_path, STAGES))
    assert (found.stored, found.to_build) == (0, 4)
    assert stages(found, "once") == [("model", "to build", True), ("a", "to build", False)]
    assert stages(found, "twice") == [("model", "to build", True), ("a", "to build", True), ("b", "to build", False)]
    assert found.examples == {"calibration": 32, "test": 200}
    assert any("the model is not in the store" in note for note in found.notes)


@pytest.mark.slow
def test_what_is_stored_is_found_with_the_time_that_it_took(tmp_path: Path) -> None:
    chosen = plan(tmp_path, STAGES)
    built(chosen, "once", "static")
    found = dry_run(chosen)
    assert (found.stored, found.to_build) == (3, 1)
    assert stages(found, "twice") == [("model", "stored", True), ("a", "stored", True), ("b", "to build", False)]
    assert stages(found, "static")[-1] == ("quantize", "stored", False)
    [once] = [variant for variant in found.variants if variant.name == "once"]
    assert once.stages[-1].seconds is not None
    assert found.notes == []


@pytest.mark.slow
def test_a_changed_field_is_to_be_built_and_the_time_of_the_other_one_is_told(tmp_path: Path) -> None:
    chosen = plan(tmp_path, {"baseline": {}, "v": {"a": Scale(by=2.0)}})
    built(chosen, "v")
    changed = plan(tmp_path, {"baseline": {}, "v": {"a": Scale(by=4.0)}})
    stage = dry_run(changed).variants[1].stages[-1]
    assert (stage.status, stage.seconds) == ("to build", None)
    assert stage.like_it_s is not None


def _tree(folder: Path) -> dict[str, int]:
    return {str(path.relative_to(folder)): path.stat().st_mtime_ns for path in folder.rglob("*")}


@pytest.mark.slow
def test_nothing_is_done(tmp_path: Path) -> None:
    chosen = plan(tmp_path, STAGES)
    built(chosen, "once")
    before = _tree(tmp_path)
    dry_run(chosen)
    assert _tree(tmp_path) == before, "no folder, and no entry counts as used"


@pytest.mark.slow
def test_a_damaged_entry_is_to_be_built_again(tmp_path: Path) -> None:
    chosen = plan(tmp_path, {"baseline": {}, "v": {"a": Scale()}})
    built(chosen, "v")
    for model in (tmp_path / "store").glob("*/artifact/model.onnx"):
        model.write_bytes(b"damaged")
    assert dry_run(chosen).stored == 0


def test_rows_are_skipped_for_the_reasons_that_a_run_would_give(tmp_path: Path) -> None:
    chosen = plan(tmp_path, {**STAGES, "torch": {"prune": NeedsTorch()}}, data=Uncalibrated())
    found = dry_run(replace(chosen, targets={**chosen.targets, "ort_cuda": CUDA}))
    said = reasons(found)
    assert said["baseline@ort_cpu/1"] is None
    assert "CUDAExecutionProvider" in str(said["baseline@ort_cuda/1"])
    assert said["static@ort_cpu/1"] == "quantize reads calibration examples, and the data has none"
    assert "prune needs a PyTorch model, and linear is an ONNX model" in str(said["torch@ort_cpu/1"])
    [static] = [variant for variant in found.variants if variant.name == "static"]
    assert static.stages == []


def test_a_row_of_another_batch_than_the_models_is_skipped(tmp_path: Path) -> None:
    model = OnnxModel(path=linear_model(tmp_path / "fixed.onnx", batch=1))
    said = reasons(dry_run(plan(tmp_path, {"baseline": {}}, model=model, batch_sizes=(1, 4))))
    assert said["baseline@ort_cpu/1"] is None
    assert "the model's batch is fixed at 1: type batch_sizes=[1]" in str(said["baseline@ort_cpu/4"])
    again = dry_run(plan(tmp_path / "again", {"baseline": {}, "v": {"fix": FixShapes(batch_size=4)}}, model=model))
    assert reasons(again)["v@ort_cpu/1"] is None
    fixed = plan(tmp_path / "free", {"baseline": {}, "v": {"fix": FixShapes()}}, batch_sizes=(1, 4))
    said = reasons(dry_run(fixed))
    assert (said["baseline@ort_cpu/4"], said["v@ort_cpu/1"]) == (None, None)
    assert "variants.v.stages.fix.batch_size=4" in str(said["v@ort_cpu/4"])


def test_the_time_that_measuring_may_take_is_told(tmp_path: Path) -> None:
    measure = MeasureSettings(budget_s=90.0, energy_s=5.0, try_s=30.0)
    found = dry_run(plan(tmp_path, {"baseline": {}, "v": {"a": Scale()}}, measure=measure)).measuring
    assert (found.latency_s, found.energy_s, found.tries_s, found.scenarios_s) == (90.0, 10.0, 30.0, 0.0)
    assert dry_run(plan(tmp_path, {"baseline": {}}, measure=replace(measure, explain="none"))).measuring.tries_s == 0.0


def test_the_time_that_whole_calls_take_is_told_where_they_are_timed(tmp_path: Path) -> None:
    variants: dict[str, Any] = {"baseline": {}, "v": {"a": Scale()}}
    measure = MeasureSettings(looks=(5,), cell_ms=10.0, stages=("decode", "model"))
    assert dry_run(plan(tmp_path, variants, measure=measure)).measuring.stages_s == 5 * BLOCKS * 0.01 * 2
    assert dry_run(plan(tmp_path, variants, measure=replace(measure, stages=()))).measuring.stages_s == 0.0


def test_a_search_lists_its_candidates_and_what_rules_leave_out(tmp_path: Path) -> None:
    search = SearchSettings(budget_s=60.0, choices={"once": {"a": {"by": (5.0,)}}})
    found = dry_run(plan(tmp_path, STAGES, search=search, data=Uncalibrated()))
    assert found.rows == []
    assert found.search is not None
    assert found.search.candidates == ["once@ort_cpu", "once-by-5.0@ort_cpu", "twice@ort_cpu"]
    [left] = found.search.left_out
    assert (left.variant, left.reason) == ("static", "quantize reads calibration examples, and the data has none")


PROBLEMS: list[tuple[Callable[[Path], dict[str, Any]], list[str]]] = [
    (
        lambda folder: {
            "targets": {"ort_cpu": Target(name="ort_cpu", backend=OnnxRuntime(), session={"nope": 1})},
            "data": Arrays(sizes={"calibration": 4}),
            "store": linear_model(folder / "taken"),
        },
        ["session.nope does not exist", "there is no test split", "taken is not a folder, so it can't be a store"],
    ),
    (
        lambda folder: {"model": OnnxModel(path=folder / "no.onnx"), "store": linear_model(folder / "taken")},
        ["no.onnx does not exist", "taken is not a folder"],
    ),
]


@pytest.mark.parametrize(("changes", "says"), PROBLEMS)
def test_every_problem_is_told_at_once(
    tmp_path: Path, changes: Callable[[Path], dict[str, Any]], says: list[str]
) -> None:
    with pytest.raises(UserError) as caught:
        dry_run(plan(tmp_path, {"baseline": {}}, **changes(tmp_path)))
    for words in says:
        assert len([problem for problem in caught.value.problems if words in problem]) == 1, caught.value.problems


def printed(chosen: Plan, **options: Any) -> str:
    text = io.StringIO()
    assert command.dry_run(chosen, Console(file=text, width=200), **options) == 0
    return text.getvalue()


@pytest.mark.slow
def test_the_terminal_tells_models_rows_and_the_command(tmp_path: Path) -> None:
    chosen = plan(tmp_path, STAGES)
    built(chosen, "once")
    text = printed(replace(chosen, targets={**chosen.targets, "ort_cuda": CUDA}))
    assert "Models: 2 in the store, 2 to build" in text
    assert "Rows: 4 to measure, 4 to skip" in text
    assert "on ort_cpu, batch 1: baseline, once, twice, static" in text
    assert "skip on ort_cuda, batch 1: baseline, once, twice, static: " in text
    assert "as above: model, a; to build: b" in text
    assert "in the store: a (took " in text
    assert text.splitlines()[-1] == "  python -m pipeline"


def test_json_keeps_to_its_schema(tmp_path: Path) -> None:
    search = SearchSettings(budget_s=60.0)
    schema = schema_of(DryRun, "plan", SCHEMA_VERSION, ABOUT)
    jsonschema.Draft202012Validator.check_schema(schema)
    for chosen in (plan(tmp_path, STAGES), plan(tmp_path, STAGES, search=search)):
        document = json.loads(printed(chosen, as_json=True))
        jsonschema.validate(document, schema)
        with pytest.raises(jsonschema.ValidationError):
            jsonschema.validate({**document, "stored": -1}, schema)
