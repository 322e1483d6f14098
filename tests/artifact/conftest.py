"""The fixtures of the stages' tests: artifacts that several tests start from."""

from tests.stages.conftest import (
    empty,
    feed,
    image,
    onnx_encoder,
    onnx_model,
    torch_encoder,
    torch_model,
    traced_encoder,
    workplace,
)

__all__ = [
    "empty",
    "feed",
    "image",
    "onnx_encoder",
    "onnx_model",
    "torch_encoder",
    "torch_model",
    "traced_encoder",
    "workplace",
]
