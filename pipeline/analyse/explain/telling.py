"""What is worth telling of a profile, and operators in words."""

from __future__ import annotations

from collections import Counter
from collections.abc import Mapping, Sequence

from pipeline.analyse.explain.evidence import (
    Node,
)

WORTH_TELLING = 0.05
"""A cause with a smaller share of the call than this is left out."""
MOSTLY_BETWEEN = 0.25
"""A model is too small for the runtime where more of a call than this passes beside its operators."""
MEMORY_BOUND = 0.5
"""A row that reaches this share of the copy's speed is held back by memory."""
MATRIX_MODEL = 0.25
"""Quantizing only the matrix products gains little where they have less than this share of the reference's call."""
PRODUCTS: Mapping[str, frozenset[str]] = {
    "Conv": frozenset({"Conv", "FusedConv", "NhwcFusedConv", "QLinearConv"}),
    "Gemm": frozenset({"Gemm", "FusedGemm", "QGemm"}),
    "MatMul": frozenset({"MatMul", "FusedMatMul", "FusedMatMulActivation", "QLinearMatMul"}),
}
"""The names of products in a model, and what ONNX Runtime makes of them."""


def count_of(nodes: Sequence[Node], one: str, many: str | None = None) -> str:
    """``1 cast``, ``3 casts``."""
    return f"{len(nodes)} {one if len(nodes) == 1 else many or one + 's'}"


def names_of(nodes: Sequence[Node]) -> list[str]:
    """The runtime's names of operators."""
    return [node.name for node in nodes]


def kinds_of(nodes: Sequence[Node]) -> str:
    """``3 Conv, 1 Gemm``, the most time first."""
    ordered = dict.fromkeys(node.op for node in sorted(nodes, key=lambda node: -node.ms))
    counts = Counter(node.op for node in nodes)
    return ", ".join(f"{counts[op]} {op}" for op in ordered)
