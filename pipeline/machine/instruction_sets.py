"""The meaning of a processor's instruction sets for inference."""

from __future__ import annotations

X86 = frozenset({"sse", "sse2", "sse4_1", "sse4_2", "avx", "avx2", "avx512f"})
DOT_PRODUCTS = frozenset({"avx512_vnni", "avx_vnni", "amx_int8"})
"""The x86 instruction sets that multiply bytes and add up the products in 32 bits."""
BF16 = ("avx512_bf16", "amx_bf16", "bf16", "svebf16")
"""The instruction sets that multiply bfloat16."""
_VECTORS = (("avx512f", 16), ("avx2", 8), ("avx", 8), ("asimd", 4))


def lacks_dot_products(isa: frozenset[str]) -> bool:
    """Whether this is an x86 processor whose int8 products have to pass through 16 bits."""
    return is_x86(isa) and not isa & DOT_PRODUCTS


def vector_floats(isa: frozenset[str]) -> int | None:
    """How many fp32 numbers a vector of the widest set holds; None where the sets are not known."""
    return next((width for name, width in _VECTORS if name in isa), None)


def is_x86(isa: frozenset[str]) -> bool:
    """Whether these are an x86 processor's instruction sets."""
    return bool(isa & X86)
