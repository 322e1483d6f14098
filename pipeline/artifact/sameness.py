"""Tells whether two artifacts hold the same model, whatever its values and nodes are called."""

from __future__ import annotations

import hashlib
from collections import Counter
from collections.abc import Iterable, Mapping
from typing import TYPE_CHECKING

from pipeline.artifact.files import Artifact, folder_digest
from pipeline.artifact.onnx_graph import inner_graphs, opset, sort_nodes
from pipeline.errors import Unchanged

if TYPE_CHECKING:
    import onnx

Prints = Counter[str]


def require_difference(source: Artifact, output: Artifact) -> None:
    """Raise Unchanged where a stage has written the very model that it was given."""
    if source.format == output.format and _same(source, output):
        raise Unchanged("it gave back the model as it was")


def _same(first: Artifact, second: Artifact) -> bool:
    if first.format != "onnx":
        return folder_digest(first.path) == folder_digest(second.path)
    # The weights are read where all else is the same only.
    return all(_model_print(first, weights) == _model_print(second, weights) for weights in (False, True))


def _model_print(artifact: Artifact, weights: bool) -> tuple[int, Prints]:
    import onnx

    model = onnx.load(artifact.onnx_path, load_external_data=weights)
    sort_nodes(model.graph)
    return opset(model), _graph_print(model.graph, {}, weights)


def _graph_print(graph: onnx.GraphProto, outside: Mapping[str, str], weights: bool) -> Prints:
    """How often each computation occurs in a graph: what enters it, its nodes, and what leaves it."""
    known = dict(outside)
    for value in graph.input:
        known[value.name] = print_of(["input", value.name if not outside else "", value.type.SerializeToString()])
    for tensor in graph.initializer:
        known[tensor.name] = tensor_print(tensor, weights)
    found: Prints = Counter(known[value.name] for value in graph.input)
    for node in graph.node:
        entering = [known.get(name, name) for name in node.input]
        inner = [sorted(_graph_print(each, known, weights).items()) for each in inner_graphs(node)]
        print_ = print_of([node.op_type, node.domain, *entering, repr(inner), *_attributes(node)])
        known.update({name: f"{print_}:{place}" for place, name in enumerate(node.output)})
        found[print_] += 1
    found.update(print_of([value.name if not outside else "", known.get(value.name, "")]) for value in graph.output)
    return found


def _attributes(node: onnx.NodeProto) -> Iterable[bytes]:
    plain = [entry for entry in node.attribute if not entry.HasField("g") and not entry.graphs]
    return [entry.SerializeToString(deterministic=True) for entry in sorted(plain, key=lambda entry: entry.name)]


def tensor_print(tensor: onnx.TensorProto, weights: bool = True) -> str:
    """What tells a tensor from others, whatever it is called; without ``weights`` its type and sizes only."""
    from onnx import numpy_helper

    values = numpy_helper.to_array(tensor).tobytes() if weights else b""
    return print_of(["tensor", str(tensor.data_type), str(list(tensor.dims)), values])


def print_of(parts: Iterable[str | bytes]) -> str:
    """The sha256 of several parts, in order."""
    digest = hashlib.sha256()
    for part in parts:
        content = part.encode() if isinstance(part, str) else part
        digest.update(f"{len(content)}:".encode())
        digest.update(content)
    return digest.hexdigest()
