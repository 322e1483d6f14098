"""Facts about an ONNX file, read without running it."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path, PurePosixPath, PureWindowsPath
from typing import TYPE_CHECKING

from pipeline.terminal.screen import printable

if TYPE_CHECKING:
    import onnx

DOMAINS = frozenset(
    {"", "ai.onnx", "ai.onnx.ml", "com.microsoft", "com.microsoft.nchwc", "com.ms.internal.nhwc", "ai.onnx.training"}
)
"""The domains of ONNX's own operators and of ONNX Runtime's."""
LOADING_OPERATORS = frozenset({"EPContext", "PyOp", "ATen", "PythonOp", "SNPE", "OpaqueOp"})
"""The operators that run code of a provider's library, or of Python, which their attributes name."""
_IN_MEMORY = ("_ORT_MEM_ADDR_",)
"""A location by which ONNX Runtime means an address in its own memory."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Tolerance:
    """How far golden outputs may differ on another machine, and the rule in words."""

    relative: float
    """The largest difference, as a share of an output's largest magnitude."""
    agreement: float
    """The smallest share of equal classes."""
    rule: str


def is_inside(relative: str) -> bool:
    """Whether a relative path, in the spelling of any system, stays inside its folder."""
    posix, windows = PurePosixPath(relative), PureWindowsPath(relative)
    parts = {*posix.parts, *windows.parts}
    return bool(parts) and ".." not in parts and not posix.is_absolute() and not windows.anchor


def read_onnx(path: Path) -> onnx.ModelProto:
    """The graph, without the data in other files. Raises google.protobuf.message.DecodeError where the file is not
    ONNX."""
    import onnx

    return onnx.load(path, load_external_data=False)


def external_files(model: onnx.ModelProto) -> list[str]:
    """The files that a model's tensors are kept in, as the ONNX file spells them (relative to its folder)."""
    return sorted({entry["location"] for entry in _external(model)})


def external_problems(model: onnx.ModelProto, sizes: Mapping[str, int]) -> list[str]:
    """The problems of the places that a model's tensors are kept in; ``sizes`` are the sizes of the bundle's files."""
    problems = []
    for name in external_files(model):
        if not is_inside(name) or any(part in name for part in _IN_MEMORY):
            problems.append(f"it keeps tensors in '{printable(name)}', outside the folder")
        elif spelled(name) not in sizes:
            problems.append(f"it keeps tensors in '{printable(name)}', which is not in the manifest")
    if problems:
        return problems
    return [
        f"it keeps a tensor at bytes {entry.get('offset', 0)}, {entry.get('length', 'all')} of them, of "
        f"'{printable(entry['location'])}', which has {sizes[spelled(entry['location'])]}"
        for entry in _external(model)
        if not _lies_within(_number(entry, "offset"), _number(entry, "length"), sizes[spelled(entry["location"])])
    ]


def spelled(location: str) -> str:
    """A relative path as the manifest spells it: ``./weights.bin`` is ``weights.bin``."""
    return PurePosixPath(location).as_posix()


def foreign_operators(model: onnx.ModelProto) -> list[str]:
    """The operators that are neither ONNX's nor ONNX Runtime's own nor a function of the model, or that run something
    that the file does not hold: a library or a compiled blob."""
    own = {(function.domain, function.name) for function in model.functions}
    found = {(node.domain, node.op_type) for node in _nodes(model)} - own
    return sorted(
        f"{printable(domain)}::{printable(name)}"
        for domain, name in found
        if domain not in DOMAINS or name in LOADING_OPERATORS
    )


def tolerance(model: onnx.ModelProto, precision: str = "float32") -> Tolerance:
    """The tolerance for the arithmetic that the model uses, or that its runtime uses instead of float32
    (``precision``): int8, bfloat16, float16 or float32."""
    import onnx

    operators = {node.op_type for node in _nodes(model)}
    types = {tensor.data_type for tensor in _tensors(model)}
    half = bool(types & {onnx.TensorProto.FLOAT16, onnx.TensorProto.BFLOAT16})
    if any("Quantize" in name or "Integer" in name or "NBits" in name or "QLinear" in name for name in operators):
        return allowed("int8")
    return allowed(precision if precision != "float32" else "float16" if half else "float32")


def allowed(arithmetic: str) -> Tolerance:
    """The tolerance for int8, bfloat16, float16 or float32."""
    classes = "and at least 90 % of the predicted classes must agree"
    if arithmetic == "int8":
        return Tolerance(
            relative=0.1,
            agreement=0.9,
            rule="int8: processors with other instruction sets round, and may saturate, differently; "
            f"an output may differ by 10 % of its largest magnitude {classes}",
        )
    if arithmetic == "bfloat16":
        return Tolerance(
            relative=0.05,
            agreement=0.9,
            rule=f"bfloat16: an output may differ by 5 % of its largest magnitude {classes}",
        )
    if arithmetic == "float16":
        return Tolerance(
            relative=0.02,
            agreement=0.9,
            rule=f"float16: an output may differ by 2 % of its largest magnitude {classes}",
        )
    return Tolerance(
        relative=1e-3,
        agreement=0.9,
        rule="float32: processors add in another order; an output may differ by 0.1 % of its largest magnitude "
        f"{classes}",
    )


def _nodes(model: onnx.ModelProto) -> Iterator[onnx.NodeProto]:
    for graph in _graphs(model):
        yield from graph.node
    for function in model.functions:
        yield from function.node


def _graphs(model: onnx.ModelProto) -> Iterator[onnx.GraphProto]:
    """The main graph and every graph in an attribute: the branches of If, the bodies of Loop and Scan."""
    waiting = [model.graph, *(graph for function in model.functions for graph in _attribute_graphs(function.node))]
    while waiting:
        graph = waiting.pop()
        yield graph
        waiting.extend(_attribute_graphs(graph.node))


def _attribute_graphs(nodes: Iterable[onnx.NodeProto]) -> Iterator[onnx.GraphProto]:
    for node in nodes:
        for attribute in node.attribute:
            yield from attribute.graphs
            if attribute.HasField("g"):
                yield attribute.g


def _tensors(model: onnx.ModelProto) -> Iterator[onnx.TensorProto]:
    """Every tensor of a model: initializers, sparse ones too, and those in attributes."""
    for graph in _graphs(model):
        yield from graph.initializer
        for sparse in graph.sparse_initializer:
            yield from (sparse.values, sparse.indices)
    for node in _nodes(model):
        for attribute in node.attribute:
            yield from attribute.tensors
            if attribute.HasField("t"):
                yield attribute.t


def _external(model: onnx.ModelProto) -> Iterator[dict[str, str]]:
    """The place of each tensor that another file holds: location, and maybe offset and length."""
    import onnx

    for tensor in _tensors(model):
        if tensor.data_location == onnx.TensorProto.EXTERNAL:
            yield {"location": "", **{entry.key: entry.value for entry in tensor.external_data}}


def _lies_within(start: int, length: int, size: int) -> bool:
    return 0 <= start <= size and 0 <= length <= size - start


def _number(entry: Mapping[str, str], name: str) -> int:
    """A place or a length in a file; -1 where it is no number."""
    text = entry.get(name, "0")
    return int(text) if text.isdecimal() and len(text) < 20 else -1
