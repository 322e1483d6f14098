"""A deploy bundle's model as a run would have it: where it comes from, what it reads, what it gave."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from pipeline.artifact import OPENVINO_FILE, Artifact, Format
from pipeline.bundle import golden
from pipeline.data.batches import Inputs
from pipeline.data.preprocessing import Preprocessing
from pipeline.measure.look import Look
from pipeline.plan import InputSignature


@dataclass(frozen=True, slots=True, kw_only=True)
class DeployedModel:
    """The model of a bundle, whose files must have been checked, as the origin of a plan."""

    folder: Path
    manifest: Mapping[str, Any]
    train_too: bool = False
    """Whether it is judged on the data's train share too, as runs do in which nothing trains."""

    @property
    def name(self) -> str:
        """The variant's name."""
        return str(self.manifest["name"])

    @property
    def format(self) -> Format:
        """What tells a run whether the train share may be judged: a PyTorch model may have been trained on it."""
        return "onnx" if self.train_too else "torch"

    @property
    def preprocessing(self) -> Mapping[str, Preprocessing]:
        """The preprocessing of raw inputs, by input name."""
        steps = {entry["name"]: entry["preprocessing"] for entry in self.manifest["inputs"]}
        return {name: Preprocessing(**step) for name, step in steps.items() if step}

    def key(self) -> Mapping[str, Any]:
        """The artifact's digest."""
        return {"artifact": self.manifest["provenance"]["artifact_digest"]}

    def signature(self) -> Mapping[str, InputSignature]:
        """The inputs, in the model's order."""
        return signature(self.manifest)

    def write(self, out: Path) -> Mapping[str, Any]:
        """Not done: a bundle's model is judged and timed where it lies. Raises NotImplementedError."""
        raise NotImplementedError("a bundle's model is not built again")


def signature(manifest: Mapping[str, Any]) -> dict[str, InputSignature]:
    """The model's inputs as the manifest declares them, with the examples on the axis where the model has them."""
    return {entry["name"]: _input(entry) for entry in manifest["inputs"]}


def artifact(folder: Path, manifest: Mapping[str, Any]) -> Artifact:
    """The model's files, where they lie."""
    kind: Format = "openvino" if manifest["model"] == OPENVINO_FILE else "onnx"
    return Artifact(folder, kind, manifest["provenance"]["artifact_digest"])


def golden_look(folder: Path, manifest: Mapping[str, Any], most: int) -> Look:
    """The golden outputs, at most ``most``, as a look at the model's own outputs on a few examples."""
    outputs = {name: array[:most] for name, array in golden.read(folder, manifest)[1].items()}
    names = [entry["name"] for entry in manifest["outputs"]]
    axes = [entry.get("batch_axis", 0) for entry in manifest["outputs"]]
    return Look(names=names, axes=axes, outputs=[outputs[name] for name in names], repeat=0.0)


def golden_inputs(folder: Path, manifest: Mapping[str, Any]) -> Inputs:
    """The raw golden inputs: the first examples that the model was timed on."""
    axes = {entry["name"]: entry.get("batch_axis", 0) for entry in manifest["inputs"]}
    return Inputs(golden.read(folder, manifest)[0], axes)


def _input(entry: Mapping[str, Any]) -> InputSignature:
    axis = entry.get("batch_axis", 0)
    first, *sizes = (size if isinstance(size, int) else None for size in entry["shape"])
    if axis is not None:
        sizes.insert(axis, first)
    return InputSignature(tuple(sizes), entry["dtype"], axis)
