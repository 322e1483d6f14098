"""What a kit runs there needs Python 3.9, numpy and the runtime, and nothing else."""

from __future__ import annotations

import ast
import re
import shutil
import sys
from pathlib import Path

import numpy as np
import pytest
from scipy.stats import t

from pipeline.kit.device import estimate, schedule
from pipeline.kit.device.command import main
from pipeline.kit.device.samples import sha256_of
from pipeline.kit.device.telemetry import levels
from pipeline.kit.program import PARTS, program
from pipeline.measure.schedule import blocks_per_round
from pipeline.plan import MeasureSettings
from pipeline.statistics.latency import paired_ratio
from tests.kit.conftest import Ran

PROGRAM = {name: content.decode() for name, content in program({"onnxruntime", "openvino"}).items()}
ALLOWED = {*sys.stdlib_module_names, "numpy", PARTS}
RUNTIMES = {
    f"{PARTS}/on_onnxruntime.py": {"onnxruntime"},
    f"{PARTS}/choice.py": {"onnxruntime"},
    f"{PARTS}/on_openvino.py": {"openvino"},
}
SETTINGS = {
    "cell_ms": 12.0,
    "min_calls": 3,
    "untimed_ms": 4.0,
    "long_call_ms": 20.0,
    "blocks": 32,
    "looks": [7, 10, 20],
}


@pytest.mark.parametrize("name", PROGRAM)
def test_its_syntax_is_that_of_python_3_9(name: str) -> None:
    ast.parse(PROGRAM[name], feature_version=(3, 9))


@pytest.mark.parametrize("name", PROGRAM)
def test_it_calls_nothing_that_came_with_python_3_10(name: str) -> None:
    calls = [node for node in ast.walk(ast.parse(PROGRAM[name])) if isinstance(node, ast.Call)]
    named = {keyword.arg for call in calls for keyword in call.keywords}
    newer = {"slots", "kw_only"} & named
    strict = [
        call for call in calls if ast.unparse(call.func) == "zip" and any(k.arg == "strict" for k in call.keywords)
    ]
    # ``checked`` is a bundle's, and no kit calls it.
    assert not newer
    assert len(strict) == (1 if name.endswith("/values.py") else 0)


@pytest.mark.parametrize("name", PROGRAM)
def test_it_imports_the_standard_library_and_numpy_only(name: str) -> None:
    imported = set()
    for node in ast.walk(ast.parse(PROGRAM[name])):
        if isinstance(node, ast.Import):
            imported |= {alias.name.partition(".")[0] for alias in node.names}
        elif isinstance(node, ast.ImportFrom) and not node.level:
            imported.add(str(node.module).partition(".")[0])
    assert imported <= ALLOWED | RUNTIMES.get(name, set())


def test_a_model_that_does_not_load_there_takes_no_other_with_it(ran: Ran) -> None:
    assert ran.said.returncode == 1, ran.said.stderr
    table = ran.said.stdout
    assert "baseline@ort_cpu/4" in table
    assert "24 examples, 0 % from home's" in table
    assert "nowhere" in next(line for line in table.splitlines() if line.startswith("unknown@ort_cpu/4: "))
    assert "SCREENED" in table
    assert re.search("a second copy of baseline@ort_cpu/4 ran|baseline@ort_cpu/4 was timed in too few rounds", table)


def test_sums_that_sha256sum_reads_cover_every_file(ran: Ran) -> None:
    listed = [line.split("  ", 1) for line in (ran.samples / "SHA256SUMS").read_text().splitlines()]
    lines = {name: digest for digest, name in listed}
    files = {path.relative_to(ran.samples).as_posix() for path in ran.samples.rglob("*") if path.is_file()}
    assert files - {"SHA256SUMS"} == lines.keys()
    assert all(sha256_of(ran.samples / name) == digest for name, digest in lines.items())


def test_a_kit_that_was_damaged_on_its_way_measures_nothing(
    ran: Ran, tmp_path: Path, capfd: pytest.CaptureFixture[str]
) -> None:
    kit = Path(shutil.copytree(ran.folder / "kit", tmp_path / "kit"))
    (kit / "inputs" / "0.npy").write_bytes(b"half of it")
    assert main(kit, arguments=["--out", str(tmp_path / "out")]) == 2
    assert "inputs/0.npy is not as it was packed: copy the whole kit again" in capfd.readouterr().err
    assert not (tmp_path / "out").exists()


def test_its_ratio_is_the_one_of_the_report() -> None:
    rng = np.random.default_rng(3)
    rounds = [rng.normal(0.3, 0.02, 12) for _ in range(7)]
    there, here = estimate.paired_ratio(rounds, 0.03), paired_ratio(rounds, 0.03)
    assert (there.value, there.low, there.high) == pytest.approx((here.value, here.low, here.high), rel=1e-5)


@pytest.mark.parametrize("degrees", [1, 2, 6, 19, 39])
def test_its_quantile_of_student_is_scipys(degrees: int) -> None:
    assert estimate.t_quantile(0.985, degrees) == pytest.approx(t.ppf(0.985, degrees), rel=1e-4)


@pytest.mark.parametrize("calls_ms", [[0.5, 0.5], [2.0, 9.0, 15.0], [40.0, 300.0]])
def test_its_blocks_are_those_of_a_run_here(calls_ms: list[float]) -> None:
    assert schedule.blocks_per_round(calls_ms, SETTINGS) == blocks_per_round(calls_ms, MeasureSettings())


def row(key: str, memory: int = 100) -> dict[str, object]:
    return {"key": key, "reference": "base", "memory_bytes": memory}


def test_what_the_memory_does_not_hold_at_once_is_measured_in_groups_with_the_baseline() -> None:
    rows = [row("base"), row("a"), row("b"), row("c")]
    assert len(schedule.groups(rows, None)) == 1
    found = schedule.groups(rows, 700)  # 60 % of it: the baseline, its clone, and two more
    assert [[entry["key"] for entry in group] for group in found] == [["base", "a", "b"], ["base", "c"]]
    assert all(schedule.clone_of(group)["key"] == "base" for group in found)


def test_a_budget_makes_rounds_shorter_before_it_makes_them_fewer() -> None:
    full = schedule.expect([2.0, 2.0], 1.0, SETTINGS, None)
    short = schedule.expect([2.0, 2.0], 1.0, SETTINGS, 12.0)
    assert (full.blocks, full.rounds) == (32, (7, 20))
    assert short.blocks < full.blocks
    assert short.seconds[0] <= 12.0


def test_the_battery_is_told_where_there_is_one(tmp_path: Path) -> None:
    for name, value in {"BAT0/capacity": "84", "BAT1/capacity": "no number"}.items():
        (tmp_path / name).parent.mkdir()
        (tmp_path / name).write_text(value)
    assert levels(tmp_path)["battery_percent"] == 84.0
    assert levels(tmp_path / "nothing").keys() == {"celsius", "clock_mhz"}
