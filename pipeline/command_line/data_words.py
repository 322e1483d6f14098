"""Turns the DATA that was typed into settings."""

from __future__ import annotations

import zipfile
from collections.abc import Mapping, Sequence
from contextlib import suppress
from dataclasses import replace
from itertools import chain
from pathlib import Path

import numpy as np

from pipeline.command_line.file_words import images_data, sounds_data
from pipeline.command_line.given_data import GivenData, decimal, number
from pipeline.command_line.input_words import class_words, picture_words, token_words
from pipeline.command_line.model_words import GivenModel, listed, nothing, path_of
from pipeline.command_line.namesakes import namesake
from pipeline.command_line.set_words import function_words, is_saved_set, set_roles
from pipeline.command_line.shipped import Node, configurations, default_of
from pipeline.data.files import LABELS
from pipeline.data.folder import files_below
from pipeline.data.noise import InputShape
from pipeline.data.pictures import PICTURES
from pipeline.data.references import METADATA
from pipeline.data.rows import npy_header
from pipeline.data.sounds import SOUNDS
from pipeline.data.table import SUFFIXES as TABLES
from pipeline.data.table import Asked, read_table
from pipeline.data.texts import LABEL, TEXT
from pipeline.data.tokens import LENGTH, folders_beside, tokenizer_in
from pipeline.errors import UserError

_SPLITS = ("test.npz", "calibration.npz", "train.npz", "validation.npz")
_FORMS = (
    "DATA is an .npz file, a folder of images, of audio, of .npz or of .npy files, a table of texts "
    f"({', '.join(TABLES)}), a folder of Dataset.save_to_disk, module:function, or the name of data that ships"
)


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
    if typed in named:
        note = namesake(typed, "data")
        notes = () if note is None else (note,)
        return GivenData(words=(f"data={typed}",), labelled=_labelled(named[typed]), notes=notes)
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
    by_file = node.get("label_kind", "classes") != "classes"
    return {"Noise": False, "Images": by_folder or by_file, "Audio": by_folder or by_file}.get(kind)


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
        return sounds_data(path, sounds, model, settings)
    if sounds and typed != "images":
        raise UserError(
            f"{path} holds {PICTURES.many} ({len(pictures)}) and {SOUNDS.many} ({len(sounds)}): type data=images or "
            "data=audio behind it"
        )
    tables = [file for file in every if file.parent == path and file.suffix.lower() in TABLES]
    tables = [file for file in tables if file.name not in METADATA or not pictures]
    if tables:
        raise UserError(f"{path} is a folder: type the file that is meant: {listed(list(map(str, tables)))}")
    if not pictures:
        kinds = " and ".join(f"no {kind.many} ({', '.join(kind.suffixes)})" for kind in (PICTURES, SOUNDS))
        raise UserError(f"{path} holds {kinds}: {_FORMS}")
    return images_data(path, pictures, model, settings)


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


def _texts(path: Path, model: GivenModel, settings: Mapping[str, str]) -> GivenData:
    encoding, column = settings.get("data.encoding"), settings.get("data.text_column", TEXT)
    label = settings.get("data.label_column", LABEL)
    max_gb = decimal(settings, "data.max_gb")
    tables = read_table(Asked(path=path, needed=column, others=(label,), encoding=encoding, max_gb=max_gb))
    first = next(tables)
    labelled = label in first.columns
    labels = (row.get(label) for table in chain([first], tables) for row in table.rows)
    tokenizer = [] if "data.tokenizer" in settings else [f"data.tokenizer={_tokenizer(path, model)}"]
    shape = InputShape(shape=(number(settings, "data.length", LENGTH),), dtype="int64")
    return GivenData(
        words=("data=texts", f"data.path={path}", *tokenizer, *token_words(model), *class_words(model, labels)),
        labelled=labelled,
        inputs=dict.fromkeys(("input_ids", "attention_mask"), shape),
    )


def _tokenizer(path: Path, model: GivenModel) -> Path:
    return tokenizer_in(*folders_beside(model.beside()), path.parent)


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
