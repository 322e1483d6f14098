"""Whatever the user's model or a library does while building, the others are built and the reason is told."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
import time
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path

import pytest

from pipeline.artifact import Artifact
from pipeline.data.dataset import SplitName
from pipeline.errors import UserError
from pipeline.plan import Context, Plan, RunLimits, Stage
from pipeline.run.build import builder
from pipeline.run.built import Built
from pipeline.zoo.source import InputSpec, TorchModel
from tests.example import Scale, plan
from tests.shared_templates import end_idle

pytestmark = pytest.mark.slow


@pytest.fixture(scope="module", autouse=True)
def before() -> list[int]:
    """What other tests have started in this process."""
    return _children()


class Dumb(Exception):
    """It can't say what is wrong, and can't be pickled."""

    def __init__(self) -> None:
        super().__init__()
        self.function = lambda: None

    def __str__(self) -> str:
        raise ValueError("not even this")


class Odd(BaseException):
    pass


def misbehave(how: str) -> None:
    errors: dict[str, BaseException] = {
        "dumb": Dumb(), "odd": Odd("it is odd"), "interrupt": KeyboardInterrupt(), "exit": SystemExit(3),
        "user": UserError("what a user typed"),
    }  # fmt: skip
    if how in errors:
        raise errors[how]
    if how == "os._exit":
        os._exit(0)
    if how == "abort":
        os.write(2, b"terminate called after throwing an instance of 'std::length_error'\n")
        os.abort()
    if how == "loop":
        while True:
            pass
    if how == "memory":
        _ = [bytearray(b"x" * 10**7) for _ in range(10**6)]


@dataclass(frozen=True, slots=True, kw_only=True)
class Misbehaves(Scale):
    how: str = ""

    def __call__(self, source: Artifact, out: Path, context: Context) -> None:
        misbehave(self.how)
        super(Misbehaves, self).__call__(source, out, context)


@dataclass(frozen=True, slots=True, kw_only=True)
class Reads(Scale):
    split: SplitName = "train"

    def __call__(self, source: Artifact, out: Path, context: Context) -> None:
        context.data.split(self.split)


REASONS = [
    ("dumb", "Dumb"),
    ("odd", "Odd: it is odd"),
    ("interrupt", "KeyboardInterrupt"),
    ("exit", "SystemExit: 3"),
    ("user", "what a user typed"),
    ("os._exit", "its process ended with code 0"),
    ("abort", "its process was ended by SIGABRT: terminate called after throwing an instance of 'std::length_error'"),
    ("memory", "GB is the limit: limits.memory_gb=GIGABYTES allows more"),
]
LIMITS = RunLimits(seconds=60.0, memory_gb=1.0)
BRIEF = RunLimits(seconds=3.0)


def build(chosen: Plan) -> dict[str, Built]:
    with builder(chosen, lambda *_: None) as making:
        return {name: making.build(variant) for name, variant in chosen.variants.items()}


@pytest.fixture(scope="module")
def built(tmp_path_factory: pytest.TempPathFactory) -> Mapping[str, Built]:
    stages: dict[str, dict[str, Stage]] = {how: {"a": Misbehaves(how=how)} for how, _ in REASONS}
    return build(plan(tmp_path_factory.mktemp("run"), {**stages, "good": {"a": Scale()}}, limits=LIMITS))


@pytest.mark.parametrize(("how", "reason"), REASONS)
def test_however_a_stage_ends_it_has_a_reason(built: Mapping[str, Built], how: str, reason: str) -> None:
    record = built[how].record
    assert record.status == "failed"
    assert record.reason is not None
    assert record.reason.startswith("a: ")
    assert reason in record.reason


def test_the_other_variants_are_built(built: Mapping[str, Built]) -> None:
    assert built["good"].record.status == "ok"
    assert built["good"].record.parameters == 24


def test_a_split_that_a_stage_does_not_name_is_not_handed_over(tmp_path: Path) -> None:
    record = build(plan(tmp_path, {"v": {"a": Reads()}}))["v"].record
    assert record.reason == "a: it reads the split 'train', which its class variable 'reads' does not name"


def test_a_stage_that_loops_for_ever_is_ended(tmp_path: Path) -> None:
    built = build(plan(tmp_path, {"v": {"a": Misbehaves(how="loop")}, "baseline": {}}, limits=BRIEF))
    assert built["v"].record.reason == "a: nothing was heard of it for 3 s: limits.seconds=SECONDS allows more"
    assert built["baseline"].record.status == "ok"


@pytest.mark.parametrize(
    ("how", "when", "reason"),
    [("abort", "made", "SIGABRT"), ("os._exit", "run", "ended with code 0")],
)
def test_a_model_that_misbehaves_when_it_comes_in_is_a_line(tmp_path: Path, how: str, when: str, reason: str) -> None:
    model = TorchModel(
        name="network", factory="tests.misbehaving_network.Network", weights=None, arguments={"how": how, "when": when},
        inputs={"x": InputSpec(shape=(8,))},
    )  # fmt: skip
    with pytest.raises(UserError, match=f"^the model network can't be read or made: .*{reason}"):
        build(plan(tmp_path, {"baseline": {}}, model=model, limits=LIMITS))


def uncountable(artifact: Artifact) -> None:
    misbehave("abort")


def test_a_model_that_misbehaves_when_it_is_counted_is_not_counted(
    tmp_path: Path, caplog: pytest.LogCaptureFixture, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("pipeline.run.build.size_of", uncountable)
    record = build(plan(tmp_path, {"baseline": {}}))["baseline"].record
    assert (record.status, record.macs) == ("ok", None)
    assert "could not be counted: its process was ended by SIGABRT" in caplog.text


@dataclass(frozen=True, slots=True, kw_only=True)
class NoKey(Scale):
    """It fails before it is run, in this process."""

    def machine_key(self, isa: frozenset[str]) -> str:
        raise ZeroDivisionError("nobody foresaw this")


def test_an_error_that_nobody_foresaw_is_its_variants_reason(tmp_path: Path) -> None:
    built = build(plan(tmp_path, {"v": {"a": NoKey()}, "baseline": {}}))
    assert built["v"].record.reason == "ZeroDivisionError: nobody foresaw this"
    assert built["baseline"].record.status == "ok"


PROGRAM = """
import io, pathlib, sys
import onnxruntime
from rich.console import Console
from pipeline.report.charts import figures
from pipeline.run import loop as runner
from tests.example import Scale, plan

figures.draw_apart = lambda report: figures.Drawing(figures=[])  # by another process, and slow
onnxruntime.InferenceSession = None  # here; in no other process
chosen = plan(pathlib.Path(sys.argv[1]), {"baseline": {}, "scaled": {"a": Scale()}})
code = runner.run(chosen, Console(file=io.StringIO()))
sys.exit(code or ("torch" in sys.modules and "PyTorch was imported"))
"""


def test_the_programs_own_process_makes_no_session_and_imports_no_pytorch(tmp_path: Path) -> None:
    command = [sys.executable, "-c", PROGRAM, str(tmp_path)]
    done = subprocess.run(command, capture_output=True, text=True, check=False)
    assert (done.returncode, done.stderr) == (0, "")


@pytest.mark.skipif(sys.platform != "linux", reason="reads /proc")
def test_nothing_is_left_running(before: list[int]) -> None:
    end_idle()
    deadline = time.monotonic() + 10
    while (left := set(_children()) - set(before)) and time.monotonic() < deadline:
        time.sleep(0.05)
    assert left == set()


def _children() -> list[int]:
    found = []
    for listing in Path("/proc/self/task").glob("*/children"):
        found += [int(pid) for pid in listing.read_text().split()]
    return [pid for pid in found if _is_running(pid)]


def _is_running(pid: int) -> bool:
    try:
        os.kill(pid, signal.SIG_DFL)
    except ProcessLookupError:
        return False
    return True
