"""A plan is checked whole, before any work."""

from __future__ import annotations

import math
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest

from pipeline.backends.onnxruntime import OnnxRuntime
from pipeline.data.noise import Noise
from pipeline.plan import Constraints, MeasureSettings, Target
from pipeline.plan.check import check
from pipeline.stages.export import ExportOnnx
from pipeline.stages.quantize_static import QuantizeStatic
from tests.example import Arrays, NeedsTorch, Scale, plan


def test_a_stages_role_is_one_of_those_that_there_are(tmp_path: Path) -> None:
    odd = type("Odd", (Scale,), {"role": "colour"})
    [problem] = check(plan(tmp_path, {"baseline": {}, "v": {"export": ExportOnnx(), "a": odd()}}))
    assert problem == (
        "variants.v.stages.a: its role must be one of precision, architecture, training, export, import, input, "
        "graph (got colour)"
    )


def test_a_plan_that_fits_has_no_problems(tmp_path: Path) -> None:
    assert check(plan(tmp_path, {"baseline": {}, "v": {"export": ExportOnnx(), "a": Scale()}})) == []


def test_a_stages_field_that_is_out_of_range_is_named(tmp_path: Path) -> None:
    stages = {"export": ExportOnnx(), "a": QuantizeStatic(percentile=1.0)}
    assert check(plan(tmp_path, {"baseline": {}, "v": stages}, data=Arrays(calibration_size=8))) == [
        "variants.v.stages.a.percentile must be above 50 (got 1.0); 99.99 leaves out the largest one of 10,000"
    ]


def test_a_stage_before_the_export_that_needs_onnx_is_refused(tmp_path: Path) -> None:
    problems = check(plan(tmp_path, {"baseline": {}, "v": {"quantize": Scale(), "export": ExportOnnx()}}))
    assert problems == [
        "variants.v.stages.quantize needs onnx but gets torch from the model: the order is quantize -> export; "
        "put an export stage before it"
    ]


def test_a_stage_after_the_export_that_needs_pytorch_is_refused(tmp_path: Path) -> None:
    [problem] = check(plan(tmp_path, {"baseline": {}, "v": {"export": ExportOnnx(), "prune": NeedsTorch()}}))
    assert "variants.v.stages.prune needs torch but gets onnx from export" in problem
    assert "put it before the export stage" in problem


def test_an_empty_calibration_set_is_refused_with_every_stage_that_needs_it(tmp_path: Path) -> None:
    stages = {"export": ExportOnnx(), "quantize": QuantizeStatic()}
    problems = check(plan(tmp_path, {"baseline": {}, "a": stages, "b": stages}, data=Arrays(calibration_size=0)))
    assert [problem.partition(" needs")[0] for problem in problems] == [
        "variants.a.stages.quantize",
        "variants.b.stages.quantize",
    ]


def test_noise_without_calibration_examples_is_not_refused_because_no_setting_of_its_size_exists(
    tmp_path: Path,
) -> None:
    stages = {"export": ExportOnnx(), "quantize": QuantizeStatic()}
    assert check(plan(tmp_path, {"baseline": {}, "a": stages}, data=Noise(examples={"test": 8}))) == []


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"targets": {}}, "no target is selected"),
        ({"batch_sizes": ()}, "batch_sizes is empty"),
        ({"batch_sizes": (0,)}, "batch_sizes.0 must be at least 1 (got 0)"),
        ({"batch_sizes": (10**20,)}, "batch_sizes.0 must be at most 1,048,576 (got 100000000000000000000)"),
        ({"seed": -1}, "seed must be at least 0 (got -1)"),
        ({"store_max_gb": -1.0}, "store.max_gb must be at least 0 (got -1.0)"),
        ({"store_max_gb": math.nan}, "store.max_gb must be a finite number (got nan)"),
        ({"measure": MeasureSettings(half_width=math.nan)}, "measure.half_width must be a finite number (got nan)"),
        ({"measure": MeasureSettings(warmup_calls=-1)}, "measure.warmup_calls must be at least 0 (got -1)"),
        ({"measure": MeasureSettings(cell_ms=1e300)}, "measure.cell_ms must be at most 3,600,000 (got 1e+300)"),
        ({"measure": MeasureSettings(budget_s=math.inf)}, "measure.budget_s must be a finite number (got inf)"),
        ({"batch_sizes": (1, 1)}, "batch_sizes must be different"),
        ({"grid": "some"}, "grid must be one of all, one_at_a_time (got some)"),
        ({"targets": {"t": Target(name="t", backend=OnnxRuntime(), threads=0)}}, "target.t.threads must be at least 1"),
        ({"measure": MeasureSettings(looks=(10, 7))}, "measure.looks must hold rising numbers of rounds (got [10, 7])"),
        ({"measure": MeasureSettings(looks=(2,))}, "measure.looks.0 must be at least 3 (got 2)"),
        ({"measure": MeasureSettings(blocks=1)}, "measure.blocks must be at least 4"),
        ({"measure": MeasureSettings(alpha=0.7)}, "measure.alpha must be below 0.5 (got 0.7)"),
        ({"measure": MeasureSettings(budget_s=0)}, "measure.budget_s must be above 0"),
        ({"measure": MeasureSettings(reference="baseline")}, "must be variant@target"),
        ({"measure": MeasureSettings(stages=("decode",))}, "type measure.stages=[decode,model]"),
        ({"measure": MeasureSettings(scenarios=("Burst",))}, "Burst does not exist; available: SingleStream,"),
        ({"measure": MeasureSettings(scenarios=("Offline", "Offline"))}, "measure.scenarios must be different"),
        (
            {"measure": MeasureSettings(scenarios=("Server",))},
            "Server needs a rate and a latency bound: type measure.server_qps=200 measure.server_latency_ms=20",
        ),
        ({"measure": MeasureSettings(scenarios=("Server",), server_qps=9.0)}, "type measure.server_latency_ms=20"),
        ({"measure": MeasureSettings(scenario_s=0)}, "measure.scenario_s must be above 0"),
        ({"measure": MeasureSettings(energy_s=0)}, "measure.energy_s must be above 0 (got 0)"),
        (
            {"measure": MeasureSettings(energy_s=100)},
            "must be at most 60 (got 100); a counter may wrap around",
        ),
        (
            {"constraints": Constraints(max_accuracy_drop=1.0)},
            "is a fraction: 0.01 is one point",
        ),
        ({"constraints": Constraints(max_latency_ms=-1.0)}, "constraints.max_latency_ms must be above 0"),
    ],
)
def test_what_can_not_be_is_refused_with_its_key(tmp_path: Path, changes: dict[str, Any], message: str) -> None:
    [problem] = check(replace(plan(tmp_path, {"baseline": {}}), **changes))
    assert message in problem


def test_all_problems_come_together(tmp_path: Path) -> None:
    problems = check(plan(tmp_path, {"v": {"quantize": Scale()}}, batch_sizes=(), targets={}))
    assert len(problems) == 4


def test_a_stage_behind_one_that_leaves_onnx_is_sent_before_it(tmp_path: Path) -> None:
    leaving = type("Leaving", (Scale,), {"produces": "openvino"})
    [problem] = check(plan(tmp_path, {"baseline": {}, "v": {"export": ExportOnnx(), "a": leaving(), "b": Scale()}}))
    assert "variants.v.stages.b needs onnx but gets openvino from a" in problem
    assert problem.endswith("put it before a")
