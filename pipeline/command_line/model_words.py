"""Turns the MODEL that was typed into settings."""

from __future__ import annotations

import re
from collections.abc import Collection, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from pipeline.command_line.namesakes import namesake
from pipeline.command_line.shipped import Node, configurations
from pipeline.errors import UserError
from pipeline.errors.names import near
from pipeline.libraries.packages import in_package
from pipeline.plan import InputSignature
from pipeline.zoo.hub_folder import cached, is_model_folder, model_folder

_CLASS = re.compile(r"([A-Za-z_][\w.]*):([A-Za-z_][\w.]*)")
_TORCH = frozenset((".pt", ".pt2", ".pth", ".bin", ".ckpt"))
_OTHERS = frozenset(
    (".engine", ".gguf", ".h5", ".joblib", ".keras", ".mlmodel", ".ort", ".pb", ".pdmodel", ".pkl", ".plan", ".tflite")
)
_SHOWN = 5
_NEAR = 3
_TIMM = "timm:"
_FORMS = (
    "MODEL is an .onnx file, a .pt2 or .pt file (torch.export or TorchScript), package.module:Class, a folder with "
    "config.json and weights that transformers or timm wrote, timm:NAME, or the name of a model that ships"
)


@dataclass(frozen=True, slots=True, kw_only=True)
class GivenModel:
    """A model as it was typed."""

    words: tuple[str, ...]
    """The settings that select it."""
    inputs: Mapping[str, InputSignature] | None = None
    """Its inputs; None: the class does not tell them."""
    folder: Path | None = None
    """The folder that an .onnx file lies in, or the one with the model's tokenizer."""
    classes: tuple[str, ...] = ()
    """The names of its classes in their order, where it has such."""
    pictures: tuple[str, ...] = ()
    """The settings of ``data=images`` that it wants."""
    name: str | None = None
    """Its name, where it ships."""
    weights: str | None = None
    """The file of its weights as its configuration names it, where it ships with some."""
    notes: tuple[str, ...] = ()
    """What the user may want to know before any work, a sentence each."""

    def beside(self) -> Path | None:
        """The folder that its tokenizer may lie in; raises UserError where that is a package which is not installed."""
        return self.folder if self.weights is None else Path(in_package(self.weights)).parent


def model_words(typed: str, settings: Mapping[str, str], folders: Sequence[Path] = ()) -> GivenModel:
    """The settings that MODEL stands for; ``settings`` has what the user typed behind it, by key.

    Raises UserError, with what to type, where there is no such model, and where something that it needs is missing.
    """
    named = configurations("model", folders)
    if typed in named:
        return _named(typed, named[typed])
    path = path_of(typed)
    if path.is_file():
        return _file(path)
    if typed.startswith(_TIMM):
        return _timm(typed.removeprefix(_TIMM), None, settings)
    if path.is_dir():
        return _folder(path, settings)
    match = _CLASS.fullmatch(typed)
    if match is None and cached(typed) is not None:
        return _hub_folder(Path(typed), settings)
    if match is None:
        raise UserError(f"{nothing(typed, path, named, ['*.onnx'])} {_FORMS} ({', '.join(named)})")
    if "model.weights" not in settings:
        raise UserError(
            f"{typed} needs its weights: type model.weights=FILE (a state dict: .safetensors, or a file of "
            "torch.save), or model.weights=null for random ones"
        )
    name = match[2].rpartition(".")[2]
    return GivenModel(words=("model=torch", f"model.factory={match[1]}.{match[2]}", f"model.name={name}"))


def _named(typed: str, node: Node) -> GivenModel:
    weights, note = node.get("weights"), namesake(typed, "model")
    return GivenModel(
        words=(f"model={typed}",),
        inputs=_inputs(node),
        name=typed,
        weights=weights if isinstance(weights, str) else None,
        notes=() if note is None else (note,),
    )


def path_of(typed: str) -> Path:
    """The path that was typed, with the user's folder in place of ``~``."""
    try:
        return Path(typed).expanduser()
    except RuntimeError:  # there is no such user
        return Path(typed)


def nothing(typed: str, path: Path, names: Collection[str], patterns: Sequence[str]) -> str:
    """The sentence that nothing of this name is there, with names near it, or else with the files that are there."""
    parent = path.parent
    files = sorted({file.name for pattern in patterns for file in parent.glob(pattern)}) if parent.is_dir() else []
    alike = near(path.name, files, _NEAR) or near(typed, names, _NEAR)
    if alike:
        return f"{typed} does not exist: did you mean {' or '.join(alike)}?"
    return f"{typed} does not exist: " + (
        f"{parent} holds {listed(files)}." if files else f"looked in {parent.resolve()}."
    )


def _file(path: Path) -> GivenModel:
    from pipeline.zoo.source import OnnxModel

    kind = path.suffix.lower()
    if kind in _TORCH:
        return _torch_file(path)
    if kind == ".safetensors":
        raise UserError(_weights(path))
    if kind == ".py":
        raise UserError(f"{path} is Python code: type {path.stem}:Class with the name of the model's class in it")
    if kind == ".xml":
        raise UserError(f"{path} is OpenVINO's own format, which is written here and not read: give the .onnx file")
    if kind in _OTHERS:
        raise UserError(f"{path} is no ONNX file: export the model to ONNX and give the .onnx file")
    words = ("model=onnx", f"model.path={path}")
    return GivenModel(words=words, inputs=OnnxModel(path=path).signature(), folder=path.parent)


def _torch_file(path: Path) -> GivenModel:
    from pipeline.zoo.source import ProgramModel
    from pipeline.zoo.torch_files import WHAT, kind_of, state_dict_of, whole_model

    kind = kind_of(path)
    if kind == "program":
        words = ("model=program", f"model.path={path}")
        return GivenModel(words=words, inputs=ProgramModel(path=path).signature(), folder=path.parent)
    if kind == "script":
        return GivenModel(words=("model=torchscript", f"model.path={path}"), folder=path.parent)
    if kind != "pickle":
        raise UserError(f"{path} is {WHAT[kind]}: {_FORMS}")
    whole = whole_model(path)
    if whole is None:
        raise UserError(_weights(path))
    raise UserError(
        f"{path} holds a whole pickled {whole}, and reading that would run code from the file: where you trust it, "
        f"type in Python: {state_dict_of(path)}; then type package.module:Class model.weights="
        f"{path.with_suffix('.state_dict.pt')} with the class that it belongs to"
    )


def _weights(path: Path) -> str:
    return (
        f"{path} holds weights, and no graph: type package.module:Class model.weights={path} with the class that "
        "they belong to, or write an .onnx file with torch.onnx.export and give that"
    )


def _folder(path: Path, settings: Mapping[str, str]) -> GivenModel:
    if is_model_folder(path):
        return _hub_folder(path, settings)
    inside = [str(file) for file in sorted([*path.glob("*.onnx"), *path.glob("*/*.onnx")])]
    if not inside:
        raise UserError(f"{path} is a folder without .onnx files: {_FORMS}")
    raise UserError(f"{path} is a folder: type the file that is meant: {listed(inside)}")


def _hub_folder(path: Path, settings: Mapping[str, str]) -> GivenModel:
    """A folder of transformers, of sentence-transformers or of timm, or the name of one in the cache."""
    from pipeline.zoo.timm_model import is_timm_folder
    from pipeline.zoo.transformers_model import TransformersModel

    if is_timm_folder(model_folder(path)):
        return _timm(None, path, settings)
    model = TransformersModel(path=path)
    pictures = model.folder.pictures
    return GivenModel(
        words=("model=transformers", f"model.path={path}"),
        inputs=model.signature(),
        folder=model.folder.base,
        classes=model.folder.classes,
        pictures=() if pictures is None else pictures.words,
    )


def _timm(name: str | None, path: Path | None, settings: Mapping[str, str]) -> GivenModel:
    from pipeline.zoo.timm_model import IMAGE, choose

    pictures = choose(name, path, None, _arguments(settings)).pictures
    return GivenModel(
        words=("model=timm", f"model.name={name}" if path is None else f"model.path={path}"),
        inputs={IMAGE: InputSignature((None, *pictures.shape), "float32")},
        pictures=pictures.words,
    )


def _arguments(settings: Mapping[str, str]) -> Mapping[str, Any]:
    """What was typed as ``model.arguments``."""
    from omegaconf import OmegaConf

    typed = [f"{key}={value}" for key, value in settings.items() if key.startswith("model.arguments")]
    found: Mapping[str, Any] = OmegaConf.to_container(OmegaConf.from_dotlist(typed))  # type: ignore[assignment]
    arguments: Mapping[str, Any] = found.get("model", {}).get("arguments", {})
    return arguments


def _inputs(node: Node) -> Mapping[str, InputSignature] | None:
    inputs = node.get("inputs")
    if not isinstance(inputs, dict):
        return None
    return {
        name: InputSignature((None, *entry["shape"]), entry.get("dtype", "float32")) for name, entry in inputs.items()
    }


def listed(names: Sequence[str]) -> str:
    """The first names, and how many more there are."""
    return ", ".join(names[:_SHOWN]) + (f" and {len(names) - _SHOWN} more" if len(names) > _SHOWN else "")
