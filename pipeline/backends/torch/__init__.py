"""PyTorch: the backend, CUDA graphs and its profile."""

from pipeline.backends.torch.backend import (
    Torch,
)

__all__ = ["Torch"]
