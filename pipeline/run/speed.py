"""The latency of every row, in the same rounds, and what the machine can do at best."""

from __future__ import annotations

import logging
from collections.abc import Mapping, Sequence
from dataclasses import replace
from pathlib import Path
from tempfile import TemporaryDirectory

from pipeline.data.batches import Arrays, Feed, batches_of
from pipeline.measure.group import Subject
from pipeline.measure.latency import measure_latency
from pipeline.measure.peaks.peak import measure_peaks
from pipeline.measure.probe import probe_feed, write_probe
from pipeline.measure.schedule import Expected
from pipeline.plan import BASELINE, Device, Plan
from pipeline.results.header import Peaks
from pipeline.results.record import PROBE, LatencySamples, subject_key
from pipeline.run.progress import ProgressDisplay
from pipeline.run.table import Table

logger = logging.getLogger(__name__)
_BATCHES_IN_TURN = 8
_BYTES_IN_TURN = 64 * 2**20
"""The most bytes of these batches together; a larger batch exceeds any card's cache by itself."""


def time_rows(
    plan: Plan,
    device: Device,
    devices: int,
    table: Table,
    inputs: Arrays,
    feeds: Mapping[int, Feed],
    display: ProgressDisplay,
) -> LatencySamples:
    """Time the rows of a device in the same rounds, note what each took, and return the samples."""
    budget_s = plan.measure.budget_s
    subjects = table.subjects(device)
    references = {subject.key: _reference(plan, subject) for subject in subjects}
    known = {subject.key for subject in subjects}
    clone = next((references[subject.key] for subject in subjects if references[subject.key] in known), None)
    label = latency_label(device)

    def announce(expected: Expected) -> None:
        display.say(f"measuring {label}: {expected}")
        display.expect({label: expected.seconds[1]})

    with TemporaryDirectory(prefix="slimline-probe-") as folder:
        found = measure_latency(
            [*subjects, *_probe(subjects, clone, Path(folder))] if plan.measure.probe else subjects,
            {key: reference for key, reference in references.items() if key != reference},
            [] if clone is None else [clone],
            feeds,
            replace(plan.measure, budget_s=None if budget_s is None else budget_s / devices),
            plan.seed,
            more={} if device == "cpu" else {size: _turns(inputs, size) for size in feeds},
            needed_bytes=table.needed_bytes(),
            limit_s=plan.limits.seconds,
            progress=lambda done, text: display.step(label, done, text),
            announce=announce,
        )
    for key, reason in found.failures.items():
        if key in known:
            table.fail(key, reason)
            continue
        logger.warning("the fixed model could not be timed beside %s: %s", key.removeprefix(PROBE), reason)
    for key, times in found.times.items():
        if key not in known:
            continue
        table.records[key] = replace(
            table.records[key],
            load_ms=times.load_ms,
            first_inference_ms=times.first_inference_ms,
            device_ms=times.device_ms,
            enqueue_share=times.enqueue_share,
            device_reason=times.device_reason,
        )
    return found.samples


def latency_label(device: Device) -> str:
    """The label of the step that times a device's rows."""
    return f"latency on {device}"


def _probe(subjects: Sequence[Subject], beside: str | None, folder: Path) -> list[Subject]:
    """The fixed model, in the runtime of the reference that it is timed beside; none where that runs no ONNX file."""
    target = next((subject.target for subject in subjects if subject.key == beside), None)
    if beside is None or target is None or "onnx" not in target.backend.runs:
        return []
    artifact = write_probe(folder)
    return [Subject(key=f"{PROBE}{beside}", artifact=artifact, target=target, batch_size=1, feed=probe_feed())]


def _turns(inputs: Arrays, size: int) -> list[Feed]:
    """The batches that an accelerator's calls take in turn with the first one: a single batch would lie in its
    cache."""
    return batches_of(inputs, size, _BATCHES_IN_TURN, _BYTES_IN_TURN)[1:]


def _reference(plan: Plan, subject: Subject) -> str:
    """The row that a subject is measured against, of whose ratio the width counts: the base row of a one-at-a-time
    grid where it is on the same device, else the one that its verdict is about."""
    base = next(iter(plan.targets.values()))
    if plan.grid == "one_at_a_time" and base.device == subject.target.device:
        return subject_key(BASELINE, base.name, plan.batch_sizes[0])
    return subject_key(*plan.measure.reference_for(subject.target.name), subject.batch_size)


def measure_all_peaks(table: Table, display: ProgressDisplay) -> dict[str, Peaks]:
    """The machine's peaks, once for each device and number of threads."""
    targets = {subject.target.name: subject.target for subject in table.subjects()}
    wanted = list(dict.fromkeys((target.device, target.threads) for target in targets.values()))
    found: dict[tuple[Device, int], Peaks] = {}
    for index, (device, threads) in enumerate(wanted):
        display.step("peaks", index / len(wanted), f"{device}, {threads} thread{'s' if threads > 1 else ''}")
        found[device, threads] = measure_peaks(device, threads)
    if wanted:
        display.step("peaks", 1.0, "what the machine can do at best")
    return {name: found[target.device, target.threads] for name, target in targets.items()}
