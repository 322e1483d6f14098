"""A device's samples as a run of their own, in the form that slimline records: the same code judges them."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from pipeline.errors import UserError
from pipeline.kit.brought import Brought, Facts, Outputs
from pipeline.kit.judge import made
from pipeline.kit.machine import machine_of
from pipeline.measure.accuracy import Predicted, sureness_of
from pipeline.measure.likeness import likenesses, remarks_on
from pipeline.measure.outputs import not_numbers
from pipeline.metrics import class_path, fields_of, place_read
from pipeline.plan import MeasureSettings, Metric
from pipeline.results import numbers as show
from pipeline.results.record import AccuracySamples, LatencySamples, Record, SubjectRecord

OTHERS = 1e-3
"""Outputs that differ from home's by more than this share of the largest value are told."""
_CHUNK = 256


def recorded(found: Brought, *, trusted: bool) -> Record:
    """The device's run. A kit's description that is ``trusted`` may name a metric of the user's own.

    Raises UserError where the metric can't be made, or what came back doesn't fit it.
    """
    home, facts, columns = found.home, found.facts, found.columns
    measure = _measure(home.measure, facts)
    judged = _accuracy(found, measure, trusted=trusted)
    rows = [_row(row, found, judged.remarks.get(f"{row.variant}@{row.target}", ())) for row in home.subjects]
    return replace(
        home,
        command=f"{facts.command} (kit {facts.kit}, packed from run {found.kit['run']})",
        created=facts.created,
        machine=machine_of(facts.machine),
        measure=measure,
        subjects=rows,
        latency=LatencySamples(
            subjects=facts.latency["subjects"],
            subject=columns["subject"],
            round=columns["round"],
            block=columns["block"],
            position=columns["position"],
            duration_ns=columns["duration_ns"],
            telemetry=facts.latency["telemetry"],
            rounds=facts.latency["rounds"],
            stopped=facts.latency["stopped"],
            seconds=facts.latency["seconds"],
            plans=facts.latency["plans"],
        ),
        accuracy=judged.samples,
        slimline=dict(found.kit["slimline"]),
        notes=[*home.notes, *_notes(found)],
    )


@dataclass(frozen=True, slots=True, kw_only=True)
class _Judged:
    samples: AccuracySamples
    remarks: Mapping[str, Sequence[str]]


def _measure(home: MeasureSettings, facts: Facts) -> MeasureSettings:
    """Home's settings, without what a kit does not measure."""
    return replace(
        home,
        budget_s=facts.budget_s,
        busy=facts.busy,
        start="spawn",
        peaks=False,
        probe=False,
        map=False,
        explain="none",
        try_s=None,
        energy_s=None,
        scenarios=(),
        stages=(),
    )


def _row(row: SubjectRecord, found: Brought, remarks: Sequence[str]) -> SubjectRecord:
    reason, started = found.facts.failures.get(row.key), found.facts.rows.get(row.key)
    if reason is not None or started is None:
        return replace(row, status="failed", reason=reason or "the kit was stopped before it was timed")
    fewer = [] if started.fewer_threads is None else [f"it ran with {started.fewer_threads}"]
    return replace(
        row,
        load_ms=started.load_ms,
        first_inference_ms=started.first_inference_ms,
        peak_memory_bytes=started.peak_memory_bytes,
        remarks=[*row.remarks, *fewer, *remarks],
    )


def _notes(found: Brought) -> list[str]:
    facts = found.facts
    notes = [
        f"Measured on {facts.name} by kit {facts.kit} of run {found.kit['run']}; the digest of what came back is "
        f"{found.digest[:16]}."
    ]
    if facts.interrupted:
        notes.append(f"The kit was stopped there after {facts.latency['rounds']} rounds.")
    count, of_all = _examples(found), found.kit["of_examples"]
    if found.facts.predicted and count < of_all:
        notes.append(
            f"Accuracy there is of {show.count(count)} of the {show.count(of_all)} test examples: as many as there was "
            "room and time for."
        )
    return notes


def _accuracy(found: Brought, measure: MeasureSettings, *, trusted: bool) -> _Judged:
    """The predictions that the metric makes of the outputs, as a local run has them."""
    bare, node = found.home.accuracy, found.kit["metric"]
    names = found.facts.predicted
    if node is None:
        reason = "accuracy was not measured: the kit could not carry the metric"
        return _Judged(samples=bare, remarks=dict.fromkeys(names, (reason,)))
    metric = made(node, trusted=trusted)
    folders = {name: found.folder / outputs.folder for name, outputs in names.items() if _is_listed(found, outputs)}
    judged = {name: _predicted(metric, folders.get(name), outputs, found) for name, outputs in names.items()}
    count = _examples(found)
    samples = replace(
        bare,
        labels=None if bare.labels is None else bare.labels[:count],
        examples=bare.examples if count == found.kit["examples"] else None,
        metric=metric.name,
        metric_class=class_path(metric),
        metric_fields=fields_of(metric),
        predictions={name: one.predictions for name, one in judged.items() if one.predictions is not None},
        sureness={name: one.sureness for name, one in judged.items() if one.sureness is not None},
        likeness=likenesses(folders, measure),
    )
    return _Judged(
        samples=samples,
        remarks={
            name: [*remarks_on(one, names[name].examples), *_unlike_home(names[name])] for name, one in judged.items()
        },
    )


def _examples(found: Brought) -> int:
    """The number of examples that every model ran."""
    counts = [outputs.examples for outputs in found.facts.predicted.values() if outputs.failed is None]
    return min([int(found.kit["examples"]), *counts])


def _is_listed(found: Brought, outputs: Outputs) -> bool:
    """Whether the list of digests names files of the folder; only such a folder is read."""
    return outputs.failed is None and any(name.startswith(f"{outputs.folder}/") for name in found.files)


def _unlike_home(outputs: Outputs) -> list[str]:
    if outputs.golden is None or outputs.golden <= OTHERS:
        return []
    return [
        f"its outputs there are others than at home: they differ by {show.of_largest(outputs.golden)} of their largest "
        "value on the first examples"
    ]


def _predicted(metric: Metric, folder: Path | None, outputs: Outputs, found: Brought) -> Predicted:
    if folder is None:
        return Predicted(
            predictions=None, reason=f"accuracy was not measured: {outputs.failed or 'no outputs came back'}"
        )
    arrays = _arrays(folder, found)
    place = place_read(metric, len(arrays))
    judged = arrays[place] if place < len(arrays) else None
    if judged is None:
        return Predicted(
            predictions=None, reason=f"accuracy was not measured: output {place} has no row for each example"
        )
    made_of = [np.empty((len(judged), 0), np.float32) if array is None else array for array in arrays]
    parts: list[NDArray[Any]] = []
    sure: list[NDArray[np.float32] | None] = []
    bad = 0
    for start in range(0, len(judged), _CHUNK):
        chunk = [np.asarray(array[start : start + _CHUNK]) for array in made_of]
        parts.append(metric.predictions(chunk))
        sure.append(sureness_of(metric, chunk, parts[-1]))
        bad += not_numbers(chunk[place])
    known = [part for part in sure if part is not None]
    return Predicted(
        predictions=np.concatenate(parts),
        sureness=np.concatenate(known) if len(known) == len(sure) else None,
        not_numbers=bad,
        repeat=outputs.repeat,
    )


def _arrays(folder: Path, found: Brought) -> list[NDArray[Any] | None]:
    """A model's outputs by their place; None for one that did not come back by example."""
    wanted = _examples(found)
    files = {int(path.stem): path for path in folder.glob("*.npy") if path.stem.isdigit()}
    arrays: list[NDArray[Any] | None] = []
    for place in range(max(files, default=-1) + 1):
        array = np.load(files[place], mmap_mode="r", allow_pickle=False) if place in files else None
        if array is not None and len(array) != wanted:
            raise UserError(f"{files[place]} holds {len(array)} examples, and {wanted} were run")
        arrays.append(array)
    return arrays
