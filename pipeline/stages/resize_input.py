"""Lets a model compute on a larger or smaller input, while its own inputs stay as they are."""

from __future__ import annotations

import math
from collections.abc import Iterable
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, ClassVar

from pipeline.artifact import ONNX_FILE, Artifact, Format
from pipeline.bounds import Positive
from pipeline.data.dataset import SplitName
from pipeline.errors import StageFailed, first_line
from pipeline.plan import Context
from pipeline.plan.roles import Role
from pipeline.stages.graphs.library import is_large
from pipeline.stages.graphs.resize_nodes import resized_image, resized_sequence

if TYPE_CHECKING:
    import onnx

OLDEST_OPSET = 11
IMAGE, SEQUENCE = "resolution", "sequence length"
_AXES = {IMAGE: (2, 3), SEQUENCE: (1,)}
_BAKED_IN = "the rest of the model has the size of its input baked in"
Sizes = list[int | None]


@dataclass(frozen=True, slots=True, kw_only=True)
class ResizeInput:
    """Put a resizing right behind an ONNX model's inputs, to see what the size of the input costs.

    Behind a floating-point image [N, C, H, W] the resizing is an ONNX Resize (linear): the model sees ``scale`` x H and
    W. Where the model has no image but integers [N, L] (token ids, masks), all of them are cut, or repeated, to
    ``scale`` x L along axis 1. Sizes are rounded down. The resizing is part of the model from then on, and of its time.
    A model may answer another size differently, so the stage is lossy.
    """

    scale: Positive = 0.5

    role: ClassVar[Role] = "input"
    accepts: ClassVar[frozenset[Format]] = frozenset({"onnx"})
    produces: ClassVar[Format] = "onnx"
    version: ClassVar[int] = 1
    reads: ClassVar[frozenset[SplitName]] = frozenset()
    libraries: ClassVar[tuple[str, ...]] = ("onnx",)
    tolerance: ClassVar[float | None] = None

    def __post_init__(self) -> None:
        if self.scale == 1:
            raise ValueError("scale must not be 1: 0.5 halves each side of an image or a sequence")

    def __call__(self, source: Artifact, out: Path, context: Context) -> None:
        """Write the model; raises StageFailed where there is nothing to resize, or the size is baked into the rest."""
        import onnx

        model = onnx.load(source.onnx_path)
        opset = next((entry.version for entry in model.opset_import if entry.domain in ("", "ai.onnx")), 0)
        if opset < OLDEST_OPSET:
            raise StageFailed(
                f"the model has opset {opset}, and Resize as it is used here needs {OLDEST_OPSET} or newer"
            )
        kind, chosen = _resizable(model)
        for value in chosen:
            sizes = _sizes(value)
            _check_sizes(value.name, [sizes[axis] for axis in _AXES[kind]], self.scale)
            behind = _free_name(model, f"{value.name}_resized")
            _rewire(model.graph, value.name, behind)
            if kind == IMAGE:
                nodes, constants = resized_image(value.name, behind, self.scale)
            else:
                nodes, constants = resized_sequence(value.name, behind, self.scale, sizes[1])
            for position, node in enumerate(nodes):
                model.graph.node.insert(position, node)
            model.graph.initializer.extend(constants)
        del model.graph.value_info[:]  # they tell the sizes of before
        context.note("resized", kind)
        context.note("elements", self._elements(kind, [_sizes(value) for value in chosen]))
        if not is_large(source):  # which can't be done in memory beyond 2 GiB
            _check_fit(onnx.load(source.onnx_path), model)
            model = onnx.shape_inference.infer_shapes(model, data_prop=True)
        onnx.save(model, out / ONNX_FILE, save_as_external_data=is_large(source), location=f"{ONNX_FILE}.data")

    def _elements(self, kind: str, inputs: Iterable[Sizes]) -> dict[str, float]:
        """How many times as many elements of the resized inputs the model sees, exactly where their sizes are known."""
        before, after = 0, 0
        for sizes in inputs:
            known = [size for size in sizes[1:] if size is not None]
            if len(known) < len(sizes) - 1:
                return {"times": self.scale ** len(_AXES[kind])}
            before += math.prod(known)
            after += math.prod(
                math.floor(size * self.scale) if axis in _AXES[kind] else size
                for axis, size in enumerate(known, start=1)
            )
        return {"before": before, "after": after, "times": after / before}


def _resizable(model: onnx.ModelProto) -> tuple[str, list[onnx.ValueInfoProto]]:
    """What kind of input there is, and all of that kind."""
    import onnx

    weights = {tensor.name for tensor in model.graph.initializer}
    fed = [value for value in model.graph.input if value.name not in weights]
    floats = {onnx.TensorProto.FLOAT, onnx.TensorProto.FLOAT16}
    integers = {onnx.TensorProto.INT32, onnx.TensorProto.INT64}
    images = [value for value in fed if _type(value) in floats and len(_sizes(value)) == 4]
    sequences = [value for value in fed if _type(value) in integers and len(_sizes(value)) == 2]
    if images:
        return IMAGE, images
    if sequences:
        return SEQUENCE, sequences
    shown = ", ".join(f"{value.name} {_shown(value)}" for value in fed) or "none"
    raise StageFailed(
        f"there is no input to resize: it takes float images [N, C, H, W] or integers [N, L]; the model has {shown}"
    )


def _type(value: onnx.ValueInfoProto) -> int:
    return value.type.tensor_type.elem_type


def _sizes(value: onnx.ValueInfoProto) -> Sizes:
    """Each axis' size, None where any will do."""
    return [dim.dim_value or None for dim in value.type.tensor_type.shape.dim]


def _shown(value: onnx.ValueInfoProto) -> str:
    import onnx

    sizes = ", ".join("any" if size is None else str(size) for size in _sizes(value))
    return f"{onnx.TensorProto.DataType.Name(_type(value)).lower()} [{sizes}]"


def _check_sizes(name: str, sizes: Sizes, scale: float) -> None:
    for size in sizes:
        if size is not None and math.floor(size * scale) < 1:
            raise StageFailed(f"scale {scale:g} leaves nothing of input '{name}', of which a side is {size}")


def _free_name(model: onnx.ModelProto, wanted: str) -> str:
    """A name that no value has yet; the stage may come twice in a chain."""
    taken = {name for node in model.graph.node for name in (*node.input, *node.output)}
    while wanted in taken:
        wanted += "_again"
    return wanted


def _rewire(graph: onnx.GraphProto, before: str, after: str) -> None:
    """Let whatever reads a value read another one, in the graphs inside nodes too."""
    for node in graph.node:
        for position, name in enumerate(node.input):
            if name == before:
                node.input[position] = after
        for attribute in node.attribute:
            for inner in (attribute.g, *attribute.graphs):
                _rewire(inner, before, after)


def _check_fit(before: onnx.ModelProto, after: onnx.ModelProto) -> None:
    """Raise StageFailed where the shapes of the resized model do not fit together, and those of its source did."""
    import onnx

    try:
        expected = _output_sizes(before)
    except onnx.shape_inference.InferenceError:
        return  # nothing can be told; whether the resized model runs is checked with every stage's output
    try:
        found = _output_sizes(after)
    except onnx.shape_inference.InferenceError as error:
        raise StageFailed(f"{_BAKED_IN}: {_reason(error)}") from error
    for name, sizes in found.items():
        was = expected.get(name, [])
        if sizes != was and None not in (*sizes, *was):
            raise StageFailed(f"{_BAKED_IN}: output '{name}' of one example would be {sizes} instead of {was}")


def _output_sizes(model: onnx.ModelProto) -> dict[str, Sizes]:
    """The outputs' sizes for a batch of 1, inferred: a Reshape to a fixed size is only seen to fail for a known batch.

    Raises onnx's InferenceError where shapes do not fit together.
    """
    import onnx

    trial = onnx.ModelProto()
    trial.CopyFrom(model)
    for value in trial.graph.input:
        sizes = value.type.tensor_type.shape.dim
        if sizes and sizes[0].dim_value == 0:
            sizes[0].dim_value = 1
    for value in trial.graph.output:
        value.type.tensor_type.ClearField("shape")  # else they say what they were before
    del trial.graph.value_info[:]
    found = onnx.shape_inference.infer_shapes(trial, strict_mode=True, data_prop=True)
    return {value.name: _sizes(value) for value in found.graph.output}


def _reason(error: Exception) -> str:
    lines = [line for line in str(error).splitlines() if "Error]" in line and "op_type" in line]
    return " ".join(lines[0].split()) if lines else first_line(error)
