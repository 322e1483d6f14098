"""Sends the remarks of libraries about themselves to the run's log or nowhere, not to the user."""

from __future__ import annotations

import logging
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from types import ModuleType
from typing import Any

logger = logging.getLogger(__name__)


class _ToOurLog(logging.Handler):
    def emit(self, record: logging.LogRecord) -> None:
        logger.info("%s: %s", record.name, record.getMessage())


@contextmanager
def remarks_logged() -> Iterator[None]:
    """Take in the messages that libraries log."""
    # With a handler, the root logger neither falls back to the standard error nor sets itself up to write there.
    handler = _ToOurLog(logging.WARNING)
    root = logging.getLogger()
    root.addHandler(handler)
    try:
        yield
    finally:
        root.removeHandler(handler)


@contextmanager
def errors_only(*loggers: str) -> Iterator[None]:
    """Let only errors of these loggers through."""
    muted = [logging.getLogger(name) for name in loggers]
    levels = [each.level for each in muted]
    for each in muted:
        each.setLevel(logging.ERROR)
    try:
        yield
    finally:
        for each, level in zip(muted, levels, strict=True):
            each.setLevel(level)


@contextmanager
def prints_logged(library: ModuleType) -> Iterator[None]:
    """Take in the text that a module prints; the standard output itself belongs to the progress bar."""

    def log(*words: object, **_: object) -> None:
        logger.info("%s: %s", library.__name__, " ".join(map(str, words)))

    library.print = log  # type: ignore[attr-defined]
    try:
        yield
    finally:
        del library.print


class _SavesIn(ModuleType):
    """The module onnx, but that a model saved under a bare name is saved in ``folder``."""

    def __init__(self, folder: Path) -> None:
        super().__init__("onnx")
        self._folder = folder

    def __getattr__(self, name: str) -> Any:
        import onnx

        return getattr(onnx, name)

    def save_model(self, model: Any, path: str | Path, **options: Any) -> None:
        import onnx

        onnx.save_model(model, self._folder / Path(path), **options)


@contextmanager
def saves_in(library: ModuleType, folder: Path) -> Iterator[None]:
    """Let a module that leaves models in the current folder (ones that it could not finish) leave them in this one."""
    import onnx

    library.onnx = _SavesIn(folder)  # type: ignore[attr-defined]
    try:
        yield
    finally:
        library.onnx = onnx  # type: ignore[attr-defined]
