"""Runs that never happened, with effects that are known exactly."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Literal

import numpy as np
from numpy.typing import NDArray

from pipeline.plan import Constraints, MeasureSettings
from pipeline.results.header import Machine, TargetRecord
from pipeline.results.record import (
    AccuracySamples,
    LatencySamples,
    Record,
    StageRecord,
    SubjectRecord,
    VariantRecord,
    subject_key,
)

ROUNDS, BLOCKS, CALLS = 7, 12, 4
EXAMPLES = 10_000
BASELINE_RIGHT = 9_400
BASELINE_MS = 2.0
BASELINE_BYTES = 1_000_000


@dataclass(frozen=True, kw_only=True)
class Made:
    """A variant as it truly is."""

    name: str
    times_as_fast: float = 1.0
    call_ms: float = 0.0
    """What every call of it takes beside its examples."""
    gained: int = 0
    """Examples that only the variant gets right, of 10,000."""
    lost: int = 0
    """Examples that only the baseline gets right, of which it has 9,400."""
    spread: float = 0.003
    """Standard deviation of the log of a call's time."""
    size_bytes: int | None = BASELINE_BYTES
    peak_memory_bytes: int | None = 50_000_000
    status: Literal["ok", "failed", "skipped"] = "ok"
    reason: str | None = None


BASELINE = Made(name="baseline")


def make_record(
    *variants: Made,
    targets: Mapping[str, str] | None = None,
    batch_sizes: Sequence[int] = (1,),
    constraints: Constraints | None = None,
    measure: MeasureSettings | None = None,
    labelled: bool = True,
    clone_times_as_fast: float = 1.0,
    stopped: Literal["width", "cap", "budget"] = "width",
    target_speed: Mapping[str, float] | None = None,
    seed: int = 1,
    machine_speed: float = 1.0,
    probe_times_as_fast: float | None = None,
) -> Record:
    """A run of the baseline and ``variants`` on every target (name: device) at every batch size, a clone a device."""
    everyone = [BASELINE, *variants] if all(made.name != "baseline" for made in variants) else list(variants)
    places = dict(targets or {"ort_cpu": "cpu"})
    subjects = [
        SubjectRecord(
            variant=made.name,
            target=target,
            device=device,
            batch_size=batch_size,
            status=made.status,
            reason=made.reason,
            peak_memory_bytes=made.peak_memory_bytes,
            load_ms=[3.0, 1.0, 2.0] if made.status == "ok" else [],
            first_inference_ms=[9.0, 7.0] if made.status == "ok" else [],
        )
        for made in everyone
        for target, device in places.items()
        for batch_size in batch_sizes
    ]
    return Record(
        command="python -m pipeline",
        created="2025-01-01T00:00:00+00:00",
        model="model",
        data="data",
        seed=0,
        machine=Machine(cpu="a processor"),
        constraints=constraints or Constraints(),
        measure=measure or MeasureSettings(),
        targets={name: TargetRecord(device=device) for name, device in places.items()},
        batch_sizes=list(batch_sizes),
        variants=[_variant(made) for made in everyone],
        subjects=subjects,
        latency=_latency(
            everyone,
            subjects,
            clone_times_as_fast,
            stopped,
            target_speed or {},
            seed,
            machine_speed,
            probe_times_as_fast,
        ),
        accuracy=_accuracy(everyone, list(places), labelled),
    )


def _variant(made: Made) -> VariantRecord:
    stage = StageRecord(
        name="export", kind="ExportOnnx", fields={"opset": 20}, key="k", digest="ab" * 32, seconds=1.0, reused=False,
        role="export",
    )  # fmt: skip
    return VariantRecord(
        name=made.name,
        status=made.status,
        reason=made.reason,
        stages=[stage],
        format="onnx",
        digest="ab" * 32,
        path="p",
        size_bytes=made.size_bytes,
        parameters=10,
        macs=100,
    )


def _latency(
    everyone: Sequence[Made],
    subjects: Sequence[SubjectRecord],
    clone_times_as_fast: float,
    stopped: Literal["width", "cap", "budget"],
    target_speed: Mapping[str, float],
    seed: int,
    machine_speed: float,
    probe_times_as_fast: float | None,
) -> LatencySamples:
    random = np.random.default_rng(seed)
    drift = random.normal(0, 0.1, (ROUNDS, BLOCKS, 1)) - np.log(machine_speed)
    made_by_name = {made.name: made for made in everyone}
    durations: dict[str, NDArray[np.float64]] = {}
    for subject in subjects:
        if subject.status != "ok":
            continue
        made = made_by_name[subject.variant]
        examples_ms = BASELINE_MS * subject.batch_size / made.times_as_fast / target_speed.get(subject.target, 1.0)
        typical_ms = examples_ms + made.call_ms
        noise = random.normal(0, made.spread, (ROUNDS, BLOCKS, CALLS))
        durations[subject.key] = typical_ms * np.exp(drift + noise)
    for key in _first_baselines(subjects):
        if key in durations:
            noise = random.normal(0, 0.003, (ROUNDS, BLOCKS, CALLS))
            target = key.removeprefix("baseline@").partition("/")[0]
            typical_ms = BASELINE_MS / clone_times_as_fast / target_speed.get(target, 1.0)
            durations[f"clone:{key}"] = typical_ms * np.exp(drift + noise)
            if probe_times_as_fast is not None:
                noise = random.normal(0, 0.003, (ROUNDS, BLOCKS, CALLS))
                durations[f"probe:{key}"] = np.exp(drift + noise) / probe_times_as_fast
    return samples_from(durations, stopped)


def _first_baselines(subjects: Sequence[SubjectRecord]) -> list[str]:
    """The baseline that is cloned, of each device."""
    found: dict[str, str] = {}
    for subject in subjects:
        if subject.variant == "baseline" and subject.batch_size == 1:
            found.setdefault(subject.device, subject.key)
    return list(found.values())


def samples_from(
    durations_ms: Mapping[str, NDArray[np.float64]], stopped: Literal["width", "cap", "budget"] = "width"
) -> LatencySamples:
    """Samples out of an array [rounds, blocks, calls] per subject."""
    times_ms = np.array(list(durations_ms.values())).reshape(-1, ROUNDS, BLOCKS, CALLS)
    subject, round_, block, _ = (index.ravel().astype(np.int32) for index in np.indices(times_ms.shape))
    return LatencySamples(
        subjects=list(durations_ms),
        subject=subject,
        round=round_,
        block=block,
        position=np.zeros_like(block),
        duration_ns=(times_ms * 1e6).round().astype(np.int64).ravel(),
        telemetry=[
            {
                "round": at_round,
                "block": at_block,
                "steal_ticks": 1,
                "run_delay_ns": 1000,
                "load": 0.5,
                "cores": [0],
                "dropped": None,
            }
            for at_round in range(ROUNDS)
            for at_block in range(BLOCKS)
        ],
        rounds=ROUNDS,
        stopped=stopped,
        seconds=10.0,
    )


def _accuracy(everyone: Sequence[Made], targets: Sequence[str], labelled: bool) -> AccuracySamples:
    """Every label is 0; whoever is wrong says 1."""
    predictions = {}
    for made in everyone:
        if made.status != "ok":
            continue
        wrong = np.arange(EXAMPLES) >= BASELINE_RIGHT
        wrong[: made.lost] = True
        wrong[BASELINE_RIGHT : BASELINE_RIGHT + made.gained] = False
        for target in targets:
            predictions[f"{made.name}@{target}"] = wrong.astype(np.int64)
    return AccuracySamples(
        labels=np.zeros(EXAMPLES, np.int64) if labelled else None, predictions=predictions, metric="accuracy"
    )


def without_subject(record: Record, variant: str, target: str, batch_size: int, reason: str) -> Record:
    """The same run, in which one row failed."""
    key = subject_key(variant, target, batch_size)
    subjects = [
        replace(subject, status="failed", reason=reason) if subject.key == key else subject
        for subject in record.subjects
    ]
    return replace(record, subjects=subjects)


def with_dropped(record: Record, round_: int, block: int, **more: str) -> Record:
    """The same run, with one block dropped for throttling."""
    telemetry = [
        {**entry, **more, "dropped": "throttled"} if (entry["round"], entry["block"]) == (round_, block) else entry
        for entry in record.latency.telemetry
    ]
    return replace(record, latency=replace(record.latency, telemetry=telemetry))
