"""The rows of a run that a kit measures, and the part of the run's record that goes along."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace
from typing import Any

from pipeline.bundle.session import runtime_of, session_entry
from pipeline.data.dataset import Split
from pipeline.errors import Skipped, UserError
from pipeline.kit.contents import Model
from pipeline.results.record import LatencySamples, Record, subject_key

_NUMBERS = "biuf"


def check_inputs(test: Split) -> None:
    """Raise UserError where an input is other than numbers."""
    for name, array in test.inputs.items():
        if array.dtype.kind not in _NUMBERS:
            raise UserError(f"a kit carries numbers, and input '{name}' holds {array.dtype}")


def entries_of(models: Sequence[Model], record: Record) -> tuple[dict[str, dict[str, Any]], dict[str, str]]:
    """The kit's rows by key, and the reason of each that can't be one. A row goes with the row it is compared with."""
    found: dict[str, dict[str, Any]] = {}
    left_out: dict[str, str] = {}
    for model in models:
        row = model.row
        try:
            found[row.key] = _entry(model, record)
        except Skipped as error:
            left_out[row.key] = str(error)
    for key, entry in list(found.items()):
        if entry["reference"] not in found:
            left_out[key] = f"it is compared with {entry['reference']}, which is not in the kit"
            del found[key]
    return found, left_out


def _entry(model: Model, record: Record) -> dict[str, Any]:
    row, target = model.row, model.target
    if target.device != "cpu":
        raise Skipped("a kit measures on processors only")
    runtime = runtime_of(target)
    if runtime not in ("onnxruntime", "openvino"):
        raise Skipped(f"a kit runs on onnxruntime or openvino, and this target on {runtime}")
    largest = max(
        other.batch_size for other in record.subjects if (other.variant, other.target) == (row.variant, row.target)
    )
    return {
        "key": row.key,
        "variant": row.variant,
        "target": row.target,
        "batch_size": row.batch_size,
        "reference": subject_key(*record.measure.reference_for(row.target), row.batch_size),
        "runtime": runtime,
        "session": session_entry(target),
        "threads": target.threads,
        "fixed_batch": model.fixed_batch,
        "predict_batch": largest,
        "memory_bytes": row.peak_memory_bytes,
    }


def home_of(record: Record, models: Sequence[Model], test: Split) -> Record:
    """What home needs of the run to judge what comes back: its facts and the labels, no samples and no predictions."""
    variants, targets = {model.row.variant for model in models}, {model.row.target for model in models}
    bare = replace(
        record.accuracy,
        labels=test.labels,
        predictions={},
        sureness={},
        likeness={},
        origins=None,
        flip_labels=None,
        examples=test.digest(),
    )
    rows = [
        replace(
            model.row,
            load_ms=[],
            first_inference_ms=[],
            profile=None,
            energy=None,
            settling=None,
            scenarios=[],
            call=None,
            peak_memory_bytes=None,
        )
        for model in models
    ]
    return replace(
        record,
        variants=[variant for variant in record.variants if variant.name in variants],
        targets={name: target for name, target in record.targets.items() if name in targets},
        batch_sizes=sorted({model.row.batch_size for model in models}),
        subjects=rows,
        latency=LatencySamples.concatenate([]),
        accuracy=bare,
        peaks={},
        trials=[],
        maps=[],
        search=None,
    )
