"""Counts the products of a graph whose sizes are computed from its inputs' sizes, as exporters write free axes."""

from __future__ import annotations

import tempfile
from collections.abc import Mapping
from pathlib import Path

from pipeline.artifact import Artifact
from pipeline.artifact.count import count_graph
from pipeline.artifact.files import ONNX_FILE
from pipeline.artifact.run import FATAL_ONLY
from pipeline.stages.graphs.library import is_large


def folded_macs(artifact: Artifact, axes: Mapping[str, int]) -> int | None:
    """The MACs of one example where the free ``axes`` have these sizes; None where they can't be told.

    ONNX's shape inference follows no ``Slice`` or ``Range`` whose bounds are computed. ONNX Runtime's basic level
    folds them to constants.
    """
    if is_large(artifact):
        return None  # ONNX Runtime writes what it folds into one file
    import onnx
    import onnxruntime
    from onnxruntime.capi import onnxruntime_pybind11_state as state

    options = onnxruntime.SessionOptions()
    options.log_severity_level = FATAL_ONLY
    options.graph_optimization_level = onnxruntime.GraphOptimizationLevel.ORT_ENABLE_BASIC
    for name, size in axes.items():
        options.add_free_dimension_override_by_name(name, size)
    with tempfile.TemporaryDirectory() as folder:
        options.optimized_model_filepath = str(Path(folder) / ONNX_FILE)
        try:
            onnxruntime.InferenceSession(str(artifact.onnx_path), options, providers=["CPUExecutionProvider"])
        except (state.Fail, state.InvalidGraph, state.NotImplemented, state.RuntimeException):
            return None
        return count_graph(onnx.load(options.optimized_model_filepath))[1]
