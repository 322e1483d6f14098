"""What all models share that come in as a file and become an ONNX model."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import ClassVar

from pipeline.artifact import Format
from pipeline.data.preprocessing import Preprocessing
from pipeline.errors import UserError
from pipeline.plan import Postprocessing


@dataclass(frozen=True, slots=True, kw_only=True)
class FileModel:
    """A file of the user's, and what is done around the model in it."""

    path: Path
    preprocessing: Mapping[str, Preprocessing] = field(default_factory=dict)
    postprocessing: Postprocessing | None = None
    state: Mapping[str, str] = field(default_factory=dict)
    """The input that takes each output at the next call, by the output's name (``pipeline.plan.state_of``)."""
    format: ClassVar[Format] = "onnx"
    """What is written."""

    @property
    def name(self) -> str:
        """The file's name without its suffix."""
        return self.path.stem

    @property
    def beside(self) -> Path:
        """The folder that a tokenizer of the model lies in."""
        return self.path.parent


def existing(path: Path, where: str) -> Path:
    """The path; raises UserError where it is no file."""
    if not path.is_file():
        raise UserError(f"{where}: {path} does not exist (looked in {Path.cwd()})")
    return path
