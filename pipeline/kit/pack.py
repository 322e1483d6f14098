"""Packs a kit: the models, the inputs, the program that measures them, and what home needs to judge what comes back."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import asdict, dataclass, replace
from pathlib import Path
from shutil import copyfile, rmtree
from typing import Any
from uuid import uuid4

import numpy as np

from pipeline.artifact import ONNX_FILE, OPENVINO_FILE, Artifact, file_digest, model_files
from pipeline.bundle.session import runtime_of, session_entry
from pipeline.data.batches import axes_of
from pipeline.data.dataset import Split, prepared
from pipeline.data.preprocessing import Preprocessing
from pipeline.data.rows import Array, pieces
from pipeline.errors import Skipped, UserError, WorkerFailed, reporting_disk
from pipeline.isolated import Limits
from pipeline.isolated.run import Starter, fresh
from pipeline.kit.judge import as_node
from pipeline.kit.program import program
from pipeline.libraries.revision import revision
from pipeline.measure.accuracy import predict
from pipeline.measure.outputs import OutputAxes
from pipeline.plan import Metric, RunLimits, Target
from pipeline.results.record import LatencySamples, Record, SubjectRecord, save_record, subject_key

KIT_VERSION = 1
KIT_FILE = "kit.json"
HOME = "home"
MOST_INPUT_BYTES = 64 * 2**20
"""The most bytes of the test examples' inputs, where their number is not typed."""
MOST_OUTPUT_BYTES = 256 * 2**20
"""The most bytes of outputs that come back, where the number of examples is not typed."""
_GOLDEN = 16
_NUMBERS = "biuf"


@dataclass(frozen=True, slots=True, kw_only=True)
class Model:
    """A row of the run that goes into the kit."""

    row: SubjectRecord
    artifact: Artifact
    target: Target
    fixed_batch: int | None
    """The only batch size that the model takes."""

    @property
    def name(self) -> str:
        """The name of its predictions."""
        return f"{self.row.variant}@{self.row.target}"


@dataclass(frozen=True, slots=True, kw_only=True)
class Judged:
    """What judges the models: the examples, what is done to their inputs, the metric that reads the outputs."""

    test: Split
    preprocessing: Mapping[str, Preprocessing]
    metric: Metric
    output_axes: OutputAxes | None
    carried: bool = False
    """Whether a state is carried from call to call: such models are timed only."""
    examples: int | None = None
    """The number of test examples that was typed; None: as many as have room."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Packed:
    """A kit that was written."""

    path: Path
    id: str
    bytes: int
    parts: Mapping[str, int]
    """The bytes of its parts: models, inputs, and the rest."""
    examples: int
    memory_bytes: int | None
    """The memory that its models took at home, all at once, the clone too; None where that is not known."""
    left_out: Mapping[str, str]
    """The rows that a kit can't take, and why."""


def pack(
    out: Path,
    record: Record,
    models: Sequence[Model],
    judged: Judged,
    limits: Limits = Limits(),  # noqa: B008  frozen
    start: Starter = fresh,
) -> Packed:
    """Write a kit into the folder ``out``, an older kit there is replaced; a row that can't go is left out.

    Each model runs on a few examples first, for the outputs that the device's are held against. Raises UserError where
    nothing is left to measure, and OutOfSpace.
    """
    _check_inputs(judged.test)
    entries, left_out = _entries(models, record)
    if not entries:
        raise UserError(*(f"{key} can't go into a kit: {reason}" for key, reason in left_out.items()))
    kept = [model for model in models if model.row.key in entries]
    with _replacing(out) as folder:
        _write_models(folder, kept, entries)
        per_example = _write_golden(folder, kept, entries, judged, limits, start)
        chosen = _chosen(judged, per_example)
        test = judged.test.chosen(chosen)
        inputs = _write_inputs(folder, test, judged.preprocessing)
        save_record(_home(record, kept, test), folder / HOME)
        for name, content in program({entry["runtime"] for entry in entries.values()}).items():
            (folder / name).parent.mkdir(exist_ok=True)
            (folder / name).write_bytes(content)
        (folder / "requirements.txt").write_text(_requirements(entries.values()))
        facts = {
            "kit_version": KIT_VERSION,
            "slimline": revision(),
            "run": record.run_id,
            "measure": {**asdict(record.measure), "look_alpha": record.measure.look_alpha},
            "seed": record.seed,
            "limit_s": limits.seconds or RunLimits().seconds,
            "examples": len(test),
            "of_examples": len(judged.test),
            "metric": None if judged.carried else as_node(judged.metric),
            "places": [int(place) for place in chosen],
            "inputs": inputs,
            "rows": list(entries.values()),
            "files": _digests(folder),
        }
        kit_id = hashlib.sha256(json.dumps(facts, sort_keys=True).encode()).hexdigest()[:12]
        (folder / KIT_FILE).write_text(json.dumps({"id": kit_id, **facts}, indent=1) + "\n", encoding="utf-8")
    sizes = {path.relative_to(out).as_posix(): path.stat().st_size for path in model_files(out)}
    return Packed(
        path=out,
        id=kit_id,
        bytes=sum(sizes.values()),
        parts={
            part: sum(size for name, size in sizes.items() if name.startswith(part)) for part in ("models", "inputs")
        },
        examples=len(test),
        memory_bytes=_memory(kept, entries),
        left_out=left_out,
    )


def _check_inputs(test: Split) -> None:
    for name, array in test.inputs.items():
        if array.dtype.kind not in _NUMBERS:
            raise UserError(f"a kit carries numbers, and input '{name}' holds {array.dtype}")


def _entries(models: Sequence[Model], record: Record) -> tuple[dict[str, dict[str, Any]], dict[str, str]]:
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


def _write_models(folder: Path, models: Sequence[Model], entries: Mapping[str, dict[str, Any]]) -> None:
    """Each artifact once, whichever rows run it."""
    places: dict[str, str] = {}
    for model in models:
        artifact = model.artifact
        if artifact.digest not in places:
            places[artifact.digest] = f"models/{len(places)}"
            for path in model_files(artifact.path):
                copy = folder / places[artifact.digest] / path.relative_to(artifact.path)
                copy.parent.mkdir(parents=True, exist_ok=True)
                copyfile(path, copy)
        file = OPENVINO_FILE if artifact.format == "openvino" else ONNX_FILE
        entries[model.row.key]["model"] = f"{places[artifact.digest]}/{file}"


def _write_golden(
    folder: Path,
    models: Sequence[Model],
    entries: Mapping[str, dict[str, Any]],
    judged: Judged,
    limits: Limits,
    start: Starter,
) -> int:
    """The outputs of the first examples here, for each model; returns the bytes of outputs that one example has, of all
    models together."""
    few = prepared(judged.test.take(0, _GOLDEN).inputs, judged.preprocessing)
    bytes_each: dict[str, int] = {}
    for model in models:
        entry = entries[model.row.key]
        entry["output_axes"] = None if judged.output_axes is None else list(judged.output_axes)
        place = f"golden/{len(bytes_each)}" if model.name not in bytes_each else None
        if place is None or judged.carried:
            same = next((other for other in entries.values() if _same(other, entry) and "golden" in other), None)
            entry["golden"] = None if same is None else same["golden"]
            continue
        entry["golden"], bytes_each[model.name] = place, 0
        try:
            predict(
                model.artifact,
                model.target,
                judged.metric,
                few,
                entry["predict_batch"],
                output_axes=judged.output_axes,
                keep=folder / place,
                limits=limits,
                start=start,
            )
        except (WorkerFailed, Skipped):  # it may run where the kit goes
            entry["golden"] = None
            continue
        kept = [np.load(path, mmap_mode="r") for path in (folder / place).glob("*.npy")]
        bytes_each[model.name] = sum(array.nbytes // len(array) for array in kept)
    return sum(bytes_each.values())


def _same(one: Mapping[str, Any], other: Mapping[str, Any]) -> bool:
    return (one["variant"], one["target"]) == (other["variant"], other["target"])


def _chosen(judged: Judged, output_bytes: int) -> list[int]:
    """The places of the examples that go along: as many as were typed, or as have room. The golden ones come first, the
    others are drawn at random, so that a slow device may stop anywhere."""
    count = len(judged.test)
    input_bytes = sum(array.nbytes for array in judged.test.inputs.values()) // count
    room = min(MOST_INPUT_BYTES // max(1, input_bytes), MOST_OUTPUT_BYTES // max(1, output_bytes))
    wanted = min(count, max(judged.examples or room, min(_GOLDEN, count)))
    few = min(_GOLDEN, count)
    rest = np.random.default_rng(0).permutation(np.arange(few, count))[: wanted - few]
    return [*range(few), *rest.tolist()]


def _write_inputs(folder: Path, test: Split, preprocessing: Mapping[str, Preprocessing]) -> list[dict[str, Any]]:
    """The raw inputs, a file each, and how the device makes them what the model reads."""
    (folder / "inputs").mkdir()
    axes, found = axes_of(test.inputs), []
    for place, (name, array) in enumerate(test.inputs.items()):
        file = f"inputs/{place}.npy"
        _write_array(folder / file, array)
        step = preprocessing.get(name)
        changed = step is not None and not step.is_identity
        found.append(
            {
                "name": name,
                "file": file,
                "dtype": "float32" if changed else str(array.dtype),
                "preprocessing": step.to_dict() if step is not None and changed else None,
                "batch_axis": axes.get(name, 0),
            }
        )
    return found


def _write_array(path: Path, array: Array) -> None:
    """A piece at a time: the examples may be more than the memory holds."""
    file = np.lib.format.open_memmap(path, mode="w+", dtype=array.dtype, shape=array.shape)
    start = 0
    for part in pieces(array):
        file[start : start + len(part)] = part
        start += len(part)
    file.flush()


def _home(record: Record, models: Sequence[Model], test: Split) -> Record:
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


def _requirements(entries: Any) -> str:
    runtimes = sorted({entry["runtime"] for entry in entries})
    return "".join(f"{name}\n" for name in ("numpy", *runtimes))


def _digests(folder: Path) -> dict[str, dict[str, Any]]:
    return {
        path.relative_to(folder).as_posix(): {"sha256": file_digest(path), "bytes": path.stat().st_size}
        for path in model_files(folder)
    }


def _memory(models: Sequence[Model], entries: Mapping[str, Mapping[str, Any]]) -> int | None:
    sizes = [model.row.peak_memory_bytes for model in models]
    known = [size for size in sizes if size is not None]
    return sum(known) + known[0] if known and len(known) == len(sizes) else None


@contextmanager
def _replacing(out: Path) -> Iterator[Path]:
    """A new folder that takes the name ``out`` once it is whole; only an older kit makes room for it."""
    if out.exists() and not (out / KIT_FILE).is_file():
        raise UserError(f"{out} exists and is no kit: name another folder with --out")
    folder = out.with_name(f".{out.name}.{uuid4().hex[:8]}.new")
    try:
        with reporting_disk(out):
            folder.mkdir(parents=True)
            yield folder
            if out.exists():
                rmtree(out)
            folder.replace(out)
    finally:
        rmtree(folder, ignore_errors=True)
