"""Shows examples to a person who labels them."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any, Protocol, runtime_checkable

import numpy as np
from numpy.typing import NDArray

from pipeline.data.dataset import Dataset, Split

_PICTURE = 3
"""The axes of a picture: channels, height and width."""
_MODES = (1, 3)
"""The channels of grey and of colour."""


@runtime_checkable
class Shows(Protocol):
    """A data set that knows better than by their arrays how its examples are shown."""

    def show(self, examples: Split, names: Sequence[str], folder: Path) -> Mapping[str, Sequence[str]]:
        """Write each example into a folder, by its name and a suffix. Returns what a table says of them: the files in a
        column ``file``, or the examples themselves."""
        ...


def show(data: Dataset, examples: Split, names: Sequence[str], folder: Path) -> Mapping[str, Sequence[str]]:
    """Show examples of a data set as it knows best, else as ``show_arrays`` does."""
    return data.show(examples, names, folder) if isinstance(data, Shows) else show_arrays(examples, names, folder)


def show_arrays(examples: Split, names: Sequence[str], folder: Path) -> Mapping[str, Sequence[str]]:
    """Bytes that are a picture as PNG, where Pillow is installed; other arrays as .npy, a file for each input."""
    found = []
    for place, name in enumerate(names):
        arrays = examples.take(place, place + 1).arrays
        stems = [name] if len(arrays) == 1 else [f"{name}.{key.replace('/', '_')}" for key in arrays]
        files = [_write(folder / stem, array[0]) for stem, array in zip(stems, arrays.values(), strict=True)]
        found.append(" ".join(files))
    return {"file": found}


def _write(stem: Path, values: NDArray[Any]) -> str:
    picture = _picture(values)
    if picture is not None:
        try:
            from PIL import Image
        except ImportError:
            pass
        else:
            Image.fromarray(picture).save(stem.with_name(f"{stem.name}.png"))
            return f"{stem.name}.png"
    np.save(stem.with_name(f"{stem.name}.npy"), values)
    return f"{stem.name}.npy"


def _picture(values: NDArray[Any]) -> NDArray[np.uint8] | None:
    """Bytes [C, H, W] or [H, W, C] as [H, W] or [H, W, 3]; None where they are no picture."""
    if values.dtype != np.uint8 or values.ndim != _PICTURE:
        return None
    last = np.moveaxis(values, 0, -1) if values.shape[0] in _MODES else values
    if last.shape[-1] not in _MODES:
        return None
    return np.ascontiguousarray(last[..., 0] if last.shape[-1] == 1 else last)
