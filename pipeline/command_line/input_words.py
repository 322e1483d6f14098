"""The settings by which pictures, texts, audio and the names of classes fit a model."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Sequence
from pathlib import Path

from pipeline.command_line.arguments import quoted
from pipeline.command_line.model_words import GivenModel, listed
from pipeline.data.adapted import pictures_in, tokens_in
from pipeline.data.pictures import side_of
from pipeline.data.tokens import LENGTH
from pipeline.errors import UserError

_SOUND = 2
"""The axes of audio that has no axis for its one channel."""
_VALUES = ("true", "false", "null", "nan", "inf")
"""Words that are no texts in Hydra's grammar."""


def sound_words(model: GivenModel, rate: int) -> Iterator[str]:
    """The length, the name and the axes of the first input that audio fits, where they are not those of ``data=audio``.

    Raises UserError where a model that tells its inputs has none that audio fits.
    """
    if model.inputs is None:
        return
    for name, entry in model.inputs.items():
        shape = entry.shape or ()
        channel = len(shape) == _SOUND + 1 and shape[1] == 1
        if entry.dtype.startswith("float") and (channel or len(shape) == _SOUND):
            yield from () if shape[-1] is None else (f"data.seconds={shape[-1] / rate}",)
            yield from () if name == "audio" else (f"data.input={name}",)
            yield from ("data.channel=true",) if channel else ()
            return
    raise UserError(
        f"the model reads {listed(list(model.inputs))}, and none of these takes [N, samples], which a folder of audio "
        "gives: give the examples (spectrograms, say) as an .npz file"
    )


def picture_words(model: GivenModel) -> Iterator[str]:
    """The size and the name of the first input that pictures fit, where they are not those of ``data=images``, and how
    the model wants them cut and scaled."""
    yield from model.pictures
    for name, entry in pictures_in(model.inputs or {}).items():
        side = side_of(name, entry.shape or ())
        yield from () if side is None else (f"data.size={side}",)
        yield from () if name == "image" else (f"data.input={name}",)
        return


def token_words(model: GivenModel) -> Iterator[str]:
    """The length of a text, where the model fixes or limits it, and the name of the model's only input of tokens."""
    tokens = tokens_in(model.inputs or {})
    lengths = {size for entry in tokens.values() for size in (entry.shape or ())[1:]} - {None}
    lengths |= {entry.longest for entry in tokens.values() if entry.longest and entry.longest < LENGTH}
    yield from (f"data.length={length}" for length in lengths if len(lengths) == 1)
    yield from (f"data.input_ids={name}" for name in tokens if len(tokens) == 1 and name != "input_ids")


def folder_words(model: GivenModel, files: Sequence[Path]) -> Iterator[str]:
    """The model's names of its classes, where all folders that files lie in have such names."""
    folders = {file.parent.name for file in files}
    if folders and folders <= set(model.classes):
        yield f"data.classes={_in_brackets(model.classes)}"


def class_words(model: GivenModel, labels: Iterable[object]) -> Iterator[str]:
    """The model's names of its classes, where it has any and a label is a name."""
    if model.classes and any(map(_is_name, labels)):
        yield f"data.class_names={_in_brackets(model.classes)}"


def _is_name(label: object) -> bool:
    return isinstance(label, str) and not label.strip().lstrip("+-").isdecimal()


def _in_brackets(names: Sequence[str]) -> str:
    """Names as Hydra reads a list of texts."""
    plain = [name.isidentifier() and name.lower() not in _VALUES for name in names]
    return f"[{','.join(name if is_plain else quoted(name) for name, is_plain in zip(names, plain, strict=True))}]"
