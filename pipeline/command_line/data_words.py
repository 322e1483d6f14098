"""Turns the DATA that was typed into settings."""

from __future__ import annotations

import math
import zipfile
from collections.abc import Iterator, Mapping, Sequence
from contextlib import suppress
from dataclasses import dataclass, replace
from pathlib import Path

import numpy as np

from pipeline.command_line.arguments import quoted
from pipeline.command_line.model_words import GivenModel, listed, nothing, path_of
from pipeline.command_line.shipped import Node, configurations, default_of
from pipeline.data.files import LABELS
from pipeline.data.folder import files_below
from pipeline.data.noise import InputShape
from pipeline.data.pictures import PICTURES
from pipeline.data.sounds import SOUNDS
from pipeline.data.table import SUFFIXES as TABLES
from pipeline.data.table import read_table
from pipeline.data.texts import LABEL, TEXT
from pipeline.errors import UserError
from pipeline.plan import InputSignature

_SPLITS = ("test.npz", "calibration.npz", "train.npz", "validation.npz")
_FORMS = (
    "DATA is an .npz file, a folder of images, of audio or of .npz files, a table of texts "
    f"({', '.join(TABLES)}), or the name of data that ships"
)
_TOKENIZER, _SLOW = "tokenizer.json", "tokenizer_config.json"
"""The file with a whole tokenizer; and one that transformers reads together with a vocabulary."""
_VALUES = ("true", "false", "null", "nan", "inf")
"""Words that are no texts in Hydra's grammar."""
_PIXELS, _TOKENS = 224, 64
_CHANNELS = 3
_RATE, _SECONDS = 16_000, 1.0
_PICTURE, _TEXT, _SOUND = 4, 2, 2
"""The axes of pictures, of tokens, and of audio that has no axis for its one channel."""


@dataclass(frozen=True, slots=True, kw_only=True)
class GivenData:
    """Data as it was typed."""

    words: tuple[str, ...] = ()
    """The settings that select it."""
    labelled: bool | None = None
    """Whether it has labels; None: that is not known before it is read."""
    inputs: Mapping[str, InputShape] | None = None
    """What it gives a model to read, without the batch; None: that is not known before it is read."""


def data_words(
    typed: str | None, model: GivenModel, settings: Mapping[str, str], folders: Sequence[Path] = ()
) -> GivenData:
    """The settings that DATA stands for; ``settings`` has what the user typed behind it, by key.

    Raises UserError, with what to type, where there is no such data, and where something that it needs is missing.
    """
    if typed is None:
        return _without(model, settings)
    path = path_of(typed)
    named = configurations("data", folders)
    if typed in named and not path.is_file():
        return GivenData(words=(f"data={typed}",), labelled=_labelled(named[typed]))
    if path.is_dir():
        return _folder(path, model, settings)
    if not path.exists():
        patterns = ["*.npz", *(f"*{suffix}" for suffix in TABLES)]
        raise UserError(f"{nothing(typed, path, named, patterns)} {_FORMS} ({', '.join(named)})")
    kind = path.suffix.lower()
    if kind == ".npz":
        return _npz(path)
    if kind in TABLES:
        return _texts(path, model, settings)
    raise UserError(f"{path}: {_advice(kind, path)}")


def _without(model: GivenModel, settings: Mapping[str, str]) -> GivenData:
    """Inputs drawn from the model's description, with nothing to train or calibrate on; or what goes with the default
    model."""
    if "data" in settings or model.name == default_of("model"):
        return GivenData()
    words = ("data=random", "data.examples.calibration=0", "data.examples.train=0")
    return GivenData(words=words, labelled=False)


def _labelled(node: Node) -> bool | None:
    kind = str(node.get("_target_", "")).rpartition(".")[2]
    by_folder = bool(node.get("labelled"))
    return {"Noise": False, "Images": by_folder, "Audio": by_folder}.get(kind)


def _npz(path: Path) -> GivenData:
    return replace(_arrays(path), words=("data=npz", f"data.path={path}"))


def _arrays(path: Path) -> GivenData:
    """What the arrays of an .npz file tell, without reading them; nothing where the file is damaged."""
    inputs: dict[str, InputShape] = {}
    try:
        with zipfile.ZipFile(path) as archive:
            names = [name.removesuffix(".npy") for name in archive.namelist()]
            for name in names:
                with archive.open(f"{name}.npy") as file:
                    read = np.lib.format
                    header = (
                        read.read_array_header_1_0 if read.read_magic(file) == (1, 0) else read.read_array_header_2_0
                    )
                    shape, _, dtype = header(file)
                inputs[name] = InputShape(shape=tuple(shape[1:]), dtype=_read_as(dtype))
    except (OSError, ValueError, KeyError, zipfile.BadZipFile):
        return GivenData()  # whoever reads the file tells what is wrong with it
    labelled = inputs.pop(LABELS, None) is not None
    return GivenData(labelled=labelled, inputs=inputs)


def _read_as(dtype: np.dtype[np.generic]) -> str:
    """The type that a PyTorch model reads such an array in: pixels and all fractions in float32."""
    return "float32" if dtype.kind == "f" or dtype == np.uint8 else dtype.name


def _folder(path: Path, model: GivenModel, settings: Mapping[str, str]) -> GivenData:
    names = sorted(file.name for file in path.glob("*.npz"))
    if _SPLITS[0] in names:
        return replace(_arrays(path / _SPLITS[0]), words=("data=folder", f"data.path={path}"))
    if names:
        raise UserError(
            f"{path} holds {listed(names)} and no {_SPLITS[0]}: type {path / names[0]}, which is split by hash, or "
            f"name the files {', '.join(_SPLITS)}"
        )
    every = files_below(path)
    pictures, sounds = ([file for file in every if kind.has(file)] for kind in (PICTURES, SOUNDS))
    typed = settings.get("data")
    if sounds and (typed == "audio" or not pictures):
        return _sounds(path, sounds, model, settings)
    if sounds and typed != "images":
        raise UserError(
            f"{path} holds {PICTURES.many} ({len(pictures)}) and {SOUNDS.many} ({len(sounds)}): type data=images or "
            "data=audio behind it"
        )
    tables = [file for file in every if file.parent == path and file.suffix.lower() in TABLES]
    if tables:
        raise UserError(f"{path} is a folder: type the file that is meant: {listed(list(map(str, tables)))}")
    if not pictures:
        kinds = " and ".join(f"no {kind.many} ({', '.join(kind.suffixes)})" for kind in (PICTURES, SOUNDS))
        raise UserError(f"{path} holds {kinds}: {_FORMS}")
    return _images(path, pictures, model, settings)


def _by_folder(files: Sequence[Path], path: Path, settings: Mapping[str, str]) -> bool:
    """Whether the folders that files lie in are their classes: as it was typed, or where all lie in several folders."""
    in_folders = len({file.parent.name for file in files}) > 1 and not any(file.parent == path for file in files)
    return settings.get("data.labelled", str(in_folders)).lower() == "true"


def _sounds(path: Path, sounds: Sequence[Path], model: GivenModel, settings: Mapping[str, str]) -> GivenData:
    labelled = _by_folder(sounds, path, settings)
    rate = _number(settings, "data.sample_rate", _RATE)
    samples = round((_decimal(settings, "data.seconds") or _SECONDS) * rate)
    channel = settings.get("data.channel", "").lower() == "true"
    shape = InputShape(shape=(1, samples) if channel else (samples,), dtype="float32")
    return GivenData(
        words=(
            "data=audio",
            f"data.path={path}",
            *(["data.labelled=true"] if labelled else []),
            *_sound_words(model, rate),
        ),
        labelled=labelled,
        inputs={settings.get("data.input", "audio"): shape},
    )


def _decimal(settings: Mapping[str, str], key: str) -> float | None:
    """The number that was typed; None where none was, or what is no number: the configuration refuses that."""
    with suppress(ValueError):
        typed = float(settings.get(key, "nan"))
        return typed if math.isfinite(typed) else None
    return None


def _sound_words(model: GivenModel, rate: int) -> Iterator[str]:
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


def _images(path: Path, pictures: Sequence[Path], model: GivenModel, settings: Mapping[str, str]) -> GivenData:
    labelled = _by_folder(pictures, path, settings)
    name, side = settings.get("data.input", "image"), _number(settings, "data.size", _PIXELS)
    return GivenData(
        words=(
            "data=images",
            f"data.path={path}",
            *(["data.labelled=true"] if labelled else []),
            *_picture_words(model),
            *_folder_words(model, pictures if labelled else ()),
        ),
        labelled=labelled,
        inputs={name: InputShape(shape=(_CHANNELS, side, side), dtype="float32")},
    )


def _folder_words(model: GivenModel, pictures: Sequence[Path]) -> Iterator[str]:
    """The model's names of its classes, where all folders have such names."""
    folders = {file.parent.name for file in pictures}
    if folders and folders <= set(model.classes):
        yield f"data.classes={_in_brackets(model.classes)}"


def _picture_words(model: GivenModel) -> Iterator[str]:
    """The size and the name of the first input that pictures fit, where they are not those of ``data=images``, and how
    the model wants them cut and scaled."""
    yield from model.pictures
    for name, entry in (model.inputs or {}).items():
        if entry.shape is not None and len(entry.shape) == _PICTURE:
            side = _side(name, entry)
            yield from () if side is None else (f"data.size={side}",)
            yield from () if name == "image" else (f"data.input={name}",)
            return


def _side(name: str, entry: InputSignature) -> int | None:
    """The pixels of the square that the model reads; None where any will do. Raises UserError where it reads no
    squares, or other channels than red, green and blue."""
    sizes = (entry.shape or ())[1:]
    channels, sides = (sizes[2], sizes[:2]) if sizes[2] == _CHANNELS != sizes[0] else (sizes[0], sizes[1:])
    fixed = {side for side in sides if side is not None}
    if channels not in (None, _CHANNELS) or len(fixed) > 1:
        shape = ["any" if size is None else size for size in sizes]
        raise UserError(
            f"the model reads '{name}' as [N, {', '.join(map(str, shape))}], and a folder of images gives squares in "
            "red, green and blue: give the examples as an .npz file"
        )
    return next(iter(fixed), None)


def _texts(path: Path, model: GivenModel, settings: Mapping[str, str]) -> GivenData:
    encoding, column = settings.get("data.encoding"), settings.get("data.text_column", TEXT)
    label = settings.get("data.label_column", LABEL)
    table = read_table(path, encoding, column, label, max_gb=_decimal(settings, "data.max_gb"))
    labelled = label in table.columns
    labels = [row.get(label) for row in table.rows] if labelled else []
    tokenizer = [] if "data.tokenizer" in settings else [f"data.tokenizer={_tokenizer(path, model)}"]
    shape = InputShape(shape=(_number(settings, "data.length", _TOKENS),), dtype="int64")
    return GivenData(
        words=("data=texts", f"data.path={path}", *tokenizer, *_token_words(model), *_class_words(model, labels)),
        labelled=labelled,
        inputs=dict.fromkeys(("input_ids", "attention_mask"), shape),
    )


def _class_words(model: GivenModel, labels: Sequence[object]) -> Iterator[str]:
    """The model's names of its classes, where the labels are names."""
    named = any(isinstance(label, str) and not label.strip().lstrip("+-").isdecimal() for label in labels)
    if named and model.classes:
        yield f"data.class_names={_in_brackets(model.classes)}"


def _in_brackets(names: Sequence[str]) -> str:
    """Names as Hydra reads a list of texts."""
    plain = [name.isidentifier() and name.lower() not in _VALUES for name in names]
    return f"[{','.join(name if is_plain else quoted(name) for name, is_plain in zip(names, plain, strict=True))}]"


def _token_words(model: GivenModel) -> Iterator[str]:
    """The length of a text, where the model fixes or limits it, and the name of the model's only input of tokens."""
    shapes = {
        name: entry.shape
        for name, entry in (model.inputs or {}).items()
        if entry.shape is not None and len(entry.shape) == _TEXT and entry.dtype.startswith("int")
    }
    lengths = {length for _, length in shapes.values()} - {None}
    lengths |= {entry.longest for entry in (model.inputs or {}).values() if entry.longest and entry.longest < _TOKENS}
    yield from (f"data.length={length}" for length in lengths if len(lengths) == 1)
    yield from (f"data.input_ids={name}" for name in shapes if len(shapes) == 1 and name != "input_ids")


def _number(settings: Mapping[str, str], key: str, default: int) -> int:
    """The number that was typed; the default where none was, or what is no number: the configuration refuses that."""
    typed = settings.get(key, "")
    return int(typed) if typed.isdecimal() else default


def _tokenizer(path: Path, model: GivenModel) -> Path:
    beside = [] if model.folder is None else [model.folder, model.folder.parent]
    places = [folder / _TOKENIZER for folder in (*beside, path.parent)]
    there = next((file for file in places if file.is_file()), None)
    if model.folder is not None and there != places[0] and (model.folder / _SLOW).is_file():
        return model.folder
    if there is None:
        looked = ", ".join(dict.fromkeys(str(file.parent.resolve()) for file in places))
        raise UserError(f"texts need the model's {_TOKENIZER}, and none lies in {looked}: type data.tokenizer=FILE")
    return there


def _advice(kind: str, path: Path) -> str:
    for one in (PICTURES, SOUNDS):
        if one.has(path):
            return f"one {one.one} is no data: type its folder, {path.parent}"
    if kind == ".npy":
        return "an .npy file names no input: store the arrays with numpy.savez, each by its input's name, as .npz"
    if kind in (".json", ".txt", ".xlsx"):
        return (
            f"texts are read from a table ({', '.join(TABLES)}) with the columns '{TEXT}' and, where there are labels, "
            f"'{LABEL}'"
        )
    return _FORMS
