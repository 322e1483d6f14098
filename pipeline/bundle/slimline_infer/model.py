"""The bundle's model as an object: raw arrays in, outputs and classes out."""

from __future__ import annotations

import json
import logging
from collections.abc import Mapping, Sequence
from importlib import import_module
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from .choice import place
from .threads import allowed_threads
from .values import Arrays, Entry, InputError, checked, doubts, first_line, placed, prepare, printable

logger = logging.getLogger(__name__)

FOLDER = Path(__file__).resolve().parent.parent
"""The bundle that this program lies in."""
RUNTIMES = ("onnxruntime", "openvino", "torch")
READS_UP_TO = 3
"""The newest version of a manifest that this program reads."""


class Model:
    """A bundle's model, with its preprocessing and the session options that its figures were taken with."""

    def __init__(self, folder: Path = FOLDER, batch_size: int | None = None, variant: str | None = None) -> None:
        """Load the model; ``batch_size`` is how many examples one call of the runtime takes, by default as measured.

        Of a package it is the variant that fits this machine, or the one asked for. Raises InputError where the runtime
        or a device is missing or the model's batch is fixed to another size.
        """
        found = place(Path(folder), variant)
        self.folder, self.chosen = found.folder, found.why
        self.manifest = read_manifest(self.folder / "manifest.json")
        self.inputs: list[dict[str, Any]] = self.manifest["inputs"]
        self.output_names: list[str] = [entry["name"] for entry in self.manifest["outputs"]]
        self.labels: list[str] | None = self.manifest["labels"]
        self.fixed_batch = fixed_batch(self.inputs)
        if batch_size is not None and batch_size < 1:
            raise InputError(f"the batch size must be at least 1 (asked for {batch_size})")
        if self.fixed_batch and batch_size not in (None, self.fixed_batch):
            raise InputError(f"this model's batch size is fixed to {self.fixed_batch} (asked for {batch_size})")
        self.batch_size: int = self.fixed_batch or batch_size or self.manifest["batch_size"]
        self.runtime, self.session = open_session(self.folder, self.manifest, found.weights)

    def __call__(self, raw: Arrays | NDArray[Any]) -> dict[str, NDArray[Any]]:
        """Every output [N, ...] by name, from raw inputs [N, ...] by name (a bare array will do for a single input).

        What looks wrong about the values is logged as a warning. Raises InputError for a wrong name, shape or type.
        """
        arrays = self.arrays(raw)
        for doubt in doubts(arrays, self.inputs):
            logger.warning("%s", doubt)
        return self.outputs(arrays)

    def outputs(self, arrays: Arrays) -> dict[str, NDArray[Any]]:
        """Every output [N, ...] by name, from what ``arrays`` returned; raises InputError where a call fails."""
        count = len(arrays[self.inputs[0]["name"]])
        batches = [
            self._run({name: array[start : start + self.batch_size] for name, array in arrays.items()})
            for start in range(0, count, self.batch_size)
        ]
        return {name: np.concatenate([batch[name] for batch in batches]) for name in self.output_names}

    def predict(self, raw: Arrays | NDArray[Any]) -> list[str | int]:
        """Each example's class: its label, or its number where the manifest has no labels.

        Raises InputError where the outputs don't hold class scores [N, C], beside what a call raises.
        """
        classes = self.classes(self(raw))
        if classes is None:
            raise InputError("the model's outputs do not hold class scores [N, C]")
        return [self.name_of(index) for index in classes]

    def classes(self, outputs: Arrays) -> NDArray[np.int64] | None:
        """The class [N] with the highest score; None where the outputs don't hold class scores [N, C]."""
        scores = self.scores(outputs)
        return None if scores is None else scores.argmax(axis=1).astype(np.int64)

    def scores(self, outputs: Arrays) -> NDArray[Any] | None:
        """The class scores [N, C], C > 1, from the output that the manifest names; None where there are none. A single
        column is the score of class 1; class 0 gets the score that is as far from the threshold on the other side."""
        told = self.manifest["scores"]
        if told is None:
            return None
        scores = outputs[told["output"]]
        if scores.dtype.kind == "f" and scores.size == len(scores) and told["threshold"] is not None:
            single = scores.reshape(-1).astype(np.float64)
            other = np.nextafter(2 * told["threshold"] - single, -np.inf)  # at the threshold it is class 1
            return np.stack([other, single], axis=1)
        return scores if scores.ndim == 2 and scores.shape[1] > 1 else None

    def name_of(self, index: int) -> str | int:
        """A class's label, or its number where there are no labels."""
        return self.labels[index] if self.labels and 0 <= index < len(self.labels) else int(index)

    def golden(self) -> tuple[dict[str, NDArray[Any]], dict[str, NDArray[Any]], NDArray[np.int64] | None]:
        """The golden raw inputs and outputs by name, and the examples' true classes [N] where they are known."""
        with np.load(self.folder / self.manifest["golden"]["file"], allow_pickle=False) as arrays:
            inputs = {entry["name"]: arrays[f"input.{entry['name']}"] for entry in self.inputs}
            outputs = {name: arrays[f"output.{name}"] for name in self.output_names}
            return inputs, outputs, arrays["labels"] if "labels" in arrays.files else None

    def arrays(self, raw: Arrays | NDArray[Any]) -> dict[str, NDArray[Any]]:
        """The raw inputs by name, if they fit the model; raises InputError for a wrong name, shape or type."""
        names = [entry["name"] for entry in self.inputs]
        shown = ", ".join(map(printable, names))
        if not isinstance(raw, Mapping):
            if len(names) > 1:
                raise InputError(f"the model has {len(names)} inputs, give an array for each: {shown}")
            raw = {names[0]: raw}
        missing = [name for name in names if name not in raw]
        if missing:
            found = ", ".join(map(printable, raw)) or "no array"
            raise InputError(f"no array for input '{printable(missing[0])}': the model has {shown}; found {found}")
        arrays = {entry["name"]: checked(np.asarray(raw[entry["name"]]), entry) for entry in self.inputs}
        counts = {printable(name): len(array) for name, array in arrays.items()}
        if len(set(counts.values())) > 1:
            raise InputError(f"the inputs hold different numbers of examples: {counts}")
        if not len(arrays[names[0]]):
            raise InputError("there are no examples: the arrays are empty")
        return arrays

    def _run(self, raw: Arrays) -> dict[str, NDArray[Any]]:
        feed = {entry["name"]: prepare(raw[entry["name"]], entry) for entry in self.inputs}
        size = len(next(iter(feed.values())))
        filling = self.fixed_batch - size if self.fixed_batch else 0
        if filling:
            feed = {
                name: np.concatenate([array, np.repeat(array[-1:], filling, axis=0)]) for name, array in feed.items()
            }
        feed = {entry["name"]: placed(feed[entry["name"]], entry) for entry in self.inputs}
        try:
            outputs = dict(zip(self.output_names, self.session(feed), strict=True))
        except self.runtime.ERRORS as error:
            raise InputError(f"{self.runtime.NAME} can't run these inputs: {first_line(error)}") from error
        for entry in self.manifest["outputs"]:
            axis = entry.get("batch_axis") or 0
            if axis and outputs[entry["name"]].ndim > axis:
                outputs[entry["name"]] = np.moveaxis(outputs[entry["name"]], axis, 0)
        for name, output in outputs.items():
            if output.ndim == 0 or len(output) != size + filling:
                raise InputError(f"output '{printable(name)}' {list(output.shape)} does not have one row per example")
        return {name: output[:size] for name, output in outputs.items()}


def read_manifest(path: Path) -> dict[str, Any]:
    """The manifest; raises InputError where it can't be read, or is of a version that this program doesn't know."""
    try:
        manifest: dict[str, Any] = json.loads(path.read_text(encoding="utf-8"))
        version = manifest["schema_version"]
    except (OSError, ValueError, LookupError, TypeError, RecursionError) as error:
        raise InputError(f"{path} can't be read: {first_line(error)}") from error
    if version != READS_UP_TO:
        raise InputError(f"{path} has version {version}, and this infer.py reads version {READS_UP_TO}")
    return manifest


def open_session(folder: Path, manifest: Mapping[str, Any], weights: Path | None = None) -> tuple[Any, Any]:
    """The runtime's module, and a session of the model; ``weights`` is the folder of its weights, where that is another
    one. Raises InputError, with the reason, where there can't be a session."""
    name, settings = manifest["runtime"], dict(manifest["session"])
    if weights is not None:
        settings["weights_folder"] = str(weights)
    if name not in RUNTIMES:
        raise InputError(f"the manifest names the runtime '{printable(name)}': it can be {', '.join(RUNTIMES)}")
    try:
        runtime: Any = import_module(f".on_{name}", __package__)
    except ImportError as error:
        raise InputError(f"{first_line(error)}: install what requirements.txt names") from error
    threads, reason = allowed_threads(runtime.wanted_threads(settings))
    if reason:
        logger.warning("%s", reason)
    try:
        return runtime, runtime.Session(folder / manifest["model"], settings, threads)
    except runtime.ERRORS as error:
        raise InputError(f"{runtime.NAME} can't load {manifest['model']}: {first_line(error)}") from error


def fixed_batch(inputs: Sequence[Entry]) -> int | None:
    """The only batch size that the model takes; None where any will do, as an input with a free axis 0 says."""
    sizes = [entry["shape"][0] for entry in inputs if entry["shape"] and entry.get("batch_axis", 0) is not None]
    return sizes[0] if sizes and all(isinstance(size, int) for size in sizes) else None
