"""How should a model be timed? The experiments behind the defaults of ``measure``, on the variants of a run.

``rewarm``: how much slower are the first calls of a visit, after the other models have used the caches? ``cells``: long
visits or short ones? The same models have a round with each setting in turn. The precision that a minute of measuring
gives a ratio counts, not the precision of a visit.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from itertools import pairwise
from pathlib import Path
from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray
from rich.console import Console

from pipeline.analyse.cells import cells_by_subject, differences_by_round
from pipeline.artifact import Artifact
from pipeline.backends.onnxruntime import OnnxRuntime
from pipeline.data.dataset import Feed
from pipeline.errors import SlimlineError, UserError
from pipeline.measure.group import Subject
from pipeline.measure.latency import measure_latency
from pipeline.plan import BASELINE, MeasureSettings, Target
from pipeline.results.reading import load_record
from pipeline.results.record import CLONE, LatencySamples, subject_key
from pipeline.run.progress import ProgressDisplay
from pipeline.statistics.latency import hodges_lehmann
from pipeline.zoo.source import OnnxModel


class Setting(NamedTuple):
    """How cells are timed: the settings ``cell_ms``, ``untimed_ms``, ``blocks`` and ``long_call_ms``."""

    cell_ms: float
    untimed_ms: float
    blocks: int
    long_call_ms: float | None = MeasureSettings().long_call_ms

    def __str__(self) -> str:
        alike = ", long calls as short ones" if self.long_call_ms is None else ""
        return f"cells of {self.cell_ms:g} ms after {self.untimed_ms:g} ms untimed, {self.blocks} blocks{alike}"


SETTINGS: Sequence[Setting] = (
    Setting(12, 4, 32),
    Setting(6, 2, 48),
    Setting(24, 4, 20),
    Setting(48, 4, 12),
    Setting(12, 4, 64),
    Setting(12, 4, 32, None),
)
"""With fast models a round is about as long with each, but for 64 blocks."""
_REWARM_CELL_MS = 25.0
_SHOWN_CALLS = 8
_FEWEST = 20
_TARGET = Target(name="ort_cpu", backend=OnnxRuntime())
_MINUTE_S = 60
_FREE_SIZE = 16
"""The size of an axis that the model leaves open, such as a sequence's length."""
_Z = 1.96
Progress = Callable[[float, str], None]


def run_experiment(name: str, run: Path, rounds: int, console: Console) -> int:
    """Carry out ``rewarm`` or ``cells`` on a run's variants and print the lines; always returns 0."""
    models = models_of(run)
    label = f"experiment {name}"
    with ProgressDisplay(console) as display:
        lines = EXPERIMENTS[name](models, rounds, lambda done, text: display.step(label, min(done, 0.999), text))
        display.step(label, 1.0, f"{rounds} rounds")
    for line in lines:
        console.print(line, markup=False, highlight=False, soft_wrap=True)
    return 0


@dataclass(frozen=True, slots=True, kw_only=True)
class Models:
    """The ONNX variants of a run, the baseline first, and their inputs."""

    artifacts: Mapping[str, Artifact]
    feed: Feed


def models_of(run: Path) -> Models:
    """The variants of a run's folder that are still in the store; raises UserError where there are none."""
    try:
        record = load_record(run / "samples")
    except (FileNotFoundError, ValueError) as error:
        raise UserError(f"{run} is not a finished run: type a run's folder, such as outputs/latest") from error
    found = {
        variant.name: Artifact(path=Path(variant.path), format="onnx", digest=variant.digest or "")
        for variant in record.variants
        if variant.format == "onnx" and variant.path is not None and (Path(variant.path) / "model.onnx").exists()
    }
    if BASELINE not in found or len(found) == 1:
        raise UserError(f"{run} has no variants left in the store beside the baseline: run it again")
    found_baseline = found.pop(BASELINE)
    return Models(artifacts={BASELINE: found_baseline, **found}, feed=_feed(found_baseline.onnx_path))


def rewarm(models: Models, rounds: int, progress: Progress, blocks: int = 32) -> list[str]:
    """How much slower each of a visit's first calls is than the later half of the same visit's calls, as lines."""
    settings = MeasureSettings(
        looks=(rounds,),
        blocks=blocks,
        half_width=0.0,
        untimed_ms=0.0,
        cell_ms=_REWARM_CELL_MS,
        long_call_ms=None,
    )
    samples, _ = _measure(models, settings, 0, progress)
    lines = []
    for index, key in enumerate(samples.subjects):
        rows = np.flatnonzero(samples.subject == index)
        excess = _excess(samples, rows)
        calls = [
            f"{100 * np.expm1(np.median(values)):+.1f} %"
            for values in (excess.get(number, []) for number in range(_SHOWN_CALLS))
            if len(values) >= _FEWEST
        ]
        median_ms = float(np.median(samples.duration_ns[rows])) / 1e6
        lines.append(f"{key} ({median_ms:.2f} ms): {', '.join(calls)}")
    return lines


def _excess(samples: LatencySamples, rows: NDArray[np.intp]) -> dict[int, list[float]]:
    """The log of a call's time over the median of the visit's later half, by the call's number in its visit."""
    place = samples.round[rows] * (samples.block.max() + 1) + samples.block[rows]
    edges = [0, *(np.flatnonzero(np.diff(place)) + 1).tolist(), len(rows)]
    found: dict[int, list[float]] = {}
    for start, end in pairwise(edges):
        logs = np.log(samples.duration_ns[rows[start:end]])
        settled = float(np.median(logs[len(logs) // 2 :]))
        for number, value in enumerate(logs):
            found.setdefault(number, []).append(float(value) - settled)
    return found


def cells(models: Models, rounds: int, progress: Progress, tried: Sequence[Setting] = SETTINGS) -> list[str]:
    """How narrow a minute of measuring with each setting would make each ratio, as lines."""
    outcomes: dict[Setting, _Outcome] = {setting: _Outcome(ratios={}) for setting in tried}
    total = rounds * len(tried)
    for number in range(total):
        setting = tried[number % len(tried)]
        settings = MeasureSettings(looks=(1,), half_width=0.0, budget_s=None, **setting._asdict())
        samples, ratios = _measure(models, settings, number, lambda done, text: None)
        outcomes[setting].add(samples, ratios)
        progress((number + 1) / total, f"round {number + 1} of {total}")
    return [f"{setting}: {outcomes[setting]}" for setting in tried]


EXPERIMENTS: Mapping[str, Callable[[Models, int, Progress], list[str]]] = {"rewarm": rewarm, "cells": cells}


@dataclass(slots=True)
class _Outcome:
    """What one setting gave, over its rounds."""

    ratios: dict[str, list[float]]
    """For each model, every round's own estimate of the log-ratio."""
    seconds: float = 0.0
    timed_s: float = 0.0

    def add(self, samples: LatencySamples, ratios: Mapping[str, float]) -> None:
        self.seconds += samples.seconds
        self.timed_s += float(samples.duration_ns.sum()) / 1e9
        for name, ratio in ratios.items():
            self.ratios.setdefault(name, []).append(ratio)

    def __str__(self) -> str:
        rounds = len(next(iter(self.ratios.values())))
        # A round's error shrinks with the root of the rounds that a minute holds.
        scale = 100 * _Z * math.sqrt(self.seconds / rounds / _MINUTE_S)
        widths = ", ".join(f"{name} ±{scale * np.std(found, ddof=1):.2f} %" for name, found in self.ratios.items())
        return f"{100 * self.timed_s / self.seconds:.0f} % inside timed calls; after a minute {widths}"


def _measure(
    models: Models, settings: MeasureSettings, seed: int, progress: Progress
) -> tuple[LatencySamples, dict[str, float]]:
    """The samples, and of each model and the hidden clone the log-ratio over all blocks."""
    subjects = [
        Subject(key=subject_key(name, _TARGET.name, 1), artifact=artifact, target=_TARGET, batch_size=1)
        for name, artifact in models.artifacts.items()
    ]
    baseline = subject_key(BASELINE, _TARGET.name, 1)
    references = {subject.key: baseline for subject in subjects if subject.key != baseline}
    measured = measure_latency(subjects, references, [baseline], {1: models.feed}, settings, seed, progress=progress)
    if measured.failures:
        raise SlimlineError("; ".join(measured.failures.values()))
    found = cells_by_subject(measured.samples, {subject.key: _TARGET.device for subject in subjects})
    ratios = {
        key.partition("@")[0]: hodges_lehmann(np.concatenate(differences_by_round(mine, found[baseline])))
        for key, mine in found.items()
        if key != baseline
    }
    return measured.samples, {name.replace(CLONE + BASELINE, "clone"): ratio for name, ratio in ratios.items()}


def _feed(model: Path) -> Feed:
    """One example of noise that fits the model's inputs; raises UserError where an input takes other than numbers."""
    rng = np.random.default_rng(0)
    feed = {}
    for name, wanted in OnnxModel(path=model).signature().items():
        kind = np.dtype(wanted.dtype)
        shape = [1, *(size or _FREE_SIZE for size in (wanted.shape or ())[1:])]
        if kind.kind not in "fiu":
            raise UserError(f"{model}: input {name} takes {wanted.dtype}, and only numbers can be made up")
        feed[name] = rng.standard_normal(shape).astype(kind) if kind.kind == "f" else np.ones(shape, kind)
    return feed
