"""Reads audio files in mono, at the sample rate that a model reads, and writes them."""

from __future__ import annotations

import math
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from pipeline.data.folder import Kind
from pipeline.errors import UserError, first_line

SOUNDS = Kind(
    many="audio files",
    one="audio file",
    suffixes=(".wav", ".flac"),
    unread=(".aac", ".aif", ".aiff", ".csv", ".m4a", ".mp3", ".ogg", ".opus", ".tsv", ".wma"),
)
_HIGHEST_RATE = 768_000
"""The highest sample rate of a file, in Hz: a header that claims more is damaged."""
_MOST_FRAMES = 2**48
"""More frames than this is libsndfile's word for an unknown number."""
_HIGHEST_PEAK = 4.0
"""The largest value, with 1 as full scale, that is taken for a loud recording and not for another scale."""
_FILTER = 10
"""How many samples of the lower rate the filter of ``scipy.signal.resample_poly`` reaches to either side."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Sound:
    """An audio file, as its header describes it."""

    file: Path
    frames: int
    rate: int
    """Frames in a second."""
    channels: int

    def samples_at(self, rate: int) -> int:
        """How many samples it has at another rate."""
        return -(-self.frames * rate // self.rate)


@dataclass(frozen=True, slots=True, kw_only=True, eq=False)
class Recording:
    """What was decoded of an audio file."""

    file: Path
    raw: NDArray[np.float32]
    """[frames, channels]."""
    rate: int
    """Frames in a second."""


def describe(file: Path) -> Sound:
    """Read a file's header; raises UserError, naming the file, where it can't be read or holds no samples."""
    with _naming(file):
        info = _library().info(str(file))
    if not info.frames:
        raise UserError(f"{file} holds no samples: take it out of the folder")
    if info.frames > _MOST_FRAMES:
        raise UserError(f"{file} does not tell how long it is, as it was written to a pipe: write it anew into a file")
    if not 0 < info.samplerate <= _HIGHEST_RATE:
        raise UserError(
            f"{file} claims a sample rate of {info.samplerate:,} Hz: it is damaged; take it out of the folder"
        )
    return Sound(file=file, frames=info.frames, rate=info.samplerate, channels=info.channels)


def decoded(sound: Sound, rate: int, samples: int | None) -> Recording:
    """As much of a file as its first ``samples`` at this rate are made of; None: all. Raises UserError, naming the
    file, where it can't be read."""
    with _naming(sound.file):
        raw, _ = _library().read(str(sound.file), frames=_frames(sound, rate, samples), dtype="float32", always_2d=True)
    return Recording(file=sound.file, raw=raw, rate=sound.rate)


def heard(recording: Recording, rate: int, samples: int | None) -> tuple[NDArray[np.float32], bool]:
    """The first ``samples`` of a recording at this rate (None: all; fewer where it is shorter), and whether values
    beyond -1 to 1 were cut off.

    The channels are averaged. Raises UserError, naming the file, where its values are no samples.
    """
    peak = float(np.abs(recording.raw).max(initial=0))
    if not math.isfinite(peak):
        raise UserError(f"{recording.file} holds values that are not finite numbers")
    if peak > _HIGHEST_PEAK:
        raise UserError(
            f"{recording.file} holds values up to {peak:g}, and it is not known which is full scale: store whole "
            "numbers, or fractions from -1 to 1"
        )
    found = _resampled(recording.raw.mean(axis=1), recording.rate, rate)[:samples]
    return np.clip(found, -1, 1), peak > 1


def write_sound(file: Path, samples: NDArray[np.float32], rate: int) -> None:
    """Write samples from -1 to 1 as a .wav file of 16 bits."""
    _library().write(str(file), samples, rate, subtype="PCM_16")


def _frames(sound: Sound, rate: int, samples: int | None) -> int:
    """How many frames of a file its first ``samples`` at this rate are made of; -1: all."""
    if samples is None:
        return -1
    return math.ceil(samples * sound.rate / rate) + math.ceil(_FILTER * max(1, sound.rate / rate)) + 1


def _resampled(mono: NDArray[np.float32], have: int, want: int) -> NDArray[np.float32]:
    if have == want:
        return mono
    from scipy.signal import resample_poly

    common = math.gcd(have, want)
    return np.asarray(resample_poly(mono, want // common, have // common), np.float32)


@contextmanager
def _naming(file: Path) -> Iterator[None]:
    try:
        yield
    except (RuntimeError, OSError, ValueError) as error:  # soundfile's own errors are RuntimeErrors
        reason = getattr(error, "error_string", None) or first_line(error)
        raise UserError(f"{file} can't be read as audio: {reason}") from error


def _library() -> Any:
    try:
        import soundfile
    except (ImportError, OSError) as error:  # OSError: the wheel is there, and its library is not
        raise UserError(
            f"audio is read with soundfile, which can't be imported ({first_line(error)}): install the extra audio "
            "(pip install soundfile)"
        ) from error
    return soundfile
