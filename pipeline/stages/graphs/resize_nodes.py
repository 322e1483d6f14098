"""The ONNX nodes that resize an input: Resize for images; Tile and Slice for sequences of integers."""

from __future__ import annotations

import math
from typing import TYPE_CHECKING

import numpy as np

if TYPE_CHECKING:
    import onnx

Parts = tuple[list["onnx.NodeProto"], list["onnx.TensorProto"]]
"""Nodes in their order, and the constants that they read."""


def resized_image(name: str, behind: str, scale: float) -> Parts:
    """Nodes that make ``behind`` from the image ``name`` [N, C, H, W], linearly interpolated to scale x H and W,
    rounded down."""
    from onnx import helper, numpy_helper

    scales = numpy_helper.from_array(np.array([1, 1, scale, scale], np.float32), f"{behind}_scales")
    node = helper.make_node("Resize", [name, "", scales.name], [behind], name=behind, mode="linear")
    return [node], [scales]


def resized_sequence(name: str, behind: str, scale: float, length: int | None) -> Parts:
    """Nodes that make ``behind`` from ``name`` [N, L], cut to scale x L (rounded down) along axis 1, repeated first
    where it is longer.

    Where L is free the nodes compute the new length.
    """
    from onnx import helper, numpy_helper

    def constant(part: str, values: list[float], dtype: type) -> onnx.TensorProto:
        return numpy_helper.from_array(np.array(values, dtype), f"{behind}_{part}")

    nodes: list[onnx.NodeProto] = []
    constants = [constant("first", [0], np.int64), constant("axis", [1], np.int64)]
    long = name
    if scale > 1:
        constants.append(constant("repeats", [1, math.ceil(scale)], np.int64))
        long = f"{behind}_repeated"
        nodes.append(helper.make_node("Tile", [name, constants[-1].name], [long], name=long))
    end = f"{behind}_end"
    if length is not None:
        constants.append(constant("end", [math.floor(length * scale)], np.int64))
    else:
        more, computed = _new_length(name, behind)
        nodes += more
        constants += [*computed, constant("scale", [scale], np.float32)]
    nodes.append(
        helper.make_node("Slice", [long, f"{behind}_first", end, f"{behind}_axis"], [behind], name=f"{behind}_slice")
    )
    return nodes, constants


def _new_length(name: str, behind: str) -> Parts:
    """``<behind>_end`` is ``<behind>_scale`` times the length of axis 1 of ``name``, a whole number."""
    from onnx import TensorProto, helper, numpy_helper

    one = numpy_helper.from_array(np.array([1], np.int64), f"{behind}_one")
    part = {step: f"{behind}_{step}" for step in ("shape", "length", "length_float", "wanted")}
    nodes = [
        helper.make_node("Shape", [name], [part["shape"]], name=part["shape"]),
        helper.make_node("Gather", [part["shape"], one.name], [part["length"]], name=part["length"], axis=0),
        helper.make_node("Cast", [part["length"]], [part["length_float"]], to=TensorProto.FLOAT),
        helper.make_node("Mul", [part["length_float"], f"{behind}_scale"], [part["wanted"]], name=part["wanted"]),
        helper.make_node("Cast", [part["wanted"]], [f"{behind}_end"], to=TensorProto.INT64),
    ]
    return nodes, [one]
