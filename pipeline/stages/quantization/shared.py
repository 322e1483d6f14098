"""The parts that dynamic and static quantization share."""

from __future__ import annotations

import tempfile
import warnings
from collections import Counter
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING, Literal

from pipeline.artifact import SINGLE_FILE_BYTES, Artifact
from pipeline.artifact.run import FATAL_ONLY
from pipeline.errors import Unchanged
from pipeline.machine.instruction_sets import lacks_dot_products

if TYPE_CHECKING:
    import onnx

IntegerType = Literal["int8", "uint8"]
WideIntegerType = Literal["int8", "uint8", "int16", "uint16"]
_WARNINGS = 2
"""ONNX Runtime's own choice of what to log."""
MIN_SQNR_DB = 4.0
"""The default floor. A quantized model of any use keeps more: 8 bits leave about 8 dB at the least."""
SMOOTHED = "_smoothed_by_channel"
"""The end of the names that SmoothQuant gives to values that it has divided by a factor a channel."""
PRODUCTS = ("Conv", "ConvTranspose", "Gemm", "MatMul")


def reduces_range(asked: bool | None, weight_type: WideIntegerType, isa: frozenset[str]) -> bool:
    """Whether weights are quantized to 7 bits: as was asked, else as the processor needs.

    On x86 processors without VNNI or AMX, ONNX Runtime's kernels for int8 weights add pairs of products in 16 bits,
    which saturates with 8-bit weights.
    """
    if asked is not None:
        return asked
    return weight_type == "int8" and lacks_dot_products(isa)


def is_large(artifact: Artifact) -> bool:
    """Whether the model's weights don't fit into one protobuf file."""
    return artifact.size_bytes > SINGLE_FILE_BYTES


@contextmanager
def temporary_files_in(folder: Path) -> Iterator[None]:
    """Let libraries that write temporary files write them into this folder."""
    before = tempfile.tempdir
    tempfile.tempdir = str(folder)
    try:
        yield
    finally:
        tempfile.tempdir = before


@contextmanager
def library_call(work: Path) -> Iterator[None]:
    """Call ONNX Runtime's tools within this block: temporary files lie in ``work``. The exceptions that the tools raise
    tell what their sessions would log as errors, in colours and past Python. The check of the output judges what they
    compute from infinite values."""
    import onnxruntime

    onnxruntime.set_default_logger_severity(FATAL_ONLY)
    try:
        with temporary_files_in(work), warnings.catch_warnings():
            warnings.simplefilter("ignore", RuntimeWarning)
            yield
    finally:
        onnxruntime.set_default_logger_severity(_WARNINGS)


def has_attention(model: onnx.ModelProto) -> bool:
    """Whether a softmax's result goes into a matrix product.

    Where the operators between the products of a transformer are quantized, too, its accuracy collapses: the additive
    mask's large negative numbers leave no levels for the scores, and the residual stream's outliers leave none for the
    rest.
    """
    read = {name for node in model.graph.node if node.op_type == "MatMul" for name in node.input}
    return any(node.op_type == "Softmax" and node.output[0] in read for node in model.graph.node)


def weighted_nodes(model: onnx.ModelProto) -> Counter[str]:
    """How many nodes of each type with weights the model has in floating point."""
    return Counter(node.op_type for node in model.graph.node if node.op_type in PRODUCTS)


def quantized_share(before: Mapping[str, int], left: Mapping[str, int]) -> dict[str, str]:
    """How many nodes of each type were quantized, of all of that type: ``{"Conv": "8 of 8"}``."""
    return {kind: f"{count - left.get(kind, 0)} of {count}" for kind, count in before.items()}


def require_quantized(before: Mapping[str, int], left: Mapping[str, int]) -> None:
    """Raise Unchanged where nothing was quantized."""
    if sum(before.values()) == 0:
        raise Unchanged(f"the model has no {', '.join(PRODUCTS)}")
    if sum(left.values()) >= sum(before.values()):
        there = ", ".join(f"{count} {kind}" for kind, count in before.items() if count)
        raise Unchanged(
            f"none of {there} could be quantized, with constant float weights and within op_types, exclude_nodes and "
            "exclude_op_types"
        )
