"""The models that the machine's peaks are measured with: nothing but large products, or copies, and a small output.

The arrays are made inside the model from one row, so that no call is spent on handing them over.
"""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import NDArray

from pipeline.artifact import ONNX_FILE, Artifact, folder_digest

if TYPE_CHECKING:
    import onnx

_OPSET, _IR = 17, 8
_BYTES_PER_FLOAT = 4


@dataclass(frozen=True, slots=True, kw_only=True)
class Shape:
    """The shape of the work: ``products`` products of a matrix [rows, edge] and one [edge, edge]."""

    rows: int
    edge: int
    products: int

    @property
    def macs(self) -> int:
        """Multiply-accumulates of all products."""
        return self.rows * self.edge * self.edge * self.products


def write_float_products(out: Path, shape: Shape, *, half: bool = False) -> Artifact:
    """Write a chain of products with one matrix, in fp32 or fp16: input ``row`` [1, edge], output the largest
    element."""
    from onnx import TensorProto, helper

    edge = shape.edge
    matrix = np.random.default_rng(0).standard_normal((edge, edge), np.float32) / np.float32(np.sqrt(edge))
    kind, width = (TensorProto.FLOAT16, np.float16) if half else (TensorProto.FLOAT, np.float32)
    nodes = [
        helper.make_node("Expand", ["row", "shape"], ["rows"]),
        helper.make_node("Cast", ["rows"], ["x_0"], to=kind),
    ]
    for number in range(shape.products):
        nodes.append(helper.make_node("MatMul", [f"x_{number}", "matrix"], [f"x_{number + 1}"]))
    nodes.append(helper.make_node("ReduceMax", [f"x_{shape.products}"], ["largest_of_kind"], keepdims=0))
    nodes.append(helper.make_node("Cast", ["largest_of_kind"], ["largest"], to=TensorProto.FLOAT))
    constants = {"shape": np.array([shape.rows, edge]), "matrix": matrix.astype(width)}
    return _write(out, nodes, ("row", (1, edge)), {"largest": TensorProto.FLOAT}, constants)


def write_integer_products(out: Path, shape: Shape, types: str) -> Artifact:
    """Write MatMulInteger products of one matrix with several others.

    ``types`` names the types of the first factor and of the second, such as ``u8s8``. The products are no chain,
    because a product is int32 and not int8.
    """
    from onnx import TensorProto, helper

    codes: dict[str, int] = {"u8": TensorProto.UINT8, "s8": TensorProto.INT8}
    rng = np.random.default_rng(0)
    nodes = [
        helper.make_node("Expand", ["row", "shape"], ["floats"]),
        helper.make_node("Cast", ["floats"], ["x"], to=codes[types[:2]]),
    ]
    constants: dict[str, NDArray[Any]] = {"shape": np.array([shape.rows, shape.edge])}
    for number in range(shape.products):
        kind = np.uint8 if types[2:] == "u8" else np.int8
        limits = np.iinfo(kind)
        constants[f"matrix_{number}"] = rng.integers(limits.min, limits.max, (shape.edge, shape.edge), kind)
        nodes.append(helper.make_node("MatMulInteger", ["x", f"matrix_{number}"], [f"product_{number}"]))
        nodes.append(helper.make_node("ReduceMax", [f"product_{number}"], [f"largest_{number}"], keepdims=0))
    outputs: dict[str, int] = {f"largest_{number}": TensorProto.INT32 for number in range(shape.products)}
    return _write(out, nodes, ("row", (1, shape.edge)), outputs, constants)


def write_copies(out: Path, size_bytes: int, copies: int) -> Artifact:
    """Write an array of ``size_bytes``, filled from input ``value`` [1], passed ``copies`` times through Abs, then
    reduced."""
    from onnx import TensorProto, helper

    nodes = [helper.make_node("Expand", ["value", "shape"], ["x_0"])]
    for number in range(copies):
        nodes.append(helper.make_node("Abs", [f"x_{number}"], [f"x_{number + 1}"]))
    nodes.append(helper.make_node("ReduceMax", [f"x_{copies}"], ["largest"], keepdims=0))
    constants = {"shape": np.array([size_bytes // _BYTES_PER_FLOAT])}
    return _write(out, nodes, ("value", (1,)), {"largest": TensorProto.FLOAT}, constants)


def _write(
    out: Path,
    nodes: list[onnx.NodeProto],
    source: tuple[str, tuple[int, ...]],
    outputs: dict[str, int],
    constants: dict[str, NDArray[Any]],
) -> Artifact:
    import onnx
    from onnx import TensorProto, helper, numpy_helper

    name, shape = source
    graph = helper.make_graph(
        nodes,
        "peak",
        [helper.make_tensor_value_info(name, TensorProto.FLOAT, shape)],
        [helper.make_tensor_value_info(output, kind, []) for output, kind in outputs.items()],
        [numpy_helper.from_array(array, constant) for constant, array in constants.items()],
    )
    out.mkdir(parents=True, exist_ok=True)
    opset = helper.make_opsetid("", _OPSET)
    onnx.save(helper.make_model(graph, opset_imports=[opset], ir_version=_IR), out / ONNX_FILE)
    return Artifact(path=out, format="onnx", digest=folder_digest(out))
