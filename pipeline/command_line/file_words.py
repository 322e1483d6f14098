"""Turns a folder of images or of audio into settings: its labels, and how the files fit a model."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping, Sequence
from pathlib import Path

from pipeline.command_line.given_data import GivenData, decimal, number
from pipeline.command_line.input_words import folder_words, picture_words, sound_words
from pipeline.command_line.model_words import GivenModel
from pipeline.data.noise import InputShape
from pipeline.data.picture_boxes import box_files
from pipeline.data.pictures import CHANNELS
from pipeline.data.square import SIZE
from pipeline.data.transcripts import has_transcripts

_RATE, _SECONDS = 16_000, 1.0
_BOXES = "data.label_kind=boxes"


def sounds_data(path: Path, sounds: Sequence[Path], model: GivenModel, settings: Mapping[str, str]) -> GivenData:
    """The settings for a folder with these sounds."""
    labels = _label_words("texts", has_transcripts(path, sounds), sounds, path, settings)
    rate = number(settings, "data.sample_rate", _RATE)
    samples = round((decimal(settings, "data.seconds") or _SECONDS) * rate)
    channel = settings.get("data.channel", "").lower() == "true"
    shape = InputShape(shape=(1, samples) if channel else (samples,), dtype="float32")
    return GivenData(
        words=("data=audio", f"data.path={path}", *labels, *sound_words(model, rate)),
        labelled=bool(labels),
        inputs={settings.get("data.input", "audio"): shape},
    )


def images_data(path: Path, pictures: Sequence[Path], model: GivenModel, settings: Mapping[str, str]) -> GivenData:
    """The settings for a folder with these pictures."""
    labels = _label_words("boxes", bool(box_files(path)), pictures, path, settings)
    boxes = _BOXES in labels
    name, side = settings.get("data.input", "image"), number(settings, "data.size", SIZE)
    return GivenData(
        words=(
            "data=images",
            f"data.path={path}",
            *labels,
            *_whole(picture_words(model), boxes),
            *folder_words(model, pictures if labels and not boxes else ()),
        ),
        labelled=bool(labels),
        inputs={name: InputShape(shape=(CHANNELS, side, side), dtype="float32")},
    )


def _whole(words: Iterable[str], boxes: bool) -> Iterator[str]:
    """The words for pictures; with boxes each is shown as a whole, so that no box is cut off."""
    if boxes:
        yield "data.central=null"
    yield from (word for word in words if not (boxes and word.startswith("data.central=")))


def _by_folder(files: Sequence[Path], path: Path, settings: Mapping[str, str]) -> bool:
    """Whether the folders that files lie in are their classes: as it was typed, or where all lie in several folders."""
    in_folders = len({file.parent.name for file in files}) > 1 and not any(file.parent == path for file in files)
    return settings.get("data.labelled", str(in_folders)).lower() == "true"


def _label_words(
    kind: str, own: bool, files: Sequence[Path], path: Path, settings: Mapping[str, str]
) -> tuple[str, ...]:
    """The settings that say what the labels of files are: of this ``kind`` where their ``own`` file tells it, or where
    it was typed; else the folders that they lie in."""
    typed = settings.get("data.label_kind", kind if "data.labels" in settings else None)
    if typed == kind or (own and typed is None and "data.labelled" not in settings):
        return (f"data.label_kind={kind}",)
    return ("data.labelled=true",) if _by_folder(files, path, settings) else ()
