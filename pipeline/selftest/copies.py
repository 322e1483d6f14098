"""Makes one trial of ``selftest search``: a search among renamed copies of the baseline, of which none is faster.

The looks, the choice of the finalists, their fresh rounds and the rule that recommends are those of a run's search
(``pipeline.search``, ``pipeline.measure``, ``pipeline.analyse``). Nothing is built, and no drift is judged: copies
predict what the baseline predicts. Simple rules then choose among the same copies, timed one after another for as long
inside calls.
"""

from __future__ import annotations

import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field

import numpy as np

from pipeline.analyse import analyse
from pipeline.artifact import Artifact
from pipeline.backends.onnxruntime import OnnxRuntime
from pipeline.errors import SlimlineError
from pipeline.measure.group import Subject
from pipeline.measure.latency import measure_latency
from pipeline.measure.probe import probe_feed
from pipeline.plan import BASELINE, Constraints, MeasureSettings, SearchSettings, Target, Variant
from pipeline.results.header import Machine, TargetRecord
from pipeline.results.record import (
    AccuracySamples,
    LatencySamples,
    Record,
    SubjectRecord,
    VariantRecord,
    subject_key,
)
from pipeline.results.report import Report
from pipeline.results.search import Drift
from pipeline.search.board import Board, Standing
from pipeline.search.look import TOGETHER, Look
from pipeline.search.space import Candidate
from pipeline.selftest.peers import one_after_another, to_the_end
from pipeline.selftest.simple_rules import MANY, RULES

COPIES = 20
_TARGET = Target(name="ort_cpu", backend=OnnxRuntime())
_BATCH = 1
_EXAMPLES = 10_000
_NONE = Drift(
    delta=0.0, low=-1e-3, high=1e-3, n=_EXAMPLES, flips=0, margin=0.01, verdict="NO MEANINGFUL DROP", decidable=True
)
_NS_PER_S = 1e9
Progress = Callable[[float, str], None]


@dataclass(frozen=True, slots=True, kw_only=True)
class SearchTrial:
    """The outcome of a search among copies."""

    seed: int
    recommended: str | None
    """The copy that was recommended as faster than the baseline; None: the baseline was, or nothing."""
    noisy: bool
    """Whether the proof could judge nothing, as its own checks failed."""
    looked: float | None
    """The speed-up of the fastest copy, as the looks saw it; None: they dropped all copies."""
    proven: float | None
    """The speed-up of the same copy in the proof's rounds."""
    finalists: int
    rounds: int
    """The proof's rounds."""
    seconds: float
    """What the search took, its proof included."""
    simple: dict[str, float | None] = field(default_factory=dict)
    """By simple rule: the speed-up of the copy that it chose; None: it kept the baseline."""


def search_copies(
    artifact: Artifact, settings: MeasureSettings, seed: int, progress: Progress = lambda done, text: None
) -> SearchTrial:
    """Search among copies of a model and let the simple rules choose, too.

    Raises SlimlineError where a measuring process fails.
    """
    began = time.monotonic()
    names = [f"copy_{number:02d}" for number in range(1, COPIES + 1)]
    board, looks = _looked(artifact, names, settings, seed, lambda text: progress(0.0, text))
    chosen = board.finalists(SearchSettings().finalists)
    finalists = [one.candidate.variant.name for one in chosen]
    fresh = _timed(artifact, finalists, settings, seed, lambda done, text: progress(0.3 + 0.4 * done, text))
    report = analyse(_record(artifact, finalists, fresh, settings, seed))
    seconds = time.monotonic() - began
    progress(0.7, "the simple rules")
    inside_calls = sum(float(samples.duration_ns.sum()) for samples in (*looks, fresh)) / _NS_PER_S
    each = to_the_end(inside_calls / (COPIES + 1), fewest=MANY)
    traces = one_after_another(artifact, [BASELINE, *names], each, settings.start)
    return SearchTrial(
        seed=seed,
        recommended=_recommended(report),
        noisy=report.recommendation is None,
        looked=next((one.speed.value for one in chosen if one.speed is not None), None),
        proven=next((_proven(report, name) for name in finalists), None),
        finalists=len(finalists),
        rounds=fresh.rounds,
        seconds=seconds,
        simple={name: rule(traces) for name, rule in RULES.items()},
    )


def _looked(
    artifact: Artifact, names: Sequence[str], settings: MeasureSettings, seed: int, say: Callable[[str], None]
) -> tuple[Board, list[LatencySamples]]:
    """All copies, after the looks that a search takes at them, and the calls that were timed for it."""
    board = Board(standings=[Standing(candidate=_candidate(name)) for name in names])
    look = Look(board=board, reference=_subject(BASELINE, artifact), feed=probe_feed(), settings=settings, seed=seed)
    samples = []
    for start in range(0, len(names), TOGETHER):
        part = board.standings[start : start + TOGETHER]
        say(f"a look at {len(part)} copies")
        looked = look({one.key: _subject(one.candidate.variant.name, artifact) for one in part}, None)
        samples.append(looked.samples)
        for one in part:
            if one.key in looked.ended:
                one.end(*looked.ended[one.key])
            else:
                one.drift = _NONE
    return board, samples


def _timed(
    artifact: Artifact, finalists: Sequence[str], settings: MeasureSettings, seed: int, progress: Progress
) -> LatencySamples:
    """The proof's rounds: the finalists, the baseline and its hidden clone; raises SlimlineError where one fails."""
    baseline = _subject(BASELINE, artifact)
    subjects = [_subject(name, artifact) for name in finalists]
    measured = measure_latency(
        [baseline, *subjects],
        {subject.key: baseline.key for subject in subjects},
        [baseline.key],
        {_BATCH: probe_feed()},
        settings,
        seed,
        progress=progress,
    )
    if measured.failures:
        raise SlimlineError(f"the self-test could not measure: {'; '.join(measured.failures.values())}")
    return measured.samples


def _record(
    artifact: Artifact, finalists: Sequence[str], latency: LatencySamples, settings: MeasureSettings, seed: int
) -> Record:
    """The record of the proof. Every prediction is right, of every copy as of the baseline."""
    names = [BASELINE, *finalists]
    right = np.zeros(_EXAMPLES, np.int64)
    return Record(
        command="python -m pipeline selftest search",
        created="",
        model="probe",
        data="noise",
        seed=seed,
        machine=Machine(),
        constraints=Constraints(),
        measure=settings,
        targets={_TARGET.name: TargetRecord(backend=_TARGET.backend.name, device=_TARGET.device)},
        batch_sizes=[_BATCH],
        variants=[_variant(name, artifact) for name in names],
        subjects=[
            SubjectRecord(
                variant=name, target=_TARGET.name, device=_TARGET.device, batch_size=_BATCH, status="ok", reason=None
            )
            for name in names
        ],
        latency=latency,
        accuracy=AccuracySamples(
            labels=right, predictions={f"{name}@{_TARGET.name}": right for name in names}, metric="accuracy"
        ),
    )


def _variant(name: str, artifact: Artifact) -> VariantRecord:
    return VariantRecord(
        name=name,
        status="ok",
        reason=None,
        stages=[],
        format=artifact.format,
        digest=artifact.digest,
        path=str(artifact.path),
        size_bytes=artifact.size_bytes,
        parameters=None,
        macs=None,
    )


def _recommended(report: Report) -> str | None:
    chosen = report.recommendation
    return None if chosen is None or chosen.variant == BASELINE else chosen.variant


def _proven(report: Report, name: str) -> float:
    rows = {variant.name: variant.results[0] for variant in report.variants}
    speedup = rows[name].speedup
    if speedup is None:
        raise SlimlineError(f"the self-test could not compare {name}: {report.why_none}")
    return speedup.value


def _candidate(name: str) -> Candidate:
    return Candidate(variant=Variant(name=name, stages={}), target=_TARGET, chain=name)


def _subject(name: str, artifact: Artifact) -> Subject:
    return Subject(key=subject_key(name, _TARGET.name, _BATCH), artifact=artifact, target=_TARGET, batch_size=_BATCH)
