"""Audio from a folder, in windows of one length."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from functools import lru_cache, partial
from pathlib import Path
from typing import Literal

import numpy as np
from numpy.typing import NDArray

from pipeline.bounds import Count, Positive
from pipeline.data.batches import Feed
from pipeline.data.dataset import Split, SplitName
from pipeline.data.folder import Folder, find_files
from pipeline.data.hashing import Divided, Partition, partition
from pipeline.data.making import MOST, Making
from pipeline.data.sizes import check_room
from pipeline.data.sounds import SOUNDS, Recording, Sound, decoded, describe, heard, write_sound
from pipeline.data.spool import Spool
from pipeline.data.transcripts import TRANSCRIPTION, Transcripts
from pipeline.data.window import Window
from pipeline.errors import UserError

Windows = Literal["first", "all"]
_BYTES_EACH = 4


@dataclass(frozen=True, slots=True, kw_only=True)
class Audio(Divided):
    """A folder of audio files (wav, flac), searched with its subfolders, links too; soundfile reads them.

    Each is mixed to mono, resampled to ``sample_rate`` and cut to windows of ``seconds``: [N, samples] float32 from -1
    to 1, by the name ``input``. A file that is shorter is filled with zeros. With ``windows: all`` a file gives as many
    windows as it has, one behind the other; the last one counts where at least half of it is there, and windows of
    zeros only are left out. With ``labelled`` a file's class is the folder it lies in, numbered in the order of the
    folders' names, or in that of ``classes``. The files are split by the sha256 of their windows
    (``pipeline.data.hashing``): windows of one file, and files with an equal window, share a split.
    """

    path: Path
    sample_rate: Count = 16_000
    """Samples in a second, as the model reads them."""
    seconds: Positive = 1.0
    windows: Windows = "first"
    normalize: bool = False
    """Whether each window is scaled so that its largest value is 1 or -1."""
    channel: bool = False
    """Whether the model reads [N, 1, samples]."""
    input: str = "audio"
    labelled: bool = False
    classes: tuple[str, ...] = ()
    """The folders' names in the order of the model's classes; none: sorted by name."""
    label_kind: Literal["classes", "texts"] = "classes"
    """What the labels are; texts are for a metric that takes them."""
    labels: Path | None = None
    """The table of the texts; None: what the folder has."""
    label_column: str = TRANSCRIPTION
    """The column of the texts, where they are in a table."""
    only: tuple[str, ...] = ()
    """The names of files, or glob patterns; none: all files."""
    max_gb: Positive | None = None
    """The most that the windows may take; None: what the disk of temporary files has room for."""

    def __post_init__(self) -> None:
        Divided.__post_init__(self)
        if self._samples < 1:
            raise ValueError(f"seconds={self.seconds:g} is shorter than one sample at sample_rate={self.sample_rate}")

        if self.label_kind == "texts" and (self.labelled or self.windows == "all"):
            other = "labelled=true takes classes from folders" if self.labelled else "windows=all cuts the files"
            raise ValueError(f"label_kind=texts takes what is said in whole files, and {other}: give one of the two")

    @property
    def name(self) -> str:
        """The folder's name."""
        return self.path.name

    @property
    def class_names(self) -> tuple[str, ...]:
        """The names of the folders, where the files are labelled."""
        return self._folder().classes if self.labelled else ()

    @property
    def _samples(self) -> int:
        return round(self.seconds * self.sample_rate)

    def _folder(self) -> Folder:
        told = self._transcripts()
        table = None if told is None else told.table
        return find_files(self.path, SOUNDS, self.only, self.labelled, self.classes, table)

    def _transcripts(self) -> Transcripts | None:
        return Transcripts.of(self.path, self.labels, self.label_column) if self.label_kind == "texts" else None

    def split(self, name: SplitName) -> Split:
        """Read one split; raises UserError where a file can't be read, NoExamples where the split gets no example."""
        reading = _Reading(
            path=self.path,
            folder=self._folder(),
            window=self._window,
            input=self.input,
            transcripts=self._transcripts(),
            max_gb=self.max_gb,
        )
        whole, parts = _read(reading, tuple(self.fractions.items()))
        return self.part(whole, parts, name, self.path)

    def making(self, name: SplitName) -> Making:
        """How the first windows of a split come about; of several windows of a file, its first stands for each."""
        origins = self.split(name).take(0, MOST).origins
        assert origins is not None
        window = replace(self._window, every=False)
        return Making(
            sources=[self.path / origin for origin in origins],
            decode=partial(_decoded, window=window),
            prepare=partial(_prepared, window=window, name=self.input),
        )

    @property
    def _window(self) -> Window:
        return Window(
            rate=self.sample_rate,
            samples=self._samples,
            every=self.windows == "all",
            normalize=self.normalize,
            channel=self.channel,
        )

    def show(self, examples: Split, names: Sequence[str], folder: Path) -> Mapping[str, Sequence[str]]:
        """The windows that the model hears, as .wav files."""
        for place, name in enumerate(names):
            (window,) = examples.take(place, place + 1).arrays[self.input]
            write_sound(folder / f"{name}.wav", window.reshape(-1), self.sample_rate)
        return {"file": [f"{name}.wav" for name in names]}


@dataclass(frozen=True, slots=True, kw_only=True)
class _Reading:
    path: Path
    folder: Folder
    window: Window
    input: str
    transcripts: Transcripts | None
    max_gb: float | None


@lru_cache(maxsize=2)
def _read(reading: _Reading, fractions: tuple[tuple[str, float], ...]) -> tuple[Split, Partition]:
    sounds = [describe(file) for file in reading.folder.files]
    _check_size(reading, sounds)
    texts, told = _texts(reading, sounds)
    window, found, counts = reading.window, Spool(), []
    silent = clipped = 0
    for sound in sounds:
        mono, loud = heard(decoded(sound, window.rate, window.wanted), window.rate, window.wanted)
        windows = window.cut(mono)
        silent += window.count(len(mono)) - len(windows)
        clipped += loud
        found.add(windows)
        counts.append(len(windows))
    classes = None if reading.folder.labels is None else np.repeat(np.array(reading.folder.labels, np.int64), counts)
    notes = (*reading.folder.notes, *told, *_notes(silent, clipped))
    files = np.repeat(np.arange(len(counts)), counts)
    names = np.array([str(file.relative_to(reading.path)) for file in reading.folder.files])
    whole = Split({reading.input: found.array()}, classes if texts is None else texts, notes, origins=names[files])
    return whole, partition(_keys(whole.example_hashes(), files.tolist()), dict(fractions), "file")


def _decoded(file: Path, window: Window) -> Recording:
    return decoded(describe(file), window.rate, window.wanted)


def _prepared(recording: Recording, window: Window, name: str) -> Feed:
    mono, _ = heard(recording, window.rate, window.wanted)
    return {name: window.cut(mono)}


def _check_size(reading: _Reading, sounds: Sequence[Sound]) -> None:
    window = reading.window
    count = sum(window.count(sound.samples_at(window.rate)) for sound in sounds)
    largest = max(sound.frames * sound.channels for sound in sounds) if window.every else 0
    check_room(
        _BYTES_EACH * (count * window.samples + largest),
        f"the {count:,} windows of {reading.path} take",
        reading.max_gb,
        "name fewer files with data.only",
    )


def _texts(reading: _Reading, sounds: Sequence[Sound]) -> tuple[NDArray[np.str_] | None, list[str]]:
    """What is said in each file, where that is asked for, and notes; raises UserError where a window cuts one off."""
    if reading.transcripts is None:
        return None, []
    texts, notes = reading.transcripts.read([sound.file for sound in sounds], reading.path)
    window = reading.window
    longest = max(sounds, key=lambda sound: sound.samples_at(window.rate))
    samples = longest.samples_at(window.rate)
    if samples > window.samples:
        lasts, heard_s = samples / window.rate, window.samples / window.rate
        raise UserError(
            f"{longest.file} lasts {lasts:.6g} s, and a window {heard_s:.6g} s, so its end is not heard, and its text "
            f"holds it: type data.seconds={lasts}, or name shorter files with data.only"
        )
    return np.array(texts, np.str_), notes


def _notes(silent: int, clipped: int) -> list[str]:
    notes = []
    if silent:
        notes.append(f"{silent} window{'s' if silent > 1 else ''} of zeros only left out")
    if clipped:
        files = f"{clipped} files have" if clipped > 1 else "1 file has"
        notes.append(f"{files} samples beyond -1 to 1, which are cut off")
    return notes


def _keys(hashes: Sequence[str], files: Sequence[int]) -> list[str]:
    """A key for each window: windows of one file share it, and so do files that have an equal window.

    The key is the smallest hash among those that share it, so it depends on neither the files' names nor their order.
    """
    from scipy.sparse import coo_array
    from scipy.sparse.csgraph import connected_components

    places = {digest: place for place, digest in enumerate(sorted(set(hashes)))}
    windows = np.array([places[digest] for digest in hashes])
    nodes = len(places) + max(files) + 1
    graph = coo_array((np.ones(len(files)), (windows, len(places) + np.array(files))), shape=(nodes, nodes))
    component = connected_components(graph, directed=False)[1][windows].tolist()
    smallest: dict[int, str] = {}
    for digest, part in zip(hashes, component, strict=True):
        smallest[part] = min(smallest.get(part, digest), digest)
    return [smallest[part] for part in component]
