"""A target's session options, and a session's inputs and outputs, as the manifest holds them."""

from __future__ import annotations

from collections.abc import Iterable
from typing import Any

from pipeline.backends.onnxruntime import (
    GRAPH_LEVELS,
    PROVIDERS,
    OnnxRuntime,
    provider_name,
    provider_options,
    session_settings,
)
from pipeline.errors import Skipped
from pipeline.plan import Target

DTYPES = {
    "tensor(float16)": "float16",
    "tensor(float)": "float32",
    "tensor(double)": "float64",
    "tensor(bool)": "bool",
    **{f"tensor({sign}int{bits})": f"{sign}int{bits}" for sign in ("", "u") for bits in (8, 16, 32, 64)},
}
"""NumPy's names for ONNX Runtime's types."""


def session_entry(target: Target) -> dict[str, Any]:
    """What ``infer.py`` makes its session with; raises Skipped for a target that ONNX Runtime doesn't run."""
    if target.backend.name != OnnxRuntime.name:
        raise Skipped(
            f"a deploy bundle runs on ONNX Runtime, and target '{target.name}' runs on {target.backend.name}: "
            "for a bundle, recommend among ONNX Runtime's targets, such as target=[ort_cpu]"
        )
    settings = session_settings(target)
    return {
        "intra_op_num_threads": settings["intra_op_num_threads"],
        "inter_op_num_threads": settings["inter_op_num_threads"],
        "execution_mode": f"ORT_{settings['execution_mode'].upper()}",
        "graph_optimization_level": GRAPH_LEVELS[settings["graph_level"]],
        "config_entries": dict(settings["config"]),
        "cpu_mem_arena": settings["memory_arena"],
        "io_binding": settings["io_binding"],
        "providers": [{"name": PROVIDERS[provider_name(target)], "options": provider_options(target)}],
    }


def describe(values: Iterable[Any]) -> list[dict[str, Any]]:
    """Name, NumPy type and shape of a session's inputs or outputs; a size is a number, a symbol's name, or None.

    Raises Skipped for a value that is no array (a sequence, say), or of a type that NumPy doesn't have.
    """
    entries = []
    for value in values:
        if value.type not in DTYPES:
            raise Skipped(f"a deploy bundle holds arrays, and the model's '{value.name}' is {value.type}")
        entries.append({"name": value.name, "dtype": DTYPES[value.type], "shape": list(value.shape)})
    return entries
