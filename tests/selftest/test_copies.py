from collections.abc import Callable, Mapping, Sequence
from dataclasses import asdict
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from numpy.typing import NDArray

from pipeline.artifact import Artifact
from pipeline.errors import SlimlineError
from pipeline.measure.latency import Measured
from pipeline.measure.probe import write_probe
from pipeline.measure.race import Dropped, Judge
from pipeline.plan import MeasureSettings
from pipeline.results.record import LatencySamples
from pipeline.search import look
from pipeline.selftest import copies
from pipeline.selftest.copies import SearchTrial, search_copies
from tests.selftest.test_simple_rules import one_after_another

Times = Mapping[str, NDArray[np.float64]]
SHORT = MeasureSettings(
    looks=(3,), blocks=4, cell_ms=1.0, untimed_ms=0.5, warmup_calls=2, warmup_ms=1.0, half_width=1, exclusive=False
)
CALLS, PROOF_ROUNDS = 3, 7


class Simulated:
    """A machine whose speed wanders by 10 % while each process differs by 0.5 %, and each block by 2 %."""

    def __init__(self, seed: int, faster: Mapping[str, float] | None = None, failing: str | None = None) -> None:
        self.rng = np.random.default_rng(seed)
        self.faster = faster or {}
        self.failing = failing

    def measure(
        self,
        subjects: Sequence[Any],
        references: Mapping[str, str],
        clones: Sequence[str],
        feeds: Any,
        settings: MeasureSettings,
        seed: int,
        judge: Judge | None = None,
        **_: Any,
    ) -> Measured:
        pairs = {**references, **{f"clone:{key}": key for key in clones}}
        keys = [*(subject.key for subject in subjects), *(f"clone:{key}" for key in clones)]
        rounds = settings.looks[-1] if judge else PROOF_ROUNDS
        times = self._times(keys, rounds, settings.blocks)
        logs = {key: np.log(np.median(found, axis=2)) for key, found in times.items()}
        differences = {key: list(logs[other] - logs[key]) for key, other in pairs.items()}
        reasons = judge(differences, rounds) if judge else {}
        return Measured(
            samples=_samples(times),
            times={},
            failures={key: "no such operator" for key in keys if self.failing and self.failing in key},
            dropped={key: Dropped(rounds=rounds, reason=reason) for key, reason in reasons.items()},
            differences=differences,
        )

    def _times(self, keys: Sequence[str], rounds: int, blocks: int) -> dict[str, NDArray[np.float64]]:
        drift = self.rng.normal(0, 0.1, (rounds, blocks, 1))
        found = {}
        for key in keys:
            process = self.rng.normal(0, 0.005, (rounds, 1, 1))
            noise = self.rng.normal(0, 0.02, (rounds, blocks, CALLS))
            gain = self.faster.get(key.removeprefix("clone:").partition("@")[0], 1.0)
            found[key] = 0.4 / gain * np.exp(drift + process + noise)
        return found

    def sequential(self, artifact: Any, names: Sequence[str], time_it: Any, start: str) -> Times:
        return one_after_another(self.rng, names)


def _samples(times: Times) -> LatencySamples:
    stacked = np.array(list(times.values()))
    subject, round_, block, _ = (index.ravel().astype(np.int32) for index in np.indices(stacked.shape))
    return LatencySamples(
        subjects=list(times),
        subject=subject,
        round=round_,
        block=block,
        position=np.zeros_like(block),
        duration_ns=(stacked * 1e6).round().astype(np.int64).ravel(),
        telemetry=[],
        rounds=stacked.shape[1],
        stopped="width",
        seconds=10.0,
    )


@pytest.fixture
def probe(tmp_path: Path) -> Artifact:
    return write_probe(tmp_path / "probe")


@pytest.fixture
def searched(probe: Artifact, monkeypatch: pytest.MonkeyPatch) -> Callable[[Simulated], SearchTrial]:
    def run(machine: Simulated) -> SearchTrial:
        monkeypatch.setattr(look, "measure_latency", machine.measure)
        monkeypatch.setattr(copies, "measure_latency", machine.measure)
        monkeypatch.setattr(copies, "one_after_another", machine.sequential)
        return search_copies(probe, MeasureSettings(), 3)

    return run


def test_the_search_recommends_no_copy_where_simple_rules_choose_one(
    searched: Callable[[Simulated], SearchTrial],
) -> None:
    trials = [searched(Simulated(seed)) for seed in range(8)]
    assert sum(trial.recommended is not None for trial in trials) <= 1
    assert not any(trial.noisy for trial in trials)
    assert all(sum(trial.simple[name] is not None for trial in trials) > 4 for name in trials[0].simple)
    # The best of the looks is luck, which fresh rounds do not share.
    assert np.median([trial.looked or 0 for trial in trials]) > 1.005
    assert abs(np.median([trial.proven or 0 for trial in trials]) - 1) < 0.005


def test_a_copy_that_is_faster_would_be_recommended(searched: Callable[[Simulated], SearchTrial]) -> None:
    trial = searched(Simulated(0, faster={"copy_07": 1.05}))
    assert trial.recommended == "copy_07"
    assert trial.finalists == 3


def test_where_every_copy_is_dropped_the_baseline_stays(searched: Callable[[Simulated], SearchTrial]) -> None:
    trial = searched(Simulated(0, faster={"baseline": 1.5}))
    assert (trial.recommended, trial.finalists, trial.looked, trial.noisy) == (None, 0, None, False)


def test_a_proof_that_fails_is_no_trial(searched: Callable[[Simulated], SearchTrial]) -> None:
    with pytest.raises(SlimlineError, match="no such operator"):
        searched(Simulated(0, failing="baseline"))


@pytest.mark.slow
def test_a_trial_is_a_whole_search(probe: Artifact, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(copies, "COPIES", 3)
    steps: list[float] = []
    trial = search_copies(probe, SHORT, 5, lambda done, text: steps.append(done))
    assert (trial.seed, trial.rounds) == (5, 3)
    assert SearchTrial(**asdict(trial)) == trial
    assert len(trial.simple) == 3
    assert steps == sorted(steps)
