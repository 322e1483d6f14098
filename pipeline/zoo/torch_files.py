"""Tells what a file of PyTorch's is by the names in its archive. Nothing in it is run."""

from __future__ import annotations

import pickletools
import zipfile
from collections.abc import Mapping
from pathlib import Path, PurePosixPath
from typing import Literal

from pipeline.errors import UserError
from pipeline.zoo.file_model import existing

Kind = Literal["program", "compiled program", "script", "pickle"]
_PICKLE = b"\x80"
"""The beginning of what torch.save wrote before it wrote archives."""
WHAT: Mapping[Kind | None, str] = {
    "program": "a program of torch.export",
    "compiled program": "a model that AOTInductor compiled for one machine",
    "script": "a TorchScript archive",
    "pickle": "a file of torch.save",
    None: "damaged, or no file of PyTorch's",
}


def kind_of(path: Path) -> Kind | None:
    """What a file is; None where it is no archive of PyTorch's."""
    try:
        with zipfile.ZipFile(path) as archive:
            parts = [PurePosixPath(name).parts for name in archive.namelist()]
    except zipfile.BadZipFile:
        return "pickle" if _begins(path, _PICKLE) else None
    inside = {names[1:] if len(names) > 1 else names for names in parts}
    folders = {names[0] for names in inside}
    if "models" in folders or ("serialized_exported_program.json",) in inside:
        return "program"
    if any("aotinductor" in names for names in inside):
        return "compiled program"
    if "code" in folders and ("constants.pkl",) in inside:
        return "script"
    return "pickle" if ("data.pkl",) in inside else None


def _begins(path: Path, beginning: bytes) -> bool:
    with path.open("rb") as file:
        return file.read(len(beginning)) == beginning


def require_kind(path: Path, wanted: Kind) -> None:
    """Raise UserError, with what to type, where a file is not there, or not of this kind."""
    found = kind_of(existing(path, "model.path"))
    if found == wanted:
        return
    advice = {
        "program": f": type model=program model.path={path}",
        "script": f": type model=torchscript model.path={path}, and model.inputs",
        "pickle": f": type model=torch model.factory=package.Class model.weights={path} for a state dict",
    }.get(found or "", "")
    raise UserError(f"model.path={path} is not {WHAT[wanted]}, it is {WHAT[found]}{advice}")


def whole_model(path: Path) -> str | None:
    """The class of the object that a file of ``torch.save`` holds, where it is no plain dict."""
    try:
        with zipfile.ZipFile(path) as archive:
            content = archive.read(next(name for name in archive.namelist() if name.endswith("data.pkl")))
    except (zipfile.BadZipFile, StopIteration, KeyError, OSError):
        return None
    for opcode, argument, _ in pickletools.genops(content):
        if opcode.name == "EMPTY_DICT":
            return None
        if opcode.name == "GLOBAL":
            name = str(argument).replace(" ", ".")
            return None if name == "collections.OrderedDict" else name
    return None


def state_dict_of(path: Path) -> str:
    """The Python that writes a whole pickled model's state dict into a file beside it."""
    return (
        f"import torch; torch.save(torch.load({str(path)!r}, weights_only=False).state_dict(), "
        f"{str(path.with_suffix('.state_dict.pt'))!r})"
    )
