"""Makes one trial of the self-test: a whole measurement of models whose true ratio is known."""

from __future__ import annotations

import time
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field

from pipeline.analyse.cells import cells_by_subject, differences_by_round
from pipeline.analyse.noise import check_noise
from pipeline.analyse.speed import estimate_ratios
from pipeline.artifact import Artifact
from pipeline.backends.onnxruntime import OnnxRuntime
from pipeline.errors import SlimlineError
from pipeline.measure.group import Subject
from pipeline.measure.latency import measure_latency
from pipeline.measure.probe import Slowed, probe_feed
from pipeline.plan import BASELINE, Backend, MeasureSettings, Target
from pipeline.results.record import SubjectRecord, subject_key

COPY = "copy"
SLOWED = "slowed"
SLOWDOWN = 0.03
"""The share of a call that the slowed model spins after it."""
TRUE_RATIOS: Mapping[str, float] = {COPY: 1.0, SLOWED: 1 / (1 + SLOWDOWN)}
SPIN_CERTAINTY = 0.0015
"""How well the slowed model's ratio is known: the call after a spin is a little faster than one after none
(docs/measurement.md, "It proves itself")."""
_TARGET = "ort_cpu"
_BATCH = 1
_DECIMALS = 6


@dataclass(frozen=True, slots=True, kw_only=True)
class Trial:
    """The result of a whole measurement for one model."""

    seed: int
    value: float
    low: float
    high: float
    """The upper end of the interval of its speed-up over the baseline."""
    noisy: bool
    """Whether the run's own checks failed for this model."""
    rounds: int
    seconds: float
    timed_share: float
    differences: list[list[float]] = field(default_factory=list)
    """For each round, every block's difference of log times: baseline less model."""

    @property
    def excludes_one(self) -> bool:
        """Whether the trial calls the model different from the baseline."""
        return not self.low <= 1 <= self.high

    @property
    def half_width(self) -> float:
        """Half the interval's length, relative to 1."""
        return (self.high - self.low) / 2

    def covers(self, ratio: float, certainty: float = 0.0) -> bool:
        """Whether the interval holds a ratio that is known to ± ``certainty``."""
        return self.low <= ratio + certainty and ratio - certainty <= self.high


def run_trial(
    models: Sequence[str],
    artifact: Artifact,
    settings: MeasureSettings,
    seed: int,
    progress: Callable[[float, str], None] = lambda done, text: None,
) -> dict[str, Trial]:
    """Measure ``models`` (COPY, SLOWED) against the baseline, with the hidden clone and all checks of a real run.

    Raises SlimlineError where a measuring process fails.
    """
    # Those that aren't slowed are wrapped alike: what the wrapper itself takes must not look like a difference.
    backends: dict[str, Backend] = {
        name: Slowed(inner=OnnxRuntime(), share=SLOWDOWN if name == SLOWED else 0.0) for name in (BASELINE, *models)
    }
    records = [
        SubjectRecord(variant=name, target=_TARGET, device="cpu", batch_size=_BATCH, status="ok", reason=None)
        for name in backends
    ]
    baseline, *others = (record.key for record in records)
    began = time.monotonic()
    measured = measure_latency(
        [
            Subject(
                key=subject_key(name, _TARGET, _BATCH),
                artifact=artifact,
                target=Target(name=_TARGET, backend=backend),
                batch_size=_BATCH,
            )
            for name, backend in backends.items()
        ],
        dict.fromkeys(others, baseline),
        [baseline],
        {_BATCH: probe_feed()},
        settings,
        seed,
        progress=progress,
    )
    if measured.failures:
        raise SlimlineError(f"the self-test could not measure: {'; '.join(measured.failures.values())}")
    devices = {record.key: record.device for record in records}
    cells = cells_by_subject(measured.samples, devices)
    estimates = estimate_ratios(records, cells, settings)
    checks = check_noise(cells, estimates, devices, measured.samples, settings)
    noisy_rows = checks.noisy_rows(devices)
    return {
        record.variant: Trial(
            seed=seed,
            value=estimates[record.key].value,
            low=estimates[record.key].low,
            high=estimates[record.key].high,
            noisy=record.key in noisy_rows,
            rounds=checks.noise.rounds,
            seconds=time.monotonic() - began,
            timed_share=checks.noise.timed_share,
            differences=[
                [round(float(value), _DECIMALS) for value in values]
                for values in differences_by_round(cells[record.key], cells[baseline])
            ],
        )
        for record in records
        if record.key in estimates
    }
