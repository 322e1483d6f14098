"""Everything slimline raises on purpose.

SlimlineError                 exit code 1
├── UserError                 exit code 2: the input is wrong; one line a problem
├── Skipped                   a row that does not apply here, with the reason
│   ├── BackendUnavailable    a device or provider is missing
│   └── Unchanged             a stage has nothing to do: its chain goes on with the model as it was
├── StageFailed               a variant's stage failed; the other variants go on
├── WorkerFailed              a measuring process failed or died
├── CorruptEntry              a stored artifact's bytes are not what was written
├── OutOfSpace                the disk is full
└── VerificationFailed        a deploy bundle or a self-test did not pass
"""

from __future__ import annotations

import errno
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path

from pipeline.reasons import cause, text_of

_NO_MEMORY = (
    "out of memory",  # PyTorch, CUDA, TensorRT
    "failed to allocate memory",  # ONNX Runtime
    "smaller than requested bytes",  # ONNX Runtime, at the limit of its arena
    "alloc_failed",  # cuBLAS, cuDNN
    "bad_alloc",
    "can't allocate memory",  # PyTorch on the CPU
)
DISK_FULL = (errno.ENOSPC, errno.EDQUOT)


class SlimlineError(Exception):
    """Root of the tree; ``exit_code`` is what the command line ends with."""

    exit_code = 1


class UserError(SlimlineError):
    """The user's input is wrong. Each problem says what, where, what exists and what to type."""

    exit_code = 2

    def __init__(self, *problems: str) -> None:
        self.problems: Sequence[str] = problems
        super().__init__("\n".join(problems))


class Skipped(SlimlineError):
    """This does not apply here; the message is the reason that the row shows."""


class BackendUnavailable(Skipped):
    """A runtime, provider or device is missing. Backends raise this and never fall back."""


class Unchanged(Skipped):
    """A stage has nothing to do with its model; the message is the reason. Its chain goes on with the model."""


class StageFailed(SlimlineError):
    """A stage could not build its output, or the output did not pass its check."""


class WorkerFailed(SlimlineError):
    """A measuring process reported an error or died; the message is the reason."""


class CorruptEntry(SlimlineError):
    """A stored artifact's bytes are not the ones that were written."""


class OutOfSpace(SlimlineError):
    """The disk is full; the message names the path."""


class VerificationFailed(SlimlineError):
    """A deploy bundle or a self-test did not pass."""


def first_line(error: BaseException) -> str:
    """An error of a library in one line: its type and its cause (``pipeline.reasons``)."""
    return cause(error)


def reason_of(error: BaseException) -> str:
    """``first_line``, with a hint where it was memory that the runtime lacked: each says so in words of its own."""
    reason = cause(error)
    said = text_of(error).lower()
    if isinstance(error, MemoryError) or any(words in said for words in _NO_MEMORY):
        return f"out of memory (smaller batch_sizes need less): {reason}"
    return reason


@contextmanager
def reporting_full_disk(path: Path) -> Iterator[None]:
    """Turn the operating system's "no space left" into OutOfSpace, naming the path."""
    try:
        yield
    except OSError as error:
        if error.errno in DISK_FULL:
            raise OutOfSpace(
                f"no space left to write {path}: free some, or see 'python -m pipeline store gc'"
            ) from error
        raise
