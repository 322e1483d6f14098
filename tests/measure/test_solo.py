import gc
import os
import sys
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest

from pipeline.artifact import Artifact
from pipeline.backends.onnxruntime import OnnxRuntime
from pipeline.data.dataset import Feed
from pipeline.errors import WorkerFailed
from pipeline.measure.probe import probe_feed, write_probe
from pipeline.measure.profile import calls_of
from pipeline.measure.solo import PeakBytes, Solo, run_alone
from pipeline.measure.workers.start import alone
from pipeline.measure.workers.worker import Job, Load, PeakMemory, State
from pipeline.plan import Target
from tests.machine.fake_nvml import FakeNvml
from tests.measure.fakes import FEEDS, artifact, job, target

MIB = 2**20


def solo(one: Job, **asked: Any) -> Solo:
    with alone(one) as worker:
        return run_alone(worker, one, 1, **asked)


def peak_memory(model: Artifact, on: Target, feed: Feed) -> PeakBytes:
    return solo(Job(artifact=model, target=on, feed=feed)).peak


@pytest.mark.skipif(sys.platform != "linux", reason="reads /proc")
def test_a_model_that_holds_more_has_a_higher_peak(tmp_path: Path) -> None:
    small, large = (
        peak_memory(artifact(tmp_path, f"m{size}", memory_mb=size), target(), FEEDS[1]).host for size in (0, 100)
    )
    assert small is not None
    assert large is not None
    assert 90 * MIB < large - small < 200 * MIB


@pytest.mark.skipif(sys.platform != "linux", reason="reads /proc")
def test_what_this_process_holds_does_not_count(tmp_path: Path) -> None:
    ballast = bytearray(b"x") * (500 * MIB)
    found = peak_memory(artifact(tmp_path, "model"), target(), FEEDS[1]).host
    assert found is not None
    assert found < len(ballast)


def test_a_model_that_cannot_be_run_gives_its_reason(tmp_path: Path) -> None:
    with pytest.raises(WorkerFailed, match="no such operator"):
        peak_memory(artifact(tmp_path, "model", refuse="no such operator"), target(), FEEDS[1])


@pytest.mark.skipif(sys.platform != "linux", reason="pins processes")
def test_a_row_keeps_to_cores_that_are_chosen_when_its_turn_comes(tmp_path: Path) -> None:
    one = job(tmp_path, pid_file=str(tmp_path / "pid"))
    assert one.cores is None
    with alone(one) as worker:
        run_alone(worker, one, 1)
        assert len(os.sched_getaffinity(int((tmp_path / "pid").read_text()))) == 1


def test_a_cards_memory_is_what_it_rose_by(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delenv("CUDA_VISIBLE_DEVICES", raising=False)
    driver = FakeNvml(monkeypatch)
    driver.used = [500 * MIB, 1_300 * MIB]
    on_card = replace(target(), device="cuda")
    assert peak_memory(artifact(tmp_path, "model"), on_card, FEEDS[1]).device == 800 * MIB
    assert peak_memory(artifact(tmp_path, "model"), target(), FEEDS[1]).device is None, "nothing runs on a card"


def test_without_a_driver_a_cards_memory_is_not_known(tmp_path: Path) -> None:
    assert peak_memory(artifact(tmp_path, "model"), replace(target(), device="cuda"), FEEDS[1]).device is None


@pytest.mark.parametrize(
    "said",
    [
        "CUDA out of memory. Tried to allocate 20.00 GiB.",
        "[ONNXRuntimeError] : 6 : RUNTIME_EXCEPTION : Failed to allocate memory for requested buffer of size 858993459",
        "CUBLAS failure 3: CUBLAS_STATUS_ALLOC_FAILED",
        "CUBLAS failure 3: the resource allocation failed ; GPU=0 ; expr=cublasCreate(&cublas_handle_);",
    ],
)
def test_a_model_that_needs_more_memory_than_there_is_says_so(tmp_path: Path, said: str) -> None:
    with pytest.raises(
        WorkerFailed, match=r"^out of memory \(smaller batch_sizes need less\): RuntimeError: "
    ) as caught:
        peak_memory(artifact(tmp_path, "model", refuse=said), target(), FEEDS[1])
    assert said.rpartition(" : ")[2] in str(caught.value)


def test_energy_and_profile_that_fail_are_reasons_of_their_own(tmp_path: Path) -> None:
    found = solo(job(tmp_path), energy_s=0.01, profiled=True, powercap=tmp_path)
    assert found.peak.host is not None
    assert found.energy["reason"].startswith("not measured: there is no processor package's energy counter")
    assert found.profile == {"reason": "fake rows have no profile"}


def test_a_profile_that_was_not_asked_for_is_none(tmp_path: Path) -> None:
    assert solo(job(tmp_path)).profile is None


def test_a_real_model_tells_its_operators_where_it_ran(tmp_path: Path) -> None:
    on = Target(name="ort_cpu", backend=OnnxRuntime())
    found = solo(Job(artifact=write_probe(tmp_path / "probe"), target=on, feed=probe_feed()), profiled=True)
    assert found.profile is not None
    assert {node["provider"] for node in found.profile["nodes"]} == {"CPUExecutionProvider"}
    assert found.profile["calls"] >= 10


@pytest.mark.parametrize(
    ("call_ms", "calls"), [(0.0, 200), (1.0, 200), (10.0, 30), (100.0, 10), (400.0, 5), (5000.0, 3)]
)
def test_a_slow_model_is_profiled_in_fewer_calls(call_ms: float, calls: int) -> None:
    assert calls_of(call_ms) == calls


def test_a_slow_model_runs_fewer_times_until_its_memory_is_told(tmp_path: Path) -> None:
    def ran(limit_s: float) -> int:
        file = tmp_path / f"batches_{limit_s}"
        state = State(job(tmp_path, batches_file=str(file)))
        Load(calls=1, warmup_ns=0)(state)
        before = len(file.read_text())
        PeakMemory(calls=20, limit_s=limit_s)(state)
        return (len(file.read_text()) - before) // 2

    try:
        assert (ran(60.0), ran(0.0)) == (20, 1)
    finally:
        gc.enable()
