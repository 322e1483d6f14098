"""One moment of benchmarks/kills.py: a run is killed while it measures, and the next one is right and tidies up."""

from __future__ import annotations

import importlib.util
import signal
import sys
from pathlib import Path
from typing import Any

import pytest

SCRIPT = Path(__file__).parents[1] / "benchmarks" / "kills.py"


@pytest.fixture(scope="module")
def kills() -> Any:
    specification = importlib.util.spec_from_file_location("kills", SCRIPT)
    assert specification is not None
    assert specification.loader is not None
    module = importlib.util.module_from_spec(specification)
    sys.modules["kills"] = module  # dataclasses look their own module up
    specification.loader.exec_module(module)
    return module


@pytest.mark.slow
@pytest.mark.skipif(sys.platform != "linux", reason="reads /proc")
def test_nothing_is_left_of_a_killed_run_once_the_next_has_ended(tmp_path: Path, kills: Any) -> None:
    brief = ("variant=[baseline,dynamic_int8]", "measure.peaks=false", "measure.explain=none", "measure.energy_s=null")
    place = kills.Workplace(folder=tmp_path / "work", overrides=(*kills.ONNX, *brief))
    place.prepare()
    run = place.start()
    run.until("measuring latency")
    run.process.send_signal(signal.SIGKILL)
    assert run.end().code == -signal.SIGKILL
    assert place.orphans() == []
    assert place.damaged() == []
    assert len(place.left()) == 1, "the run's own folder in TMPDIR"
    following = place.start().end()
    assert (following.code, following.wrong) == (0, []), following.said
    assert place.left() == []
    assert "nothing to build" in following.said
    found = place.figures()
    assert {status for status, *_ in found.values()} == {"ok"}
    assert found["baseline ort_cpu"][1] == 1.0
