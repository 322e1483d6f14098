import sys
from pathlib import Path

import pytest

from pipeline.errors import WorkerFailed
from pipeline.measure.memory import peak_memory_bytes
from tests.measure.fakes import FEEDS, artifact, target

MIB = 2**20


@pytest.mark.skipif(sys.platform != "linux", reason="reads /proc")
def test_a_model_that_holds_more_has_a_higher_peak(tmp_path: Path) -> None:
    small, large = (
        peak_memory_bytes(artifact(tmp_path, f"m{size}", memory_mb=size), target(), FEEDS[1]) for size in (0, 100)
    )
    assert small is not None
    assert large is not None
    assert 90 * MIB < large - small < 200 * MIB


@pytest.mark.skipif(sys.platform != "linux", reason="reads /proc")
def test_what_this_process_holds_does_not_count(tmp_path: Path) -> None:
    ballast = bytearray(b"x") * (500 * MIB)
    found = peak_memory_bytes(artifact(tmp_path, "model"), target(), FEEDS[1])
    assert found is not None
    assert found < len(ballast)


def test_a_model_that_cannot_be_run_gives_its_reason(tmp_path: Path) -> None:
    with pytest.raises(WorkerFailed, match="no such operator"):
        peak_memory_bytes(artifact(tmp_path, "model", refuse="no such operator"), target(), FEEDS[1])
