"""ONNX Runtime: the backend, IO binding and its profile."""

from pipeline.backends.onnxruntime.backend import (
    OnnxRuntime,
)

__all__ = ["OnnxRuntime"]
