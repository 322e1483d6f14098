"""Cuts a sound to the windows that a model reads."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray


@dataclass(frozen=True, slots=True, kw_only=True)
class Window:
    """A window of ``samples`` samples, and how a sound is brought to it."""

    rate: int
    """Samples in a second."""
    samples: int
    every: bool
    """Whether a sound gives all windows that it has, one behind the other."""
    normalize: bool
    """Whether each window is scaled so that its largest value is 1 or -1."""
    channel: bool
    """Whether the model reads an axis for the one channel."""

    @property
    def wanted(self) -> int | None:
        """How many samples of a sound are needed; None: all."""
        return None if self.every else self.samples

    def count(self, samples: int) -> int:
        """How many windows a sound of so many samples has."""
        whole, rest = divmod(samples, self.samples)
        return max(1, whole + (2 * rest >= self.samples)) if self.every else 1

    def cut(self, mono: NDArray[np.float32]) -> NDArray[np.float32]:
        """The windows [K, samples] or [K, 1, samples] of a sound, without those that hold only zeros where others do
        not."""
        windows = np.zeros((self.count(len(mono)), self.samples), np.float32)
        kept = mono[: windows.size]
        windows.reshape(-1)[: len(kept)] = kept
        peaks = np.abs(windows).max(axis=1)
        windows, peaks = (windows[peaks > 0], peaks[peaks > 0]) if peaks.any() else (windows[:1], peaks[:1])
        if self.normalize:
            scales = np.where(peaks > 0, peaks, np.float32(1))
            windows = np.asarray(windows / scales[:, None], np.float32)
        return windows[:, None] if self.channel else windows
