"""Reads what an ONNX graph tells about itself. Everything here is called in a process of its own."""

from __future__ import annotations

from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

from pipeline.artifact import Artifact
from pipeline.artifact.count import constants_of, count_graph, elements_by_type
from pipeline.artifact.onnx_file import external_files, read_onnx
from pipeline.artifact.onnx_graph import MAIN_DOMAINS, all_nodes, fed_inputs, fed_shapes, opset, symbols_of
from pipeline.artifact.onnx_sizes import set_free_sizes
from pipeline.inspection.folding import folded_macs
from pipeline.inspection.inspection import ExternalFile, ModelFile, Sizes
from pipeline.stages.quantization.preparation import why_quantized

if TYPE_CHECKING:
    import onnx

_PASSES = frozenset(("Identity", "Cast", "Reshape", "Squeeze", "Unsqueeze", "Flatten", "Dropout", "Transpose"))
"""Operators whose result holds the numbers of their first input."""
_PRODUCTS = frozenset(("Conv", "Gemm", "MatMul"))


@dataclass(frozen=True, slots=True, kw_only=True)
class Declared:
    """An output as the graph declares it, and what makes it."""

    name: str
    dtype: str | None
    shape: Sizes | None
    maker: str | None
    """The operator whose result it is, but for those that only move numbers."""
    weighted: bool
    """Whether that is a product with constant weights."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Graph:
    """What a graph tells."""

    opset: int
    parameters: int
    macs: int | None
    macs_at: Mapping[str, int]
    """The sizes of the named free axes that the MACs are told at."""
    weights: Mapping[str, int]
    operators: Mapping[str, int]
    quantized: str | None
    shapes: Mapping[str, Sizes | None]
    """The declared shape of each input, by name."""
    outputs: Sequence[Declared]


def read_graph(artifact: Artifact, sizes: Mapping[str, Sequence[int]]) -> Graph:
    """What the graph of an ONNX model tells; ``sizes`` has the shape of one example's call by input."""
    model = read_onnx(artifact.onnx_path)
    operators = Counter(_named(node) for node in all_nodes(model.graph))
    shapes = {value.name: _sizes(value) for value in fed_inputs(model.graph)}
    outputs = [_declared(model, value) for value in model.graph.output]
    weights, quantized, version = elements_by_type(model), why_quantized(model), opset(model)
    free = _free_axes(shapes, sizes)
    set_free_sizes(model, sizes, fed_shapes(model))
    parameters, macs = count_graph(model)
    if macs is None and free:
        macs = folded_macs(artifact, free)
    return Graph(
        opset=version,
        parameters=parameters,
        macs=macs,
        macs_at={} if macs is None else free,
        weights=weights,
        operators=dict(operators.most_common()),
        quantized=quantized,
        shapes=shapes,
        outputs=outputs,
    )


def _free_axes(shapes: Mapping[str, Sizes | None], sizes: Mapping[str, Sequence[int]]) -> dict[str, int]:
    """The sizes that one example gives the named free axes."""
    return {
        symbol: size
        for name, shape in shapes.items()
        if shape is not None and len(shape) == len(sizes.get(name, ()))
        for symbol, size in zip(shape, sizes[name], strict=True)
        if isinstance(symbol, str)
    }


def read_file(path: Path) -> ModelFile:
    """What an ONNX file says of itself."""
    model = read_onnx(path)
    external = [ExternalFile(name=name, size_bytes=_size(path.parent / name)) for name in external_files(model)]
    producer = " ".join(filter(None, (model.producer_name, model.producer_version)))
    return ModelFile(
        format="onnx",
        path=str(path),
        size_bytes=path.stat().st_size + sum(file.size_bytes or 0 for file in external),
        producer=producer or None,
        opset=opset(model),
        ir_version=model.ir_version,
        domains={entry.domain: entry.version for entry in model.opset_import if entry.domain not in MAIN_DOMAINS},
        external=external,
    )


def _size(path: Path) -> int | None:
    return path.stat().st_size if path.is_file() else None


def _named(node: onnx.NodeProto) -> str:
    return node.op_type if node.domain in MAIN_DOMAINS else f"{node.domain}.{node.op_type}"


def _sizes(value: onnx.ValueInfoProto) -> Sizes | None:
    symbols = symbols_of(value)
    return None if symbols is None else list(symbols)


def _declared(model: onnx.ModelProto, value: onnx.ValueInfoProto) -> Declared:
    from onnx import TensorProto
    from onnx.helper import tensor_dtype_to_np_dtype

    kind = value.type.tensor_type.elem_type
    known = kind not in (TensorProto.UNDEFINED, TensorProto.STRING)
    maker, weighted = _maker(model, value.name)
    return Declared(
        name=value.name,
        dtype=tensor_dtype_to_np_dtype(kind).name if known else None,
        shape=_sizes(value),
        maker=maker,
        weighted=weighted,
    )


def _maker(model: onnx.ModelProto, name: str) -> tuple[str | None, bool]:
    """The operator that an output's numbers come from, and whether it is a product with weights, a bias behind it or
    not."""
    makers = {made: node for node in model.graph.node for made in node.output}
    constants = constants_of(model)
    node = makers.get(name)
    while node is not None and node.op_type in _PASSES and node.input:
        node = makers.get(node.input[0])
    if node is None:
        return None, False
    if node.op_type == "Add" and any(term in constants for term in node.input):
        summed = [makers[term] for term in node.input if term in makers]
        node = next((one for one in summed if one.op_type in _PRODUCTS), node)
    return node.op_type, node.op_type in _PRODUCTS and any(term in constants for term in node.input)
