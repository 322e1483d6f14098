"""Turns the DATA that was typed into settings."""

from __future__ import annotations

import math
import zipfile
from collections.abc import Mapping, Sequence
from contextlib import suppress
from dataclasses import dataclass, replace
from itertools import chain
from pathlib import Path

import numpy as np

from pipeline.command_line.input_words import class_words, folder_words, picture_words, sound_words, token_words
from pipeline.command_line.model_words import GivenModel, listed, nothing, path_of
from pipeline.command_line.set_words import function_words, is_saved_set, set_roles
from pipeline.command_line.shipped import Node, configurations, default_of
from pipeline.data.files import LABELS
from pipeline.data.folder import files_below
from pipeline.data.noise import InputShape
from pipeline.data.pictures import CHANNELS, PICTURES
from pipeline.data.rows import npy_header
from pipeline.data.sounds import SOUNDS
from pipeline.data.square import SIZE
from pipeline.data.table import SUFFIXES as TABLES
from pipeline.data.table import read_table
from pipeline.data.texts import LABEL, TEXT
from pipeline.data.tokens import LENGTH, folders_beside, tokenizer_in
from pipeline.errors import UserError

_SPLITS = ("test.npz", "calibration.npz", "train.npz", "validation.npz")
_FORMS = (
    "DATA is an .npz file, a folder of images, of audio, of .npz or of .npy files, a table of texts "
    f"({', '.join(TABLES)}), a folder of Dataset.save_to_disk, module:function, or the name of data that ships"
)
_RATE, _SECONDS = 16_000, 1.0


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
    if (yielded := function_words(typed)) is not None and not path.exists():
        return GivenData(words=yielded)
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
                    shape, _, dtype = npy_header(file)
                inputs[name] = InputShape(shape=tuple(shape[1:]), dtype=_read_as(dtype))
    except (OSError, ValueError, KeyError, zipfile.BadZipFile):
        return GivenData()  # whoever reads the file tells what is wrong with it
    labelled = inputs.pop(LABELS, None) is not None
    return GivenData(labelled=labelled, inputs=inputs)


def _read_as(dtype: np.dtype[np.generic]) -> str:
    """The type that a PyTorch model reads such an array in: pixels and all fractions in float32."""
    return "float32" if dtype.kind == "f" or dtype == np.uint8 else dtype.name


def _folder(path: Path, model: GivenModel, settings: Mapping[str, str]) -> GivenData:
    if is_saved_set(path):
        return _saved_set(path, model, settings)
    if any(path.glob("*.npy")):
        return GivenData(words=("data=npz", f"data.path={path}"), labelled=(path / f"{LABELS}.npy").is_file())
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


def _saved_set(path: Path, model: GivenModel, settings: Mapping[str, str]) -> GivenData:
    near = None
    with suppress(UserError):  # the set may have no texts
        near = _tokenizer(path, model)
    roles = set_roles(path, settings, near)
    tokenizer = [f"data.tokenizer={near}"] if roles.text is not None and "data.tokenizer" not in settings else []
    return GivenData(
        words=(
            "data=hugging_face",
            f"data.path={path}",
            *tokenizer,
            *(picture_words(model) if roles.image is not None else ()),
            *(token_words(model) if roles.text is not None else ()),
        ),
        labelled=roles.label is not None,
    )


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
            *sound_words(model, rate),
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


def _images(path: Path, pictures: Sequence[Path], model: GivenModel, settings: Mapping[str, str]) -> GivenData:
    labelled = _by_folder(pictures, path, settings)
    name, side = settings.get("data.input", "image"), _number(settings, "data.size", SIZE)
    return GivenData(
        words=(
            "data=images",
            f"data.path={path}",
            *(["data.labelled=true"] if labelled else []),
            *picture_words(model),
            *folder_words(model, pictures if labelled else ()),
        ),
        labelled=labelled,
        inputs={name: InputShape(shape=(CHANNELS, side, side), dtype="float32")},
    )


def _texts(path: Path, model: GivenModel, settings: Mapping[str, str]) -> GivenData:
    encoding, column = settings.get("data.encoding"), settings.get("data.text_column", TEXT)
    label = settings.get("data.label_column", LABEL)
    tables = read_table(path, encoding, column, label, max_gb=_decimal(settings, "data.max_gb"))
    first = next(tables)
    labelled = label in first.columns
    labels = (row.get(label) for table in chain([first], tables) for row in table.rows)
    tokenizer = [] if "data.tokenizer" in settings else [f"data.tokenizer={_tokenizer(path, model)}"]
    shape = InputShape(shape=(_number(settings, "data.length", LENGTH),), dtype="int64")
    return GivenData(
        words=("data=texts", f"data.path={path}", *tokenizer, *token_words(model), *class_words(model, labels)),
        labelled=labelled,
        inputs=dict.fromkeys(("input_ids", "attention_mask"), shape),
    )


def _number(settings: Mapping[str, str], key: str, default: int) -> int:
    """The number that was typed; the default where none was, or what is no number: the configuration refuses that."""
    typed = settings.get(key, "")
    return int(typed) if typed.isdecimal() else default


def _tokenizer(path: Path, model: GivenModel) -> Path:
    return tokenizer_in(*folders_beside(model.folder), path.parent)


def _advice(kind: str, path: Path) -> str:
    for one in (PICTURES, SOUNDS):
        if one.has(path):
            return f"one {one.one} is no data: type its folder, {path.parent}"
    if kind == ".npy":
        return f"an .npy file is one input: name it as the model does, NAME.npy, and type its folder, {path.parent}"
    if kind in (".json", ".txt", ".xlsx"):
        return (
            f"texts are read from a table ({', '.join(TABLES)}) with the columns '{TEXT}' and, where there are labels, "
            f"'{LABEL}'"
        )
    return _FORMS
