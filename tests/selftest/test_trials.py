from pathlib import Path

import pytest

from pipeline.measure.probe import write_probe
from pipeline.plan import MeasureSettings
from pipeline.selftest.peers import PEERS
from pipeline.selftest.trials import COPY, SLOWED, run_trial

SHORT = MeasureSettings(looks=(3,), blocks=4, cell_ms=1.0, untimed_ms=0.5, warmup_calls=2, warmup_ms=1.0, half_width=1)


@pytest.mark.parametrize("model", [COPY, SLOWED])
def test_a_trial_is_a_whole_measurement(model: str, tmp_path: Path) -> None:
    steps: list[float] = []
    trial = run_trial([model], write_probe(tmp_path / "probe"), SHORT, 5, lambda done, text: steps.append(done))[model]
    assert trial.low < trial.value < trial.high
    assert (trial.seed, trial.rounds) == (5, 3)
    assert 0 < trial.timed_share < 1
    assert steps[-1] == 1.0


@pytest.mark.parametrize("name", PEERS)
def test_the_usual_methods_are_really_run(name: str, tmp_path: Path) -> None:
    found = PEERS[name](write_probe(tmp_path / "probe"), 0.1)
    assert 0 < found.low <= found.value <= found.high
