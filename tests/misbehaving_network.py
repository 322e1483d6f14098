"""A network that misbehaves. The stages that do have a file of their own, which imports no PyTorch."""

from __future__ import annotations

import torch

from tests.test_faults import misbehave


class Network(torch.nn.Module):
    """It misbehaves when it is made, or when it is run."""

    def __init__(self, how: str, when: str) -> None:
        super().__init__()
        self.how, self.when = how, when
        self.layer = torch.nn.Linear(8, 3)
        if when == "made":
            misbehave(how)

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        if self.when == "run":
            misbehave(self.how)
        return torch.as_tensor(self.layer(x))
