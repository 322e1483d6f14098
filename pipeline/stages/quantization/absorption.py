"""Absorbs high biases: what a channel never falls below moves into the biases of the layers that read it (Nagel et al.
2019, arXiv:1906.04721, section 4.1.3), and the channel's range begins at 0."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING

import numpy as np

from pipeline.artifact.onnx_rewriting import drop_unused, fresh_name
from pipeline.stages.quantization.channel_ranges import Floats
from pipeline.stages.quantization.links import Link, reader_of

if TYPE_CHECKING:
    import onnx

_UNSCALED = {"alpha": 1.0, "beta": 1.0}


def absorbable(model: onnx.ModelProto, found: Sequence[Link]) -> list[Link]:
    """The links through which a constant passes as it is: none but a ReLU lies between, and the readers add no
    zeros around what they read."""
    nodes = {node.name: node for node in model.graph.node}
    constants = {tensor.name: tensor for tensor in model.graph.initializer}
    return [
        link
        for link in found
        if link.passes_constants
        and all(_has_plain_bias(nodes[name], constants) for name in (link.maker, *link.readers))
        and not any(_pads(nodes[name]) for name in link.readers)
    ]


def absorb(model: onnx.ModelProto, shifts: Mapping[Link, Floats]) -> None:
    """Take shifts [C], 0 or more, from what each link's maker makes, and add what they came to to its readers' biases.

    The model computes the same for every example on which no channel falls below its shift.
    """
    from onnx import numpy_helper

    nodes = {node.name: node for node in model.graph.node}
    arrays = {tensor.name: tensor for tensor in model.graph.initializer}
    for link, shift in shifts.items():
        _add(model, nodes[link.maker], -shift)
        for name in link.readers:
            reader = reader_of(nodes[name], numpy_helper.to_array(arrays[nodes[name].input[1]]))
            _add(model, nodes[name], (reader.weights.sum(2) * shift[reader.channels]).sum(1))
    drop_unused(model)


def _add(model: onnx.ModelProto, node: onnx.NodeProto, values: Floats) -> None:
    """Add values [O] to the bias of a node, which gets one where it has none."""
    from onnx import numpy_helper

    arrays = {tensor.name: tensor for tensor in model.graph.initializer}
    bias = node.input[2] if len(node.input) > 2 else ""
    before = numpy_helper.to_array(arrays[bias]) if bias else np.zeros(())
    fresh = fresh_name(model, f"{bias or node.name}_absorbed")
    kind = numpy_helper.to_array(arrays[node.input[1]]).dtype
    model.graph.initializer.append(numpy_helper.from_array((before + values).astype(kind), fresh))
    node.input[:] = [*node.input[:2], fresh]


def _has_plain_bias(node: onnx.NodeProto, constants: Mapping[str, onnx.TensorProto]) -> bool:
    """Whether a node adds a constant number to each output, or nothing, and multiplies neither by a factor."""
    bias = node.input[2] if len(node.input) > 2 else ""
    plain = not bias or (bias in constants and len(constants[bias].dims) == 1)
    return plain and all(entry.f == _UNSCALED.get(entry.name, entry.f) for entry in node.attribute)


def _pads(node: onnx.NodeProto) -> bool:
    """Whether a layer reads zeros around its inputs."""
    given = {entry.name: entry for entry in node.attribute}
    automatic = "auto_pad" in given and given["auto_pad"].s not in (b"NOTSET", b"VALID")
    return automatic or ("pads" in given and any(given["pads"].ints))
