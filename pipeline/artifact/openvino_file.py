"""Facts about a model in OpenVINO's own format, read from its graph: neither OpenVINO nor the constants are needed.

The format is XML, with the graph's layers and edges. A constant is a range of bytes of the file beside it. Source:
OpenVINO's documentation, "Model Representation in OpenVINO" and "OpenVINO IR format".
"""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any
from xml.etree.ElementTree import Element, ParseError, TreeBuilder, XMLParser

from pipeline.terminal.screen import printable

_OWN = re.compile(r"opset[0-9]{1,2}")
"""The names of OpenVINO's own sets of operators; all others come from an extension, which is a library."""
_COMMA = re.compile(r"(?<!\\),")
_INTEGER = re.compile(r"[iu][48]|u[1236]|nf4")
_QUANTIZING = "FakeQuantize"


class Unreadable(ValueError):
    """Raised for a file that is no graph of OpenVINO's; the message says why."""


class _Plain(TreeBuilder):
    """Refuses what could expand or name something outside the file."""

    def doctype(self, name: str, pubid: Any, system: Any) -> None:
        raise Unreadable("it declares a document type, which OpenVINO never writes")


def read_graph(path: Path) -> Element:
    """The graph of a ``model.xml``; raises Unreadable where it is none."""
    parser = XMLParser(target=_Plain())
    try:
        parser.feed(path.read_bytes())
        graph: Element = parser.close()
    except ParseError as error:
        raise Unreadable(f"it is not XML: {printable(str(error))}") from error
    if graph.tag != "net" or graph.find("layers") is None:
        raise Unreadable("it holds no graph of OpenVINO's")
    return graph


def input_shapes(graph: Element) -> dict[str, tuple[int | None, ...] | None]:
    """The declared sizes of each input, None where any will do; None for an input whose number of axes is free."""
    return {_port_name(layer): _shape(layer) for layer in _outer(graph, "Parameter")}


def output_names(graph: Element) -> list[str]:
    """The names of the outputs, in the model's order."""
    layers = _outer(graph, "Result")
    return [(_split(layer.get("output_names", "")) or [layer.get("name", "")])[0] for layer in layers]


def port_names(port: Element) -> list[str]:
    """The names of the tensor that leaves a layer by a port; none where it has none."""
    return _split(port.get("names", ""))


def constant(layer: Element) -> tuple[str, int, int]:
    """What a constant is beside its values, in words, and their offset and size in bytes in the file beside the graph;
    -1 where one is no number."""
    data = _data(layer)
    return f"{data.get('element_type', '')} {data.get('shape', '')}", *_place(layer)


def weight_bytes(graph: Element) -> int:
    """Bytes of all constants; what several layers share counts once."""
    return sum(size for _, size in {_place(layer) for layer in _layers(graph, "Const")})


def element_types(graph: Element) -> set[str]:
    """The types of the constants, by OpenVINO's names: ``f32``, ``bf16``, ``i8`` …"""
    return {_data(layer).get("element_type", "") for layer in _layers(graph, "Const")}


def is_quantized(graph: Element) -> bool:
    """Whether a model computes with integers, or keeps its weights as integers of 8 bits or less."""
    return bool(_layers(graph, _QUANTIZING)) or any(_INTEGER.fullmatch(kind) for kind in element_types(graph))


def arithmetic(graph: Element, precision: str) -> str:
    """The type that a model computes in, on a runtime that computes float32 in ``precision``: int8, bfloat16, float16
    or float32."""
    if is_quantized(graph):
        return "int8"
    narrow = element_types(graph) & {"f16", "bf16"}
    return "float16" if narrow and precision == "float32" else precision


def channels(graph: Element) -> list[int]:
    """The output channels of the convolutions, without depthwise ones and those of a single input channel."""
    found = []
    for layer in _layers(graph, "Convolution"):
        ports = layer.findall("input/port")
        sizes = [dim.text or "" for dim in ports[1].findall("dim")] if len(ports) > 1 else []
        if len(sizes) > 1 and sizes[0].isdecimal() and sizes[1] != "1":
            found.append(int(sizes[0]))
    return found


def problems(graph: Element, weights: int) -> Iterator[str]:
    """What in a graph can't be right, or would run something that the files do not hold; ``weights`` is the size in
    bytes of the file beside it."""
    foreign = {
        f"{layer.get('version', '')}::{layer.get('type', '')}"
        for layer in graph.iter("layer")
        if not _OWN.fullmatch(layer.get("version", ""))
    }
    yield from (f"{printable(name)} is an operator of an extension" for name in sorted(foreign))
    for layer in _layers(graph, "Const"):
        start, size = _place(layer)
        if not (0 <= start <= weights and 0 <= size <= weights - start):
            yield f"it keeps a constant at bytes {start}, {size} of them, of a file that has {weights}"


def _layers(graph: Element, kind: str) -> list[Element]:
    """The layers of a type, those in the bodies of loops and branches too."""
    return [layer for layer in graph.iter("layer") if layer.get("type") == kind]


def _outer(graph: Element, kind: str) -> list[Element]:
    return [layer for layer in graph.iterfind("layers/layer") if layer.get("type") == kind]


def _port_name(layer: Element) -> str:
    port = layer.find("output/port")
    return (([] if port is None else port_names(port)) or [layer.get("name", "")])[0]


def _split(names: str) -> list[str]:
    return [name.replace("\\,", ",") for name in _COMMA.split(names) if name]


def _shape(layer: Element) -> tuple[int | None, ...] | None:
    written = _data(layer).get("shape", "")
    if "..." in written:
        return None
    sizes = written.split(",") if written else []
    return tuple(int(size) if size.strip().isdecimal() else None for size in sizes)


def _data(layer: Element) -> Mapping[str, str]:
    data = layer.find("data")
    return {} if data is None else data.attrib


def _place(layer: Element) -> tuple[int, int]:
    """Offset and size of a constant; -1 where one is no number."""
    data = _data(layer)
    return _number(data.get("offset", "")), _number(data.get("size", ""))


def _number(text: str) -> int:
    return int(text) if text.isdecimal() and len(text) < 20 else -1
