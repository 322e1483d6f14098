"""How an image becomes a model's input, where the model takes images."""

from __future__ import annotations

from typing import Any

import numpy as np
from numpy.typing import NDArray

from pipeline.data.dataset import Dataset
from pipeline.data.images import Images

_MODES = {1: "L", 3: "RGB"}


def recipe(name: str, raw: NDArray[Any], data: Dataset | None) -> dict[str, Any] | None:
    """The manifest's entry ``image`` of an input with raw values [N, ...]; None where they are no images of bytes.

    A data set that read images gives its own way. Of other data sets only the size of their arrays is known, and
    ``known`` is false.
    """
    if raw.dtype != np.uint8 or raw.ndim != 4:
        return None
    if isinstance(data, Images) and data.input == name:
        layout = "chw" if raw.shape[1] == len("RGB") else "hwc"
        size = raw.shape[2:] if layout == "chw" else raw.shape[1:3]
        found = _recipe("RGB", size, layout, data.central, known=True)
        return {**found, "interpolation": data.interpolation}
    channels_first, channels_last = raw.shape[1] in _MODES, raw.shape[3] in _MODES
    if channels_first:
        return _recipe(_MODES[raw.shape[1]], raw.shape[2:], "chw", 1.0, known=False)
    return _recipe(_MODES[raw.shape[3]], raw.shape[1:3], "hwc", 1.0, known=False) if channels_last else None


def _recipe(mode: str, size: tuple[int, ...], layout: str, central: float | None, *, known: bool) -> dict[str, Any]:
    height, width = size
    return {"mode": mode, "height": height, "width": width, "central": central, "layout": layout, "known": known}
