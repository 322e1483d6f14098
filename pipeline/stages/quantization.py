"""What dynamic and static quantization share."""

from __future__ import annotations

import logging
import tempfile
from collections import Counter
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING, Any, Literal, get_args

from pipeline.artifact import SINGLE_FILE_BYTES, Artifact
from pipeline.errors import StageFailed, first_line
from pipeline.instruction_sets import lacks_dot_products
from pipeline.patterns import check_matches, matches

if TYPE_CHECKING:
    import onnx

logger = logging.getLogger(__name__)

IntegerType = Literal["int8", "uint8"]
WideIntegerType = Literal["int8", "uint8", "int16", "uint16"]
PRODUCTS = ("Conv", "ConvTranspose", "Gemm", "MatMul")


def reduces_range(asked: bool | None, weight_type: WideIntegerType, isa: frozenset[str]) -> bool:
    """Whether weights are quantized to 7 bits: what was asked, else what the processor needs.

    On x86 processors without VNNI or AMX, ONNX Runtime's kernels for int8 weights add pairs of products in 16 bits,
    which saturates with 8-bit weights.
    """
    if asked is not None:
        return asked
    return weight_type == "int8" and lacks_dot_products(isa)


def check_integer_type(field: str, value: str, allowed: Any = IntegerType) -> None:
    """Raise ValueError for what is not one of the ``allowed`` types."""
    names = get_args(allowed)
    if value not in names:
        raise ValueError(f"{field} must be {', '.join(names[:-1])} or {names[-1]} (got {value!r})")


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


def prepare(source: Artifact, work: Path) -> Path:
    """A copy of the model in ``work`` with all shapes inferred, constants folded and batch normalization in the
    convolutions, as quantization wants it (``onnxruntime.quantization.shape_inference.quant_pre_process``).

    Symbolic shape inference stops at some valid models, with all kinds of errors: they are prepared without it.
    """
    from onnxruntime.quantization.shape_inference import quant_pre_process

    prepared = work / "prepared.onnx"

    def attempt(symbolic: bool) -> None:
        quant_pre_process(
            source.onnx_path, prepared, skip_symbolic_shape=not symbolic, save_as_external_data=is_large(source)
        )

    with temporary_files_in(work):
        try:
            attempt(symbolic=True)
        except Exception as first:  # noqa: BLE001 - the library raises what it likes, and the second attempt decides
            logger.info("%s: prepared without symbolic shape inference: %s", source.path, first_line(first))
            try:
                attempt(symbolic=False)
            except Exception as error:
                raise StageFailed(f"the model could not be prepared for quantization: {first_line(error)}") from error
    return prepared


def excluded_nodes(model: onnx.ModelProto, names: Sequence[str], op_types: Sequence[str]) -> list[str]:
    """The nodes that ``exclude_nodes`` (names or glob patterns) and ``exclude_op_types`` name.

    Raises StageFailed where one matches nothing, with what exists.
    """
    nodes = [(node.name, node.op_type) for node in model.graph.node]
    check_matches("exclude_nodes", "node", names, [name for name, _ in nodes])
    check_matches("exclude_op_types", "operator type", op_types, sorted({kind for _, kind in nodes}))
    return [name for name, kind in nodes if kind in op_types or matches(name, names)]


def has_attention(model: onnx.ModelProto) -> bool:
    """Whether a softmax's result goes into a matrix product.

    Where what lies between the products of a transformer is quantized too, its accuracy collapses: the additive mask's
    large negative numbers leave no levels for the scores, and the residual stream's outliers none for the rest.
    """
    read = {name for node in model.graph.node if node.op_type == "MatMul" for name in node.input}
    return any(node.op_type == "Softmax" and node.output[0] in read for node in model.graph.node)


def weighted_nodes(model: onnx.ModelProto) -> Counter[str]:
    """How many nodes of each type with weights the model has in floating point."""
    return Counter(node.op_type for node in model.graph.node if node.op_type in PRODUCTS)


def quantized_share(before: Mapping[str, int], left: Mapping[str, int]) -> dict[str, str]:
    """Per type of node, how many of all were quantized: ``{"Conv": "8 of 8"}``."""
    return {kind: f"{count - left.get(kind, 0)} of {count}" for kind, count in before.items()}


def require_quantized(before: Mapping[str, int], left: Mapping[str, int]) -> None:
    """Raise StageFailed where nothing was quantized."""
    if sum(before.values()) == 0:
        raise StageFailed(f"there is nothing to quantize: the model has no {', '.join(PRODUCTS)} with float weights")
    if sum(left.values()) >= sum(before.values()):
        raise StageFailed("nothing was quantized: see op_types, exclude_nodes and exclude_op_types")
