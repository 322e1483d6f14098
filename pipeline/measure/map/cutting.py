"""Models whose values can be looked at: every matched value is an output, and in one of them every place reads the
reference's values."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from typing import TYPE_CHECKING, Any

import numpy as np

from pipeline.artifact.onnx_graph import inner_graphs
from pipeline.artifact.onnx_rewriting import copied, rename_reads
from pipeline.measure.map.graph import Graph

if TYPE_CHECKING:
    import onnx

GIVEN = "slimline_given/"
"""What begins the name of the input that has a value of the reference."""


def watched(graph: Graph, names: Iterable[str]) -> onnx.ModelProto:
    """The model with these values as its only outputs; an input that is fed can't be one."""
    import onnx

    model = copied(graph.model)
    del model.graph.output[:]
    model.graph.output.extend(onnx.ValueInfoProto(name=name) for name in dict.fromkeys(names))
    return model


def cut(graph: Graph, kinds: Mapping[str, np.dtype[Any]]) -> onnx.ModelProto:
    """The model in which each place reads what is given to it in place of the values of ``kinds``, which are its
    outputs as their readers get them (rounded, where they are). ``kinds`` has the type of each value there.

    So the error of an output is made in its own place: whatever lies before computes nothing of it.
    """
    from onnx import helper

    made = [name for name in kinds if graph.as_read(name) not in graph.fed]
    model = watched(graph, map(graph.as_read, made))
    fresh: dict[str, str] = {}
    own: dict[int, str] = {}
    for name in kinds:
        fresh[name] = GIVEN + name
        rounding = graph.rounding(name)
        if rounding is not None:
            own[rounding.quantize] = name
            fresh.update(dict.fromkeys(rounding.restored, GIVEN + name))
    for place, node in enumerate(model.graph.node):
        for position, name in enumerate(node.input):
            if own.get(place) != name:
                node.input[position] = fresh.get(name, name)
        for inner in inner_graphs(node):
            rename_reads(inner, fresh)
    for name, kind in kinds.items():
        model.graph.input.append(
            helper.make_tensor_value_info(GIVEN + name, helper.np_dtype_to_tensor_dtype(kind), None)
        )
    return model
