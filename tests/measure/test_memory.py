import sys
from dataclasses import replace
from pathlib import Path

import pytest

from pipeline.errors import WorkerFailed
from pipeline.measure.memory import peak_memory
from tests.measure.fake_nvml import FakeNvml
from tests.measure.fakes import FEEDS, artifact, target

MIB = 2**20


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
    ],
)
def test_a_model_that_needs_more_memory_than_there_is_says_so(tmp_path: Path, said: str) -> None:
    with pytest.raises(
        WorkerFailed, match=r"^out of memory \(smaller batch_sizes need less\): RuntimeError: "
    ) as caught:
        peak_memory(artifact(tmp_path, "model", refuse=said), target(), FEEDS[1])
    assert said in str(caught.value)
