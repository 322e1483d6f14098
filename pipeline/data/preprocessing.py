"""What is done to a model's raw inputs. It is part of the model and of the bundle, never of the data set."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray


@dataclass(frozen=True, slots=True, kw_only=True)
class Preprocessing:
    """``(raw * scale - mean) / std`` along the channel axis (axis 1), in float32.

    ``mean`` and ``std`` hold one number, or one per channel. The defaults leave numbers as they are. Integer inputs
    that are left as they are (token ids, say) keep their type.
    """

    scale: float = 1.0
    mean: Sequence[float] = (0.0,)
    std: Sequence[float] = (1.0,)

    def __post_init__(self) -> None:
        if len(self.mean) != len(self.std):
            raise ValueError(
                f"mean has {len(self.mean)} entries and std has {len(self.std)}: give both the same number"
            )
        for name, values in (("scale", [self.scale]), ("mean", self.mean), ("std", self.std)):
            if not all(math.isfinite(value) for value in values):
                raise ValueError(f"{name} must hold finite numbers (got {list(values)})")
        if any(value <= 0 for value in self.std):
            raise ValueError(f"std must be above 0 (got {list(self.std)})")

    @property
    def is_identity(self) -> bool:
        """Whether the model gets raw values as they are."""
        return self.scale == 1.0 and not any(self.mean) and all(value == 1.0 for value in self.std)

    def __call__(self, raw: NDArray[Any]) -> NDArray[Any]:
        """Turn raw values [N, C, ...] into the model's input, in the same shape."""
        if self.is_identity:
            return raw
        shape = (-1,) + (1,) * max(raw.ndim - 2, 0)
        mean = np.asarray(self.mean, np.float32).reshape(shape)
        std = np.asarray(self.std, np.float32).reshape(shape)
        return (raw.astype(np.float32) * np.float32(self.scale) - mean) / std

    def to_dict(self) -> dict[str, Any]:
        """The fields as plain values, for manifests and cache keys."""
        return {"scale": self.scale, "mean": list(self.mean), "std": list(self.std)}
