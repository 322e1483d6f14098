"""One input of a model that does not tell it itself."""

from __future__ import annotations

from dataclasses import dataclass


@dataclass(frozen=True, slots=True, kw_only=True)
class InputSpec:
    """One input of a PyTorch model: its shape without the batch, and the type that the model reads."""

    shape: tuple[int, ...]
    dtype: str = "float32"
