"""Random changes to training images that keep their label."""

from __future__ import annotations

from typing import Any

import numpy as np
from numpy.typing import NDArray

CROP_PADDING = 2


def flip(images: NDArray[Any], rng: np.random.Generator) -> NDArray[Any]:
    """Mirror about half of the images [N, C, H, W] left to right."""
    chosen = rng.random(len(images)) < 0.5
    return np.where(chosen[:, None, None, None], images[..., ::-1], images)


def crop(images: NDArray[Any], rng: np.random.Generator) -> NDArray[Any]:
    """Shift each image [N, C, H, W] by up to ``CROP_PADDING`` pixels, filling with its smallest value."""
    count, _, height, width = images.shape
    pad = CROP_PADDING
    padded = np.pad(images, ((0, 0), (0, 0), (pad, pad), (pad, pad)), constant_values=images.min())
    top, left = rng.integers(0, 2 * pad + 1, (2, count))
    rows = top[:, None] + np.arange(height)
    columns = left[:, None] + np.arange(width)
    shifted: NDArray[Any] = padded[
        np.arange(count)[:, None, None, None],
        np.arange(images.shape[1])[:, None, None],
        rows[:, None, :, None],
        columns[:, None, None, :],
    ]
    return shifted


def augment(images: NDArray[Any], names: tuple[str, ...], rng: np.random.Generator) -> NDArray[Any]:
    """Apply the named augmentations in order."""
    for name in names:
        images = AUGMENTATIONS[name](images, rng)
    return images


AUGMENTATIONS = {"flip": flip, "crop": crop}
