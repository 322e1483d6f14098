"""Cuts and scales a picture to the square that a model reads."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Literal

import numpy as np
from numpy.typing import NDArray

if TYPE_CHECKING:
    from PIL import Image

SIZE = 224
"""The pixels of a square whose size nobody tells."""
CENTRAL = 0.875
Interpolation = Literal["nearest", "box", "bilinear", "hamming", "bicubic", "lanczos"]
"""Pillow's ways to scale an image."""
Box = tuple[float, float, float, float]
"""Left, top, right and bottom, in pixels."""


def check_square(size: int | None, central: float | None) -> None:
    """Raises ValueError where there is no such square."""
    if size is not None and size < 1:
        raise ValueError(f"size must be at least 1 (got {size})")
    if central is not None and not 0 < central <= 1:
        raise ValueError(f"central must be above 0 and at most 1 (got {central})")


@dataclass(frozen=True, slots=True, kw_only=True)
class Square:
    """A square of ``size`` x ``size`` pixels, and how a picture is brought to it."""

    size: int
    central: float | None
    """The share of the shorter side that the square shows; None: the whole picture, squeezed into the square."""
    interpolation: Interpolation

    def middle(self, image: Image.Image) -> NDArray[np.uint8]:
        """The middle of a picture [3, size, size]."""
        return self.cut(image, self._middle(image))

    def cut(self, image: Image.Image, box: Box) -> NDArray[np.uint8]:
        """A box of a picture [3, size, size]."""
        from PIL import Image

        scaled = image.resize((self.size, self.size), Image.Resampling[self.interpolation.upper()], box=box)
        return np.asarray(scaled, np.uint8).transpose(2, 0, 1)

    def _middle(self, image: Image.Image) -> Box:
        if self.central is None:
            return 0, 0, image.width, image.height
        side = min(image.size) * self.central
        left, top = ((length - side) / 2 for length in image.size)
        return left, top, left + side, top + side
