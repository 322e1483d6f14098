"""A model in OpenVINO's own format as the map reads it: its layers as nodes, its constants as weights."""

from __future__ import annotations

import mmap
from collections.abc import Collection, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from xml.etree.ElementTree import Element

from pipeline.artifact import OPENVINO_FILE, OPENVINO_WEIGHTS
from pipeline.artifact.openvino_file import constant, port_names, read_graph
from pipeline.artifact.sameness import print_of
from pipeline.measure.map.graph import Graph

_CONSTANT, _INPUT, _OUTPUT = "Const", "Parameter", "Result"
_ATTRIBUTES = "attributes"
"""All of a layer's, as they are written, in one."""
Port = tuple[str, int]
"""The name of a layer, and the number of its output."""
_End = tuple[str | None, str | None]
"""A layer and its port, by the numbers of the file."""


@dataclass(frozen=True, slots=True, kw_only=True)
class _Value:
    """What leaves a layer."""

    name: str
    has_name: bool
    """Whether the file names it."""
    port: Port


@dataclass(frozen=True, slots=True, kw_only=True)
class Layers:
    """A graph, and where its values leave their layers."""

    graph: Graph
    ports: Mapping[str, Port]


def read_layers(folder: Path, known: Collection[str] = ()) -> Layers:
    """The graph of the model in a folder, with OpenVINO's names of operators, and of constants only what tells them
    from others.

    A value of several names has one that is ``known``; one without a name is called after its layer. Raises Unreadable
    for a file that is no such graph.
    """
    from onnx import ModelProto, TensorProto, helper

    net = read_graph(folder / OPENVINO_FILE)
    layers = net.findall("layers/layer")
    values = {end: value for layer in layers for end, value in _values(layer, known)}
    sources = {
        _end(edge, "to-layer", "to-port"): _end(edge, "from-layer", "from-port") for edge in net.iterfind("edges/edge")
    }
    model = ModelProto()
    graph = model.graph
    with _constants(folder) as content:
        for layer in layers:
            kind, number = layer.get("type", ""), layer.get("id")
            made = [values[number, port.get("id")].name for port in layer.iterfind("output/port")]
            read = [values[sources[number, port.get("id")]].name for port in layer.iterfind("input/port")]
            if kind == _INPUT:
                graph.input.extend(map(helper.make_empty_tensor_value_info, made))
            elif kind == _OUTPUT:
                graph.output.extend(map(helper.make_empty_tensor_value_info, read))
            elif kind == _CONSTANT:
                told, start, size = constant(layer)
                digest = bytes.fromhex(print_of([told, content[start : start + size]]))
                graph.initializer.append(
                    helper.make_tensor(made[0], TensorProto.UINT8, [len(digest)], digest, raw=True)
                )
            else:
                written = {_ATTRIBUTES: _attributes(layer)}
                graph.node.append(helper.make_node(kind, read, made, name=layer.get("name"), **written))
    return Layers(
        graph=Graph(model, frozenset(value.name for value in values.values() if not value.has_name)),
        ports={value.name: value.port for value in values.values()},
    )


def _values(layer: Element, known: Collection[str]) -> Iterator[tuple[_End, _Value]]:
    layer_name = layer.get("name", "")
    for place, port in enumerate(layer.iterfind("output/port")):
        names = port_names(port)
        name = next((name for name in names if name in known), names[0] if names else f"{layer_name}:{place}")
        yield (layer.get("id"), port.get("id")), _Value(name=name, has_name=bool(names), port=(layer_name, place))


def _end(edge: Element, layer: str, port: str) -> _End:
    return edge.get(layer), edge.get(port)


def _attributes(layer: Element) -> str:
    data = layer.find("data")
    return "" if data is None else repr(sorted(data.items()))


@contextmanager
def _constants(folder: Path) -> Iterator[bytes | mmap.mmap]:
    """The file beside the graph; nothing can be mapped of an empty one."""
    path = folder / OPENVINO_WEIGHTS
    if not path.stat().st_size:
        yield b""
        return
    with path.open("rb") as file, mmap.mmap(file.fileno(), 0, access=mmap.ACCESS_READ) as content:
        yield content
