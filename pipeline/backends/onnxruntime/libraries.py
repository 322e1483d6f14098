"""The libraries of ONNX Runtime's execution providers, and whether they can be loaded."""

from __future__ import annotations

import ctypes
import sys
from collections.abc import Callable
from pathlib import Path

CUDA = "CUDAExecutionProvider"
TENSORRT = "TensorrtExecutionProvider"
_LIBRARIES = {
    CUDA: "cuda",
    TENSORRT: "tensorrt",
    "NvTensorRTRTXExecutionProvider": "nv_tensorrt_rtx",
    "OpenVINOExecutionProvider": "openvino",
    "ROCMExecutionProvider": "rocm",
    "MIGraphXExecutionProvider": "migraphx",
    "DnnlExecutionProvider": "dnnl",
    "QNNExecutionProvider": "qnn",
}
"""Execution providers that come as a library of their own, libonnxruntime_providers_NAME.so."""
_ALWAYS_APART = (CUDA, TENSORRT)


def own_library(provider: str, libraries: Path) -> Path | None:
    """The library of a provider in the folder ``libraries``; None where the provider is a part of the build."""
    name = _LIBRARIES.get(provider)
    path = libraries / f"libonnxruntime_providers_{name}.so"
    return path if path.exists() or (provider in _ALWAYS_APART and sys.platform == "linux") else None


def why_unloadable(provider: str, libraries: Path, load: Callable[[str], object] = ctypes.CDLL) -> str | None:
    """The reason why a provider's library, or one that it needs, can't be loaded; None where nothing is missing. For
    CUDA's provider it imports torch first, whose CUDA libraries are then used."""
    path = own_library(provider, libraries)
    if path is None:
        return None
    if provider == CUDA:
        import torch  # noqa: F401
    try:
        shared = libraries / "libonnxruntime_providers_shared.so"
        if shared.exists():
            ctypes.CDLL(str(shared), mode=ctypes.RTLD_GLOBAL)
        load(str(path))
    except OSError as error:
        return str(error)
    return None
