"""SmoothQuant: outliers of activations move into the weights, where quantization can bear them."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, ClassVar

import numpy as np
from numpy.typing import NDArray

from pipeline.artifact import Artifact, Format
from pipeline.artifact.onnx_graph import reads
from pipeline.artifact.onnx_rewriting import drop_unused, repair, write
from pipeline.bounds import Part
from pipeline.data.dataset import SplitName
from pipeline.errors import Unchanged
from pipeline.plan import Context
from pipeline.plan.hints import Gain
from pipeline.plan.roles import Role
from pipeline.stages.graphs.library import is_large
from pipeline.stages.quantization.channel_ranges import Channelled, Floats, Ranges, Reader, channel_ranges
from pipeline.stages.quantization.examples import Examples
from pipeline.stages.quantization.nodes import SMOOTHED
from pipeline.stages.quantization.preparation import require_float

if TYPE_CHECKING:
    import onnx

ALPHAS = (0.25, 0.5, 0.75, 1.0)
"""What is tried for each tensor."""
SMALLEST = 1e-5
"""A channel whose largest weight is below this counts as this. A channel whose largest activation is below it stays as
it is, because nothing is known of it."""
_WORTH_A_NODE = 0.8
"""A multiplication is inserted where no more than this share of the error is left."""


@dataclass(frozen=True, slots=True, kw_only=True)
class SmoothQuant:
    """Divide each channel that enters matrix products by a factor, and multiply the weights' rows by it; the model
    computes the same.

    Put it before ``quantize_static`` (Xiao et al. 2023, arXiv:2211.10438). The factor is max|x|^alpha / max|w|^(1 -
    alpha) of the channel, with max|x| taken on the calibration split. Where a LayerNormalization feeds only products,
    the division becomes part of it and costs nothing.
    """

    alpha: Part | None = None
    """The part of the difficulty that moves to the weights, 0 to 1; null: for each tensor the one of ``ALPHAS`` with
    the least error of what its products make, as the ranges and the weights tell it, or none at all."""
    insert: bool = True
    """Whether a multiplication is put before the products where no LayerNormalization can take the division."""

    role: ClassVar[Role] = "precision"
    gains_by: ClassVar[Gain] = "smoothed layers"
    accepts: ClassVar[frozenset[Format]] = frozenset({"onnx"})
    produces: ClassVar[Format] = "onnx"
    version: ClassVar[int] = 3
    reads: ClassVar[frozenset[SplitName]] = frozenset({"calibration"})
    libraries: ClassVar[tuple[str, ...]] = ("onnxruntime", "onnxruntime-gpu", "onnx")
    tolerance: ClassVar[float | None] = 1e-3

    def __call__(self, source: Artifact, out: Path, context: Context) -> None:
        """Write the smoothed model; raises Unchanged where no product can be smoothed, StageFailed without data."""
        import onnx

        model = onnx.load(source.onnx_path)
        require_float(model)
        groups = [group for group in find_groups(model) if group.norm is not None or self.insert]
        if not groups:
            raise Unchanged("there is no matrix product with constant weights to smooth")
        examples = Examples.of(context, "SmoothQuant")
        context.work.mkdir(parents=True, exist_ok=True)
        weights = {tensor.name: onnx.numpy_helper.to_array(tensor) for tensor in model.graph.initializer}
        kinds = {tensor.name: tensor.data_type for tensor in model.graph.initializer}
        values = {
            group.tensor: Channelled(channels=group.channels, behind=0, kind=kinds[group.products[0].weight])
            for group in groups
        }
        ranges = channel_ranges(model, source, values, examples, context)
        alphas = {}
        for number, group in enumerate(groups):
            chosen = self._chosen(ranges[group.tensor], [product.rows(weights) for product in group.products], group)
            if chosen is not None:
                alphas[group.tensor], factors = chosen
                _smooth(model, group, factors, weights, f"smooth_{number}")
        if not alphas:
            raise Unchanged("smoothing takes no error out of any matrix product")
        context.note("alphas", alphas)
        context.note("smoothed", sum(len(group.products) for group in groups if group.tensor in alphas))
        context.note("inserted", sum(group.norm is None for group in groups if group.tensor in alphas))
        drop_unused(model)
        repair(model)
        write(model, out, is_large(source))

    def _chosen(self, seen: Ranges, rows: Sequence[Floats], group: Group) -> tuple[float, Floats] | None:
        """The strength and the factors of a tensor; None where it is better left as it is."""
        if self.alpha is not None:
            return self.alpha, _factors(seen.largest, rows, self.alpha)
        channels = np.arange(group.channels)
        readers = [Reader(array.T[..., None], np.broadcast_to(channels, array.T.shape)) for array in rows]

        def error(factors: Floats) -> float:
            return sum(reader.error(seen, factors) for reader in readers)

        choices = [(alpha, _factors(seen.largest, rows, alpha)) for alpha in ALPHAS]
        best = min(choices, key=lambda choice: error(choice[1]))
        worth = 1.0 if group.norm is not None else _WORTH_A_NODE
        return best if error(best[1]) < worth * error(np.ones(group.channels)) else None


@dataclass(frozen=True, slots=True, kw_only=True)
class Product:
    """A MatMul or Gemm with a constant second factor."""

    node: int
    """The place of the node in the graph."""
    weight: str
    transposed: bool

    def rows(self, weights: Mapping[str, NDArray[np.generic]]) -> Floats:
        """The weights [K, N], where K channels enter."""
        array: Floats = weights[self.weight].astype(np.float64)
        return array.T if self.transposed else array


@dataclass(frozen=True, slots=True, kw_only=True)
class Group:
    """The products that read the same tensor."""

    tensor: str
    channels: int
    products: Sequence[Product]
    norm: int | None
    """The place in the graph of the LayerNormalization that makes the tensor only for these products."""


def find_groups(model: onnx.ModelProto) -> list[Group]:
    """Every tensor whose channels can all be scaled, in the order of the graph."""
    graph = model.graph
    constants = {tensor.name: tensor for tensor in graph.initializer}
    products: dict[str, list[Product]] = {}
    for place, node in enumerate(graph.node):
        product = _product(node, place, constants)
        if product is not None and node.input[0] not in constants:
            products.setdefault(node.input[0], []).append(product)
    readers: dict[str, int] = {}
    for node in graph.node:
        for name in reads(node):
            readers[name] = readers.get(name, 0) + 1
    outputs = {value.name for value in graph.output}
    makers = {name: place for place, node in enumerate(graph.node) for name in node.output}
    groups = []
    for tensor, found in products.items():
        channels = {_channels(constants[product.weight], product.transposed) for product in found}
        if len(channels) != 1:
            continue
        maker = makers.get(tensor)
        alone = readers[tensor] == len(found) and tensor not in outputs
        folds = maker is not None and alone and _is_foldable_norm(graph.node[maker], constants)
        groups.append(Group(tensor=tensor, channels=channels.pop(), products=found, norm=maker if folds else None))
    return groups


def _product(node: onnx.NodeProto, place: int, constants: Mapping[str, onnx.TensorProto]) -> Product | None:
    if node.op_type not in ("MatMul", "Gemm") or node.input[1] not in constants:
        return None
    if len(constants[node.input[1]].dims) != 2:
        return None
    attributes = {entry.name: entry.i for entry in node.attribute if entry.name in ("transA", "transB")}
    if attributes.get("transA"):
        return None
    return Product(node=place, weight=node.input[1], transposed=bool(attributes.get("transB")))


def _channels(weight: onnx.TensorProto, transposed: bool) -> int:
    return int(weight.dims[1 if transposed else 0])


def _is_foldable_norm(node: onnx.NodeProto, constants: Mapping[str, onnx.TensorProto]) -> bool:
    parameters = [name for name in node.input[1:] if name]
    return (
        node.op_type == "LayerNormalization"
        and all(name in constants and len(constants[name].dims) == 1 for name in parameters)
        and bool(parameters)
    )


def _factors(largest: Floats, rows: Sequence[Floats], alpha: float) -> Floats:
    """One factor a channel [K]: what the activations are divided by."""
    weight = np.max([np.abs(array).max(axis=1) for array in rows], axis=0)
    factors = np.maximum(largest, SMALLEST) ** alpha / np.maximum(weight, SMALLEST) ** (1 - alpha)
    chosen: Floats = np.where(largest < SMALLEST, 1.0, factors)
    return chosen


def _smooth(
    model: onnx.ModelProto,
    group: Group,
    factors: Floats,
    weights: Mapping[str, NDArray[np.generic]],
    prefix: str,
) -> None:
    from onnx import helper, numpy_helper

    graph = model.graph
    for number, product in enumerate(group.products):
        scaled = product.rows(weights) * factors[:, None]
        name = f"{prefix}_weight_{number}"
        kind = weights[product.weight].dtype
        array = np.ascontiguousarray(scaled.T if product.transposed else scaled).astype(kind)
        graph.initializer.append(numpy_helper.from_array(array, name))
        graph.node[product.node].input[1] = name
    if group.norm is not None:
        norm = graph.node[group.norm]
        for position in range(1, len(norm.input)):
            if norm.input[position]:
                name = f"{prefix}_norm_{position}"
                parameters = weights[norm.input[position]]
                divided = (parameters.astype(np.float64) / factors).astype(parameters.dtype)
                graph.initializer.append(numpy_helper.from_array(divided, name))
                norm.input[position] = name
        return
    kind = weights[group.products[0].weight].dtype
    graph.initializer.append(numpy_helper.from_array((1 / factors).astype(kind), f"{prefix}_factors"))
    # At the end, so that the places of the other nodes stay; they are sorted later.
    graph.node.append(helper.make_node("Mul", [group.tensor, f"{prefix}_factors"], [prefix + SMOOTHED], name=prefix))
    for product in group.products:
        graph.node[product.node].input[0] = prefix + SMOOTHED
