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
        return self.cut(image, self._middle(image.width, image.height))

    def cut(self, image: Image.Image, box: Box) -> NDArray[np.uint8]:
        """A box of a picture [3, size, size]."""
        from PIL import Image

        scaled = image.resize((self.size, self.size), Image.Resampling[self.interpolation.upper()], box=box)
        return np.asarray(scaled, np.uint8).transpose(2, 0, 1)

    def placed(self, boxes: NDArray[np.float64], width: int, height: int) -> NDArray[np.float64]:
        """Boxes [B, 5] of a picture (x1, y1, x2, y2, class) in the pixels of its ``middle``, cut off at its edges."""
        left, top, right, bottom = self._middle(width, height)
        scale = self.size / np.array([right - left, bottom - top] * 2)
        corners = np.clip((boxes[:, :4] - np.array([left, top] * 2)) * scale, 0, self.size)
        return np.concatenate([corners, boxes[:, 4:]], axis=1)

    def _middle(self, width: int, height: int) -> Box:
        if self.central is None:
            return 0, 0, width, height
        side = min(width, height) * self.central
        left, top = (width - side) / 2, (height - side) / 2
        return left, top, left + side, top + side
