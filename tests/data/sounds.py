"""Writes small audio files."""

from __future__ import annotations

import wave
from pathlib import Path
from typing import Any

from numpy.typing import NDArray

RATE = 1000


def write_wav(path: Path, samples: NDArray[Any], rate: int = RATE) -> Path:
    """Samples [N] or [N, channels] from -1 to 1, in 16 bits."""
    path.parent.mkdir(parents=True, exist_ok=True)
    with wave.open(str(path), "wb") as file:
        file.setnchannels(1 if samples.ndim == 1 else samples.shape[1])
        file.setsampwidth(2)
        file.setframerate(rate)
        file.writeframes((samples * 32767).astype("<i2").tobytes())
    return path
