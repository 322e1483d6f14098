"""A folder in the format of the Hugging Face hub: ``config.json`` beside weights."""

from __future__ import annotations

import json
import re
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from pipeline.errors import UserError

CONFIG, MODULES = "config.json", "modules.json"
"""A model's description, and the list of the modules of one of sentence-transformers."""
_WEIGHTS = ("*.safetensors", "*.bin")
"""The weights, in the format that is taken first."""
_NAME = re.compile(r"[\w.-]+(/[\w.-]+)?", re.ASCII)


def model_folder(path: Path) -> Path:
    """The folder itself, or the copy of the hub's model of this name that this machine has. Nothing is downloaded.

    Raises UserError where there is neither.
    """
    found = path if path.is_dir() else cached(str(path))
    if found is not None:
        return found
    if path.exists():
        raise UserError(f"model.path={path} is a file: give the folder that it lies in")
    advice = ""
    if _NAME.fullmatch(str(path)):
        advice = f", and this machine has no copy of a model of this name: to get one, type hf download {path}"
    raise UserError(f"model.path={path}: there is no such folder (looked in {Path.cwd()}){advice}")


def cached(name: str) -> Path | None:
    """The folder of a hub's model in this machine's cache, by its name there; None where there is none."""
    if not _NAME.fullmatch(name):
        return None
    try:
        from huggingface_hub import snapshot_download
        from huggingface_hub.errors import HFValidationError, LocalEntryNotFoundError
    except ImportError:
        return None
    try:
        return Path(snapshot_download(name, local_files_only=True))
    except (LocalEntryNotFoundError, HFValidationError):
        return None


def is_model_folder(path: Path) -> bool:
    """Whether a folder has a description and weights, or a list of modules."""
    return (path / MODULES).is_file() or ((path / CONFIG).is_file() and bool(_weights(path)))


def weight_files(folder: Path) -> list[Path]:
    """The files with the weights, and the index of several; raises UserError where there are none."""
    found = _weights(folder)
    if not found:
        raise UserError(f"model.path={folder} has no weights (model.safetensors or pytorch_model.bin)")
    return found


def _weights(folder: Path) -> list[Path]:
    every = ([*folder.glob(pattern), *folder.glob(f"{pattern}.index.json")] for pattern in _WEIGHTS)
    return sorted(next(filter(None, every), []))


def read_object(file: Path) -> Mapping[str, Any]:
    """A JSON object; raises UserError where the file is missing, or holds something else."""
    content = _json(file)
    if not isinstance(content, dict):
        raise UserError(f"{file} holds no JSON object")
    return content


def read_objects(file: Path) -> list[Mapping[str, Any]]:
    """A JSON array of objects; raises UserError where the file is missing, or holds something else."""
    content = _json(file)
    if not isinstance(content, list) or not all(isinstance(entry, dict) for entry in content):
        raise UserError(f"{file} holds no JSON array of objects")
    return content


def _json(file: Path) -> Any:
    try:
        return json.loads(file.read_text(encoding="utf-8"))
    except OSError as error:
        raise UserError(f"{file} can't be read ({error.strerror}): give a folder that save_pretrained wrote") from error
    except (ValueError, RecursionError) as error:
        raise UserError(f"{file} is not JSON: {error}") from error
