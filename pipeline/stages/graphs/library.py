"""Around calls of ONNX Runtime's tools."""

from __future__ import annotations

import tempfile
import warnings
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from pipeline.artifact import SINGLE_FILE_BYTES, Artifact
from pipeline.artifact.run import FATAL_ONLY

_WARNINGS = 2
"""ONNX Runtime's own choice of what to log."""


def is_large(artifact: Artifact) -> bool:
    """Whether the model's weights don't fit into one protobuf file."""
    return artifact.size_bytes > SINGLE_FILE_BYTES


@contextmanager
def temporary_files_in(folder: Path) -> Iterator[None]:
    """Let libraries that write temporary files write them into this folder."""
    before = tempfile.tempdir
    tempfile.tempdir = str(folder)
    try:
        yield
    finally:
        tempfile.tempdir = before


@contextmanager
def library_call(work: Path) -> Iterator[None]:
    """Call ONNX Runtime's tools within this block: temporary files lie in ``work``. The exceptions that the tools raise
    tell what their sessions would log as errors, in colours and past Python. The check of the output judges what they
    compute from infinite values."""
    import onnxruntime

    onnxruntime.set_default_logger_severity(FATAL_ONLY)
    try:
        with temporary_files_in(work), warnings.catch_warnings():
            warnings.simplefilter("ignore", RuntimeWarning)
            yield
    finally:
        onnxruntime.set_default_logger_severity(_WARNINGS)
