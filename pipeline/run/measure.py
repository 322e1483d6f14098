"""Measure every row of a run: latency, memory, accuracy. What fails becomes the row's reason, and the others go on."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from contextlib import ExitStack, closing, contextmanager
from dataclasses import dataclass, field, replace
from functools import partial
from itertools import accumulate
from pathlib import Path
from queue import SimpleQueue
from tempfile import TemporaryDirectory
from threading import Event

import numpy as np
from numpy.typing import NDArray

from pipeline.artifact import Artifact
from pipeline.artifact.onnx_graph import fixed_batch_of
from pipeline.data.batches import Feed, alone, axes_of, batch_of, batches_of, count_of
from pipeline.data.dataset import Split, preprocess
from pipeline.errors import OutOfSpace, Skipped, UserError, WorkerFailed, reasoned
from pipeline.isolated.template import Template
from pipeline.machine.card import card_of
from pipeline.machine.environment import available_cores
from pipeline.measure.accuracy import Predicted, predict
from pipeline.measure.cores import cores_for
from pipeline.measure.exclusive import measuring
from pipeline.measure.latency import Subject, measure_latency
from pipeline.measure.likeness import likenesses, remarks_on
from pipeline.measure.loadgen.scenario import Ask, run_scenario, written
from pipeline.measure.outputs import OutputAxes
from pipeline.measure.peaks.peak import measure_peaks
from pipeline.measure.solo import run_alone
from pipeline.measure.workers.start import each_alone
from pipeline.measure.workers.worker import Job
from pipeline.metrics import class_path, fields_of
from pipeline.plan import BASELINE, Device, Plan
from pipeline.results.header import Peaks
from pipeline.results.record import (
    AccuracySamples,
    Energy,
    LatencySamples,
    Status,
    SubjectRecord,
    subject_key,
)
from pipeline.run.build import Built
from pipeline.run.building import limits_for
from pipeline.run.progress import ProgressDisplay
from pipeline.run.rows import Row, rows

_BATCHES_IN_TURN = 8
_BYTES_IN_TURN = 64 * 2**20
"""Together; a batch of so many bytes is larger than any card's cache by itself."""


@dataclass(frozen=True, slots=True)
class Measured:
    """What measuring a run recorded."""

    subjects: list[SubjectRecord]
    latency: LatencySamples
    accuracy: AccuracySamples
    peaks: dict[str, Peaks]
    """By target."""


def measure(
    plan: Plan,
    built: Mapping[str, Built],
    test: Split,
    display: ProgressDisplay,
    output_axes: OutputAxes | None = None,
) -> Measured:
    """Measure what can be measured here; every other row keeps the reason why it was not.

    ``output_axes`` says where the models' outputs have the examples. Other runs on the machine wait meanwhile, with
    what they time: for accuracy too, which takes every core.
    """
    with measuring(plan.measure.exclusive) as beside:
        measured = _measure(plan, built, test, display, output_axes)
    return replace(measured, latency=replace(measured.latency, beside=beside))


def _measure(
    plan: Plan, built: Mapping[str, Built], test: Split, display: ProgressDisplay, output_axes: OutputAxes | None
) -> Measured:
    inputs = preprocess(test.inputs, plan.model.preprocessing)
    feeds = {size: batch_of(inputs, size) for size in plan.batch_sizes}
    table = Table(rows(plan, built))
    _one_by_one(table, inputs)
    _alone(plan, table, feeds, display)
    devices = table.devices()  # those with rows that could be run
    latency: list[LatencySamples] = []
    for device in devices:
        with reasoned(partial(table.fail_all, table.subjects(device))):
            latency.append(_latency(plan, device, len(devices), table, inputs, feeds, display))
    peaks = _peaks(table, display) if plan.measure.peaks else {}
    _scenarios(plan, table, inputs, feeds, display)
    with TemporaryDirectory(prefix="slimline-accuracy-") as folder:
        accuracy = _accuracy(plan, table, inputs, display, output_axes, Path(folder), test.labels)
    return Measured(
        list(table.records.values()),
        LatencySamples.concatenate(latency),
        accuracy,
        peaks,
    )


@dataclass(slots=True)
class Table:
    """The rows while they are measured: records by key, and the subjects that have not failed."""

    rows: Sequence[Row]
    records: dict[str, SubjectRecord] = field(init=False)

    def __post_init__(self) -> None:
        self.records = {row.record.key: row.record for row in self.rows}

    def devices(self) -> list[Device]:
        """The devices that have something to measure, in the order of the rows."""
        return list(dict.fromkeys(subject.target.device for subject in self.subjects()))

    def subjects(self, device: Device | None = None) -> list[Subject]:
        """What is still to be measured, on one device or on all."""
        return [
            Subject(key=row.record.key, artifact=row.artifact, target=row.target, batch_size=row.record.batch_size)
            for row in self.rows
            if row.artifact is not None
            and self.records[row.record.key].status == "ok"
            and device in (None, row.target.device)
        ]

    def models(self) -> dict[tuple[str, str], tuple[Artifact, list[Subject]]]:
        """Each variant on each target once, with the subjects that share it."""
        found: dict[tuple[str, str], tuple[Artifact, list[Subject]]] = {}
        for subject in self.subjects():
            name = (self.records[subject.key].variant, subject.target.name)
            found.setdefault(name, (subject.artifact, []))[1].append(subject)
        return found

    def needed_bytes(self) -> dict[str, int]:
        """Of a graphics card's memory, by key, where that is known."""
        found = {key: record.peak_device_memory_bytes for key, record in self.records.items()}
        return {key: size for key, size in found.items() if size is not None}

    def remark(self, key: str, text: str) -> None:
        """Say something of a row's figures."""
        record = self.records[key]
        self.records[key] = replace(record, remarks=[*record.remarks, text])

    def fail(self, key: str, error: Exception | str) -> None:
        """Give a row its reason."""
        status: Status = "skipped" if isinstance(error, Skipped) else "failed"
        self.records[key] = replace(self.records[key], status=status, reason=str(error))

    def fail_all(self, subjects: Sequence[Subject], error: Exception | str) -> None:
        """Give rows the same reason."""
        for subject in subjects:
            self.fail(subject.key, error)


def _latency(
    plan: Plan,
    device: Device,
    devices: int,
    table: Table,
    inputs: Feed,
    feeds: Mapping[int, Feed],
    display: ProgressDisplay,
) -> LatencySamples:
    budget_s = plan.measure.budget_s
    subjects = table.subjects(device)
    references = {subject.key: _reference(plan, subject) for subject in subjects}
    known = {subject.key for subject in subjects}
    clone = next((references[subject.key] for subject in subjects if references[subject.key] in known), None)
    label = f"latency on {device}"
    found = measure_latency(
        subjects,
        {key: reference for key, reference in references.items() if key != reference},
        [] if clone is None else [clone],
        feeds,
        replace(plan.measure, budget_s=None if budget_s is None else budget_s / devices),
        plan.seed,
        more={} if device == "cpu" else {size: _turns(inputs, size) for size in feeds},
        needed_bytes=table.needed_bytes(),
        limit_s=plan.limits.seconds,
        progress=lambda done, text: display.step(label, done, text),
        announce=lambda expected: display.say(f"measuring {label}: {expected}"),
    )
    for key, reason in found.failures.items():
        table.fail(key, reason)
    for key, times in found.times.items():
        table.records[key] = replace(
            table.records[key],
            load_ms=times.load_ms,
            first_inference_ms=times.first_inference_ms,
            device_ms=times.device_ms,
            enqueue_share=times.enqueue_share,
            device_reason=times.device_reason,
        )
    return found.samples


def _turns(inputs: Feed, size: int) -> list[Feed]:
    """What an accelerator's calls take in turn with the first batch: one batch alone would lie in its cache."""
    return batches_of(inputs, size, _BATCHES_IN_TURN, _BYTES_IN_TURN)[1:]


def _reference(plan: Plan, subject: Subject) -> str:
    """The row that a subject is measured against, of whose ratio the width counts: the base row of a one-at-a-time
    grid where it is on the same device, else the one that its verdict is about."""
    base = next(iter(plan.targets.values()))
    if plan.grid == "one_at_a_time" and base.device == subject.target.device:
        return subject_key(BASELINE, base.name, plan.batch_sizes[0])
    return subject_key(*plan.measure.reference_for(subject.target.name), subject.batch_size)


def _peaks(table: Table, display: ProgressDisplay) -> dict[str, Peaks]:
    """What the machine can do at best, once for each device and number of threads."""
    targets = {subject.target.name: subject.target for subject in table.subjects()}
    wanted = list(dict.fromkeys((target.device, target.threads) for target in targets.values()))
    found: dict[tuple[Device, int], Peaks] = {}
    for index, (device, threads) in enumerate(wanted):
        display.step("peaks", index / len(wanted), f"{device}, {threads} thread{'s' if threads > 1 else ''}")
        found[device, threads] = measure_peaks(device, threads)
    if wanted:
        display.step("peaks", 1.0, "what the machine can do at best")
    return {name: found[target.device, target.threads] for name, target in targets.items()}


def _alone(plan: Plan, table: Table, feeds: Mapping[int, Feed], display: ProgressDisplay) -> None:
    """Memory, energy and the profile; which rows are to be explained is known only when all are compared."""
    subjects = table.subjects()
    profiled = plan.measure.explain != "none"
    label = "each row alone"
    jobs = {subject.key: _job(plan, subject, feeds) for subject in subjects}
    jobs = {key: replace(job, cores=cores_for([job.target])) for key, job in jobs.items()}
    if jobs:
        display.step(label, 0.0, "starting")
    with closing(each_alone(jobs)) as workers:
        for index, (subject, (key, worker)) in enumerate(zip(subjects, workers, strict=True)):
            display.step(label, index / len(subjects), key)
            with reasoned(partial(table.fail, key)):
                if isinstance(worker, WorkerFailed):
                    raise worker
                found = run_alone(
                    worker, jobs[key], subject.batch_size, energy_s=plan.measure.energy_s, profiled=profiled
                )
                table.records[key] = replace(
                    table.records[key],
                    peak_memory_bytes=found.peak.host,
                    peak_device_memory_bytes=found.peak.device,
                    energy=Energy(**found.energy),
                    profile=found.profile,
                    settling=found.settling,
                )
    if subjects:
        energies = [table.records[subject.key].energy for subject in subjects]
        measured = sum(energy is not None and energy.reason is None for energy in energies)
        energy = "energy" if measured == len(subjects) else f"energy of {measured}, the report says why"
        what = ", ".join(["memory", *(["profile"] if profiled else []), energy])
        display.step(label, 1.0, f"{len(subjects)} rows, a fresh process each: {what}")


def _scenarios(plan: Plan, table: Table, inputs: Feed, feeds: Mapping[int, Feed], display: ProgressDisplay) -> None:
    """MLPerf's scenarios, where they were asked for; what fails there is the scenario's reason, not the row's."""
    settings = plan.measure
    subjects = table.subjects()
    todo = [(subject, name) for subject in subjects for name in settings.scenarios]
    if not todo:
        return
    label = "MLPerf scenarios"
    with written(inputs) as examples:
        for index, (subject, name) in enumerate(todo):
            display.step(label, index / len(todo), f"{subject.key} {name}")
            record = table.records[subject.key]
            folder = Path("loadgen", f"{record.variant}@{record.target}-{record.batch_size}", name)
            ask = Ask(
                scenario=name,
                duration_s=settings.scenario_s,
                seed=plan.seed,
                server_qps=settings.server_qps,
                server_latency_ms=settings.server_latency_ms,
            )
            fixed = fixed_batch_of(subject.artifact, axes_of(inputs)) is not None
            found = run_scenario(
                _job(plan, subject, feeds), subject.batch_size, fixed, ask, examples, plan.output / folder
            )
            table.records[subject.key] = replace(
                record, scenarios=[*record.scenarios, {**found, "logs": folder.as_posix()}]
            )
    display.step(label, 1.0, f"{len(todo)} runs of LoadGen, a fresh process each")


def _job(plan: Plan, subject: Subject, feeds: Mapping[int, Feed]) -> Job:
    return Job(
        artifact=subject.artifact,
        target=subject.target,
        feed=feeds[subject.batch_size],
        limit_s=plan.limits.seconds,
    )


def _one_by_one(table: Table, inputs: Feed) -> None:
    """Skip the rows of larger batches where every example needs a call of its own."""
    name = alone(inputs)
    if name is None:
        return
    for key, record in table.records.items():
        if record.status == "ok" and record.batch_size > 1:
            reason = f"one value of input '{name}' serves a whole call, and the examples differ in it: batch_sizes=[1]"
            table.fail(key, Skipped(reason))


def _accuracy(
    plan: Plan,
    table: Table,
    inputs: Feed,
    display: ProgressDisplay,
    output_axes: OutputAxes | None,
    folder: Path,
    labels: NDArray[np.int64] | None,
) -> AccuracySamples:
    """What each ``variant@target`` predicts, at the largest batch size that was timed, and how alike their outputs are.

    Nothing is timed here, so several models run side by side, in processes forked from some that have imported the
    runtimes.
    """
    models = {f"{variant}@{target}": found for (variant, target), found in table.models().items()}
    shares = dict.fromkeys(models, 0.0)
    kept = {name: folder / str(number) for number, name in enumerate(models)}
    limits, stop = limits_for(plan), Event()
    size = _side_by_side(table, models)
    idle: SimpleQueue[Template] = SimpleQueue()

    def evaluate(name: str) -> Predicted:
        artifact, subjects = models[name]

        def progress(share: float) -> None:
            shares[name] = share
            display.step("accuracy", min(sum(shares.values()) / len(shares), 0.999), name)

        template = idle.get()
        try:
            return predict(
                artifact,
                subjects[0].target,
                plan.metric,
                inputs,
                max(subject.batch_size for subject in subjects),
                progress,
                output_axes=output_axes,
                keep=kept[name],
                limits=limits,
                start=template,
                stop=stop,
            )
        finally:
            idle.put(template)

    found: dict[str, Predicted] = {}
    with ExitStack() as stack:
        for _ in range(size):
            idle.put(stack.enter_context(Template(_imported(models))))
        pool = stack.enter_context(_workers(size, stop))
        futures = {name: pool.submit(evaluate, name) for name in models}
        for name, future in futures.items():
            try:
                with reasoned(partial(table.fail_all, models[name][1])):
                    found[name] = future.result()
            except (OutOfSpace, UserError) as error:  # what was timed stands
                for subject in models[name][1]:
                    table.remark(subject.key, f"accuracy was not measured: {error}")
    display.step("accuracy", 1.0, f"{len(found)} models on {count_of(inputs)} examples")
    for name, predicted in found.items():
        for subject in models[name][1]:
            for text in remarks_on(predicted, count_of(inputs)):
                table.remark(subject.key, text)
    return AccuracySamples(
        labels=labels,
        predictions={name: one.predictions for name, one in found.items() if one.predictions is not None},
        metric=plan.metric.name,
        metric_class=class_path(plan.metric),
        metric_fields=fields_of(plan.metric),
        likeness=likenesses({name: kept[name] for name in found}, plan.measure),
    )


Models = Mapping[str, tuple[Artifact, list[Subject]]]
"""By ``variant@target``: what runs there, and the rows that it is."""


def _side_by_side(table: Table, models: Models) -> int:
    """How many models run at once: as many as there are cores for their threads, and as an accelerator's memory holds.

    One on an accelerator that doesn't tell.
    """
    threads = max((subjects[0].target.threads for _, subjects in models.values()), default=1)
    cores = max(1, min(len(models), available_cores() // threads))
    if all(subjects[0].target.device == "cpu" for _, subjects in models.values()):
        return cores
    needed = table.needed_bytes()
    rows = [[needed.get(subject.key) for subject in subjects] for _, subjects in models.values()]
    sizes = [[size for size in row if size is not None] for row in rows]
    with card_of("cuda") as card:
        usable = None if card is None else card.usable_bytes()
    if usable is None or not all(sizes):
        return 1
    largest = accumulate(sorted(map(max, sizes), reverse=True))
    return max(1, min(cores, sum(held <= usable for held in largest)))


def _imported(models: Models) -> tuple[str, ...]:
    """What the models' processes have imported when they start."""
    targets = [subjects[0].target for _, subjects in models.values()]
    backends = {on.backend.runs for on in targets}
    torch = ("torch",) if "torch" in backends or any(on.device == "cuda" for on in targets) else ()
    return (*torch, "onnxruntime", "pipeline.measure.accuracy")


@contextmanager
def _workers(size: int, stop: Event) -> Iterator[ThreadPoolExecutor]:
    """So many at a time. Ctrl-C ends the processes that the threads wait for, so that it does not wait for them."""
    with ThreadPoolExecutor(size) as pool:
        try:
            yield pool
        except BaseException:
            stop.set()
            pool.shutdown(wait=False, cancel_futures=True)
            raise
