"""With the real LoadGen, on a model that needs no runtime."""

from importlib.util import find_spec
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from pipeline.measure.loadgen.scenario import Ask, run_scenario, written
from tests.measure.fakes import job

pytestmark = pytest.mark.skipif(find_spec("mlperf_loadgen") is None, reason="needs the extra mlperf")
INPUTS = {"x": np.arange(40, dtype=np.float32).reshape(20, 2)}


def run(folder: Path, scenario: str, batch_size: int = 1, fixed: bool = False, **behaviour: Any) -> dict[str, Any]:
    ask = Ask(scenario=scenario, duration_s=0.1, seed=3, server_qps=500.0, server_latency_ms=1e4)
    model = job(folder, **behaviour)
    with written(INPUTS) as examples:
        return run_scenario(model, batch_size, fixed, ask, examples, folder / "logs" / scenario)


@pytest.mark.parametrize("scenario", ["SingleStream", "MultiStream", "Offline", "Server"])
def test_loadgen_gives_its_verdict_and_leaves_its_logs(scenario: str, tmp_path: Path) -> None:
    found = run(tmp_path, scenario)
    assert found["scenario"] == scenario
    assert isinstance(found["valid"], bool), found
    assert found["queries"] >= 1
    assert found["p50_ns"] >= 50_000, "a call takes that long"
    summary = (tmp_path / "logs" / scenario / "mlperf_log_summary.txt").read_text()
    assert f"Result is : {'VALID' if found['valid'] else 'INVALID'}" in summary


def test_the_seed_decides_when_servers_queries_arrive(tmp_path: Path) -> None:
    def arrivals(name: str) -> Any:
        (tmp_path / name).mkdir()
        return run(tmp_path / name, "Server")["queries"]

    assert arrivals("first") == arrivals("second")


def test_a_model_that_cannot_be_loaded_is_the_scenarios_reason(tmp_path: Path) -> None:
    found = run(tmp_path, "Offline", refuse="no such operator\nat node 7")
    assert found == {"scenario": "Offline", "reason": "RuntimeError: no such operator"}


def test_a_model_that_fails_at_a_batch_size_is_the_scenarios_reason(tmp_path: Path) -> None:
    found = run(tmp_path, "Offline", batch_size=2, raise_at_batch=2)
    assert found == {"scenario": "Offline", "reason": "ValueError: this batch is not for me"}


def test_a_fixed_batch_is_never_run_at_another_size(tmp_path: Path) -> None:
    assert isinstance(run(tmp_path, "SingleStream", 4, fixed=True, raise_at_batch=2)["valid"], bool)


def test_a_process_that_dies_is_the_scenarios_reason(tmp_path: Path) -> None:
    assert "was ended by SIGKILL" in run(tmp_path, "Server", die=True)["reason"]
