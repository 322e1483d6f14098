"""Boxes in pictures: how labels hold them, and how much two overlap."""

from __future__ import annotations

from typing import Any

import numpy as np
from numpy.typing import NDArray

from pipeline.errors import UserError

NO_BOX = -1.0
"""What fills an example's rows behind its last box."""


def overlaps(first: NDArray[np.float64], second: NDArray[np.float64]) -> NDArray[np.float64]:
    """The intersection over union [A, B] of boxes [A, 4] and [B, 4], each x1, y1, x2, y2; 0 where both are empty."""
    low = np.maximum(first[:, None, :2], second[None, :, :2])
    high = np.minimum(first[:, None, 2:], second[None, :, 2:])
    shared = np.clip(high - low, 0, None).prod(axis=-1)
    sizes = [(boxes[:, 2:] - boxes[:, :2]).prod(axis=-1) for boxes in (first, second)]
    union = sizes[0][:, None] + sizes[1][None, :] - shared
    return np.asarray(np.divide(shared, union, out=np.zeros_like(shared), where=union > 0))


def boxes_of(raw: NDArray[Any], offset: int, where: str) -> NDArray[np.float64]:
    """Labels [N, M, 5], each row x1, y1, x2, y2, class, with ``offset`` taken from the classes and rows of ``NO_BOX``
    behind the last box. A row whose class is NaN or below 0 is no box. Raises UserError where they are something
    else."""
    if raw.ndim != 3 or raw.shape[-1] != 5 or raw.dtype.kind not in "iuf":
        raise UserError(
            f"{where} must hold boxes [examples, boxes, 5] (x1, y1, x2, y2, class; rows of -1 or NaN behind the last), "
            f"but holds {raw.dtype} {list(raw.shape)}"
        )
    rows = raw.astype(np.float64)
    there = rows[..., 4] >= 0
    boxes = rows[there]
    if not len(boxes):
        raise UserError(f"{where} holds no box, so there is nothing to judge")
    if not np.isfinite(boxes).all() or (boxes[:, 4] != np.rint(boxes[:, 4])).any() or boxes[:, 4].min() < offset:
        raise UserError(
            f"{where} must hold finite numbers, the last of each row a class from {offset} on, but holds others"
        )
    if (boxes[:, 2:4] < boxes[:, :2]).any():
        raise UserError(
            f"{where} holds a box that ends before it begins: give x1, y1, x2, y2, and not a width and a height"
        )
    found = np.full_like(rows, NO_BOX)
    boxes[:, 4] -= offset
    found[there] = boxes
    return found
