"""The cost that every process pays once on an NVIDIA card, whatever the model."""

from __future__ import annotations

from pipeline.plan import Target


def wake(target: Target) -> None:
    """Make this process's context on the card, through PyTorch; a runtime of the same process shares it.

    It does nothing on the CPU, or where PyTorch is built without CUDA.
    """
    if target.device != "cuda":
        return
    import torch

    if torch.cuda.is_available():
        torch.zeros(1, device="cuda")
        torch.cuda.synchronize()
