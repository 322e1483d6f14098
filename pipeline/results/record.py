"""The record of a run: raw facts and samples, from which every figure of the report is derived.

``samples/`` of a run's folder holds ``record.json`` (everything but arrays), ``latency.npz`` (one row a timed call) and
``accuracy.npz`` (predictions per example). ``python -m pipeline report RUN`` reads them back.
"""

from __future__ import annotations

import json
from collections.abc import Mapping
from dataclasses import asdict, dataclass, field, replace
from pathlib import Path
from typing import Any, Literal

import numpy as np
from numpy.typing import NDArray

from pipeline.artifact import Format
from pipeline.bounds import Counted, Nonempty, NotNegative, Positive, Sha256
from pipeline.data.dataset import Labels
from pipeline.folders.writing import write_whole
from pipeline.plan import CallStep
from pipeline.plan.roles import Role
from pipeline.results.explanation import Outcome
from pipeline.results.header import Header
from pipeline.results.map import VariantMap

RECORD_VERSION = 1
RECORD_FILE = "record.json"
SAMPLES = "samples"
"""The folder of a run's folder that has its record."""
NODES = "nodes"
"""The folder in there that has a record of each node that the run has measured on."""
UNFINISHED = "the run was stopped when the latencies were measured, and before the accuracy was"
"""The note of a record that was kept on the way."""
CLONE = "clone:"
"""What begins the key of a reference's hidden clone; the key of the reference follows."""
PROBE = "probe:"
"""What begins the key of a hidden fixed model; the key of the row beside which it is timed follows."""
Status = Literal["ok", "failed", "skipped"]


@dataclass(frozen=True, slots=True, kw_only=True)
class StageRecord:
    """One stage of a chain as it was built or found in the store."""

    name: Nonempty
    kind: Nonempty
    """The stage's class, such as ``QuantizeStatic``."""
    fields: dict[str, Any]
    key: str
    digest: Sha256 | None
    """The digest of the output: sha256 over the names and digests of its files."""
    seconds: NotNegative
    reused: bool
    notes: dict[str, Any] = field(default_factory=dict)
    """The stage's notes, and ``drift`` (sqnr_db, cosine, max_abs, worst_example) against its source."""
    lossless: bool = False
    """Whether its output must equal its source's, but for rounding; False in a record that did not keep it."""
    role: Role | None = None
    """What the stage changes; None for a stage that does not say."""
    changed: list[str] | None = None
    """The names of the fields that are not at their defaults; None in a record that did not keep them."""


@dataclass(frozen=True, slots=True, kw_only=True)
class VariantRecord:
    """One variant: its chain, and the artifact at its end where it was built."""

    name: str
    status: Status
    reason: str | None
    stages: list[StageRecord]
    format: Format | None
    digest: str | None
    path: str | None
    """The artifact's folder on the machine that made it."""
    size_bytes: int | None
    parameters: int | None
    macs: int | None
    """Multiply-accumulates for one example."""
    macs_by_type: dict[str, int] = field(default_factory=dict)
    """Multiply-accumulates by the type of both factors: fp32, fp16, int8 … (``pipeline.artifact.work``); empty where
    unknown."""
    weight_bytes: int | None = None
    activation_bytes: int | None = None
    """Bytes of activations read and written for one example, at least (``pipeline.artifact.work``)."""
    model_sha256: str | None = None
    """The sha256 of ``model.onnx`` itself, as ``sha256sum`` prints it; None for another format."""
    fixed_batch: int | None = None
    """The only batch size that the model takes; None where any will do."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Energy:
    """The energy of an inference, of the whole processor package or graphics card; idle power is not subtracted."""

    joules_per_inference: NotNegative | None = None
    """Joules for one example, not for a batch."""
    watts: NotNegative | None = None
    """The mean power while the model ran back to back."""
    seconds: Positive | None = None
    calls: Counted | None = None
    source: str | None = None
    """The counter that was read."""
    reason: str | None = None
    """The reason why it was not measured."""


@dataclass(frozen=True, slots=True, kw_only=True)
class CallSamples:
    """The steps of a row's whole calls (``measure.stages``)."""

    steps: list[CallStep]
    """The steps that were timed, in the order in which a call takes them."""
    rounds_ms: list[list[list[float]]]
    """For each round and block, the milliseconds of each step for one example; every row has the same blocks."""


@dataclass(frozen=True, slots=True, kw_only=True)
class SubjectRecord:
    """One variant × target × batch size."""

    variant: str
    target: str
    device: str
    batch_size: int
    status: Status
    reason: str | None
    peak_memory_bytes: int | None = None
    peak_device_memory_bytes: int | None = None
    load_ms: list[float] = field(default_factory=list)
    """The time of each round's load, one value a round."""
    first_inference_ms: list[float] = field(default_factory=list)
    device_ms: list[float] = field(default_factory=list)
    """The time of a run by itself on an accelerator, nothing handed over; one value a round. It is empty on the CPU."""
    enqueue_share: list[float] = field(default_factory=list)
    """The share of that time in which the host asked for the runs."""
    device_reason: str | None = None
    """The reason why there is no such time, or why a round has none."""
    energy: Energy | None = None
    """The energy; None in a record of a version that did not know it."""
    profile: dict[str, Any] | None = None
    """The profile of a call (``pipeline.plan.Profiler``), or the reason why there is none; None: not asked for."""
    settling: dict[str, Any] | None = None
    """The first and later calls of a model that is code: calls, first_ms, last_ms and steady_after
    (``pipeline.measure.settling``)."""
    scenarios: list[dict[str, Any]] = field(default_factory=list)
    """The scenarios of MLPerf's, each as ``pipeline.measure.loadgen.log`` reads it from LoadGen's log; or scenario and
    reason."""
    call: CallSamples | None = None
    """The times of the steps around the model; None: not asked for, or a remark says why not."""
    remarks: list[str] = field(default_factory=list)
    """Remarks on this row's figures, a sentence each without its full stop; the report shows them."""
    asked: bool = True
    """Whether the user named both the variant and the target; False where one of them came by default."""

    @property
    def key(self) -> str:
        """A name such as ``static_int8@ort_cpu/1``; samples are filed under it."""
        return subject_key(self.variant, self.target, self.batch_size)


def subject_key(variant: str, target: str, batch_size: int) -> str:
    """The name under which a subject's samples are filed."""
    return f"{variant}@{target}/{batch_size}"


Stopped = Literal["width", "cap", "budget", "decided"]
"""Why measuring ended: every interval was narrow enough, the rounds or the budget were used up, or every subject of a
race was dropped."""


@dataclass(frozen=True, slots=True, kw_only=True)
class LatencySamples:
    """Every timed call, as columns of equal length, and each block's telemetry.

    ``subjects`` names what the column ``subject`` counts; the hidden clone of a reference is ``clone:<its key>``, and
    the hidden fixed model that is timed beside it is ``probe:<its key>``.
    """

    subjects: list[str]
    subject: NDArray[np.int32]
    round: NDArray[np.int32]
    block: NDArray[np.int32]
    """The block of each call, counted from 0 in each round."""
    position: NDArray[np.int32]
    """The cell's place in its block's random order."""
    duration_ns: NDArray[np.int64]
    telemetry: list[dict[str, Any]]
    """The telemetry, one entry a block: round, block, steal_ticks, run_delay_ns, throttled, major_faults, load, dropped
    (reason or None)."""
    rounds: int
    stopped: Stopped
    seconds: float
    """The wall time of the measuring."""
    plans: list[dict[str, Any]] = field(default_factory=list)
    """The plan of each group that was measured together: device, rounds, most_rounds, stopped, blocks and full_blocks a
    round. The blocks are fewer than the full ones where a budget made the rounds shorter."""
    beside: list[str] = field(default_factory=list)
    """The runs that measured at the same time, as far as that is known; empty where there was none."""

    @staticmethod
    def concatenate(parts: list[LatencySamples]) -> LatencySamples:
        """Join the samples of several devices, measured one after the other; their subjects are distinct."""
        if not parts:
            return LatencySamples(
                subjects=[],
                telemetry=[],
                rounds=0,
                stopped="width",
                seconds=0.0,
                subject=np.empty(0, np.int32),
                round=np.empty(0, np.int32),
                block=np.empty(0, np.int32),
                position=np.empty(0, np.int32),
                duration_ns=np.empty(0, np.int64),
            )
        subjects: list[str] = []
        columns = []
        for part in parts:
            columns.append(part.subject + np.int32(len(subjects)))
            subjects.extend(part.subjects)
        worst: Stopped = "width"
        for part in parts:
            worst = part.stopped if part.stopped != "width" else worst
        return LatencySamples(
            subjects=subjects,
            subject=np.concatenate(columns),
            round=np.concatenate([part.round for part in parts]),
            block=np.concatenate([part.block for part in parts]),
            position=np.concatenate([part.position for part in parts]),
            duration_ns=np.concatenate([part.duration_ns for part in parts]),
            telemetry=[entry for part in parts for entry in part.telemetry],
            rounds=max(part.rounds for part in parts),
            stopped=worst,
            seconds=sum(part.seconds for part in parts),
            plans=[plan for part in parts for plan in part.plans],
        )


@dataclass(frozen=True, slots=True, kw_only=True)
class AccuracySamples:
    """Predictions per example, by ``variant@target``, and the truth that they are judged by."""

    labels: Labels | None
    """The labels [N, ...]; None: the data has none that the metric uses, and variants are compared with the
    baseline."""
    predictions: Mapping[str, NDArray[Any]]
    """The predictions: [N] classes, [N, ...] classes of an example's parts, or [N, D] vectors each."""
    metric: str
    metric_class: str | None = None
    """The class of a metric that says itself how predictions are judged; None: the predictions' type says it."""
    metric_fields: dict[str, Any] = field(default_factory=dict)
    origins: NDArray[Any] | None = None
    """Where the owner of the data finds each example [N] (``pipeline.data.dataset.Split``), where there are no labels;
    None: nothing tells."""
    examples: Sha256 | None = None
    """The digest of the test split, labels included; None in a record that did not keep it."""
    flip_labels: Labels | None = None
    """Labels [N] that were given after the run, of some of the examples that models answer differently; ``IGNORED`` for
    the others. None: none were given."""
    sureness: Mapping[str, NDArray[Any]] = field(default_factory=dict)
    """The probability that each gives its predicted class [N], not a number where it has none; models that tell no
    probabilities are left out."""
    likeness: Mapping[str, dict[str, Any]] = field(default_factory=dict)
    """How alike the outputs are (``pipeline.measure.likeness``); ``relative`` is None where they can't be compared."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Trial:
    """A change that an explanation proposes, tried beside the run (``pipeline.run.tries``)."""

    subject: str
    """The key of the row that the change is proposed for."""
    change: str
    """The change, as it is typed."""
    outcome: Outcome


@dataclass(frozen=True, slots=True, kw_only=True)
class Record(Header):
    """A whole run."""

    batch_sizes: list[int]
    variants: list[VariantRecord]
    subjects: list[SubjectRecord]
    latency: LatencySamples
    accuracy: AccuracySamples
    """The test split's predictions."""
    class_names: list[str] = field(default_factory=list)
    """A name for each class; empty where the data has none."""
    grid: str = "all"
    """The grid: ``all`` or ``one_at_a_time`` (``pipeline.plan.Plan.grid``)."""
    trials: list[Trial] = field(default_factory=list)
    maps: list[VariantMap] = field(default_factory=list)
    """Each variant's graph beside the baseline's, without times; empty where that was not asked (``measure.map``)."""


BESIDE = ("labels", "origins", "flip_labels")
"""What accuracy.npz has beside predictions and sureness."""
SURENESS = "sureness of "
"""What begins the name of an array of sureness in accuracy.npz."""
COLUMNS = ("subject", "round", "block", "position", "duration_ns")


def save_record(record: Record, folder: Path) -> None:
    """Write ``samples/``; ``record.json`` comes last, so a folder that has it is whole."""
    folder.mkdir(parents=True, exist_ok=True)
    latency, accuracy = record.latency, record.accuracy
    np.savez_compressed(folder / "latency.npz", **{name: getattr(latency, name) for name in COLUMNS})
    arrays: dict[str, NDArray[Any]] = dict(accuracy.predictions)
    arrays |= {f"{SURENESS}{name}": value for name, value in accuracy.sureness.items()}
    arrays |= {name: value for name in BESIDE if (value := getattr(accuracy, name)) is not None}
    np.savez_compressed(folder / "accuracy.npz", **arrays)  # type: ignore[arg-type]
    bare = replace(accuracy, predictions={}, sureness={}, labels=None, origins=None, flip_labels=None)
    facts = asdict(replace(record, accuracy=bare))
    for name in COLUMNS:
        del facts["latency"][name]
    for name in (*BESIDE, "predictions", "sureness"):
        del facts["accuracy"][name]
    write_whole(folder / RECORD_FILE, json.dumps({"record_version": RECORD_VERSION, **facts}, indent=1) + "\n")
