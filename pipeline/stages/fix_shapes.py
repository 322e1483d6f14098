"""Writes sizes into the free axes of an ONNX model: some runtimes are faster with shapes that they know."""

from __future__ import annotations

import shutil
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING, ClassVar

import numpy as np

from pipeline.artifact import ONNX_FILE, Artifact, Format, model_files
from pipeline.artifact.onnx_graph import (
    Shape,
    all_graphs,
    batch_first,
    fed_inputs,
    fed_shapes,
    fixed_batch_in,
    shape_of,
)
from pipeline.artifact.onnx_rewriting import drop_unused
from pipeline.artifact.onnx_sizes import axis_names, set_axis, set_batch, set_free, set_free_sizes, set_sizes
from pipeline.bounds import Count
from pipeline.data.batches import Axes, axes_of, batch_of
from pipeline.data.dataset import SplitName
from pipeline.errors import StageFailed, Unchanged
from pipeline.errors.names import meant
from pipeline.plan import Context
from pipeline.plan.roles import Role

if TYPE_CHECKING:
    import onnx


@dataclass(frozen=True, slots=True, kw_only=True)
class FixShapes:
    """Fix the batch of an ONNX model and its other free axes; then infer all shapes.

    The model takes this one batch size from then on, and rows of others are skipped. It also takes inputs of these
    lengths only: a runtime refuses others. It computes the same. OpenVINO compiles for shapes that it knows; ONNX
    Runtime gains little.
    """

    batch_size: Count = 1
    axes: Mapping[str, Count] = field(default_factory=dict)
    """The sizes of other free axes, by their name in the model, such as ``{sequence: 128}``."""
    shapes: Mapping[str, tuple[Count | None, ...]] = field(default_factory=dict)
    """Whole shapes by input, such as ``{input_ids: [1, 128]}``; null leaves an axis to ``from_data``."""
    from_data: bool = True
    """Whether the free axes that are not named take the sizes of the data's examples; if not, they stay free."""

    role: ClassVar[Role] = "graph"
    accepts: ClassVar[frozenset[Format]] = frozenset({"onnx"})
    produces: ClassVar[Format] = "onnx"
    version: ClassVar[int] = 1
    reads: ClassVar[frozenset[SplitName]] = frozenset()
    libraries: ClassVar[tuple[str, ...]] = ("onnx",)
    tolerance: ClassVar[float | None] = 1e-3
    fixes_batch: ClassVar[bool] = True
    sized_by_data: ClassVar[bool] = True

    def __call__(self, source: Artifact, out: Path, context: Context) -> None:
        """Write the model; raises Unchanged where all its shapes are fixed, or its batch is fixed at another size,
        StageFailed where a size does not fit."""
        import onnx

        model = onnx.load(source.onnx_path, load_external_data=False)
        sample = context.sample(1)
        before, axes = fed_shapes(model), axes_of(sample)
        data_shapes = {name: array.shape for name, array in batch_of(sample, self.batch_size).items()}
        for value in fed_inputs(model.graph):
            if before[value.name] is None and value.name in data_shapes:
                set_free(value, len(data_shapes[value.name]))
        self._check(model, fed_shapes(model), axes)
        for name, sizes in self.shapes.items():
            set_sizes(model, name, sizes)
        for name, size in self.axes.items():
            set_axis(model, name, size)
        left = fed_shapes(model)
        set_batch(model, self.batch_size, axes)
        if self.from_data:
            set_free_sizes(model, data_shapes, left)
        if fed_shapes(model) == before:
            raise Unchanged(f"its shapes are fixed already: {_shown(before)}")
        context.note("shapes", {name: list(shape or ()) for name, shape in fed_shapes(model).items()})
        free = [name for name, shape in fed_shapes(model).items() if shape is None or None in shape]
        if free:
            context.note(
                "left_free", f"{_shown(fed_shapes(model), free)}: name them in axes or shapes, or set from_data=true"
            )
        _write(_inferred(model), source, out)

    def _check(self, model: onnx.ModelProto, before: Mapping[str, Shape | None], axes: Axes) -> None:
        fixed = fixed_batch_in(batch_first(before, axes))
        if fixed not in (None, self.batch_size):
            raise Unchanged(f"the model's batch is fixed at {fixed} already: batch_size={fixed} fixes its other axes")
        names = axis_names(model)
        for name in self.axes:
            if name not in names:
                raise StageFailed(
                    f"axes: the model has no free axis '{name}'; {meant(name, names)}"
                    f"it has {', '.join(names) or 'none'}"
                )
        for name, sizes in self.shapes.items():
            if name not in before:
                raise StageFailed(
                    f"shapes: the model has no input '{name}'; {meant(name, before)}it has {', '.join(before)}"
                )
            if not _fits(sizes, before[name]):
                raise StageFailed(
                    f"shapes: input '{name}' is {_shown(before, [name])}, which {list(sizes)} does not fit"
                )


def _fits(wanted: Sequence[int | None], declared: Shape | None) -> bool:
    if declared is None or len(wanted) != len(declared):
        return False
    return all(None in pair or pair[0] == pair[1] for pair in zip(wanted, declared, strict=True))


def _shown(shapes: Mapping[str, Shape | None], names: Sequence[str] | None = None) -> str:
    def one(shape: Shape | None) -> str:
        return "any" if shape is None else "[" + ", ".join("any" if size is None else str(size) for size in shape) + "]"

    return ", ".join(f"{name} {one(shapes[name])}" for name in (shapes if names is None else names))


def _inferred(model: onnx.ModelProto) -> onnx.ModelProto:
    """The model with every shape that follows; what only asks for a known shape becomes a constant."""
    from onnx import shape_inference

    for graph in all_graphs(model.graph):
        del graph.value_info[:]
    try:
        found = shape_inference.infer_shapes(model, data_prop=True)
    except shape_inference.InferenceError as error:
        raise StageFailed(f"the sizes do not fit the model: {' '.join(str(error).split())}") from error
    _fold_shapes(found)
    return found


def _fold_shapes(model: onnx.ModelProto) -> None:
    from onnx import numpy_helper

    graph = model.graph
    known = {value.name: shape_of(value) for value in (*graph.input, *graph.value_info)}
    outputs = {value.name for value in graph.output}
    for node in [node for node in graph.node if node.op_type == "Shape" and node.output[0] not in outputs]:
        shape = known.get(node.input[0])
        if shape is None or None in shape:
            continue
        between = {entry.name: entry.i for entry in node.attribute}
        sizes = np.array(shape[between.get("start", 0) : between.get("end", len(shape))], np.int64)
        graph.initializer.append(numpy_helper.from_array(sizes, node.output[0]))
        graph.node.remove(node)
    drop_unused(model)


def _write(model: onnx.ModelProto, source: Artifact, out: Path) -> None:
    """Save the model; weights that lie beside the source are copied as they are."""
    (out / ONNX_FILE).write_bytes(model.SerializeToString())
    for path in model_files(source.path):
        if path != source.onnx_path:
            destination = out / path.relative_to(source.path)
            destination.parent.mkdir(parents=True, exist_ok=True)
            shutil.copyfile(path, destination)
