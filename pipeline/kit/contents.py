"""What a kit carries of a run: models, the outputs that they give here, and test examples."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from shutil import copyfile
from typing import Any

import numpy as np

from pipeline.artifact import ONNX_FILE, OPENVINO_FILE, Artifact, model_files
from pipeline.data.batches import axes_of
from pipeline.data.dataset import Split, prepared
from pipeline.data.preprocessing import Preprocessing
from pipeline.data.rows import Array, pieces
from pipeline.errors import Skipped, WorkerFailed
from pipeline.isolated import Limits
from pipeline.isolated.run import Starter
from pipeline.measure.accuracy import predict
from pipeline.measure.outputs import OutputAxes
from pipeline.plan import Metric, Target
from pipeline.results.record import SubjectRecord

MOST_INPUT_BYTES = 64 * 2**20
"""The most bytes of the test examples' inputs, where their number is not typed."""
MOST_OUTPUT_BYTES = 256 * 2**20
"""The most bytes of outputs that come back, where the number of examples is not typed."""
_GOLDEN = 16


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


def write_models(folder: Path, models: Sequence[Model], entries: Mapping[str, dict[str, Any]]) -> None:
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


def write_golden(
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


def chosen_examples(judged: Judged, output_bytes: int) -> list[int]:
    """The places of the examples that go along: as many as were typed, or as have room. The golden ones come first, the
    others are drawn at random, so that a slow device may stop anywhere."""
    count = len(judged.test)
    input_bytes = sum(array.nbytes for array in judged.test.inputs.values()) // count
    room = min(MOST_INPUT_BYTES // max(1, input_bytes), MOST_OUTPUT_BYTES // max(1, output_bytes))
    wanted = min(count, max(judged.examples or room, min(_GOLDEN, count)))
    few = min(_GOLDEN, count)
    rest = np.random.default_rng(0).permutation(np.arange(few, count))[: wanted - few]
    return [*range(few), *rest.tolist()]


def write_inputs(folder: Path, test: Split, preprocessing: Mapping[str, Preprocessing]) -> list[dict[str, Any]]:
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
