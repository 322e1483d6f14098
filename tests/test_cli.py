"""The command line: what a user sees, and the exit codes."""

from __future__ import annotations

import subprocess
import sys
from importlib.resources import files
from pathlib import Path

import pytest

from pipeline import __version__
from pipeline.cli import COMMANDS, main
from pipeline.command_line.arguments import NAMES
from pipeline.plan import Plan


def run(capsys: pytest.CaptureFixture[str], *arguments: str) -> tuple[int, str, str]:
    with pytest.raises(SystemExit) as caught:
        main(arguments)
    captured = capsys.readouterr()
    code = caught.value.code
    assert isinstance(code, int)
    return code, captured.out, captured.err


@pytest.fixture(autouse=True)
def _elsewhere(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    monkeypatch.setattr(sys, "argv", ["slimline"])
    monkeypatch.delenv("HYDRA_FULL_ERROR", raising=False)


@pytest.mark.parametrize(
    ("overrides", "message"),
    [
        (["nope=1"], "nope does not exist; available: data, debug"),
        (["measure.nope=1"], "measure.nope does not exist; available: profile, looks"),
        (["variants.pruned.stages.prune.nope=1"], "variants.pruned.stages.prune.nope does not exist; available: "),
        (
            ["search.budget_s=300"],
            "search.budget_s does not exist: nothing is chosen from 'search'; add search=default",
        ),
        (["variants.nope.devices=[cpu]"], "variants.nope does not exist"),
        (["target.nope.threads=2"], "target.nope does not exist"),
        (["target.ort_cpu.threads=0"], "target.ort_cpu.threads must be at least 1 (got 0)"),
        (["target.ort_cpu.session.nope=1"], "target.ort_cpu.session.nope does not exist; available: "),
        (["data.calibration_size=0"], "needs calibration data: set data.calibration_size above 0"),
        (["variant=[static_int8]"], "type variant=[baseline,static_int8]"),
        (["model=onnx"], "model.path has no value: type model.path=VALUE"),
        (["model=onnx", "model.path=no.onnx"], "model.path: no.onnx does not exist"),
        (["data=npz", "data.path=no.npz"], "no.npz does not exist"),
        (["measure.reference=baseline@nope"], "measure.reference=baseline@nope must be variant@target"),
        (["constraints.max_accuracy_drop=2"], "is a fraction: 0.01 is one point"),
        (["metric=cosin"], "'cosin' does not exist; did you mean 'cosine'? available in 'metric': "),
        (["limits.second=3"], "limits.second does not exist; did you mean 'seconds'? available: seconds, memory_gb"),
        (
            ["variants.static_int8.stages.quantise.per_channel=true"],
            "variants.static_int8.stages.quantise does not exist here: did you mean 'quantize'? no configuration of",
        ),
        (["measure.reference=baseline@ort_gpu"], "must be variant@target: did you mean 'baseline@ort_cpu'? out of "),
        (["a b=["], "a b=["),
        (["--no-such-flag"], "--no-such-flag"),
    ],
)
def test_wrong_input_gets_a_line_and_exit_code_2(
    capsys: pytest.CaptureFixture[str], overrides: list[str], message: str
) -> None:
    code, _, error = run(capsys, *overrides)
    assert message in error
    assert "Traceback" not in error
    assert code == 2


def test_a_package_that_a_configuration_needs_is_told_in_one_line(capsys: pytest.CaptureFixture[str]) -> None:
    assert run(capsys, "data=texts", "data.path=${package:no_such_package}/texts.csv") == (
        2,
        "",
        "slimline: this needs the package no_such_package, which is not installed: pip install 'slimline[examples]'\n",
    )


def options(group: str) -> str:
    """What ships in a configuration group, as it is listed for the user."""
    return ", ".join(sorted(path.stem for path in (Path(str(files("pipeline.conf"))) / group).glob("*.yaml")))


@pytest.mark.parametrize(
    ("group", "override"),
    [("variant", "variant=[baseline,nope]"), ("model", "model=nope"), ("target", "target=[nope]")],
)
def test_what_a_group_does_not_have_is_told_with_what_it_has(
    capsys: pytest.CaptureFixture[str], group: str, override: str
) -> None:
    code, _, error = run(capsys, override)
    assert f"'nope' does not exist; available in '{group}': {options(group)}\n" in error
    assert "Traceback" not in error
    assert code == 2


def test_all_problems_are_reported_together(capsys: pytest.CaptureFixture[str]) -> None:
    problems = {
        "batch_sizes=[a]": "batch_sizes.0: input should be a valid integer",
        "measure.blocks=many": "measure.blocks: input should be a valid integer",
        "target.ort_cpu.threads=x": "target.ort_cpu.threads: input should be a valid integer",
        "data.calibration_size=-1": "calibration_size",
        "variants.pruned.stages.prune.pruning_ratio=1.5": "variants.pruned.stages.prune.pruning_ratio must be ",
        "variants.pruned_int8.stages.prune.pruning_ratio=abc": "variants.pruned_int8.stages.prune.pruning_ratio: ",
        "variants.static_int8.stages.quantize.calibration=nope": "variants.static_int8.stages.quantize.calibration",
    }
    code, _, error = run(capsys, *problems)
    assert code == 2
    for message in problems.values():
        assert message in error
    assert "Traceback" not in error


def test_help_lists_the_groups_and_the_configuration(capsys: pytest.CaptureFixture[str]) -> None:
    code, out, _ = run(capsys, "--help")
    assert code == 0
    for group in ("variant", "target", "model", "experiment"):
        assert f"{group}: {options(group)}\n" in out
    assert "batch_sizes:" in out


def test_cfg_job_prints_the_configuration_with_overrides(capsys: pytest.CaptureFixture[str]) -> None:
    code, out, _ = run(capsys, "--cfg", "job", "variants.pruned.stages.prune.pruning_ratio=0.25")
    assert code == 0
    assert "pruning_ratio: 0.25" in out


def test_version(capsys: pytest.CaptureFixture[str]) -> None:
    assert run(capsys, "--version") == (0, f"slimline {__version__}\n", "")


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (["report", "no/such/run"], "no/such/run"),
        (["verify", "no/such/bundle"], "no/such/bundle"),
        (["store", "gc", "--max-gb", "-1"], "--max-gb must be at least 0"),
        (["store", "nope"], "invalid choice"),
        (["doctor", "--nope"], "unrecognized arguments: --nope"),
        (
            ["selftest", "search", "--runs", "2", "measure=quick"],
            "measure=quick is a quick look and recommends nothing",
        ),
    ],
)
def test_the_other_commands_refuse_wrong_input(
    capsys: pytest.CaptureFixture[str], arguments: list[str], message: str
) -> None:
    code, _, error = run(capsys, *arguments)
    assert message in error
    assert code == 2


def test_every_name_of_a_command_has_its_command() -> None:
    assert tuple(COMMANDS) == NAMES


def test_help_and_the_package_import_neither_torch_nor_onnxruntime() -> None:
    program = (
        "import sys, pipeline, pipeline.cli\n"
        "try:\n    pipeline.cli.main(['--help'])\nexcept SystemExit:\n    pass\n"
        "assert not {'torch', 'onnxruntime', 'onnx', 'scipy', 'altair'} & set(sys.modules), 'heavy import'"
    )
    done = subprocess.run([sys.executable, "-c", program], capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr


def test_what_an_interpolation_stands_for_is_not_in_the_report(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setenv("SLIMLINE_TEST_SECRET", "hunter2")
    typed = "measure.price_per_hour=${oc.select:nothing,3}", "data.name=${oc.env:SLIMLINE_TEST_SECRET}x"
    commands = []

    def keep(plan: Plan, console: object) -> int:
        commands.append(plan.command)
        return 0

    monkeypatch.setattr("pipeline.run.loop.run", keep)
    code, _, _ = run(capsys, f"hydra.run.dir={tmp_path}", *typed)
    assert code == 0
    assert "hunter2" not in commands[0]
    assert "${oc.env:SLIMLINE_TEST_SECRET}" in commands[0]


def test_a_runs_folder_that_can_not_be_made_is_said_in_a_line(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    (tmp_path / "file").write_text("")
    code, _, error = run(capsys, f"hydra.run.dir={tmp_path / 'file'}")
    assert code == 2
    assert "file: " in error
    assert "hydra.run.dir=FOLDER" in error
