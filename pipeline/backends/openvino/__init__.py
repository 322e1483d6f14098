"""OpenVINO: the backend and its profile."""

from pipeline.backends.openvino.backend import (
    OpenVino,
)

__all__ = ["OpenVino"]
